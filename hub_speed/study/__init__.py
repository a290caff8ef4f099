"""What a choice, and more data, are worth: runs, effects with intervals, the published page."""
