"""Every task type, whichever files there are: its prompts, its knobs, its answer and its check.

Golden prompts are in tests/golden; after a wanted change of wording: UPDATE_GOLDEN=1 pytest tests/task_types
"""

import ast
import inspect
import itertools
import json
import os
import random
import sys
import textwrap
from collections import Counter
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_speed.generation import prompts
from hub_speed.generation.parsing import Parsed, Rejected, parse
from hub_speed.rows import REASONS
from hub_speed.task_types import TASK_TYPES, Draw, TaskType, long_matching
from hub_speed.text import SCRIPTS

GOLDEN = Path(__file__).parent.parent / "golden"
TASK, TOPIC = "Given a question about bees, find passages that answer it.", "Science > Biology > Bees"
every = pytest.mark.parametrize("kind", TASK_TYPES.values(), ids=list(TASK_TYPES))
brainstormed = pytest.mark.parametrize(
    "kind", [kind for kind in TASK_TYPES.values() if kind.brainstorm], ids=lambda kind: kind.name
)


def render(kind: TaskType, seed: int) -> str:
    draw = kind.draw(random.Random(seed), {})
    target = "German" if kind.languages_per_row == 2 else ""
    return kind.prompt(draw, task=TASK, topic=TOPIC, language="English", target_language=target)


def golden(name: str, *parts: str) -> None:
    """Compare with the golden file, or write it."""
    path, found = GOLDEN / f"{name}.txt", "\n\n=====\n\n".join(parts) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(found, "utf-8")
    assert path.read_text("utf-8") == found


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


# --- prompts --------------------------------------------------------------------------------------------------------


@every
def test_golden_prompt(kind: TaskType) -> None:
    golden(kind.name, *(render(kind, seed) for seed in range(3)))


@brainstormed
def test_golden_brainstorm_prompt(kind: TaskType) -> None:
    golden(f"{kind.name}_brainstorm", *(prompts.brainstorm(kind, TOPIC, 5, random.Random(seed)) for seed in range(2)))


def test_golden_judge_and_revision_prompts() -> None:
    prompt, drafts = render(TASK_TYPES["sts"], 0), ['{"S1": "a"}', "no JSON"]
    golden("judge", prompts.judge(prompt, drafts))
    golden("revision", *(prompts.revision(prompt, drafts[0], may_keep=may_keep) for may_keep in (False, True)))


@every
def test_every_knob_is_used_and_every_placeholder_is_known(kind: TaskType) -> None:
    used = placeholders("\n".join([kind.opening, *(line.text for line in kind.guidelines), kind.closing]))
    assert set(kind.knobs) <= used
    assert used <= {*kind.knobs, "task", "topic", "language", "target_language"}
    assert "language" in used
    assert ("target_language" in used) == (kind.languages_per_row == 2)
    assert ("task" in used) == (kind.brainstorm is not None)
    assert ("topic" in used) == (kind.brainstorm is None)  # else the task has it


@every
@pytest.mark.parametrize("seed", range(5))
def test_every_drawn_value_stands_in_the_prompt_and_nothing_is_left_open(kind: TaskType, seed: int) -> None:
    draw = kind.draw(random.Random(seed), {})
    knobs = {name: f"<{name}>" for name in draw.knobs}
    text = kind.prompt(
        type(draw)(knobs, draw.guidelines),
        task="<task>",
        topic="<topic>",
        language="<language>",
        target_language="<two>",
    )
    values = knobs | {"task": "<task>", "topic": "<topic>", "language": "<language>", "target_language": "<two>"}
    lines = [f"- {line.format_map(values)}" for line in draw.guidelines]
    assert text == "\n".join([kind.opening.format_map(values), *lines, kind.closing])
    assert all(values[name] in text for name in placeholders("\n".join([kind.opening, *draw.guidelines])))
    assert not set("{}") & set(text)


@every
def test_every_value_of_every_knob_changes_the_prompt(kind: TaskType) -> None:
    first = {name: next(iter(values)) for name, values in kind.knobs.items()}
    lines = tuple(line.text for line in kind.guidelines)
    drawn = [first] + [first | {name: value} for name, values in kind.knobs.items() for value in values]
    texts = {
        kind.prompt(Draw(knobs, lines), task=TASK, topic=TOPIC, language="English", target_language="German")
        for knobs in drawn
    }
    assert len(texts) == len({tuple(knobs.values()) for knobs in drawn})


@every
def test_the_prompts_of_one_task_differ(kind: TaskType) -> None:
    found = Counter(render(kind, seed) for seed in range(200))
    assert len(found) >= 6 and max(found.values()) <= 60, found  # else a model writes the same row again and again


@every
def test_the_answers_keys_stand_in_the_prompt(kind: TaskType) -> None:
    assert all(f'"{name}"' in kind.opening for name in kind.answer.model_fields)


@every
def test_braces_in_a_task_or_topic_change_nothing(kind: TaskType) -> None:
    draw = kind.draw(random.Random(0), {})
    odd = "{language} {0} {} {{x}} }{ %s"
    text = kind.prompt(draw, task=odd, topic=odd, language="English", target_language="German")
    assert odd in text


@brainstormed
def test_a_brainstorm_prompt_holds_topic_count_and_every_example(kind: TaskType) -> None:
    assert kind.brainstorm is not None
    assert placeholders(kind.brainstorm) == {"count", "topic", "examples"}
    text = prompts.brainstorm(kind, TOPIC, 7, random.Random(0))
    assert TOPIC in text
    assert "7" in text
    assert all(f"- {example}\n" in text for example in kind.task_examples)
    assert '"tasks": a list of 7 strings' in text


@every
def test_a_type_has_tasks_to_brainstorm_or_a_fixed_one(kind: TaskType) -> None:
    assert (kind.brainstorm is None) != (kind.fixed_task is None)
    assert bool(kind.task_examples) == (kind.brainstorm is not None)


@every
def test_the_file_says_what_it_is_and_where_it_comes_from(kind: TaskType) -> None:
    doc = sys.modules[kind.answer.__module__].__doc__ or ""
    assert doc.splitlines()[0].endswith(".")
    assert all(word in doc for word in ("query:", "positive:", "negative:", "Source:", "Differs:"))


@given(st.text(), st.lists(st.text(), max_size=4))
def test_judge_and_revision_prompts_hold_the_texts_as_they_are(prompt: str, candidates: list[str]) -> None:
    text = prompts.judge(prompt, candidates)
    assert f"<<<\n{prompt}\n>>>" in text
    assert all(f"[{i}] <<<\n{candidate}\n>>>" in text for i, candidate in enumerate(candidates))
    assert all(f'"{name}"' in text for name in prompts.Verdict.model_fields)
    revisions = [prompts.revision(prompt, "draft", may_keep=may_keep) for may_keep in (False, True)]
    assert all(f"<<<\n{prompt}\n>>>" in text and "<<<\ndraft\n>>>" in text for text in revisions)
    assert all(f'"{name}"' in text for text in revisions for name in prompts.Revision.model_fields)
    assert [prompts.MAY_KEEP in text for text in revisions] == [False, True]


# --- knobs, optional lines and order, as the papers have them -------------------------------------------------------

CLARITY = {"clear": 0.6, "understandable with some effort": 0.2, "ambiguous": 0.2}
GRADES = {"high school": 1, "college": 1, "PhD": 1}
UNIT = {"sentence": 0.9, "phrase": 0.05, "passage": 0.05}
SCHOOL = {"elementary school": 1, "high school": 1, "college": 1}
# SPEED's released prompts (weights) and App. C.2; E5 Table 13 for bitext.
PAPER: dict[str, dict[str, dict[str, float]]] = {
    "retrieval": {
        "min_words": {"50": 1, "100": 1, "200": 1, "300": 1, "400": 1, "500": 1},
        "query_length": {"less than 5 words": 0.4, "5 to 15 words": 0.4, "at least 10 words": 0.2},
        "query_type": {"extremely long-tail": 0.4, "long-tail": 0.5, "common": 0.1},
        "clarity": CLARITY,
        "difficulty": GRADES,
    },
    "classification": {
        "text_length": {
            "less than 10 words": 0.1,
            "at least 10 words": 0.3,
            "at least 50 words": 0.2,
            "at least 100 words": 0.2,
            "at least 200 words": 0.2,
        },
        "clarity": CLARITY,
        "difficulty": GRADES,
    },
    "sts": {
        "high_score": {"4": 1, "4.5": 1, "5": 1},
        "low_score": {"2.5": 1, "3": 1, "3.5": 1},
        "unit": UNIT,
        "difficulty": SCHOOL,
    },
    "long_matching": {"min_words": {"300": 1}, "style": dict.fromkeys(long_matching.STYLES, 1)},  # the style is ours
    "bitext": {
        "high_score": {"4": 1, "4.5": 1, "5": 1},
        "low_score": {"1.5": 1, "2": 1, "2.5": 1},
        "unit": UNIT,
        "difficulty": SCHOOL,
    },
}
OPTIONAL = {"retrieval": {"difficulty"}, "classification": {"clarity", "difficulty"}, "sts": {"difficulty"}}
KEYS = {
    "retrieval": ["user_query", "positive_document", "hard_negative_document"],
    "classification": ["input_text", "label", "misleading_label"],
    "sts": ["S1", "S2", "S3"],
    "short_matching": ["input", "positive_document", None],
    "long_matching": ["input", "positive_document", None],
    "bitext": ["S1", "S2", "S3"],
}


@pytest.mark.parametrize("name", PAPER)
def test_knobs_and_weights_are_the_papers(name: str) -> None:
    def shares(knobs: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        return {
            knob: {value: round(weight / sum(values.values()), 6) for value, weight in values.items()}
            for knob, values in knobs.items()
        }

    assert shares({knob: dict(values) for knob, values in TASK_TYPES[name].knobs.items()}) == shares(PAPER[name])


@pytest.mark.parametrize("name", KEYS)
def test_keys_and_columns_are_the_papers(name: str) -> None:
    kind = TASK_TYPES[name]
    assert [kind.query, kind.positive, kind.negative] == KEYS[name]
    assert list(kind.answer.model_fields) == [key for key in KEYS[name] if key]


@pytest.mark.parametrize("name", KEYS)
def test_optional_and_shuffled_lines_are_the_papers(name: str) -> None:
    kind = TASK_TYPES[name]
    optional = [line for line in kind.guidelines if line.share != 1]
    assert {knob for line in optional for knob in placeholders(line.text)} == OPTIONAL.get(name, set())
    assert [line.share for line in optional] == [0.5] * len(optional) == [0.5] * (name in OPTIONAL)
    assert kind.shuffled == kind.examples_shuffled == (name in ("retrieval", "classification"))


@pytest.mark.parametrize(
    ("name", "task"), [("sts", "Retrieve semantically similar text"), ("bitext", "Retrieve parallel sentences")]
)
def test_fixed_tasks_are_the_papers(name: str, task: str) -> None:
    assert TASK_TYPES[name].fixed_task == task


N = 4000


@every
def test_values_and_optional_lines_come_in_their_shares(kind: TaskType) -> None:
    rng = random.Random(7)
    values: dict[str, Counter[str]] = {name: Counter() for name in kind.knobs}
    lines: Counter[str] = Counter()
    for _ in range(N):
        draw = kind.draw(rng, {})
        lines.update(draw.guidelines)
        for name, value in draw.knobs.items():
            values[name][value] += 1
    for name, weights in kind.knobs.items():
        for value, weight in weights.items():
            assert _is_share(values[name][value], weight / sum(weights.values())), (name, value)
    assert set(lines) == {line.text for line in kind.guidelines}
    for line in kind.guidelines:
        assert _is_share(lines[line.text], line.share), line


def _is_share(count: int, share: float) -> bool:
    """Within four standard deviations; exactly, where nothing is left to chance."""
    return abs(count - N * share) <= 4 * (N * share * (1 - share)) ** 0.5


@every
def test_lines_are_shuffled_only_where_the_type_says_so(kind: TaskType) -> None:
    rng, file_order = random.Random(1), [line.text for line in kind.guidelines]
    draws = [kind.draw(rng, {}).guidelines for _ in range(300)]
    in_order = [list(draw) == sorted(draw, key=file_order.index) for draw in draws]
    if kind.shuffled:
        assert {draw[0] for draw in draws} == {draw[-1] for draw in draws} == set(file_order)
        assert sum(in_order) < 30
    else:
        assert all(in_order)


@brainstormed
def test_examples_are_shuffled_only_where_the_type_says_so(kind: TaskType) -> None:
    found = {prompts.brainstorm(kind, TOPIC, 5, random.Random(seed)) for seed in range(30)}
    assert len(found) > 20 if kind.examples_shuffled else len(found) == 1


@every
def test_a_recipe_may_replace_the_values_of_some_knobs(kind: TaskType) -> None:
    first = next(iter(kind.knobs))
    rng = random.Random(0)
    draws = [kind.draw(rng, {first: {"one": 1, "two": 3, "never": 0}}).knobs for _ in range(400)]
    counts = Counter(draw[first] for draw in draws)
    assert set(counts) == {"one", "two"}
    assert 2 < counts["two"] / counts["one"] < 4.5
    assert all(draw[name] in kind.knobs[name] for draw in draws for name in kind.knobs if name != first)


@every
def test_words_are_estimated_for_every_choice_of_knobs(kind: TaskType) -> None:
    for values in itertools.product(*kind.knobs.values()):
        assert 0 < kind.words_expected(dict(zip(kind.knobs, values, strict=True))) < 2000


# --- answers --------------------------------------------------------------------------------------------------------


@every
def test_the_example_parses_passes_and_fills_the_columns(kind: TaskType) -> None:
    parsed = parse(json.dumps(kind.example), kind.answer)
    assert isinstance(parsed, Parsed)
    assert parsed.answer.model_dump() == dict(kind.example)
    assert kind.check(parsed.answer, kind.example_knobs) is None
    assert kind.columns(parsed.answer) == {
        "query": kind.example[kind.query],
        "positive": kind.example[kind.positive],
        "negative": kind.example[kind.negative] if kind.negative else None,
    }
    assert len({kind.query, kind.positive, kind.negative}) == 3


@every
def test_a_missing_a_renamed_or_an_extra_key_is_wrong(kind: TaskType) -> None:
    for name in kind.example:
        short = {key: value for key, value in kind.example.items() if key != name}
        for answer in (short, short | {name.upper() + "_": kind.example[name]}):
            found = parse(json.dumps(answer), kind.answer)
            assert isinstance(found, Rejected)
            assert (found.reason, found.detail) == ("wrong_keys", f"missing: {name}")
    found = parse(json.dumps({**kind.example, "explanation": "because"}), kind.answer)
    assert found == Rejected("wrong_keys", "extra_forbidden: explanation")


@every
def test_an_empty_or_odd_value_is_no_answer(kind: TaskType) -> None:
    for name, (value, reason) in itertools.product(
        kind.example, [("", "empty_field"), ("  \n", "empty_field"), (None, "wrong_type"), ([], "wrong_type")]
    ):
        found = parse(json.dumps({**kind.example, name: value}), kind.answer)
        assert isinstance(found, Rejected)
        assert found.reason == reason
        assert name in found.detail


@every
def test_the_schema_allows_these_keys_and_no_others(kind: TaskType) -> None:
    schema = kind.answer.model_json_schema()
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == schema["required"] == list(kind.example)
    assert all(field["type"] == "string" for field in schema["properties"].values())


# --- checks ---------------------------------------------------------------------------------------------------------


def text_of(count: int, word: str = "word") -> str:
    return " ".join(f"{word}{i}" for i in range(count))


RUSSIAN = "Пчёлы собирают нектар с цветов и делают из него мёд, который хранят в сотах до самой зимы."
MIXED = "The bees (пчёлы) make honey (мёд) all summer."
POSITIVE = TASK_TYPES["retrieval"].example["positive_document"]

# type, expected reason, what is changed in the example, what is changed in its knobs
CASES: list[tuple[str, str | None, dict[str, str], dict[str, str]]] = [
    ("retrieval", "positive_equals_negative", {"hard_negative_document": POSITIVE}, {}),
    ("retrieval", "positive_equals_negative", {"hard_negative_document": POSITIVE.upper().replace(",", "!")}, {}),
    ("retrieval", None, {"hard_negative_document": POSITIVE + " Truly."}, {}),
    ("retrieval", "positive_equals_negative", {"hard_negative_document": "Why do onions make you cry?"}, {}),
    ("retrieval", "positive_equals_query", {"user_query": "Onions!", "positive_document": "onions"}, {}),
    ("retrieval", "copied_text", {"user_query": "an enzyme turns their sulphur into a gas"}, {}),
    ("retrieval", "copied_text", {"user_query": "An ENZYME, turns their sulphur?"}, {}),
    ("retrieval", None, {"user_query": "enzyme turns their"}, {}),  # three words may well stand in it
    ("retrieval", None, {"user_query": "enzyme their turns sulphur"}, {}),
    ("retrieval", None, {"user_query": "nzyme turns their sulphur"}, {}),
    ("retrieval", "too_short", {"positive_document": text_of(39)}, {"min_words": "50"}),
    ("retrieval", "too_short", {"hard_negative_document": text_of(39)}, {"min_words": "50"}),
    ("retrieval", None, {"positive_document": text_of(40)}, {"min_words": "50"}),
    ("retrieval", "too_long", {"user_query": text_of(31)}, {"query_length": "5 to 15 words"}),
    ("retrieval", None, {"user_query": text_of(30)}, {"query_length": "5 to 15 words"}),
    ("retrieval", "too_long", {"user_query": text_of(9)}, {"query_length": "less than 5 words"}),
    ("retrieval", None, {"user_query": text_of(8)}, {"query_length": "less than 5 words"}),
    ("retrieval", None, {"user_query": "onions"}, {"query_length": "at least 10 words"}),
    ("retrieval", None, {"user_query": text_of(200)}, {"query_length": "at least 10 words"}),
    ("retrieval", "wrong_script", {"user_query": RUSSIAN}, {}),
    ("retrieval", "wrong_script", {"positive_document": RUSSIAN * 4}, {}),
    ("retrieval", "wrong_script", {"hard_negative_document": RUSSIAN * 4}, {}),
    ("retrieval", None, {"user_query": "what is пчёлы called in English"}, {}),
    ("retrieval", "wrong_script", {}, {"language": "Russian"}),
    (
        "retrieval",
        None,
        {
            "user_query": "蜜蜂如何酿蜜",
            "positive_document": "蜜蜂采集花蜜。",
            "hard_negative_document": "蜂巢由蜡构成。",
        },
        {"language": "Chinese", "min_words": "5"},  # written without spaces: a word has one or two signs
    ),
    (
        "retrieval",
        "too_short",
        {
            "user_query": "蜜蜂如何酿蜜",
            "positive_document": "蜜蜂采集花蜜。",
            "hard_negative_document": "蜂巢由蜡构成。",
        },
        {"language": "Chinese", "min_words": "50"},
    ),
    ("classification", "label_leak", {"input_text": "厨房的管道整夜漏水。", "label": "管道"}, {"language": "Chinese"}),
    (
        "classification",
        None,
        {"label": "no", "input_text": "There is no dry spot at all under the basin any more."},
        {},
    ),
    ("classification", "positive_equals_negative", {"misleading_label": "Plumbing."}, {}),
    ("classification", None, {"misleading_label": "plumber"}, {}),
    ("classification", None, {"label": "A+", "misleading_label": "A-"}, {}),
    (
        "classification",
        "label_leak",
        {"label": "basin", "input_text": "The basin's tap drips all night again."},
        {},
    ),
    ("classification", "label_leak", {"label": "tap"}, {}),
    ("classification", "label_leak", {"misleading_label": "the Cupboard"}, {}),
    ("classification", None, {"label": "drip"}, {}),  # a part of a word
    ("classification", None, {"label": "cupboard the"}, {}),
    ("classification", "too_short", {"input_text": text_of(39)}, {"text_length": "at least 50 words"}),
    ("classification", None, {"input_text": text_of(40)}, {"text_length": "at least 50 words"}),
    ("classification", None, {"input_text": text_of(900)}, {"text_length": "at least 50 words"}),
    ("classification", "too_long", {"input_text": text_of(19)}, {"text_length": "less than 10 words"}),
    ("classification", None, {"input_text": text_of(18)}, {"text_length": "less than 10 words"}),
    ("classification", None, {"input_text": "Why?"}, {"text_length": "less than 10 words"}),
    ("classification", "wrong_script", {"input_text": RUSSIAN}, {}),
    ("classification", None, {"label": "пчёлы"}, {}),  # labels may be foreign words
    ("sts", "positive_equals_query", {"S2": "the ferry leaves the island every morning at six"}, {}),
    ("sts", None, {"S2": "The ferry leaves the island every morning at seven."}, {}),
    ("sts", "positive_equals_negative", {"S3": "The ferry leaves the island every morning, at six!"}, {}),
    ("sts", "positive_equals_negative", {"S3": "Each morning at six a ferry sails from the island"}, {}),
    ("sts", None, {"S3": "Each morning at six a ferry sails from the islands."}, {}),
    ("sts", None, {"S1": "It is 5 degrees on deck.", "S3": "It is -5 degrees on deck."}, {}),
    ("sts", "too_short", {"S2": "A ferry."}, {}),
    ("sts", None, {"S2": "Ferries sail early."}, {}),
    ("sts", "too_long", {"S3": text_of(81)}, {}),
    ("sts", None, {"S3": text_of(80)}, {}),
    ("sts", "too_long", {"S1": text_of(21), "S2": "a ferry", "S3": "ferry"}, {"unit": "phrase"}),
    ("sts", None, {"S1": "morning ferry", "S2": "a ferry at six", "S3": "ferry"}, {"unit": "phrase"}),
    ("sts", "too_short", {"S1": text_of(19), "S2": text_of(30), "S3": text_of(40)}, {"unit": "passage"}),
    ("sts", None, {"S1": text_of(20), "S2": text_of(30), "S3": text_of(40)}, {"unit": "passage"}),
    ("sts", None, {"S1": "A", "S2": "B"}, {"unit": "word of a recipe"}),
    ("sts", "wrong_script", {"S1": RUSSIAN}, {}),
    ("sts", "wrong_script", {"S3": RUSSIAN}, {}),
    ("sts", None, {"S1": MIXED}, {}),
    ("short_matching", "positive_equals_query", {"positive_document": "Blacksmith"}, {}),
    ("short_matching", None, {"positive_document": "a blacksmith"}, {}),
    ("short_matching", "too_long", {"input": text_of(41)}, {}),
    ("short_matching", "too_long", {"positive_document": text_of(41)}, {}),
    ("short_matching", None, {"input": text_of(40), "positive_document": text_of(40, "other")}, {}),
    ("short_matching", "wrong_script", {"positive_document": "кузница"}, {}),
    ("short_matching", None, {"positive_document": "1899"}, {}),  # no letters, no script
    ("long_matching", "positive_equals_query", {"input": "a b", "positive_document": "A, b."}, {"min_words": "1"}),
    ("long_matching", "too_short", {"input": text_of(239)}, {"min_words": "300"}),
    ("long_matching", "too_short", {"input": text_of(240), "positive_document": text_of(239)}, {"min_words": "300"}),
    ("long_matching", None, {"input": text_of(240), "positive_document": text_of(241)}, {"min_words": "300"}),
    ("long_matching", "wrong_script", {"input": RUSSIAN}, {}),
    ("bitext", "positive_equals_negative", {"S3": "Die Brücke war nach dem Hochwasser drei Tage lang gesperrt"}, {}),
    ("bitext", "positive_equals_query", {"S2": "The bridge was closed for three days after the flood!"}, {}),
    ("bitext", "positive_equals_negative", {"S3": "The bridge was closed for three days after the flood"}, {}),
    ("bitext", "too_short", {"S1": "The bridge."}, {}),
    ("bitext", "too_short", {"S3": "Die Brücke."}, {}),
    ("bitext", "too_long", {"S2": text_of(81)}, {}),
    ("bitext", "wrong_script", {"S1": RUSSIAN}, {}),
    ("bitext", "wrong_script", {"S2": RUSSIAN}, {}),
    ("bitext", "wrong_script", {}, {"target_language": "Russian"}),
    ("bitext", None, {"S2": RUSSIAN, "S3": RUSSIAN + " И всё."}, {"target_language": "Russian"}),
]


@pytest.mark.parametrize(("name", "reason", "changes", "knobs"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_check(name: str, reason: str | None, changes: dict[str, str], knobs: dict[str, str]) -> None:
    kind = TASK_TYPES[name]
    answer = kind.answer.model_validate({**kind.example, **changes})
    flaw = kind.check(answer, {**kind.example_knobs, **knobs})
    assert (flaw and flaw.reason) == reason
    assert flaw is None or flaw.detail


@every
def test_every_reason_a_check_can_give_is_known_and_has_a_case(kind: TaskType) -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind.check)))
    called = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    own = {"copied_text"} if kind.name == "retrieval" else set()
    assert called & set(REASONS)
    assert (called & set(REASONS)) | own == {reason for name, reason, _, _ in CASES if name == kind.name and reason}


@pytest.mark.parametrize(
    ("name", "changes", "detail"),
    [
        ("retrieval", {"positive_document": text_of(31)}, "positive_document: 31 words, asked for 50"),
        ("retrieval", {"user_query": text_of(31)}, "user_query: 31 words, asked for at most 15"),
        ("retrieval", {"user_query": RUSSIAN}, "user_query: asked for English"),
        ("classification", {"label": "tap"}, "input_text contains the label 'tap'"),
        ("sts", {"S2": "The ferry leaves the island every morning at six!"}, "S2 and S1 are the same"),
    ],
)
def test_a_flaw_says_what_was_found_and_asked_for(name: str, changes: dict[str, str], detail: str) -> None:
    kind = TASK_TYPES[name]
    flaw = kind.check(kind.answer.model_validate({**kind.example, **changes}), kind.example_knobs)
    assert flaw is not None and flaw.detail == detail


LANGUAGE = st.sampled_from(sorted(SCRIPTS))


@every
@given(st.data())
def test_a_check_never_raises(kind: TaskType, data: st.DataObject) -> None:
    texts = st.tuples(st.text(), st.sampled_from("a7+é好"), st.text()).map("".join)
    values = {name: data.draw(texts, name) for name in kind.answer.model_fields}
    knobs = {name: data.draw(st.sampled_from(sorted(choices)), name) for name, choices in kind.knobs.items()}
    languages = {"language": data.draw(LANGUAGE), "target_language": data.draw(LANGUAGE)}
    flaw = kind.check(kind.answer.model_validate(values), knobs | languages)
    assert flaw is None or flaw.reason in REASONS
