"""How answers about passages are read, and what each filter takes and leaves."""

import json

import pytest
from grounded_corpus import corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.generation.jobs import Accepted, Outcome
from hub_speed.generation.parsing import Rejected
from hub_speed.grounded.planning import Passages, PlannedQuestion, plan
from hub_speed.grounded.reading import copied_share, read_fitness, read_question, read_recalled, says_the_same
from hub_speed.llm.dialects import Completion
from hub_speed.recipe import Questions, Recipe
from hub_speed.rows import QuestionRow

RECIPE = Recipe.model_validate({"name": "test", "questions": {"kinds": ["contrastive"]}})
(PLANNED,) = plan(RECIPE, Passages(corpus()), 1)


def completion(text: str, finish_reason: str = "stop") -> Completion:
    return Completion((text,), (finish_reason,), "m", 1, 1)


def read(query: str, answer: str = "every ten days", planned: PlannedQuestion = PLANNED) -> Outcome:
    return read_question(planned, completion(json.dumps({"query": query, "answer": answer})), "m", Questions())


def test_an_answer_becomes_a_row() -> None:
    found = read("how often does this pump need oil")
    assert isinstance(found, Accepted)
    row = QuestionRow.model_validate(found.row)
    assert (row.query, row.answer) == ("how often does this pump need oil", "every ten days")
    assert (
        row.positive == PLANNED.positives[0]["text"] and PLANNED.negative and row.negative == PLANNED.negative["text"]
    )
    assert row.instruction == Questions().instruction and row.task_type == "retrieval"
    fenced = "Sure!\n```json\n" + row.completion + "\n```"
    assert isinstance(read_question(PLANNED, completion(fenced), "m", Questions()), Accepted)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("What does the passage say about oil?", "names_source"),
        (f"{PLANNED.positives[0]['text'].split('.')[0]}?", "copies_passage"),
        ("как часто смазывают насос", "wrong_script"),
        ("word " * 90, "too_long"),
        ("one question, as a whole sentence", "echo"),
        ("query", "echo"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("[Insert question here]", "empty_field"),
        (" ", "empty_field"),
    ],
)
def test_a_question_is_rejected_with_its_reason(query: str, reason: str) -> None:
    styled = [row for row in plan(RECIPE, Passages(corpus()), 60) if row.style == "question"]
    found = read(query, planned=PLANNED if reason == "copies_passage" else styled[0])
    assert isinstance(found, Rejected) and found.reason == reason, found


def test_a_mark_of_the_fence_and_a_query_as_its_own_answer_are_echoes() -> None:
    mark = PLANNED.prompt.split("<<<")[1][:8]
    for query, answer in [
        (f"What is the purpose of {mark}?", "oil"),
        ("pump oil", f"see {mark}"),
        ("Oil it.", "oil it"),
    ]:
        found = read(query, answer)
        assert isinstance(found, Rejected) and found.reason == "echo", query
    assert isinstance(read("What is the purpose of 0a1b2c3d?"), Accepted)


def test_a_cut_off_answer_is_no_question() -> None:
    found = read_question(PLANNED, completion('{"query": "how', "length"), "m", Questions())
    assert found == Rejected("truncated", "stopped after 14 characters")


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(0, 12))
def test_the_copied_share_counts_words_in_long_runs(copied: int, own: int) -> None:
    passage = " ".join(f"w{i}" for i in range(40))
    query = " ".join([*(f"w{i}" for i in range(copied)), *(f"own{i}" for i in range(own))])
    assert copied_share(query, passage, 5) == (copied / (copied + own) if copied >= 5 else 0)


def test_signs_of_scripts_without_spaces_take_runs_of_twice_the_length() -> None:
    passage = "水泵每十天加一次油，阀门在两巴的压力下打开。"
    assert copied_share("水泵每十天加一次油吗", passage, 5) == 0  # nine signs
    assert copied_share("阀门在两巴的压力下打开", passage, 5) == 1


@pytest.mark.parametrize(
    ("expected", "said", "same"),
    [
        ("Paris", "It is Paris.", True),
        ("the iron bridge", "iron bridge", True),
        ("every 12 days", "every 14 days", False),
        ("set the valve to 20 bar", "set the valve to 30 bar", False),
        ("a drop of oil on the axle", "oil on the axle", True),
        ("Paris", "unknown", False),
        ("unknown", "unknown", False),
        ("yes", "yes", False),
        ("4", "4", False),
        ("Paris", "perhaps one of " + "a city and " * 20 + "Paris", False),
        ("turn the key to the left", "turn the key to the right", False),
        ("加油", "需要加油", True),
        ("", "anything", False),
    ],
)
def test_two_answers_say_the_same(expected: str, said: str, same: bool) -> None:
    assert says_the_same(expected, said, 0.6) is same


def test_an_answer_without_the_passage_and_a_verdict_decide() -> None:
    row = {"id": "q", "answer": "every 12 days"}
    found = read_recalled(row, completion('{"answer": "every 12 days or so"}'), 0.6)
    assert (
        isinstance(found, Rejected) and found.reason == "answerable_without" and "every 12 days or so" in found.detail
    )
    for text in ('{"answer": "unknown"}', "no idea"):
        assert isinstance(kept := read_recalled(row, completion(text), 0.6), Accepted) and kept.row is row and kept.note
    assert read_fitness(row, completion('{"reason": "No number.", "fits": false}')) == Rejected(
        "unfit_question", "No number."
    )
    assert isinstance(read_fitness(row, completion('{"reason": "Nothing is missing.", "fits": true}')), Accepted)
