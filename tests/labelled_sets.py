"""Folders of labelled sets, and what a recipe says of them."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
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
    judged: list[tuple[str, str, float | None]],
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


def like_e5s(name: str, folder: Path) -> Path:
    """A few made-up rows in the shape of a set of the recipe `speed_full`, by its name there."""
    topics = ["fox", "dog", "brown", "lazy", "quick", "over"]
    if name in ("mteb/hotpotqa", "mteb/fever", "mteb/msmarco"):
        corpus = {f"d{i}": (None if i % 2 else word, f"the {word} jumps") for i, word in enumerate(topics)}
        queries = {f"q{i}": f"where is the {word}" for i, word in enumerate(topics[:4])}
        return judged_set(folder, corpus, queries, [(f"q{i}", f"d{i}", 1.0) for i in range(4)])
    rows, place = [], SHAPES[name]
    for word in topics:
        asked, answer, wrong = f"where is the {word}", f"the {word} jumps", "the lazy dog alone"
        texts = {"query": asked, "anchor": asked, "question": asked, "positive": answer, "negative": wrong}
        texts |= {"answer": answer, "context": answer, "pos": [answer, "more"], "neg": [wrong, "less"]}
        texts |= {"positive_passages": [{"docid": "1", "title": word, "text": answer}], "negative_passages": []}
        rows.append({column: texts[column] for column in place.columns})
    for file in place.files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        if file.endswith(".jsonl.gz"):
            (folder / file).write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
        else:
            pq.write_table(pa.Table.from_pylist(rows), folder / file)
    (folder / "README.md").write_text(place.card)
    return folder


@dataclass(frozen=True)
class Shape:
    """Columns, files, and the card of a set."""

    columns: tuple[str, ...]
    files: tuple[str, ...]
    card: str = "---\nlanguage: en\n---\n"


ONE = "train-00000-of-00001.parquet"
TRIPLET = Shape(("anchor", "positive", "negative"), (f"triplet/{ONE}", f"triplet-all/{ONE}"))
SQUAD = ONE_CONFIG.replace("default", "plain_text").replace("data/*", "plain_text/train-*")
SHAPES = {
    "sentence-transformers/eli5": Shape(("question", "answer"), (f"pair/{ONE}",)),
    "sentence-transformers/miracl": Shape(
        TRIPLET.columns, (f"ar-triplet/{ONE}", f"ar-triplet-all/{ONE}", f"en-triplet/{ONE}")
    ),
    "cfli/bge-full-data": Shape(
        ("query", "pos", "neg"),
        (
            "data/msmarco_document-00039-of-00163.parquet",
            "data/msmarco_document-00040-of-00163.parquet",
            f"data/nq-{ONE}",
        ),
    ),
    "sentence-transformers/natural-questions": Shape(("query", "answer"), (f"pair/{ONE}",)),
    "sentence-transformers/nli-for-simcse": TRIPLET,
    "rajpurkar/squad": Shape(("question", "context"), (f"plain_text/{ONE}",), SQUAD),
    "sentence-transformers/trivia-qa-triplet": TRIPLET,
    "sentence-transformers/quora-duplicates": Shape(("anchor", "positive"), (f"pair/{ONE}",)),
    "castorini/mr-tydi": Shape(
        ("query", "positive_passages", "negative_passages"),
        ("mrtydi-v1.1-combined/train.jsonl.gz", "mrtydi-v1.1-english/train.jsonl.gz"),
    ),
    "sentence-transformers/dureader": TRIPLET,
    "sentence-transformers/t2ranking": TRIPLET,
}
