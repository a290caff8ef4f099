"""From a model's text to an answer or a reason: nothing raises, nothing cut off is accepted, a repair is noted."""

import json
import sys
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from hub_speed.generation.parsing import MAX_ANSWER_CHARS, Parsed, Rejected, parse
from hub_speed.generation.prompts import Revision, Tasks, Verdict
from hub_speed.rows import REASONS
from hub_speed.task_types import TASK_TYPES

PAIR = TASK_TYPES["short_matching"].answer
GOOD = {"input": "a } b", "positive_document": 'say "x",\n{y}'}
GOOD_TEXT = json.dumps(GOOD, ensure_ascii=False)
MODELS = {"pair": PAIR, "tasks": Tasks, "verdict": Verdict, "revision": Revision}


def accepted(text: str, **kwargs: str) -> tuple[dict[str, Any], bool]:
    found = parse(text, PAIR, **kwargs)
    assert isinstance(found, Parsed), found
    return found.answer.model_dump(), found.repaired


def rejected(text: str, model: Any = PAIR, **kwargs: str) -> tuple[str, str]:
    found = parse(text, model, **kwargs)
    assert isinstance(found, Rejected), found
    return found.reason, found.detail


def test_an_answer_that_did_not_end_by_itself_is_rejected_for_why() -> None:
    assert rejected(GOOD_TEXT, finish_reason="length")[0] == "truncated"
    assert rejected("I'm sorry.", finish_reason="refused") == ("refused", "I'm sorry.")
    assert rejected(GOOD_TEXT, finish_reason="error")[0] == "endpoint_error"


@pytest.mark.parametrize(
    "text",
    [
        GOOD_TEXT,
        f"\n\n  {GOOD_TEXT}\n",
        f"```json\n{GOOD_TEXT}\n```",
        f"```\n{GOOD_TEXT}\n```\nI hope this }} helps!",
        f"Here is your example: {GOOD_TEXT} It has 'two' \"strings\".",
        f"[{GOOD_TEXT}]",
        GOOD_TEXT + "}",
        GOOD_TEXT.replace("a", "z") + GOOD_TEXT,
        json.dumps(GOOD, indent=2),
        json.dumps(GOOD, ensure_ascii=True),
    ],
    ids=["bare", "space", "fenced", "fenced with words", "words", "list", "brace more", "two", "indented", "escaped"],
)
def test_an_object_is_found_wherever_it_stands(text: str) -> None:
    assert accepted(text) == (GOOD, False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"input": "a\nb\tc", "positive_document": "d"}', "a\nb\tc"),  # raw line breaks inside a string
        ('{"input": "a", "input": "b", "positive_document": "d"}', "b"),  # the last of two wins
        ('{"input": "  a  ", "positive_document": "d"}', "a"),
        ('{"input": "\\u00e9\\ud83d\\ude00", "positive_document": "d"}', "é😀"),
    ],
)
def test_what_json_allows_is_no_repair(text: str, found: str) -> None:
    assert accepted(text) == ({"input": found, "positive_document": "d"}, False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{'input': 'a', 'positive_document': 'd'}", "a"),
        ('{"input": "a", "positive_document": "d",}', "a"),
        ('{"input": "a" "positive_document": "d"}', "a"),
        ('{input: "a", positive_document: "d"}', "a"),
        ('{"input": "she said "hi" to me", "positive_document": "d"}', 'she said "hi" to me'),
        ('{"input": "a 5" board", "positive_document": "d"}', 'a 5" board'),
        ('{"input": "a" "positive_document": "d"} I hope this "helps"!', "a"),
        ('```json\n{"input": "a", "positive_document": "d",}\n```', "a"),
    ],
)
def test_small_slips_are_repaired_and_noted(text: str, found: str) -> None:
    assert accepted(text) == ({"input": found, "positive_document": "d"}, True)


SAYS_NOTHING = [
    "\u200b",
    "\u2060",
    "\xad",
    "\u3164",
    "\u2800",
    "\ufe0f",
    "\u0301",
    "!!!",
    "?",
    "...",
    "- —",
    "。",
    "«»",
]


@pytest.mark.parametrize("value", ["a", "7", "好", "é", "ก็", "①", "😀", "❤️", "+", "€", "½", "C#", "a\u200b", "?!x"])
def test_a_letter_a_digit_or_a_symbol_is_enough(value: str) -> None:
    assert accepted(json.dumps(GOOD | {"input": value})) == (GOOD | {"input": value}, False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty_answer"),
        (" \n\t", "empty_answer"),
        ("I am sorry, I cannot do that.", "bad_json"),
        ("42", "bad_json"),
        ("null", "bad_json"),
        ('"text"', "bad_json"),
        ("[1, 2]", "bad_json"),
        ("}{", "bad_json"),
        ("{", "bad_json"),
        ('{"input": "a", "positive_document": "d"', "bad_json"),
        ('{"input": "a", "positive_document": "d', "bad_json"),
        ('{"input": "a",', "bad_json"),
        ('{"input": "what does } mean", "positive_document": "d', "bad_json"),
        ('{"input": "a", "positive_document": "what does } mean', "bad_json"),
        ('{"input": "a", "positive_document": "d}', "bad_json"),
        ("{'input': 'a', 'positive_document': 'd", "bad_json"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "bad_json"),
        ("{" * 3000 + "}" * 3000, "wrong_keys"),
        ('{"input": ' + "1" * 5000 + ', "positive_document": "d"}', "bad_json"),
        ("x" * (MAX_ANSWER_CHARS + 1), "too_long"),
        ("{}", "wrong_keys"),
        ('{"input": "a"}', "wrong_keys"),
        ('{"input": "a", "positive_document": "d", "note": "x"}', "wrong_keys"),
        ('{"Input": "a", "positive_document": "d"}', "wrong_keys"),
        ('{"input": 5, "note": "x"}', "wrong_keys"),  # keys are looked at before values
        ('{"input": "", "positive_document": "d"}', "empty_field"),
        ('{"input": " \\n ", "positive_document": "d"}', "empty_field"),
        *((f'{{"input": "{value}", "positive_document": "d"}}', "empty_field") for value in SAYS_NOTHING),
        ('{"input": 5, "positive_document": "d"}', "wrong_type"),
        ('{"input": null, "positive_document": "d"}', "wrong_type"),
        ('{"input": ["a"], "positive_document": "d"}', "wrong_type"),
        ('{"input": {"a": "b"}, "positive_document": "d"}', "wrong_type"),
        ('{"input": NaN, "positive_document": "d"}', "wrong_type"),
        ('{"input": "\\ud800", "positive_document": "d"}', "broken_text"),  # half a character: no file could hold it
        ('{"input": ' + "[" * 900 + "]" * 900 + ', "positive_document": "d"}', "wrong_type"),
        ('{"input": "a", "positive_document": "d", "\\ud800": "x"}', "wrong_type"),
    ],
)
def test_what_is_no_answer_has_a_reason(text: str, reason: str) -> None:
    found, detail = rejected(text)
    assert found == reason
    assert len(detail) < 200
    detail.encode()  # can be written to the ledger


DRAFT_TEXT = GOOD_TEXT.replace("a", "draft")


@pytest.mark.parametrize(
    "text",
    [
        f"Let me think. {DRAFT_TEXT}? No. {GOOD_TEXT}",
        f"{DRAFT_TEXT}\nBetter:\n```json\n{GOOD_TEXT}\n```",
        f"The set {{1, 2}} is finite.\n```json\n{GOOD_TEXT}\n```",
        f"For {{task}} I write {GOOD_TEXT}",
        f"{{}} {GOOD_TEXT}",
        f'{{"plan": "x"}} {GOOD_TEXT} {{"a": 1}}',
        f'A pair {{"input": "draft"}} needs both keys: {GOOD_TEXT}',
        f"{GOOD_TEXT} Its {{task}} is {{}}.",
        f"A draft {{'input': 'x' and {{\"input\": broken. Now: {GOOD_TEXT}",
        f"{{{{{GOOD_TEXT[1:]}}}",  # {{ as in a template
        r"\\frac{a}{b} " * 100 + GOOD_TEXT,
    ],
)
def test_the_last_object_with_the_keys_is_the_answer(text: str) -> None:
    assert accepted(text) == (GOOD, False)


@pytest.mark.parametrize(
    "text",
    [
        f'{DRAFT_TEXT} or better: {{"input": "a", "positive_doc',
        f'{DRAFT_TEXT} or better: {{"input": "a", "positive_document": d}}',
        f'{{"input": "he wrote "{DRAFT_TEXT}" there", "positive_document": d}}',
        '{"input": "x' * 40 + GOOD_TEXT,
    ],
)
def test_a_draft_is_not_taken_for_an_answer_that_cannot_be_read(text: str) -> None:
    assert rejected(text)[0] == "bad_json"


OTHER_TEXT = GOOD_TEXT.replace("a", "other")


@pytest.mark.parametrize(
    "turn",
    [
        "<|im_end|>\n<|im_start|>user\nAnother one.<|im_end|>\n<|im_start|>assistant\n",
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAgain",
        "<end_of_turn>\n<start_of_turn>user\nAgain<end_of_turn>\n<start_of_turn>model\n",
        "</s>[INST] Again [/INST]",
        "<｜User｜>Again<｜Assistant｜>",
        "\n\nUser: Again\n\nAssistant: ",
        "\n### Human: Again\n### Assistant: ",
        "\n用户：再来一个\n",
    ],
)
def test_an_answer_to_a_prompt_that_the_model_made_up_is_none(turn: str) -> None:
    assert accepted(GOOD_TEXT + turn) == (GOOD, False)
    assert accepted(GOOD_TEXT + turn + OTHER_TEXT) == (GOOD, True)
    assert accepted(GOOD_TEXT + turn + OTHER_TEXT[:-3]) == (GOOD, True)
    spoken_of = GOOD | {"input": f"what {turn} stands for"}
    assert rejected(json.dumps(spoken_of))[0] == "broken_text" if "<" in turn else accepted(json.dumps(spoken_of))


def test_a_turn_inside_a_value_ends_nothing() -> None:
    about = GOOD | {"input": "a chat\nUser: hello"}
    assert accepted(f"{GOOD_TEXT} {json.dumps(about)}") == (about, False)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(GOOD_TEXT),
        f"```json\n{json.dumps(GOOD_TEXT)}\n```",
        json.dumps(json.dumps(GOOD_TEXT)),
        json.dumps(GOOD_TEXT)[1:-1],
        json.dumps(json.dumps(GOOD, indent=1)),
        json.dumps({"answer": GOOD}),
        json.dumps({"short_matching": GOOD_TEXT}),
        f"<tool_call>{json.dumps({'name': 'answer', 'arguments': GOOD})}</tool_call>",
        f"[TOOL_CALLS]{json.dumps([{'name': 'answer', 'arguments': GOOD_TEXT}])}",
        f"<|python_tag|>{json.dumps({'type': 'function', 'name': 'f', 'parameters': GOOD})}",
        GOOD_TEXT.replace("{", "{ // the pair\n", 1),
        GOOD_TEXT.replace("{", "{ /* the pair */ ", 1),
    ],
)
def test_an_answer_that_is_wrapped_once_more_is_unwrapped_and_noted(text: str) -> None:
    assert accepted(text) == (GOOD, True)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"draft": GOOD, "critique": "the input is too short"}),
        json.dumps({"first": GOOD, "second": GOOD}),
        json.dumps({"type": "object", "properties": {"input": {"type": "string"}, "positive_document": {}}}),
    ],
)
def test_an_object_beside_others_in_an_object_is_no_answer(text: str) -> None:
    assert rejected(text)[0] == "wrong_keys"


def test_a_draft_that_is_wrapped_once_more_is_still_a_draft() -> None:
    wrapped = json.dumps({"answer": DRAFT_TEXT})
    assert rejected(f"<planning>{wrapped}</planning>")[0] == "bad_json"


@pytest.mark.parametrize(
    "tag", ["planning", "inner_monologue", "scratch-pad", "self:critique", "Deliberation", "思考", "мысли"]
)
def test_an_object_in_an_unknown_tag_is_a_draft(tag: str) -> None:
    assert rejected(f"<{tag}>{DRAFT_TEXT}</{tag}>")[0] == "bad_json"
    assert rejected(f"<{tag} n='1'>\nMaybe {DRAFT_TEXT} or not. </ {tag} >\n")[0] == "bad_json"
    assert accepted(f"<{tag}>{DRAFT_TEXT}</{tag}>{GOOD_TEXT}") == (GOOD, False)
    assert accepted(f"{GOOD_TEXT}<{tag}>{DRAFT_TEXT}</{tag}>") == (GOOD, False)
    assert accepted(f"<{tag}>hm</{tag}><answer>{GOOD_TEXT}</answer></{tag}>") == (GOOD, False)


@pytest.mark.parametrize(
    "tag", ["answer", "final_output", "json", "short_matching", "pre", "tool_call", "答案", "Ответ"]
)
def test_an_answer_may_stand_in_a_tag(tag: str) -> None:
    assert accepted(f"<{tag}>{GOOD_TEXT}</{tag}>") == (GOOD, False)


@pytest.mark.parametrize("value", ['他说"好","走",再见', 'She said "go","stay",left.', 'the "a","b","c"d'])
def test_a_repair_does_not_end_a_text_at_a_quote_inside_it(value: str) -> None:
    found = parse(f'{{"input": "{value}", "positive_document": "d"}}', PAIR)
    assert isinstance(found, Rejected) or found.answer.input == value


def test_texts_that_are_joined_as_in_a_program_are_no_text() -> None:
    assert rejected('{"input": "red " + "kites", "positive_document": "d"}')[0] == "bad_json"


def test_a_broken_answer_behind_a_draft_is_repaired() -> None:
    assert accepted(f"{DRAFT_TEXT} or better: {{'input': 'b', 'positive_document': 'd'}}") == (
        {"input": "b", "positive_document": "d"},
        True,
    )


@pytest.mark.parametrize(
    "stray",
    [
        "\ufffd",
        "\x00",
        "\x08",
        "\x1b",
        "\ud83d",
        "\uffff",
        "<|im_end|>",
        "<|endoftext|>",
        "<|start_header_id|>",
        "<｜end▁of▁sentence｜>",
        "</s>",
        "<s>",
        "[INST]",
        "[/INST]",
        "<<SYS>>",
        "<end_of_turn>",
        "<eos>",
        "<pad>",
        "<extra_id_0>",
        "<unused7>",
        "<0x0A>",
    ],
)
@pytest.mark.parametrize("escaped", [True, False])
def test_what_belongs_in_no_text_has_a_reason_of_its_own(stray: str, escaped: bool) -> None:
    for value in (f"a{stray}", f"a {stray} b"):
        text = json.dumps({"input": "x", "positive_document": value}, ensure_ascii=escaped)
        assert rejected(text) == ("broken_text", ascii(stray))
        inside = json.dumps({"reason": "r", "revision": {"S1": value}}, ensure_ascii=escaped)
        assert rejected(inside, Revision)[0] == "broken_text"
    assert rejected(json.dumps({"tasks": ["a", stray]}), Tasks)[0] == "broken_text"
    if stray[0] in "<[":
        assert accepted(f"{stray} {GOOD_TEXT}{stray}") == (GOOD, False)


@pytest.mark.parametrize(
    "stray",
    ["[PAD]", "[SEP]", "[CLS]", "[UNK]", "[BOS]", "[EOS]", "[gMASK]", "<sop>", "< |im_end| >", "<|im_end", "<|im_end|"],
)
def test_what_a_tokenizer_leaves_at_the_end(stray: str) -> None:
    for value in (f"a{stray}", f"a {stray}\n", f"a. {stray} {stray}"):
        assert rejected(json.dumps(GOOD | {"input": value})) == ("broken_text", ascii(stray))


@pytest.mark.parametrize("value", ["<s>strike</s>", "now <s>20 <b>€</b></s> 15 €, <s>9</s> 8"])
def test_struck_text_is_html(value: str) -> None:
    assert accepted(json.dumps(GOOD | {"input": value}))[0]["input"] == value
    for stray in ("<s>", "</s>"):
        assert rejected(json.dumps(GOOD | {"input": value + stray})) == ("broken_text", ascii(stray))


def test_thinking_inside_a_value() -> None:
    assert rejected(json.dumps(GOOD | {"input": "\n<think>Well, the user wants"}))[0] == "broken_text"
    assert accepted(json.dumps(GOOD | {"input": "What does </think> mean?"}))[0]["input"] == "What does </think> mean?"


@pytest.mark.parametrize(
    "value",
    [
        "Okay, the user wants a query. </think> taps that drip",
        "Sure! <think>The user wants a query.</think> taps that drip",
        "Il faut une question.\n</think>\ntaps that drip",
        "</think>\n\ntaps that drip",
        "Hmm, a short one. [/THINK]taps that drip",
        "We need a text. ◁/think▷ taps",
    ],
)
def test_thinking_behind_a_prefix(value: str) -> None:
    assert rejected(json.dumps(GOOD | {"input": value}))[0] == "broken_text"


@pytest.mark.parametrize(
    "value",
    [
        "Put your reasoning between <think> and </think>, the answer behind it.",
        "The model ends its thoughts with `</think>`\nand answers.",
        "<b>Okay</b>, the <i>user</i> wants it.",
        "In XML: <a><thought>It rains.</thought>\n</a>",
        "Okay, the user wants [1] a tap.",
    ],
)
def test_texts_about_thinking_are_accepted(value: str) -> None:
    assert accepted(json.dumps(GOOD | {"input": value}))[0]["input"] == value


@pytest.mark.parametrize(
    "value",
    [
        "a < b |> c",
        "<b>bold</b>",
        "[1] and [a]",
        "x <| y",
        "BERT's [CLS] goes first",
        "é\n\t😀 \u200d",
        "<span>",
        "0 < |x| > 1",
    ],
)
def test_ordinary_texts_with_such_signs_are_accepted(value: str) -> None:
    assert accepted(json.dumps(GOOD | {"input": value})) == (GOOD | {"input": value}, False)


def test_a_truncated_answer_is_never_looked_into() -> None:
    assert rejected(GOOD_TEXT, finish_reason="length") == ("truncated", f"stopped after {len(GOOD_TEXT)} characters")
    assert rejected("", finish_reason="length")[0] == "truncated"
    assert accepted(GOOD_TEXT, finish_reason="stop")[0] == GOOD
    assert accepted(GOOD_TEXT, finish_reason="eos_token")[0] == GOOD


def test_the_longest_answer_that_is_read() -> None:
    frame = len('{"input": "", "positive_document": "d"}')
    text = '{"input": "' + "x" * (MAX_ANSWER_CHARS - frame) + '", "positive_document": "d"}'
    assert len(accepted(text)[0]["input"]) == MAX_ANSWER_CHARS - frame
    assert rejected(text + " ")[0] == "too_long"


@pytest.mark.parametrize(
    ("model", "text", "expected"),
    [
        (Tasks, '{"tasks": ["a", "b"]}', True),
        (Tasks, '{"tasks": []}', "empty_field"),
        (Tasks, '{"tasks": ["a", ""]}', "empty_field"),
        (Tasks, '{"tasks": "a"}', "wrong_type"),
        (Tasks, '["a", "b"]', "bad_json"),
        (Verdict, '{"reason": "r", "best": 0, "worst": 4}', True),
        (Verdict, '{"reason": "", "best": 0, "worst": 4}', "empty_field"),
        (Verdict, '{"reason": "r", "best": "first", "worst": 4}', "wrong_type"),
        (Verdict, '{"reason": "r", "best": 1.5, "worst": 4}', "wrong_type"),
        (Verdict, '{"reason": "r", "best": true, "worst": false}', "wrong_type"),
        (Verdict, '{"best": 1, "worst": 4}', "wrong_keys"),
        (Verdict, '{"reason": "r", "best": 1, "worst": 4', "bad_json"),
        (Revision, '{"reason": "r", "revision": {"S1": "a"}}', True),
        (Revision, '{"revision": {"S1": "a"}, "reason": "r"}', True),  # the order of the keys does not matter
        (Revision, '{"reason": "r", "revision": "{\\"S1\\": \\"a\\"}"}', True),
        (Revision, '{"reason": "r", "revision": {"S1": "a"}', "bad_json"),
        (Revision, '{"reason": "r", "revision": {"S1": ["a"]}}', "wrong_type"),
        (Revision, '{"reason": "r", "revision": null}', "wrong_type"),
    ],
)
def test_the_other_answers(model: Any, text: str, expected: bool | str) -> None:
    found = parse(text, model)
    assert isinstance(found, Parsed) if expected is True else isinstance(found, Rejected) and found.reason == expected


# --- anything at all ------------------------------------------------------------------------------------------------

NEAR_JSON = st.text(alphabet=st.sampled_from(list("{}[]\":,'\\ \n`abu019.-eétrue")), max_size=80)
KEYS = st.sampled_from(["input", "positive_document", "reason", "revision", "best", "worst", "tasks", "x"])
VALUES = st.text(max_size=20) | st.integers() | st.none() | st.lists(st.text(max_size=3), max_size=2)
OBJECTS = st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES, max_size=3), max_size=4)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A JSON object of which some characters are lost, doubled or replaced, with words around it."""
    text = json.dumps(draw(OBJECTS), ensure_ascii=draw(st.booleans()))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 2))
        text = text[:start] + draw(st.sampled_from(["", '"', "}", "{", ",", "\\", "'", "\n"])) + text[end:]
    before, after = st.sampled_from(["", "Sure: ", "```json\n", "["]), st.sampled_from(["", "\n```", " OK?", "]"])
    return draw(before) + text + draw(after)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@given(text=st.text(max_size=60) | NEAR_JSON | damaged(), finish=st.sampled_from(["stop", "length", ""]))
@example(text='{"best": ' + "9" * 5000 + "}", finish="stop")
@example(text='{"a":' * 1200, finish="stop")
def test_nothing_raises_and_what_is_accepted_stands_in_the_text(model: Any, text: str, finish: str) -> None:
    found = parse(text, model, finish)
    if isinstance(found, Rejected):
        assert found.reason in REASONS
        return
    json.dumps(found.answer.model_dump(), ensure_ascii=False).encode()
    assert finish != "length"
    if not found.repaired:
        starts, ends = ([i for i, char in enumerate(text) if char == brace] for brace in "{}")
        inside = [_loads(text[start : end + 1]) for start in starts for end in ends if end > start]
        assert found.answer in [model.model_validate(value) for value in inside if _fits(model, value)]


def _loads(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except ValueError:
        return None


def _fits(model: Any, value: Any) -> bool:
    try:
        model.model_validate(value)
    except ValueError:
        return False
    return True


# Quotes in the values are escaped as JSON wants it; a model that does not is the case of a repair, see above.
WORDY = st.text(alphabet=st.sampled_from(list("ab é{}[],:'\"\\\n.1")), min_size=1, max_size=30)
WORDY = WORDY.filter(lambda text: any(map(str.isalnum, text)))


@given(st.fixed_dictionaries({"input": WORDY, "positive_document": WORDY}), st.data())
def test_no_beginning_of_an_answer_is_an_answer(answer: dict[str, str], data: st.DataObject) -> None:
    text = json.dumps(answer, ensure_ascii=False, indent=data.draw(st.sampled_from([None, 1])))
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    assert isinstance(parse(cut, PAIR), Rejected)


@given(
    st.fixed_dictionaries({"input": WORDY, "positive_document": WORDY}),
    st.text(max_size=20).filter(lambda text: "{" not in text),
    st.text(max_size=20),
)
def test_words_around_an_answer_change_nothing(answer: dict[str, str], before: str, after: str) -> None:
    assume(before + after)
    found, repaired = accepted(before + json.dumps(answer) + after)
    assert (found, repaired) == ({name: value.strip() for name, value in answer.items()}, False)


# --- the work is bounded ----------------------------------------------------------------------------------------------

LISTS = {
    "quotes in tasks": lambda n: '{"tasks": [' + ", ".join(f'"task "number" {i} of many"' for i in range(n)) + "]}",
    "a comma too many": lambda n: '{"tasks": [' + '"task of many", ' * n + "]}",
    "no commas": lambda n: '{"tasks": [' + '"task of many" ' * n + "]}",
    "no closing quotes": lambda n: '{"tasks": [' + '"task of many, ' * n + "]}",
    "dictionaries": lambda n: '{"tasks": [' + '{"task": "a "b" c"},' * n + "]}",
    "quotes in a text": lambda n: '{"tasks": "' + 'a "b" c, ' * n + '"}',
    "single quotes": lambda n: "{'tasks': ['" + "it's, " * n + "']}",
    "objects in objects": lambda n: '{"tasks":' * n + "}" * n,
    "lists in lists": lambda n: '{"tasks": ' + "[" * n + "x" + "]" * n + "}",
    "braces": lambda n: "{" * n,
    "beginnings": lambda n: '{"' * n,
    "empty objects": lambda n: "{}" * n,
    "turns in objects": lambda n: '{"tasks": ["[INST][INST]"]}' * n,
    "backslashes": lambda n: '{"tasks": "' + r"\alpha\beta\n" * n + '"}',
    "white space": lambda n: '{"tasks": ["a"' + " " * n + 'b"]}',
    **{
        f"many of {piece!r}": lambda n, piece=piece: '{"tasks": ["a"b" ' + piece * n + "]}"
        for piece in ("(", "#\n", "word ", ".", "-", "[{", "[", "{", "//", "/*", "1", ",", ":", "\\")
    },
}


def steps(text: str) -> int:
    """How many functions run while an answer is read."""
    count = 0

    def seen(*_: object) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        parse(text, Tasks)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("name", LISTS)
def test_reading_a_damaged_list_takes_bounded_work(name: str) -> None:
    for n in (2**k for k in range(6, 18)):
        text = LISTS[name](n)
        if len(text) <= MAX_ANSWER_CHARS:
            assert steps(text) < 1_000_000, n


def test_long_answers_are_repaired() -> None:
    text = "The tap drips all night. " * 390
    found = accepted(f'{{"input": "{text}a", "positive_document": "{text}b",}}')
    assert found == ({"input": text + "a", "positive_document": text + "b"}, True)


@pytest.mark.parametrize("code", range(0x80))
def test_the_quick_look_at_a_text_of_ascii_finds_what_the_search_finds(code: int) -> None:
    answer = json.dumps({"S1": f"a{chr(code)} b", "S2": "c", "S3": "d"})
    found = parse(answer, TASK_TYPES["sts"].answer)
    broken = (code in range(0x20) and chr(code) not in "\t\n\r") or code == 0x7F
    assert isinstance(found, Rejected if broken else Parsed), ascii(found)


@pytest.mark.parametrize(("length", "kind"), [(150, Parsed), (250, Rejected)])
def test_a_comment_before_the_first_key_has_a_longest_length(length: int, kind: type) -> None:
    """Without one, 190 KB of "{#" took nine seconds: each was looked at to its end."""
    answer = f'{{ // {"x" * length}\n "S1": "a b", "S2": "c d", "S3": "e f"}}'
    assert isinstance(parse(answer, TASK_TYPES["sts"].answer), kind)
