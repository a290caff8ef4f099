"""Each training runs in a process of its own: starting it, checkpoints, explaining failures."""
