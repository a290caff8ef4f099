"""YAML from outside: cards, recipes, values of the command line. Read within bounds, so that no text can crash us.

The usual loaders recurse: 40,000 opening brackets end the process in libyaml's wrapper, and a few lines of nested
aliases fill the memory. So the text is first read as a stream of events, which needs no recursion and no memory.
"""

import re
from typing import Any

import yaml

MAX_CHARS = 1 << 20  # Assumption: the longest front matter in use, with a thousand configs, has about 300,000
MAX_VALUES = 100_000  # Assumption: the same card has about 30,000 keys and values
MAX_DEPTH = 50  # Assumption: cards nest about six deep (the results of a model index)
# A longer number takes quadratic time to read (in base 60: `1:1:1…`), or collides with others as a key of a mapping.
MAX_DIGITS = 20
_NUMBER = re.compile(r"[-+]?(0[bx][0-9a-fA-F_]+|[0-9][0-9_:]*)")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is about ten times faster


def load(text: str) -> Any:
    """The value of a YAML text, as `yaml.safe_load` gives it; None when it is empty.

    Raises:
        yaml.YAMLError: The text is not YAML, too long, nested too deeply, or has aliases, directives or very long
            numbers.
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


def _check(text: str) -> None:
    """Refuse what only harms: deep nesting, aliases, numbers of more than 20 digits, too many values."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if count > MAX_VALUES:
            raise yaml.YAMLError(f"line {line}: more than {MAX_VALUES:,} keys and values")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise yaml.YAMLError(f"line {line}: nested more than {MAX_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"line {line}: *{event.anchor} is an alias; write the value itself")
        elif isinstance(event, yaml.ScalarEvent) and (not event.style or event.tag):
            number = _NUMBER.match(event.value)
            if number and len(number[1]) > MAX_DIGITS and not event.value[number.end() :].strip(".0123456789_:eE+-"):
                raise yaml.YAMLError(f"line {line}: a number of more than {MAX_DIGITS} digits; put it in quotes")
