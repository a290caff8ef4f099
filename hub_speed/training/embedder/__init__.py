"""Training of the embedder by InfoNCE.

rows        training_rows (which ones), labelled: the sets beside them, by pairs (files and cells), sets and mining
training    backbone, batching, infonce, contrastive
measuring   margins of candidates, for preferences
"""
