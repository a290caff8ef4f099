"""Search over the passages of a corpus: which questions find their passage, and hard negatives for them."""
