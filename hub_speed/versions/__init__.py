"""Versions one can prove: what a version comes from, and what a release holds.

release.py    the embedder's card with its scores, release.json, CHANGELOG.md; one tag on every repository of a run
lineage.py    what a version comes from, each at its commit
"""
