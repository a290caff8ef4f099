"""Thinking is told from the answer, however a family of models marks it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_speed.llm.thoughts import MARK, MOST_BROKEN, apart

GOOD = '{"input": "a", "positive_document": "b"}'
DRAFT = '{"input": "no", "positive_document": "no"}'
HM = f"Hm. {DRAFT}? No."

FAMILIES = {
    "Qwen": ("<think>", "</think>"),
    "upper case": ("<THINK>", "</THINK>"),
    "white space": ("< think >\n", "\n</ think >"),
    "Claude": ("<thinking>", "</thinking>"),
    "EXAONE": ("<thought>", "</thought>"),
    "reasoning": ("<reasoning>", "</reasoning>"),
    "Seed": ("<seed:think>", "</seed:think>"),
    "LongCat": ("<longcat_think>", "</longcat_think>"),
    "Mistral": ("[THINK]", "[/THINK]"),
    "Kimi": ("◁think▷", "◁/think▷"),
    "OpenThinker": ("<|begin_of_thought|>", "<|end_of_thought|>"),
    "Command": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "MedGemma": ("<unused94>thought\n", "<unused95>"),
    "Gemma": ("<|channel>thought\n", "<channel|>"),
    "harmony": ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    "harmony, JSON": (
        "<|start|>assistant<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>",
    ),
    "harmony, commentary": (
        "<|channel|>analysis<|message|>well<|end|><|start|>assistant<|channel|>commentary<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "harmony without tokens": ("analysis", "assistantfinal"),
}
family = pytest.mark.parametrize(("begin", "end"), FAMILIES.values(), ids=list(FAMILIES))


@family
@pytest.mark.parametrize("space", ["", "\n\n"])
def test_an_answer_behind_the_thinking(begin: str, end: str, space: str) -> None:
    thought, answer = apart(f"{space}{begin}{HM}{end}{space}{GOOD}")
    assert HM in thought
    assert answer.strip() == GOOD


@family
def test_the_template_wrote_the_first_mark(begin: str, end: str) -> None:
    assert apart(f"{HM}{end}{GOOD}")[1] == GOOD


@family
def test_thinking_that_never_ends_has_no_answer(begin: str, end: str) -> None:
    if begin == "analysis":  # is just a word then
        return
    thought, answer = apart(begin + HM)
    assert HM in thought
    assert answer == ""


@family
def test_marks_inside_an_answer_are_part_of_it(begin: str, end: str) -> None:
    answer = json.dumps({"input": f"{begin} and {end}", "positive_document": end}, ensure_ascii=False)
    assert apart(answer) == ("", answer)
    assert apart(f"Sure: {answer} Bye.") == ("", f"Sure: {answer} Bye.")
    assert apart(f"<think>{HM}</think>{answer}") == (HM, answer)


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("", "", ""),
        (GOOD, "", GOOD),
        (f"<think>a</think>\n<think>b</think>{GOOD}", "a\nb", f"\n{GOOD}"),
        (f"<think>a</think>OK <thinking>b</thinking>{GOOD}", "a\nb", f"OK {GOOD}"),
        (f"<think>a</think>{GOOD}<think>was that right?</think>", "a\nwas that right?", GOOD),
        (f"<think>a</think>{GOOD}<think>was that", "a\nwas that", GOOD),
        (f"<think>a <think>b</think> {DRAFT}</think>{GOOD}", f"a <think>b\n{DRAFT}", GOOD),
        (f"a</think>b</think>{GOOD}", "a\nb", GOOD),
        ("<think></think>" + GOOD, "", GOOD),
        (f"I <b>think</b> so [thinking]: {GOOD}", "", f"I <b>think</b> so [thinking]: {GOOD}"),
        ('{"a": "to be </think> repaired",', "", '{"a": "to be </think> repaired",'),
        ("{'a': '<think>'}", "", "{'a': '<think>'}"),
        ('{"a": 1}</think>{"b": "</think>"}', '{"a": 1}', '{"b": "</think>"}'),
    ],
)
def test_thinking_and_answer(text: str, thought: str, answer: str) -> None:
    assert apart(text) == (thought, answer)


PIECES = [
    GOOD,
    "<think>",
    "</think>",
    "[THINK]",
    "[/THINK]",
    "{",
    "}",
    '{"',
    '"',
    " ",
    "hm",
    "</reasoning>",
    "assistantfinal",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_nothing_is_made_up(text: str) -> None:
    thought, answer = apart(text)
    rest = iter(text)
    assert all(char in rest for char in answer)  # the answer is what is left when pieces are taken out
    assert thought in ("", thought.strip())
    if not MARK.search(text):
        assert (thought, answer) == ("", text)


@pytest.mark.parametrize("piece", ["< ", "<|channel|>analysis ", "<|start|>", "<|channel|>final "])
def test_white_space_takes_no_time(piece: str) -> None:
    text = "<think>" + piece + (piece * 100 + " " * 1_000) * 100
    assert apart(text)[1] == ""


def test_a_text_full_of_broken_objects_is_given_up() -> None:
    text = '{"' * 50_000 + "</think>"
    assert apart("hm " + text) == (("hm " + text).removesuffix("</think>"), "")
    assert MOST_BROKEN < 100
