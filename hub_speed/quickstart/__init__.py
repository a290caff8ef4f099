"""The offline quickstart: a small world of facts and everything that lets the whole loop run on a laptop."""
