"""YAML from outside: as `yaml.safe_load` reads it, or refused; never a crash, and never slow."""

import datetime
import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hub_speed import safe_yaml

BOMB = "a0: &a0 x\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))
LADDER = "a0: &a0 x\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 2000))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_what_yaml_writes_is_read_as_yaml_reads_it(value: object) -> None:
    text = yaml.safe_dump({"once": value, "twice": value, "list": [value]})  # lists and mappings become aliases
    assert safe_yaml.load(text) == yaml.safe_load(text)


def test_ordinary_texts() -> None:
    assert safe_yaml.load("") is None
    text = "a: [1, 2.5, 2020-01-02]\nid: 12345678901234567890\nhash: 30f9aa30f9aa30f9aa30f9aa\n"
    assert safe_yaml.load(text + "&b c: 123456789012345678901 x") == {
        "a": [1, 2.5, datetime.date(2020, 1, 2)],
        "id": 12345678901234567890,
        "hash": "30f9aa30f9aa30f9aa30f9aa",
        "c": "123456789012345678901 x",
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 40_000, "line 1: nested more than 50"),
        ("{a: " * 40_000, "nested"),
        ("- " * 40_000, "nested"),
        ("? " * 40_000, "nested"),
        ("\n".join(" " * depth + "a:" for depth in range(1000)), "line 51: nested"),
        (BOMB, "line 16: more than 100,000 keys and values"),
        (LADDER, "nested"),
        ("&a [*a]", "itself"),
        ("a: &a {b: 1, c: {d: *a}}", "itself"),
        ("*a", "nothing"),
        ("a: 1" + ":1" * 300_000, "more than 20 digits"),
        ("a: 0x" + "f" * 300_000, "digits"),
        ("a: -" + "9" * 5_000, "digits"),
        ('!!int "1' + ":1" * 300_000 + '"', "digits"),
        ("x" * (1 << 20) + "x", "characters"),
        ("[" + "a," * 200_000 + "]", "keys and values"),
        ("\n".join(f"%TAG !e{i}! tag:x{i}" for i in range(30_000)) + "\n--- a", "directives"),
        ("!!bool x", "cannot be read"),
        ("!!timestamp x", "cannot be read"),
        ("2001-99-99", "cannot be read"),
        ("!!int ''", "cannot be read"),
        ("a: '\ud800'", "cannot be read"),
        ("!!python/object/apply:os.system [x]", "constructor"),
        ("a: [", "expected"),
    ],
)
def test_what_only_harms_is_refused(text: str, why: str) -> None:
    with pytest.raises(yaml.YAMLError, match=why):
        safe_yaml.load(text)


def test_fifty_levels_are_read_and_more_are_not() -> None:
    assert safe_yaml.load("[" * 50 + "x" + "]" * 50)
    ladder = "a: &a " + "[" * 30 + "x" + "]" * 30 + "\nb: "
    assert safe_yaml.load(ladder + "[" * 18 + "*a" + "]" * 18)
    for text in ("[" * 51 + "x" + "]" * 51, ladder + "[" * 20 + "*a" + "]" * 20):
        with pytest.raises(yaml.YAMLError, match="nested more than 50 deep"):
            safe_yaml.load(text)


def test_front_matter() -> None:
    assert safe_yaml.front_matter("---\na: &x [1]\nb: *x\n---\ntext") == ({"a": [1], "b": [1]}, "text")
    assert safe_yaml.front_matter("\ufeff---\r\na: 1\r\n---\r\ntext") == ({"a": 1}, "text")
    assert safe_yaml.front_matter("---\n---\n") == ({}, "")
    assert safe_yaml.front_matter("text\n---\na: 1\n---\n") == ({}, "text\n---\na: 1\n---\n")
    with pytest.raises(yaml.YAMLError, match="expected `key: value` lines, got a list"):
        safe_yaml.front_matter("---\n- a\n---\n")


@given(st.text("[]{}:,-?&*!|>'\"%@#\n \t0aé\0<=.~", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        safe_yaml.load(text)
    except yaml.YAMLError:
        pass


def test_the_usual_loader_dies_of_what_is_refused_here() -> None:
    """The reason for this module: the same text ends a process that reads it with PyYAML's own C loader."""
    code = "import yaml; yaml.load('[' * 400_000, Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode != 0
