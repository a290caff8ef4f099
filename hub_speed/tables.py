"""Files of rows as people have them: CSV, TSV, JSON and parquet, in the encodings that programs write."""

import csv
import gzip
import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hub_speed.encodings import decode
from hub_speed.errors import StageError

Row = dict[str, Any]


def read_file(path: Path) -> list[Row]:
    """The rows of a .csv, .tsv, .jsonl, .json or .parquet file, maybe compressed (.gz).

    Cells of CSV and TSV files stay the texts they are, also `null`, `NA` and `007`. Text is UTF-8 or UTF-16, else in an
    older encoding, with a warning that names it.

    Raises:
        StageError: there is no such file, it is of another kind, or damaged.
    """
    rows, encoding = read_old(path)
    if encoding:
        warnings.warn(f"{path}: not UTF-8; read as {encoding}", stacklevel=2)
    return rows


def read_old(path: Path) -> tuple[list[Row], str]:
    """The rows of a file, as `read_file`; and what to say of its encoding, empty for UTF-8 and UTF-16."""
    *_, kind = ["", *(suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz")]
    if kind not in KINDS:
        raise StageError(f"{path}: files of this kind are not read", expected=f"{', '.join(KINDS)}, maybe .gz")
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix.lower() == ".gz" else raw
        if kind == ".parquet":
            return [dict(row) for row in pq.read_table(io.BytesIO(raw)).to_pylist()], ""
        found = decode(raw)
        return _TEXTS[kind](found.text), found.told
    except FileNotFoundError as error:
        raise StageError(f"{path}: there is no such file", expected="a file, or a Hub dataset as org/name") from error
    except Exception as error:  # whatever a parser raises about a broken file, or one that is nested too deeply
        raise StageError(f"{path}: the file cannot be read", got=told(error)) from error


def told(error: Exception) -> str:
    """What an error says, on one line; its type where it says nothing."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _csv(text: str) -> list[Row]:
    """Commas, or semicolons as some spreadsheets write, or tabs: what the header has most of."""
    return _table(text, max(",;\t", key=text.partition("\n")[0].count), csv.QUOTE_MINIMAL)


def _tsv(text: str) -> list[Row]:
    """With quotes as in CSV where they are well formed; else quotes are characters like others."""
    try:
        return _table(text, "\t", csv.QUOTE_MINIMAL)
    except (csv.Error, ValueError):
        return _table(text, "\t", csv.QUOTE_NONE)


def _table(text: str, delimiter: str, quoting: Any) -> list[Row]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
    names = [name.strip() for name in next(reader, [])]
    rows = []
    for cells in reader:
        if len(cells) > len(names):
            raise ValueError(
                f"line {reader.line_num} has {len(cells)} cells and the header {len(names)}:"
                f" put quotes around texts with {delimiter!r} in them"
            )
        rows.append(dict(zip(names, cells, strict=False)))
    return rows


def _json(text: str) -> list[Row]:
    """A list of objects, alone or as the only list in an object; or one object a line."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = [json.loads(line) for line in text.split("\n") if line.strip()]
    if isinstance(found, dict):
        lists = [value for value in found.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        found = lists[0] if len(lists) == 1 == len(found) else [found]
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError("the rows are not JSON objects")
    return found


_TEXTS = {".csv": _csv, ".tsv": _tsv, ".jsonl": _json, ".ndjson": _json, ".json": _json}
KINDS = (*_TEXTS, ".parquet")
"""Endings of files that are read."""
