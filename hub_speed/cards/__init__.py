"""Cards and figures of every published repository, rendered from its record and rows."""
