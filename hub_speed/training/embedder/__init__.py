"""Training of the embedder by InfoNCE."""
