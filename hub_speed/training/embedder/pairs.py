"""Pairs as people have them: cells of several shapes."""

from collections.abc import Iterable, Iterator
from typing import Any

from hub_speed.errors import StageError
from hub_speed.tables import Row

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
