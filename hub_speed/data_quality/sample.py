"""One set of rows, read once from the first row to the last: counts of all rows, and a sample of each task type."""

import heapq
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hub_speed.errors import RecipeError
from hub_speed.parquet import is_text

Row = dict[str, Any]

TEXTS = ("query", "positive", "negative")
SAMPLE = 1_000
"""Rows of a task type that are measured, drawn uniformly. Assumption: half a million pairs of them are plenty."""


class Sample:
    """Counts and samples of the set in a folder.

    Attributes:
        total: how many rows there are.
        tasks: (task, topic) → rows; with topics, since some task types have only one task.
        coverage: (task type, first part of the topic) → rows.
        rows: task type → its sample, in random order.

    Raises:
        RecipeError: the folder has no parquet file, or a column is missing or is not text.
    """

    def __init__(self, folder: Path) -> None:
        self.total = 0
        self.tasks: Counter[tuple[str, str]] = Counter()
        self.coverage: Counter[tuple[str, str]] = Counter()
        self._kept: dict[str, list[tuple[float, int, Row]]] = {}  # heaps of the rows with the largest random keys
        rng, number = np.random.default_rng(0), count()
        for batch in _batches(folder):
            keys = rng.random(batch.num_rows).tolist()
            columns = {
                name: batch[name].to_pylist() for name in ("task_type", "task", "topic") if name in batch.schema.names
            }
            kinds = columns.get("task_type") or ["all"] * batch.num_rows
            chosen = [i for i, (kind, key) in enumerate(zip(kinds, keys, strict=True)) if self._wants(kind, key)]
            for i, row in zip(chosen, batch.take(pa.array(chosen, pa.int64())).to_pylist(), strict=True):
                self._keep(kinds[i], keys[i], next(number), {"id": f"row {self.total + i}", "negative": None} | row)
            self.total += batch.num_rows
            if "task" in columns and "topic" in columns:
                self.tasks.update(zip(columns["task"], columns["topic"], strict=True))
                self.coverage.update((k, t.split("/")[0]) for k, t in zip(kinds, columns["topic"], strict=True))
        self.rows = {
            kind: [row for _, _, row in sorted(heap, reverse=True)] for kind, heap in sorted(self._kept.items())
        }

    def _wants(self, kind: str, key: float) -> bool:
        heap = self._kept.setdefault(kind, [])
        return len(heap) < SAMPLE or key > heap[0][0]

    def _keep(self, kind: str, key: float, number: int, row: Row) -> None:
        heap = self._kept[kind]
        (heapq.heappush if len(heap) < SAMPLE else heapq.heappushpop)(heap, (key, number, row))


def _batches(folder: Path) -> Iterator[pa.RecordBatch]:
    """The columns that are measured, of all rows, one batch after the other.

    Raises:
        RecipeError: see `Sample`.
    """
    inside = folder / "data" if (folder / "data").is_dir() else folder
    paths = sorted(inside.rglob("*.parquet"))
    if not paths:
        raise RecipeError(f"{folder}: there is no parquet file", expected="a dataset as parquet files")
    for path in paths:
        try:
            file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise RecipeError(f"{path}: cannot be read as parquet", got=str(error)) from error
        schema = file.schema_arrow
        for column in TEXTS:
            if column not in schema.names and column == "negative":
                continue
            if column not in schema.names or not is_text(schema.field(column).type):
                raise RecipeError(
                    f"{path}: no column {column} of texts",
                    expected="columns of texts: query, positive and, where there are any, negative",
                    got=", ".join(f"{field.name} ({field.type})" for field in schema),
                    fix="rename the columns, or name another dataset",
                )
        known = ("id", "task_type", "task", "topic", "language", "target_language", "knobs", *TEXTS)
        columns = [name for name in known if name in schema.names]
        yield from map(_tidy, file.iter_batches(2_000, columns=columns))


def _tidy(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with a query and a positive; other columns only where their type is as expected, without nulls."""
    batch = pa.RecordBatch.from_pydict(
        {f.name: batch[f.name].cast(pa.string()) if is_text(f.type) else batch[f.name] for f in batch.schema}
    )
    batch = batch.filter(pc.and_(pc.is_valid(batch["query"]), pc.is_valid(batch["positive"])))
    has_negative = "negative" in batch.schema.names
    negative = batch["negative"].cast(pa.string()) if has_negative else pa.nulls(batch.num_rows, pa.string())
    columns: dict[str, pa.Array] = {"negative": negative}
    for name in batch.schema.names:
        kind = batch.schema.field(name).type
        if name != "negative" and (is_text(kind) or (name == "id" and pa.types.is_integer(kind))):
            columns[name] = pc.fill_null(batch[name].cast(pa.string()), "none" if name == "task_type" else "")
    return pa.RecordBatch.from_pydict(columns)
