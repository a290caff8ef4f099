"""The console everything is printed on, the look of its tables, and JSON."""

import json
import sys
from typing import Any

from rich.console import Console, OverflowMethod
from rich.table import Table

NARROW = 80  # columns; in fewer a table keeps one line a row and cuts texts off

_terminal = Console(highlight=False)
console = _terminal if _terminal.is_terminal else Console(highlight=False, width=160)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table; `right` are the columns with numbers. Texts go on in the next line where there is room for it."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        number = column in right
        no_wrap = number or console.width < NARROW
        overflow: OverflowMethod = "ellipsis" if no_wrap else "fold"
        made.add_column(column, justify="right" if number else "left", no_wrap=no_wrap, overflow=overflow)
    return made


def plain(text: str) -> str:
    """Other people's text without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def print_json(value: Any, indent: int | None = None) -> None:
    """Write a value as JSON and a line break; in ASCII where the output cannot take every character."""
    ascii_only = (sys.stdout.encoding or "utf-8").lower().replace("-", "") != "utf8"
    sys.stdout.write(json.dumps(value, indent=indent, ensure_ascii=ascii_only) + "\n")
    sys.stdout.flush()
