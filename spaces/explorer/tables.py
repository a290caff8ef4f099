"""A published set as one long list of rows, read from parquet row groups over the network, page by page.

Footers and the row groups of a page are all that is fetched: a set of millions of rows takes as little memory here as
a small one. Only looking for a text reads more, and stops after MAX_SEARCHED rows.
"""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hub_speed.hub import Hub, Ref

MAX_SEARCHED = 200_000
"""Rows that are searched for a text. Assumption: some seconds, and some 100 MB from the Hub."""
GROUPS_KEPT = 12
"""Row groups in memory, of about 3 MB each. Assumption: a page of mixed task types takes six."""
SEARCHED = (
    *("id", "instruction", "task", "query", "answer", "positive", "negative", "draft", "title", "text"),
    *("detail", "prompt", "completion", "chosen"),
)
"""The columns in which a text is looked for, where there are such columns; and the raw answers of a ledger."""


@dataclass(frozen=True)
class Filter:
    """Which rows are wanted; what is empty (or None) does not matter.

    Attributes:
        revised: whether the revisor changed the row.
        text: words that one column of the row holds, in any case.
    """

    task_type: str = ""
    language: str = ""
    state: str = ""
    reason: str = ""
    revised: bool | None = None
    text: str = ""


@dataclass(frozen=True)
class Group:
    """A row group: its file, its number in there, the number of its first row in the table, and how many it has."""

    file: str
    index: int
    start: int
    rows: int


@dataclass(frozen=True)
class Found:
    """The rows that a filter lets pass: their numbers in the table, in the order in which they are shown.

    Attributes:
        reasons: how many there are for each reason, where the table has reasons.
        searched: how many rows were looked at; fewer than all where there were too many to look for a text.
    """

    numbers: np.ndarray
    reasons: dict[str, int]
    searched: int


class Table:
    """The files of one part of a version: `data` holds its rows, `ledger` what became of every request."""

    def __init__(self, hub: Hub, ref: Ref, part: str) -> None:
        self._hub, self._ref = hub, ref
        names = [name for name in hub.files(ref) if name.startswith(f"{part}/") and name.endswith(".parquet")]
        self._footers = {name: self._footer(name) for name in names}
        self._groups: list[Group] = []
        for name, footer in self._footers.items():
            for index in range(footer.num_row_groups):
                self._groups.append(Group(name, index, self.total, footer.row_group(index).num_rows))
        self.columns = list(self._footers[names[0]].schema.to_arrow_schema().names) if names else []
        self._read = lru_cache(GROUPS_KEPT)(self._read_group)
        self.find = lru_cache(8)(self._find)

    @property
    def total(self) -> int:
        """The number of rows of all files."""
        return self._groups[-1].start + self._groups[-1].rows if self._groups else 0

    def rows(self, numbers: np.ndarray, columns: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """The rows with these numbers, in this order; with these columns alone, where they are given."""
        starts = [group.start for group in self._groups]
        places = np.searchsorted(starts, numbers, side="right") - 1
        found: dict[int, dict[str, Any]] = {}
        for place in np.unique(places):
            group, mine = self._groups[place], numbers[places == place]
            taken = self._read(group, columns or tuple(self.columns)).take(mine - group.start).to_pylist()
            found |= dict(zip(mine.tolist(), taken, strict=True))
        return [found[number] for number in numbers.tolist()]

    def row(self, name: str) -> dict[str, Any] | None:
        """The row with an id, or None; row groups whose footer says that they cannot hold it are not read."""
        for group in self._groups if "id" in self.columns else ():
            footer = self._footers[group.file].row_group(group.index).column(self.columns.index("id"))
            span = footer.statistics
            if span is not None and span.has_min_max and not span.min <= name <= span.max:
                continue
            at = pc.index(self._read(group, ("id",))["id"], name).as_py()
            if at >= 0:
                return self.rows(np.array([group.start + at]))[0]
        return None

    def sample(self, size: int) -> np.ndarray:
        """Numbers of rows spread evenly over the first row group of each folder, as many of each as it has rows."""
        first = {group.file.rpartition("/")[0]: group for group in reversed(self._groups)}
        shares = self._shares()
        parts = []
        for folder, group in sorted(first.items()):
            count = min(group.rows, max(1, round(size * shares[folder] / max(1, self.total))))
            parts.append(group.start + np.linspace(0, group.rows - 1, count).astype(int))
        return np.concatenate(parts) if parts else np.array([], int)

    def _shares(self) -> Counter[str]:
        """Rows of each folder."""
        shares: Counter[str] = Counter()
        for group in self._groups:
            shares[group.file.rpartition("/")[0]] += group.rows
        return shares

    def _order(self) -> np.ndarray:
        """The numbers of all rows, folders mixed evenly: a page then shows task types as often as the set has them."""
        shares, seen, places = self._shares(), Counter[str](), []
        for group in self._groups:
            folder = group.file.rpartition("/")[0]
            places.append((np.arange(seen[folder], seen[folder] + group.rows) + 0.5) / shares[folder])
            seen[folder] += group.rows
        return np.argsort(np.concatenate(places), kind="stable") if places else np.array([], int)

    def _find(self, wanted: Filter) -> Found:
        """The rows that are wanted, and how they were found."""
        keep, reasons, searched = np.zeros(self.total, bool), Counter[str](), 0
        for group in self._groups:
            if wanted.text and searched >= MAX_SEARCHED:
                break
            mask = self._mask(group, wanted)
            keep[group.start : group.start + group.rows] = mask
            searched += group.rows
            if "reason" in self.columns and wanted.state:
                told = self._read(group, ("reason",))["reason"].filter(pa.array(mask))
                reasons.update(reason for reason in told.to_pylist() if reason)
        order = self._order()
        return Found(order[keep[order]], dict(reasons.most_common()), searched)

    def _mask(self, group: Group, wanted: Filter) -> np.ndarray:
        """Which rows of a group are wanted; of columns, only those are read that can tell."""
        mask = np.ones(group.rows, bool)
        in_folder = group.file.split("/")[1] == wanted.task_type
        for name in ("task_type", "language", "state", "reason", "revised"):
            value = getattr(wanted, name)
            if value in ("", None) or name not in self.columns or (name == "task_type" and in_folder):
                continue
            mask &= pc.equal(self._read(group, (name,))[name], value).to_numpy()
            if not mask.any():
                return mask
        if wanted.text:
            searched = tuple(name for name in (*SEARCHED, "completions") if name in self.columns)
            mask &= _holds(self._read(group, searched), wanted.text)
        return mask

    def _footer(self, name: str) -> pq.FileMetaData:
        with self._hub.open(self._ref, name) as file:
            return pq.ParquetFile(file).metadata

    def _read_group(self, group: Group, columns: tuple[str, ...]) -> pa.Table:
        with self._hub.open(self._ref, group.file) as file:
            opened = pq.ParquetFile(file, metadata=self._footers[group.file])
            return opened.read_row_group(group.index, list(columns))


def _holds(table: pa.Table, text: str) -> np.ndarray:
    """For each row, whether any of its columns holds a text, in any case."""
    mask = np.zeros(table.num_rows, bool)
    for column in table.columns:
        if pa.types.is_list(column.type):
            column = pc.binary_join(column, " ")
        mask |= pc.fill_null(pc.match_substring(column, text, ignore_case=True), False).to_numpy()
    return mask
