"""YAML from outside: as `yaml.safe_load` reads it, or refused; never a crash, and never slow."""

import datetime
import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hub_speed import safe_yaml

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


class NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


@given(VALUES)
def test_what_yaml_writes_is_read_as_yaml_reads_it(value: object) -> None:
    text = yaml.dump(value, Dumper=NoAliases)
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
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "line 2: .*alias"),
        ("&a [*a]", "alias"),
        ("a: &a {b: 1}\nc: {<<: *a}", "alias"),
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
