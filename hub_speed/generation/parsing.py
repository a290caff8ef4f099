"""From the text a model wrote to a validated answer, or to the reason why there is none.

Strict JSON first; then the first object inside the text; then json-repair, which is noted. A truncated answer is never
repaired: its end is missing, and a closing brace would hide that. A repair may mend what stands around the texts, not
the texts: each must be in the answer as it is, between quotes. Nothing is ever evaluated.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from json_repair import repair_json
from pydantic import ValidationError

from hub_speed.llm.dialects import BROKEN_OFF, CUT_OFF, DECLINED
from hub_speed.task_types import Answer

A = TypeVar("A", bound=Answer)

MAX_ANSWER_CHARS = 200_000
"""Longer answers are not looked into. Assumption: two documents of 500 words are about 7,000 characters."""


@dataclass(frozen=True)
class Rejected:
    """Why an answer is not used: a name of `rows.REASONS`, and what exactly was seen."""

    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Parsed(Generic[A]):
    """A validated answer, and whether its JSON had to be repaired."""

    answer: A
    repaired: bool


def parse(text: str, model: type[A], finish_reason: str = "stop") -> "Parsed[A] | Rejected":
    """Read `text` as one `model` answer."""
    if finish_reason == CUT_OFF:
        return Rejected("truncated", f"stopped after {len(text)} characters")
    if finish_reason == DECLINED:
        return Rejected("refused", text[:200])
    if finish_reason == BROKEN_OFF:
        return Rejected("endpoint_error", f"the server broke off after {len(text)} characters")
    if not text.strip():
        return Rejected("empty_answer")
    if len(text) > MAX_ANSWER_CHARS:
        return Rejected("too_long", f"{len(text)} characters")
    value, repaired = load_object(text)
    if value is None:
        return Rejected("bad_json", text[:80])
    try:
        orjson.dumps(value)
    except TypeError as error:  # half a character, say: JSON can name it with an escape, but no file can hold it
        return Rejected("wrong_type", str(error))
    try:
        return Parsed(model.model_validate(value), repaired)
    except ValidationError as error:
        return _reason(error)


def load_object(text: str) -> tuple[dict[str, Any] | None, bool]:
    """The first JSON object of `text` (bare, fenced, or with words around it), and whether it had to be repaired."""
    start = text.find("{")
    if start < 0:
        return None, False
    decoder = json.JSONDecoder(strict=False)  # models write raw line breaks inside strings
    try:
        value, _ = decoder.raw_decode(text, start)
        return (value, False) if isinstance(value, dict) else (None, False)
    except json.JSONDecodeError as error:
        # The decoder has read to the end and wants more: cut off, whatever the server said about why it stopped.
        if error.msg.startswith("Unterminated string") or error.pos >= len(text.rstrip()) or "}" not in text[start:]:
            return None, False
    except (ValueError, RecursionError):
        return None, False  # a number of thousands of digits, or braces in braces in braces
    try:
        value = repair_json(text[start:], return_objects=True)
    except Exception:  # it trips over some texts in ways of its own (assertions, indexes): those cannot be repaired
        return None, False
    if not isinstance(value, dict) or not value or not all(_stands_in(text, leaf) for leaf in _texts(value)):
        return None, False
    return value, True


_QUOTE = "[\"'`“”„‘’«»]"


def _stands_in(text: str, leaf: str) -> bool:
    """Whether `leaf` is one of the quoted pieces of `text`, with or without its escapes."""
    forms = (leaf, json.dumps(leaf)[1:-1], json.dumps(leaf, ensure_ascii=False)[1:-1])
    return any(re.search(rf"{_QUOTE}\s*{re.escape(form)}\s*{_QUOTE}", text) for form in forms)


def _texts(value: Any) -> Iterator[str]:
    """Every text among the values of an object."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


def _reason(error: ValidationError) -> Rejected:
    """The first thing pydantic complains about, as a reason: missing or extra keys before bad values."""
    problems = error.errors(include_url=False, include_input=False)
    by_kind = {p["type"]: ".".join(map(str, p["loc"])) for p in reversed(problems)}
    for kind in ("missing", "extra_forbidden"):
        if kind in by_kind:
            return Rejected("wrong_keys", f"{kind}: {by_kind[kind]}")
    if "string_too_short" in by_kind or "too_short" in by_kind:
        return Rejected("empty_field", by_kind.get("string_too_short", by_kind.get("too_short", "")))
    return Rejected("wrong_type", f"{problems[0]['type']}: {'.'.join(map(str, problems[0]['loc']))}")
