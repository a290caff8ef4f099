"""Versions one can prove: what a version comes from, what a release has and changes, and whether it holds.

release.py    the embedder's card with its scores, release.json, CHANGELOG.md; one tag on every repository of a run
manifest.py   release.json: the repositories of a release, each at its commit
changes.py    CHANGELOG.md: what a release changes, compared with the one before it
lineage.py    what a version comes from
verify.py     reads a release again, and says what holds
"""
