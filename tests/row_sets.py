"""Sets of rows made for a test, and their measures."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hub_speed.data_quality.measures import Numbers
from hub_speed.data_quality.report import measure

Rows = list[dict[str, Any]]


def write(folder: Path, rows: Rows, schema: pa.Schema | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "train-00000.parquet")
    return folder


TEXTS = pa.schema([("query", pa.string()), ("positive", pa.string()), ("negative", pa.string())])


def sentence(rng: random.Random, vocabulary: int, length: int = 8) -> str:
    return " ".join(f"w{rng.randrange(vocabulary)}" for _ in range(length))


def random_rows(count: int, vocabulary: int, seed: int = 0, **columns: Any) -> Rows:
    """Rows about nothing: a query, a positive that shares half of its words, a negative that shares a quarter."""
    rng = random.Random(seed)
    found = []
    for i in range(count):
        query = sentence(rng, vocabulary)
        parts = query.split()
        positive, negative = (" ".join([*parts[:n], sentence(rng, vocabulary)]) for n in (4, 2))
        found.append({"id": f"r{i}", "query": query, "positive": positive, "negative": negative} | columns)
    return found


def look(folder: Path, rows: Rows, kind: str = "all") -> Numbers:
    """The numbers of one task type of one set."""
    (report,) = measure([write(folder, rows)])
    return report.by_task_type[kind]


def number(found: Numbers, name: str) -> float:
    value = found[name]
    assert value is not None, name
    return value
