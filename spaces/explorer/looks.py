"""How things look: every template escapes what it is given, so a model's or a visitor's text never becomes HTML."""

import difflib
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from hub_speed.rows import REASONS
from hub_speed.task_types import TASK_TYPES

HERE = Path(__file__).parent
CSS = "".join((HERE / name).read_text("utf-8") for name in ("style.css", "figures.css"))
SCRIPT = (HERE / "page.js").read_text("utf-8")
PARTS = ("query", "positive", "negative")
LEFT_OUT = ("id", "task_type", "order", "split", "document", "start", "end", "group")
"""Columns of a row that are not shown as texts."""
_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")


def changes(before: str | None, after: str | None) -> list[tuple[str, str]]:
    """Two texts as one, word by word: (went, came); both are the same where nothing changed."""
    old, new = _TOKEN.findall(before or ""), _TOKEN.findall(after or "")
    steps = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [("".join(old[a:b]), "".join(new[c:d])) for _, a, b, c, d in steps]


def alike(before: str | None, after: str | None) -> float:
    """The share of words that two texts have in common, in order; below half, a word diff cannot be read."""
    old, new = (re.findall(r"\w+", text or "") for text in (before, after))
    return difflib.SequenceMatcher(None, old, new, autojunk=False).ratio()


def draft_of(row: dict[str, Any]) -> dict[str, Any]:
    """The draft of a published row as its columns; the row itself where it cannot be read."""
    kind = TASK_TYPES[row["task_type"]]
    try:
        return dict(kind.columns(kind.answer.model_validate_json(row["draft"])))
    except ValueError:
        return row


_environment = Environment(loader=FileSystemLoader(HERE), autoescape=True)
_environment.filters |= {
    "changes_to": changes,
    "alike": alike,
    "draft": draft_of,
    "words": lambda name: name.replace("_", " "),
}
_environment.globals |= {"PARTS": PARTS, "REASONS": REASONS, "LEFT_OUT": LEFT_OUT}


def render(name: str, data: Any) -> str:
    """A part of a template as HTML: `data.rows` is the macro `rows` of data.html."""
    template, _, macro = name.partition(".")
    return str(getattr(_environment.get_template(f"{template}.html").module, macro)(data))
