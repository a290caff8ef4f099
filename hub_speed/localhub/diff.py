"""What changed between two versions: files, the lines of the card, and rows by their `id`.

The work is bounded. What was not compared is said, and what is said is exact.
"""

import difflib
import posixpath
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

from hub_speed.localhub import trees, viewer
from hub_speed.localhub.git import GitRepo, commit_info
from hub_speed.localhub.store import Repo, Store
from hub_speed.localhub.trees import Entry

LINES_MAX = 3_000  # lines of a card: comparing takes quadratic time at worst. Assumption: half a second
ROWS_MAX = 50_000  # rows of both versions together, in all folders that are compared. Assumption: two seconds
EXAMPLES = 3  # rows of each kind


class FileChange(NamedTuple):
    """A file that was added (no `before`), removed (no `after`) or changed."""

    path: str
    before: Entry | None
    after: Entry | None

    @property
    def state(self) -> str:
        """What happened to the file."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"


class RowChanges(NamedTuple):
    """What happened to the rows of the files of one folder.

    `counts` has the numbers of rows by state (added, removed, changed, unchanged); it is empty when they were not
    compared, and `note` says why. `examples` are (state, id, [(column, text before, text after)]).
    """

    folder: str
    counts: dict[str, int]
    examples: list[tuple[str, str, list[tuple[str, str | None, str | None]]]]
    note: str = ""


def files(git: GitRepo, before: str | None, after: str) -> list[FileChange]:
    """The files that differ between two commits, by path; before the first commit there was nothing."""
    old, new = _entries(git, before), _entries(git, after)
    paths = sorted(old.keys() | new.keys())
    pairs = (FileChange(path, old.get(path), new.get(path)) for path in paths)
    return [pair for pair in pairs if not (pair.before and pair.after and pair.before.etag == pair.after.etag)]


def _entries(git: GitRepo, commit: str | None) -> dict[str, Entry]:
    if commit is None:
        return {}
    return {entry.path: entry for entry in trees.walk(git, commit_info(git, commit).tree) if not entry.is_dir}


def card(git: GitRepo, change: FileChange) -> tuple[list[tuple[str, str]], str]:
    """(sign, line) for the changed lines of a card with three lines around; and what was not compared."""
    before, after = _text(git, change.before).splitlines(), _text(git, change.after).splitlines()
    too_long = max(len(before), len(after)) > LINES_MAX
    note = f"Only the first {LINES_MAX:,} lines of each version were compared." if too_long else ""
    lines = list(difflib.unified_diff(before[:LINES_MAX], after[:LINES_MAX], lineterm="", n=3))[2:]
    return [("@", "…") if line.startswith("@@") else (line[:1], line[1:]) for line in lines], note


def _text(git: GitRepo, entry: Entry | None) -> str:
    return "" if entry is None or entry.lfs else git.read_blob(entry.oid).decode("utf-8", "replace")


def rows(store: Store, repo: Repo, changes: list[FileChange]) -> Iterator[RowChanges]:
    """What happened to the rows of the changed parquet and JSON-lines files, folder by folder."""
    folders: dict[str, tuple[list[Entry], list[Entry]]] = {}
    for change in changes:
        if change.path.endswith(viewer.SUFFIXES):
            sides = folders.setdefault(posixpath.dirname(change.path), ([], []))
            for side, entry in zip(sides, (change.before, change.after), strict=True):
                side.extend([entry] if entry else [])
    left = ROWS_MAX
    for folder, (old, new) in folders.items():
        try:
            total = sum(viewer.count(store, repo, entry) for entry in (*old, *new))
            if total > left:
                note = f"{total:,} rows in the changed files; a page compares {ROWS_MAX:,}. Load both versions instead."
                yield RowChanges(folder, {}, [], f"Not compared: {note}")
                continue
            left -= total
            yield _compared(store, repo, folder, old, new)
        except viewer.Unreadable as error:
            yield RowChanges(folder, {}, [], f"Not compared: {error}")


def _compared(store: Store, repo: Repo, folder: str, old: list[Entry], new: list[Entry]) -> RowChanges:
    before, after = _digests(store, repo, old), _digests(store, repo, new)
    states = {
        "added": [key for key in after if key not in before],
        "removed": [key for key in before if key not in after],
        "changed": [key for key, digest in after.items() if before.get(key, digest) != digest],
    }
    shown = {key: state for state, keys in states.items() for key in keys[:EXAMPLES]}
    was, now = _rows_of(store, repo, old, shown), _rows_of(store, repo, new, shown)
    examples = [(state, key, _cells(was.get(key), now.get(key))) for key, state in shown.items()]
    counts = {state: len(keys) for state, keys in states.items()}
    return RowChanges(folder, counts | {"unchanged": len(after) - counts["added"] - counts["changed"]}, examples)


def _digests(store: Store, repo: Repo, entries: list[Entry]) -> dict[str, bytes]:
    """Id → digest of the row.

    Raises:
        Unreadable: there are rows without an id, or with the same one.
    """
    found: dict[str, bytes] = {}
    for entry in entries:
        for _, row in viewer.rows(store, repo, entry):
            if row.get("id") is None:
                raise viewer.Unreadable(f"{entry.path} has rows without an `id`.")
            key = viewer.text_of(row["id"])
            if key in found:
                raise viewer.Unreadable(f"{entry.path} has the id {key[:80]!r} more than once.")
            text = viewer.text_of({column: row[column] for column in sorted(row)})
            found[key] = blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
    return found


def _rows_of(store: Store, repo: Repo, entries: list[Entry], wanted: dict[str, Any]) -> dict[str, viewer.Row]:
    if not wanted:
        return {}
    every = (row for entry in entries for _, row in viewer.rows(store, repo, entry))
    return {key: row for row in every if (key := viewer.text_of(row["id"])) in wanted}


def _cells(before: viewer.Row | None, after: viewer.Row | None) -> list[tuple[str, str | None, str | None]]:
    """(column, text before, text after) of the columns that differ; None where there was no row."""
    columns = list(dict.fromkeys([*(before or {}), *(after or {})]))
    sides = [[None if row is None else viewer.text_of(row.get(c)) for c in columns] for row in (before, after)]
    return [cell for cell in zip(columns, *sides, strict=True) if cell[1] != cell[2]]
