r"""Single backslashes are restored where they are proved, and stay what JSON says elsewhere."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_speed.generation.escapes import restored
from hub_speed.generation.parsing import Parsed, parse
from hub_speed.generation.prompts import Revision
from hub_speed.task_types import TASK_TYPES

PAIR = TASK_TYPES["short_matching"].answer


def read(raw: str) -> tuple[str, bool]:
    """A value as it is read from JSON in which it stands as it is, and whether that was a repair."""
    found = parse(f'{{"input": "{raw}", "positive_document": "d"}}', PAIR)
    assert isinstance(found, Parsed), found
    return found.answer.input, found.repaired


@pytest.mark.parametrize(
    "text",
    [
        r"\frac{a}{b}",
        r"$\frac{\beta}{2}$",
        r"\alpha and \beta",
        r"\theta",
        r"the \nabla operator",
        r"\rho \times \tau",
        r"\text{if } x \neq y",
        r"\left( x \right)",
        r"\(x\) or \[y\]",
        r"\frac{x}{\nu} \ne \tan x",  # the last two are proved by the first
        r"\upsilon \underline{x}",
        r"$\tau$ and \nu_1",
        r"C:\temp\new",
        r"in C:\Users\name\notes.txt",
        r"D:\thesis\results\final",
        r"\bword",
        r"100\% of \$5",
        r"\tan x",
        r"the value of \tan x + \tan(y)",
        r"\nu is the frequency",
        r"$x \to y$",
        r"as $n \to 0$ and $a \ne b$",
        r"x \ne 0",
        r"f: A \to B",
        r"2\tan(x)",
        r"\tag{1}",
        r"D:\new folder",
        r"in E:\notes",
        r"snake\_case and (a)\1",
    ],
)
def test_a_lost_backslash_is_restored_and_noted(text: str) -> None:
    assert read(text) == (text, True)
    assert read(text.replace("\\", "\\\\")) == (text, False)  # as JSON wants it


@pytest.mark.parametrize(
    "text",
    [
        "one\ntwo\n\nthree",
        "name\tvalue",
        "Group A:\nAnna\nBen",
        "A:\tApples\nB:\tBananas",
        "a:\tapples\tand\nb:\tbananas",
        "en\tau\tfrac",
        "\neither\nor\nnot\ntan",
        "a\r\nb",
        "Q:\r\nwhere is it?\r\nA:\r\nhere\r\nnot there",
        "Option A:\r\nnew",
        'she said "no"',
        "é and 😀",
        "A:été B:你好",
        "item\tan apple\n1\to",
        "x\to\no\tx",
        "rosso \ne verde",
        "for $5\nan hour, $7\nu",
        "a \tan b \tbe",
        "i = 0 \nu = 1",
        "Drive D:\nnew discs",
        "a_\nu8 = b_\ni8",
    ],
)
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_what_json_means_stays(text: str, ensure_ascii: bool) -> None:
    assert read(json.dumps(text, ensure_ascii=ensure_ascii)[1:-1]) == (text.strip(), False)


def test_line_breaks_and_paths_beside_damage() -> None:
    assert read(r"Let \alpha be small.\nThen \beta is, too.") == ("Let \\alpha be small.\nThen \\beta is, too.", True)
    assert read(r"Folders:\nC:\temp\new\nD:\Users") == ("Folders:\nC:\\temp\\new\nD:\\Users", True)
    assert read(r"it\'s") == ("it's", True)


def test_a_repair_outside_of_the_answer_is_none_of_it() -> None:
    found = parse(r'By \frac{a}{b} and \alpha: {"input": "a\nb", "positive_document": "d"}', PAIR)
    assert isinstance(found, Parsed)
    assert (found.answer.input, found.repaired) == ("a\nb", False)


@given(st.text(alphabet=st.sampled_from(list('abfnrtu \\"\n\t{}:C$x0é'))))
def test_what_json_wrote_is_left_alone(text: str) -> None:
    raw = json.dumps(text)
    assert json.loads(restored(raw)) == text or restored(raw) != raw
    assert restored(restored(raw)) == restored(raw)


@given(st.text().filter(lambda text: not set(text) & set("\b\f\r\t\n")), st.booleans())
def test_escaped_texts_without_control_characters_never_change(text: str, ensure_ascii: bool) -> None:
    raw = json.dumps(text, ensure_ascii=ensure_ascii)
    assert restored(raw) is raw


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"caf\u00e9 in the r\u00e9gion", "café in the région"),
        (r"it\u2019s here \u2014 and now", "it’s here — and now"),
        (r"\u4f60\u597d", "你好"),
        (r"so \ud83d\ude00 it is", "so 😀 it is"),
        (r"One.\n\nTwo.\n\nThree", "One.\n\nTwo.\n\nThree"),
        (r"First line.\nSecond line.\r\nThird", "First line.\nSecond line.\nThird"),
        (r"He said \"no\".\nShe left.\nAll was well.", 'He said "no".\nShe left.\nAll was well.'),
        (r"List:\n- a\n- b\n\nThat is all", "List:\n- a\n- b\n\nThat is all"),
    ],
)
def test_what_was_escaped_twice_is_read_once(written: str, meant: str) -> None:
    answer = {"input": written, "positive_document": "d"}
    found = parse(json.dumps(answer, ensure_ascii=False), PAIR)
    assert isinstance(found, Parsed) and (found.answer.input, found.repaired) == (meant, True)


@pytest.mark.parametrize(
    "text",
    [
        r"write \u00e9 for an e with an accent",
        r"JSON has caf\u00e9 for it",
        r"a newline is \n",
        r"the string One.\nTwo.\nThree has three lines",
        r"$x \neq y$, $\nabla f$, $\nu.$",
        r"C:\new\notes and D:\users\u1234",
        "Two real lines.\nOne. \\nTwo.\\nThree",
        r"printf(\"Done.\n\");",
        r"\u0041bc and x\u0000y",
    ],
)
def test_escapes_that_a_text_means_stay(text: str) -> None:
    answer = {"input": text, "positive_document": "d"}
    found = parse(json.dumps(answer, ensure_ascii=False), PAIR)
    assert isinstance(found, Parsed) and (found.answer.input, found.repaired) == (text, False)


def test_a_revision_that_is_json_keeps_its_escapes() -> None:
    data = {"S1": "One.\nTwo.\nThree.", "S2": "b"}
    found = parse(json.dumps({"reason": "r", "revision": json.dumps(data)}), Revision)
    assert isinstance(found, Parsed) and json.loads(found.answer.revision) == data
