"""Files and rows → documents as text, each read or skipped with a reason; none of them ends a run."""

import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from hub_speed import safe_yaml, tables
from hub_speed.documents.child import Parser
from hub_speed.documents.folder import LARGEST, TEXTS, File, hash_of, no_hash
from hub_speed.documents.parsers import BINARY_SHARE, PARSERS, Parsed, Unreadable, decoded
from hub_speed.documents.structure import blocks, is_markdown, title_of
from hub_speed.errors import StageError
from hub_speed.tables import Row
from hub_speed.text import words

LONGEST = 20_000_000
"""Characters of a text that is used. Assumption: the longest novels have 3 million, and a file of that size is none."""

_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")  # without \x1b, which colours the output of a terminal
_NO_TITLE = re.compile(
    r"microsoft \w+ - |untitled|(word document|.*\.(docx?|pdf|indd|tex|dvi|html?))\s*$", re.IGNORECASE
)
"""What programs write as the title of a file that has none; "Word Document" is what python-docx reads then."""

_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Document:
    """A document as text.

    Attributes:
        source: where it comes from: `rows.DocumentRow`.
        encoding: `rows.DocumentRow`.
        hidden: words of a Word file that a reader does not see, and that are left out.
    """

    source: str
    title: str
    text: str
    encoding: str = ""
    hidden: int = 0

    @property
    def sha256(self) -> str:
        """Of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Skipped:
    """A document that gives no text; the reason is one of `rows.SkippedRow`."""

    source: str
    reason: str
    detail: str


def read(file: File, parser: Parser, column: str, hashes: dict[str, str]) -> Iterator[Document | Skipped]:
    """The document in a file, or those in its rows.

    Args:
        file: of a folder.
        parser: parses HTML, PDF and Word files.
        column: of a table: where the text of a document is.
        hashes: gets the sha256 of what was read, as `folder.hashes` has it.
    """
    if file.flaw:
        hashes[file.name] = file.flaw[0]
        yield Skipped(file.name, *file.flaw)
        return
    try:
        if file.kind in tables.KINDS:
            yield from _rows(file, column)
        else:
            yield _one(file, parser, hashes)
    except Unreadable as error:
        yield Skipped(file.name, error.reason, error.detail)
    except OSError as error:
        hashes[file.name] = no_hash(error)
        yield Skipped(file.name, "unreadable", error.strerror or str(error))
    if file.name not in hashes:  # a table, which may be too large to be in memory at once
        hashes[file.name] = hash_of(file.path)


def _one(file: File, parser: Parser, hashes: dict[str, str]) -> Document:
    """The only document of a file."""
    raw = file.path.read_bytes()
    hashes[file.name] = hashlib.sha256(raw).hexdigest()
    if file.kind in PARSERS:
        said = parser.parse(file.kind, raw) if raw.strip() else Parsed("", "")
        shown = "" if _NO_TITLE.match(said.title) else said.title
        title = title_of(said.text, markdown=True) or shown  # a page's title names its site as well
        return replace(_document(file.name, title, said.text, said.encoding), hidden=said.hidden)
    assert file.kind in TEXTS
    found = decoded(raw)
    return _document(file.name, _stated(found.text), found.text, found.told)


def _stated(text: str) -> str:
    """The title in a YAML header, if there is one."""
    try:
        title = safe_yaml.front_matter(text)[0].get("title") if text.startswith("---") else ""
    except yaml.YAMLError:
        return ""
    return title if isinstance(title, str) else ""


def _document(source: str, title: str, text: str, encoding: str = "") -> Document:
    """A text as a document, with lines that end alike.

    Raises:
        Unreadable: the text has no words outside of a YAML header, too many characters, or is no text.
    """
    if len(text) > LONGEST:
        raise Unreadable("too_large", f"{len(text):,} characters; at most {LONGEST:,} are used; cut it into files")
    if len(_CONTROLS.findall(text)) > BINARY_SHARE * len(text):
        raise Unreadable("binary", "control characters between the letters")
    text, markdown = _clean(text.replace("\r\n", "\n").replace("\r", "\n")), is_markdown(source)
    if not any(words(text[block.start : block.end]) for block in blocks(text, markdown=markdown)):
        raise Unreadable("empty", "no words, or only a YAML header" if text.lstrip().startswith("---") else "no words")
    title = " ".join(_clean(title).split()) or title_of(text, markdown=markdown)
    return Document(source, title, text, encoding)


def _clean(text: str) -> str:
    """A text as it can be written: without NUL, and with U+FFFD for half of a pair."""
    return _SURROGATES.sub("\ufffd", text.replace("\0", ""))


# --- tables -----------------------------------------------------------------------------------------------------------


def _rows(file: File, column: str) -> Iterator[Document | Skipped]:
    """A document for each row of a table; their number, from 1, is part of their source."""
    found = False
    for number, (row, encoding) in enumerate(_table(file, column), 1):
        source = f"{file.name}:{number}"
        if isinstance(row, Unreadable):
            yield Skipped(source, row.reason, row.detail)
            continue
        if not found and column not in row:
            raise Unreadable("unreadable", f"no column {column} (corpus.column); there are {', '.join(map(str, row))}")
        found, text, title = True, row.get(column), row.get("title")
        try:
            if text is not None and not isinstance(text, str):
                raise Unreadable("unreadable", f"a value of type {type(text).__name__}, not a text")
            yield _document(source, title if isinstance(title, str) else "", text or "", encoding)
        except Unreadable as error:
            yield Skipped(source, error.reason, error.detail)
    if not found:
        raise Unreadable("empty", "no rows")


def _table(file: File, column: str) -> Iterator[tuple[Row | Unreadable, str]]:
    """The rows of a table, a few at a time where the format allows it, or what is wrong with one; each with what to say
    of its encoding.

    Raises:
        Unreadable: the file is damaged.
    """
    try:
        if file.kind == ".parquet":
            table = pq.ParquetFile(file.path)
            names = table.schema_arrow.names
            for batch in table.iter_batches(1000, columns=[column, "title"] if column in names else None):
                yield from ((row, "") for row in batch.to_pylist())
        elif file.kind in (".jsonl", ".ndjson"):
            yield from ((row, "") for row in _lines(file.path))
        elif file.size > LARGEST:
            raise Unreadable("too_large", f"{file.size:,} bytes; at most {LARGEST:,} are read; write it as .jsonl")
        else:
            rows, encoding = tables.read_old(file.path)
            yield from ((row, encoding) for row in rows)
    except StageError as error:
        raise Unreadable("unreadable", error.got or "damaged") from error
    except (Unreadable, OSError):
        raise
    except Exception as error:  # whatever a parser raises about a broken file
        raise Unreadable("unreadable", tables.told(error).replace(str(file.path), file.name)[:200]) from error


def _lines(path: Path) -> Iterator[Row | Unreadable]:
    """One JSON object a line."""
    with path.open("rb") as file:
        for line in io.TextIOWrapper(file, "utf-8-sig", newline="\n"):
            if line.strip():
                yield _object(line)


def _object(line: str) -> Row | Unreadable:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Unreadable("unreadable", f"no JSON: {error!s:.200}")
    return row if isinstance(row, dict) else Unreadable("unreadable", "not a JSON object")
