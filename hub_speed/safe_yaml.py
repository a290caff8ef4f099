"""YAML from outside: cards, recipes, values of the command line. Read within bounds, so that no text can crash us.

The usual loaders recurse: 40,000 opening brackets end the process in libyaml's wrapper, and a few lines of nested
aliases stand for gigabytes. So the text is first read as a stream of events, which needs no recursion and no memory.
"""

import re
from dataclasses import dataclass
from typing import Any

import yaml

MAX_CHARS = 1 << 20  # Assumption: the longest front matter in use, with a thousand configs, has about 300,000
MAX_VALUES = 100_000  # Assumption: the same card has about 30,000 keys and values
MAX_DEPTH = 50  # Assumption: cards nest about six deep (the results of a model index)
# A longer number takes quadratic time to read (in base 60: `1:1:1…`), or collides with others as a key of a mapping.
# Assumption: nobody needs more digits; a 64-bit number has 19 or 20.
MAX_DIGITS = 20
_NUMBER = re.compile(r"[-+]?(0[bx][0-9a-fA-F_]+|[0-9][0-9_:]*)")
_FRONT_MATTER = re.compile(r"\ufeff?\s*---[ \t]*\r?\n(.*?)^---[ \t]*\r?(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is about ten times faster


def load(text: str) -> Any:
    """The value of a YAML text, as `yaml.safe_load` gives it; None when it is empty.

    Raises:
        yaml.YAMLError: The text is not YAML, too long, nested too deeply, or has directives or very long numbers. An
            alias counts as all that it repeats.
    """
    if len(text) > MAX_CHARS:
        raise yaml.YAMLError(f"{len(text):,} characters of YAML: expected at most {MAX_CHARS:,}")
    if text.startswith("%") or "\n%" in text:  # many of them take quadratic time
        raise yaml.YAMLError("a line starts with %: YAML directives are not read")
    try:
        _check(text)
        return yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError:
        raise
    except Exception as error:  # what PyYAML raises for `!!bool x`, the 99th of May and the like
        raise yaml.YAMLError(f"a value cannot be read ({type(error).__name__}: {error!s:.100})") from error


def front_matter(text: str) -> tuple[dict[Any, Any], str]:
    """(mapping between the `---` lines at the top, text below) of a card; without these lines `({}, text)`.

    Raises:
        yaml.YAMLError: As `load`, or it is not a mapping.
    """
    match = _FRONT_MATTER.match(text)
    data = load(match[1]) if match else {}
    if data is not None and not isinstance(data, dict):
        raise yaml.YAMLError(f"expected `key: value` lines, got a {type(data).__name__}")
    return data or {}, text[match.end() :] if match else text


@dataclass
class _Node:
    """A value of the text: how many values it holds with itself, and how deep they nest."""

    anchor: str | None
    values: int = 1
    depth: int = 0

    def add(self, inner: "_Node") -> None:
        self.values += inner.values
        self.depth = max(self.depth, inner.depth + 1)


def _check(text: str) -> None:
    """Refuse what only harms: too many values, deep nesting, numbers of more than 20 digits."""
    anchors: dict[str, _Node] = {}  # of values that are complete
    inside = [_Node(None)]
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.CollectionStartEvent):
            inside.append(_Node(event.anchor))
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise yaml.YAMLError(f"line {line}: *{event.anchor} repeats nothing, or itself")
            inside[-1].add(anchors[event.anchor])
        elif isinstance(event, yaml.CollectionEndEvent | yaml.ScalarEvent):
            node = inside.pop() if isinstance(event, yaml.CollectionEndEvent) else _Node(event.anchor)
            inside[-1].add(node)
            if node.anchor:
                anchors[node.anchor] = node
        if isinstance(event, yaml.ScalarEvent) and (not event.style or event.tag):
            _check_number(event.value, line)
        if len(inside) + inside[-1].depth - 2 > MAX_DEPTH:  # without the document and the innermost value
            raise yaml.YAMLError(f"line {line}: nested more than {MAX_DEPTH} deep")
        if inside[0].values + inside[-1].values > MAX_VALUES:
            raise yaml.YAMLError(f"line {line}: more than {MAX_VALUES:,} keys and values")


def _check_number(text: str, line: int) -> None:
    number = _NUMBER.match(text)
    if number and len(number[1]) > MAX_DIGITS and not text[number.end() :].strip(".0123456789_:eE+-"):
        raise yaml.YAMLError(f"line {line}: a number of more than {MAX_DIGITS} digits; put it in quotes")
