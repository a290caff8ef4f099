"""Documents as people have them → passages: reading files, cutting texts, groups of near-duplicates, splits."""
