"""How varied, hard and clean a set of rows is."""
