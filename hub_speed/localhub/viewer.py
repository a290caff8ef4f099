"""The rows of a dataset, a page at a time: from parquet and JSON lines, without ever holding a whole file.

A position counts the rows of a split from 0, over all its files. Files come from whoever committed them, so nothing in
them is believed: what cannot be read is an `Unreadable` with the reason.
"""

import io
import json
import posixpath
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from hub_speed.localhub import cards, trees
from hub_speed.localhub.commits import STARS_MAX
from hub_speed.localhub.git import commit_info
from hub_speed.localhub.store import Repo, Store
from hub_speed.localhub.trees import Entry

if TYPE_CHECKING:
    import pyarrow.parquet as pq

SUFFIXES = (".parquet", ".jsonl")
PAGE_ROWS = 20
BATCH_ROWS = 200  # rows in memory at once
SCAN_ROWS = 20_000  # rows that one search for a text looks at. Assumption: about a second
SCAN_COLUMN_ROWS = 100_000  # rows that one search for a value looks at: as many as fit into most row groups
JSONL_MAX = 1 << 30  # bytes; lines have no index, so all before a row are read. Assumption: a few seconds
LINE_MAX = 4 << 20  # bytes of one line. Assumption
GROUP_MAX = 2 << 30  # bytes of one row group when unpacked. Assumption: writers make groups of some 100 MB
CONFIGS_MAX = 200  # Assumption: more tabs than anybody reads
# The words by which `datasets` finds splits in the names of files and folders.
SPLITS = {"train": "train|training", "validation": "validation|valid|val|dev", "test": "test|testing|eval|evaluation"}

Row = dict[str, Any]
Splits = dict[str, list[Entry]]


class Unreadable(Exception):
    """A file cannot be shown; the text is a sentence for a person."""


class Page(NamedTuple):
    """Some rows of a split.

    `rows` holds (position, row); `total` counts the rows of the split; `then` is the position to go on from, None at
    the end; `looked_at` counts the rows that a search has read, 0 without a search.
    """

    rows: list[tuple[int, Row]]
    total: int
    then: int | None
    looked_at: int


def configs(repo: Repo, commit: str) -> dict[str, Splits]:
    """Config → split → files, as the card declares them; without `configs` in the card, by the names of the files."""
    found = trees.walk(repo.git, commit_info(repo.git, commit).tree)
    files = [entry for entry in found if not entry.is_dir and entry.path.endswith(SUFFIXES)]
    metadata, _ = cards.of_commit(repo.git, commit)
    declared: dict[str, Splits] = {}
    for item in cards.as_list(metadata.get("configs"))[:CONFIGS_MAX]:
        if isinstance(item, dict) and isinstance(item.get("config_name"), str):
            splits = _declared(item, files)
            declared |= {item["config_name"]: splits} if splits else {}
    if declared:
        return declared
    splits = _guessed(files)
    return {"default": splits} if splits else {}


def _declared(item: dict[str, Any], files: list[Entry]) -> Splits:
    """The splits of one config: `data_files` is a pattern, patterns, or {split, path}s."""
    folder = str(item.get("data_dir") or "")
    splits: Splits = {}
    loose: list[Entry] = []
    for part in cards.as_list(item.get("data_files", "**")):
        split, patterns = (part.get("split"), part.get("path")) if isinstance(part, dict) else (None, part)
        matched = [
            entry
            for pattern in cards.as_list(patterns)
            if isinstance(pattern, str)
            for entry in files
            if _matches(posixpath.join(folder, pattern), entry.path)
        ]
        if isinstance(split, str):
            splits.setdefault(split, []).extend(matched)
        else:
            loose += matched
    splits |= _guessed(loose)
    return {split: list(dict.fromkeys(matched)) for split, matched in splits.items() if matched}


@lru_cache(maxsize=1024)
def _regex(pattern: str) -> re.Pattern[str] | None:
    """A pattern of `data_files`: `*` stays in a folder, `**` does not. None for one that could take very long."""
    if pattern.count("*") > 2 * STARS_MAX or len(pattern) > 1000:
        return None
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    meanings = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meanings.get(part) or re.escape(part) for part in parts), re.DOTALL)


def _matches(pattern: str, path: str) -> bool:
    regex = _regex(posixpath.normpath(pattern))
    return regex is not None and regex.fullmatch(path) is not None


def _guessed(files: list[Entry]) -> Splits:
    """Files by the split that their names tell; all of them are `train` when no name does."""
    splits: Splits = {}
    for entry in files:
        named = [
            split
            for split, words in SPLITS.items()
            if re.search(rf"(?:^|[-._/\s])(?:{words})(?:[-._/\s\d]|$)", entry.path, re.I)
        ]
        splits.setdefault(named[0] if named else "train", []).append(entry)
    return splits


def open_file(store: Store, repo: Repo, entry: Entry) -> IO[bytes]:
    """The content of a file. What is kept in git is small enough for the memory (at most 10 MB)."""
    if entry.lfs:
        try:
            return open(store.large_files.path(entry.lfs.sha256), "rb")
        except FileNotFoundError:
            raise Unreadable(f"{entry.path}: its content is not in the store (hub-speed hub fsck)") from None
    return io.BytesIO(repo.git.read_blob(entry.oid))


def count(store: Store, repo: Repo, entry: Entry) -> int:
    """The number of rows of a file.

    Raises:
        Unreadable: it cannot be read, or is too large to count.
    """
    if (known := _counts.get(entry.etag)) is None:
        if len(_counts) > 10_000:
            _counts.clear()
        with open_file(store, repo, entry) as file:
            known = _counts[entry.etag] = (
                _parquet(file, entry).metadata.num_rows if _is_parquet(entry) else sum(1 for _ in _lines(file, entry))
            )
    return known


_counts: dict[str, int] = {}  # by etag: content never changes


def rows(
    store: Store, repo: Repo, entry: Entry, start: int = 0, skips: Callable[["pq.RowGroupMetaData"], bool] | None = None
) -> Iterator[tuple[int, Row]]:
    """(position in the file, row) from a position on.

    Args:
        store: the store.
        repo: the repository.
        entry: the file.
        start: the first position.
        skips: whether nobody wants a row of a row group of a parquet file; it is not read then.

    Raises:
        Unreadable: the file cannot be read.
    """
    with open_file(store, repo, entry) as file:
        if _is_parquet(entry):
            yield from _parquet_rows(_parquet(file, entry), entry, start, skips)
        else:
            for position, line in enumerate(_lines(file, entry)):
                if position >= start and (line is None or line.strip()):
                    yield position, _json_row(line)


def _is_parquet(entry: Entry) -> bool:
    return entry.path.endswith(".parquet")


def _parquet(file: IO[bytes], entry: Entry) -> "pq.ParquetFile":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Unreadable(f"{entry.path}: not a parquet file that can be read ({_short(error)})") from error


def _parquet_rows(
    file: "pq.ParquetFile", entry: Entry, start: int, skips: Callable[["pq.RowGroupMetaData"], bool] | None
) -> Iterator[tuple[int, Row]]:
    import pyarrow as pa

    position = 0
    try:
        for group in range(file.num_row_groups):
            about = file.metadata.row_group(group)
            if position + about.num_rows <= start or (skips and skips(about)):
                position += about.num_rows
                continue
            if about.total_byte_size > GROUP_MAX:
                raise Unreadable(f"{entry.path}: a row group of {about.total_byte_size:,} bytes is not shown here")
            for batch in file.iter_batches(BATCH_ROWS, [group], use_threads=False):
                first = max(start - position, 0)
                for i, row in enumerate(batch.slice(first).to_pylist() if first < len(batch) else []):
                    yield position + first + i, row
                position += len(batch)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise Unreadable(f"{entry.path}: cannot be read ({_short(error)})") from error


def _lines(file: IO[bytes], entry: Entry) -> Iterator[bytes | None]:
    """The lines of a file; None for one that is longer than LINE_MAX."""
    if entry.size > JSONL_MAX:
        raise Unreadable(f"{entry.path}: JSON lines of more than {JSONL_MAX:,} bytes are not shown; parquet is")
    while line := file.readline(LINE_MAX):
        whole = line.endswith(b"\n") or len(line) < LINE_MAX
        while not line.endswith(b"\n") and (line := file.readline(LINE_MAX)):
            pass
        yield line if whole else None


def _json_row(line: bytes | None) -> Row:
    if line is None:
        return {"(unreadable)": f"a line of more than {LINE_MAX:,} bytes"}
    with suppress(ValueError, RecursionError):
        row = json.loads(line)
        return row if isinstance(row, dict) else {"value": row}
    return {"(unreadable)": line[:200].decode("utf-8", "replace")}


def text_of(value: Any) -> str:
    """A value as a text: strings as they are, bytes by their number, all else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    with suppress(ValueError, RecursionError):
        return json.dumps(value, ensure_ascii=False, default=text_of)
    return "(nested too deeply)"


def read_page(
    store: Store, repo: Repo, files: list[Entry], start: int = 0, *, column: str = "", value: str = "", text: str = ""
) -> Page:
    """PAGE_ROWS rows of a split, from a position on; with a search, those found in the next rows.

    Args:
        store: the store.
        repo: the repository.
        files: the files of the split.
        start: position to start from.
        column: with `value`: only rows whose column has exactly this value, as `text_of` writes it.
        value: see `column`.
        text: only rows with this text in any column; capital letters do not matter.

    Raises:
        Unreadable: a file cannot be read.
    """
    counts = [count(store, repo, entry) for entry in files]
    total, searching, text = sum(counts), bool(column or text), text.lower()
    most = SCAN_ROWS if text else SCAN_COLUMN_ROWS
    found: list[tuple[int, Row]] = []
    before = looked_at = 0
    for entry, length in zip(files, counts, strict=True):
        skips = (lambda group: _cannot_hold(group, column, value)) if column else None
        for at, row in rows(store, repo, entry, start - before, skips) if before + length > start else ():
            if len(found) == PAGE_ROWS or looked_at == most:
                return Page(found, total, before + at, looked_at)
            looked_at += searching
            if (not column or text_of(row.get(column)) == value) and (not text or _holds(row, text)):
                found.append((before + at, row))
        before += length
    return Page(found, total, None, looked_at)


def _cannot_hold(group: "pq.RowGroupMetaData", column: str, value: str) -> bool:
    """Whether the smallest and largest text of a row group's column exclude a value."""
    for i in range(group.num_columns):
        chunk = group.column(i)
        if chunk.path_in_schema == column and chunk.is_stats_set and (about := chunk.statistics).has_min_max:
            ends = (about.min, about.max)
            return all(isinstance(end, str) for end in ends) and not ends[0] <= value <= ends[1]
    return False


def _holds(row: Row, text: str) -> bool:
    return any(text in text_of(value).lower() for value in row.values())


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
