"""Folders of labelled sets, and what a recipe says of them."""

import json
from pathlib import Path

from tiny_training import write

from hub_speed.recipe import Labelled
from hub_speed.training.embedder.settings import LabelledSet

ONE_CONFIG = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/*.parquet\n---\n"
BEIR = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: qrels/train.jsonl
- config_name: corpus
  data_files:
  - split: corpus
    path: corpus.jsonl
- config_name: queries
  data_files:
  - split: queries
    path: queries.jsonl
---
"""


def labelled_set(folder: Path, rows: list[dict]) -> Path:
    """A set with one config and one split."""
    write(rows, folder / "data")
    (folder / "README.md").write_text(ONE_CONFIG)
    return folder


def judged_set(
    folder: Path,
    corpus: dict[str, tuple[str | None, str]],
    queries: dict[str, str],
    judged: list[tuple[str, str, float]],
) -> Path:
    """A set as in BEIR: id → title and text, id → query, and judgements as query, document and score."""
    documents = [{"_id": name, "title": title, "text": text} for name, (title, text) in corpus.items()]
    asked = [{"_id": name, "text": text} for name, text in queries.items()]
    scores = [{"query-id": query, "corpus-id": document, "score": score} for query, document, score in judged]
    (folder / "qrels").mkdir(parents=True)
    for file, rows in (("corpus", documents), ("queries", asked), ("qrels/train", scores)):
        (folder / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "README.md").write_text(BEIR)
    return folder


def source(folder: Path, **changes: object) -> LabelledSet:
    """A set in this folder, with a column of negatives unless `changes` say otherwise."""
    fields = {"repo": "them/set", "instruction": "find it", "license": "mit", "negative": "wrong"}
    return LabelledSet(recipe=Labelled(**fields | changes), folder=folder)
