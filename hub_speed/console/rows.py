"""Prints rows, or lines of a ledger."""

from collections.abc import Iterable
from typing import Any

from rich.markup import escape

from hub_speed.console.terminal import console, print_json, table


def print_rows(rows: Iterable[dict[str, Any]], *, limit: int, as_json: bool) -> None:
    """Rows one below the other, without their empty columns; or each as a line of JSON.

    Where `limit`, how many were asked for, is 0, that there are none says nothing of the set.
    """
    if as_json:
        for row in rows:  # printed as they are read: there may be millions
            print_json(row)
        return
    shown = 0
    for row in rows:
        shown += 1
        lines = table("", "")
        lines.show_header = False
        lines.columns[1].no_wrap, lines.columns[1].overflow = False, "fold"
        for name, value in row.items():
            if value not in ("", None, []):
                text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
                lines.add_row(f"[bold]{name}[/bold]", escape(text))
        console.print(lines)
        console.print()
    console.print(f"{shown} {'row' if shown == 1 else 'rows'} shown" if shown or not limit else "no such rows")
