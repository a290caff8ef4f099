"""Test texts that stand in training rows, whatever their case and white space (E5 App. B)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

TEXTS = ("query", "positive", "negative")
"""The columns of a training row that are compared."""


@dataclass(frozen=True)
class Match:
    """A test text, and the id and column of a row that holds it."""

    text: str
    row: str
    column: str


def bare(text: str) -> str:
    """A text without case and white space: two texts match where these are equal."""
    return "".join(text.casefold().split())


def matches(tests: Iterable[str], rows: Iterable[Row], columns: Iterable[str] = TEXTS) -> Iterator[Match]:
    """Every place of the rows where one of the test texts stands, in the order of the rows.

    Args:
        tests: texts; all of them are in memory. One that is empty matches nothing.
        rows: training rows, read once.
        columns: what is compared.
    """
    known = {key: text for text in tests if (key := bare(text))}
    columns = tuple(columns)
    for number, row in enumerate(rows):
        for column in columns:
            value = row.get(column)
            if isinstance(value, str) and (text := known.get(bare(value))) is not None:
                yield Match(text, str(row.get("id", f"row {number}")), column)
