"""Writes rows to parquet files, and reads them again without holding all of them in memory.

The files are what the Hub calls optimized parquet (huggingface.co/docs/hub/datasets-libraries): pages are cut by their
content, so that the Hub stores again only what changed, and have an index, so that its viewer reads single pages. The
same rows give the same bytes. `scripts/bench_parquet.py` measures what it brings.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count, islice
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from hub_speed.rows import SPLITS

ROWS_PER_FILE = 200_000
"""About 300 MB of retrieval rows a file. Assumption: the Hub's viewer likes files under 500 MB."""

MANY_FILES, LARGER = 1_000, 5
"""After so many files, each holds so many times the rows. The Hub allows 10,000 files a folder
(huggingface.co/docs/hub/storage-limits); a ledger of a billion rows, four lines each at most, then has 4,800."""

ROWS_AT_ONCE = 500
"""Rows that are converted at once: some 5 MB of retrieval rows with their prompts and raw answers."""

GROUP_BYTES = 100_000_000
"""Bytes of a row group in memory, as in `datasets` (`config.MAX_ROW_GROUP_SIZE`); the Hub's viewer recommends 100 to
300 MB. In groups of 2,000 rows, whose pages are never full, one row less would change everything after it."""

_ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def schema(model: type[BaseModel]) -> pa.Schema:
    """The parquet schema of a kind of row."""
    return pa.schema([_field(info.alias or name, info.annotation) for name, info in model.model_fields.items()])


def _field(name: str, annotation: Any) -> pa.Field:
    nullable = False
    if get_origin(annotation) is UnionType:
        annotation = next(a for a in get_args(annotation) if a is not NoneType)
        nullable = True
    if get_origin(annotation) is list:
        return pa.field(name, pa.list_(_ARROW[get_args(annotation)[0]]), nullable)
    return pa.field(name, _ARROW[annotation], nullable)


def write_parquet(
    rows: Iterable[dict[str, Any]],
    model: type[BaseModel],
    folder: Path,
    at_once: int | None = None,
    split: str = "train",
) -> int:
    """Write rows as `folder/train-00000.parquet`, …, at least one file; returns the number of rows.

    Args:
        rows: as the model has them.
        model: a kind of row.
        folder: where the files are put.
        at_once: rows that are converted together, None for `ROWS_AT_ONCE`: fewer where a row is a whole document.
        split: what the names of the files begin with, by which readers know the split.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total, iterator, file_schema = 0, iter(rows), schema(model)
    for number in count():
        path, most = folder / f"{split}-{number:05d}.parquet", ROWS_PER_FILE * (1 if number < MANY_FILES else LARGER)
        partial, written = path.with_suffix(".partial"), 0
        with pq.ParquetWriter(
            partial, file_schema, compression="zstd", use_content_defined_chunking=True, write_page_index=True
        ) as writer:
            for group in _groups(islice(iterator, most), file_schema, at_once):
                writer.write_table(group, row_group_size=len(group))
                written += len(group)
        if written or not total:
            partial.replace(path)
        else:
            partial.unlink()
        total += written
        if written < most:
            break
    return total


def write_splits(
    rows: Callable[[str], Iterable[dict[str, Any]]], model: type[BaseModel], folder: Path, at_once: int | None = None
) -> int:
    """Write the rows of each split into files of its own, which are named after it; returns the number of rows.

    A split without rows has no file: `datasets` cannot load it.

    Args:
        rows: split → its rows.
        model: a kind of row.
        folder: where the files are put.
        at_once: see `write_parquet`.
    """
    total = 0
    for split in SPLITS:
        mine = iter(rows(split))
        if first := next(mine, None):
            total += write_parquet(chain([first], mine), model, folder, at_once, split)
    return total or write_parquet([], model, folder)


def _groups(rows: Iterator[dict[str, Any]], file_schema: pa.Schema, at_once: int | None) -> Iterator[pa.Table]:
    """The rows, in tables of a row group each."""
    held, size = list[pa.Table](), 0
    while batch := list(islice(rows, at_once or ROWS_AT_ONCE)):
        held.append(pa.Table.from_pylist(batch, schema=file_schema))
        size += held[-1].nbytes
        if size >= GROUP_BYTES:
            yield pa.concat_tables(held)
            held, size = [], 0
    if held:
        yield pa.concat_tables(held)


def read_parquet(
    folder: Path,
    columns: list[str] | None = None,
    wanted: Callable[[str], bool] | None = None,
    at_once: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of all files below `folder`, in order of the file names.

    Args:
        folder: where to look.
        columns: the columns to read; None for all.
        wanted: whether the row with an id is read; None for all.
        at_once: rows that are read together, None for `ROWS_AT_ONCE`.
    """
    for path in sorted(folder.rglob("*.parquet")):
        file = pq.ParquetFile(path)
        groups = range(file.num_row_groups)
        if wanted is None:
            yield from _batches(file, groups, columns, at_once=at_once)
            continue
        for group in groups:  # when no row of a group is wanted, only its ids are read
            keep = [wanted(row["id"]) for row in _batches(file, [group], ["id"])]
            if any(keep):
                yield from _batches(file, [group], columns, pa.array(keep))


def _batches(
    file: pq.ParquetFile,
    groups: Sequence[int],
    columns: list[str] | None,
    keep: pa.BooleanArray | None = None,
    at_once: int | None = None,
) -> Iterator[dict[str, Any]]:
    """The rows of these groups, or those of them that are to be kept."""
    done = 0
    for batch in file.iter_batches(at_once or ROWS_AT_ONCE, groups, columns):
        kept = batch if keep is None else batch.filter(keep.slice(done, len(batch)))
        yield from kept.to_pylist()
        done += len(batch)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold texts, in any of the ways that libraries write them; null holds none."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return any(is_kind(kind) for is_kind in kinds)


def count_parquet(folder: Path) -> int:
    """The number of rows in all files below `folder`."""
    return sum(pq.read_metadata(path).num_rows for path in folder.rglob("*.parquet"))
