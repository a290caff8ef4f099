"""Pairs as people have them: files of several kinds, and cells of several shapes."""

import codecs
import csv
import gzip
import io
import json
import sys
import warnings
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hub_speed.errors import StageError

Row = dict[str, Any]

READ = "a text, a number, a list of these, or passages with a field `text` (and `title`), as in Tevatron and SQuAD"


def texts(value: Any) -> list[str]:
    """The texts in a cell of a shape that `READ` names; null, NaN and white space hold none.

    A passage's title stands before its text, with a space between, as in Tevatron.

    Raises:
        ValueError: the cell has another shape; says which.
    """
    if value is None or value != value:  # NaN
        return []
    if isinstance(value, str | int | float):
        return [text] if (text := str(value).strip()) else []
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    if not isinstance(value, dict) or "text" not in value:
        fields = f" with {', '.join(map(str, value)) or 'no field'}" if isinstance(value, dict) else ""
        raise ValueError(f"a value of type {type(value).__name__}{fields}")
    found, titles = value["text"], value.get("title")
    if isinstance(found, list):
        titles = titles if isinstance(titles, list) else [None] * len(found)
        return [text for title, one in zip(titles, found, strict=True) for text in texts({"title": title, "text": one})]
    return [" ".join([*texts(titles), *own])] if (own := texts(found)) else []


def label(value: Any) -> str | None:
    """A class as a text; None without one: null, NaN, an empty text, or the -1 of unlabelled rows. 1 and 1.0 are one.

    Raises:
        ValueError: the value is a list, a dictionary or the like.
    """
    if value is None or value != value:
        return None
    if not isinstance(value, str | int | float):
        raise ValueError(f"a value of type {type(value).__name__}")
    name = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
    return None if name in ("", "-1") else name


def of(rows: Iterable[Row], columns: dict[str, str], where: str) -> Iterator[dict[str, list[str]]]:
    """Our name of a column → the texts in it, row by row; `label` gives a list of one class, or of none.

    Args:
        rows: as they were read.
        columns: our names → theirs.
        where: names the set in messages.

    Raises:
        StageError: a cell cannot be read; names row, column and type.
    """
    for number, row in enumerate(rows, 1):
        try:
            cells = {}
            for our, column in columns.items():
                value = row.get(column)
                cells[our] = [text for text in [label(value)] if text] if our == "label" else texts(value)
        except ValueError as error:
            raise StageError(
                f"{where}, row {number}: the column {column} cannot be read",
                expected="a text or a number" if our == "label" else READ,
                got=str(error),
                fix="bring the column into one of these shapes, or name another column",
            ) from error
        yield cells


def read_file(path: Path) -> list[Row]:
    """The rows of a .csv, .tsv, .jsonl, .json or .parquet file, maybe compressed (.gz).

    Cells of CSV and TSV files stay the texts they are, also `null`, `NA` and `007`. Text is UTF-8 or UTF-16, else
    Windows-1252, with a warning.

    Raises:
        StageError: there is no such file, it is of another kind, or damaged.
    """
    *_, kind = ["", *(suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz")]
    if kind not in KINDS:
        raise StageError(f"{path}: files of this kind are not read", expected=f"{', '.join(KINDS)}, maybe .gz")
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix.lower() == ".gz" else raw
        if kind == ".parquet":
            return [dict(row) for row in pq.read_table(io.BytesIO(raw)).to_pylist()]
        return _TEXTS[kind](_decoded(raw, path))
    except FileNotFoundError as error:
        raise StageError(f"{path}: there is no such file", expected="a file, or a Hub dataset as org/name") from error
    except (OSError, ValueError, EOFError, zlib.error, csv.Error, pa.ArrowException) as error:
        raise StageError(f"{path}: the file cannot be read", got=" ".join(str(error).split())[:300]) from error


def _decoded(raw: bytes, path: Path) -> str:
    if raw.startswith(codecs.BOM_UTF8):
        return raw.decode("utf-8-sig")
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16")
    if b"\0" in raw[:2]:  # one of the two bytes of an ASCII character
        return raw.decode("utf-16-be" if raw[0] == 0 else "utf-16-le")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        warnings.warn(f"{path}: not UTF-8; read as Windows-1252", stacklevel=3)
        return raw.decode("cp1252")


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
