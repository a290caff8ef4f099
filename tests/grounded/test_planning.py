"""Which question every row asks for: from the row's own generator, evenly over passages, in proportion over splits."""

import json
from collections import Counter
from typing import Any

import pytest
from grounded_corpus import corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.grounded.planning import Passages, plan, split_weights, wanted
from hub_speed.recipe import Questions, Recipe


def recipe(**questions: Any) -> Recipe:
    return Recipe.model_validate({"name": "test", "questions": {"test_rows": 0} | questions})


def planned(count: int, passages: Passages, **questions: Any) -> list[Any]:
    return list(plan(recipe(**questions), passages, count))


@settings(max_examples=10)
@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 7))
def test_more_rows_and_other_rows_change_no_row(count: int, more: int, every: int) -> None:
    passages = Passages(corpus(documents=6))
    few, many = planned(count, passages), planned(count + more, passages)
    assert many[:count] == few
    some = {row.id for row in many[::every]}
    assert list(plan(recipe(), passages, count + more, some.__contains__)) == many[::every]
    assert planned(count, Passages(reversed(corpus(documents=6)))) == few  # the order of the files does not count


def test_passages_take_turns_and_splits_get_their_share() -> None:
    rows = corpus(documents=10)  # of three passages each; 8 documents of train, one of dev, one of test
    found = planned(60, Passages(rows))
    assert Counter(row.positives[0]["split"] for row in found) == {"train": 48, "dev": 6, "test": 6}
    assert set(Counter(row.positives[0]["id"] for row in found).values()) == {2}


def test_test_documents_get_the_least_number_of_questions() -> None:
    counts = {"dev": 100, "test": 100, "train": 800}
    assert split_weights(Questions(rows=1000, test_rows=100), counts) == counts
    for test_rows, share in ((300, 0.3), (5_000, 0.5)):
        found = split_weights(Questions(rows=1000, test_rows=test_rows), counts)
        assert found["test"] / sum(found.values()) == share
        assert found["train"] == 8 * found["dev"]
    assert split_weights(Questions(), {"test": 5}) == {"test": 5}
    assert wanted(Questions(rows=1000, per_passage=4), 20) == 80


def test_kinds_have_the_passages_they_need() -> None:
    passages = Passages(corpus(documents=10))
    for row in planned(200, passages):
        first = row.positives[0]
        near = {each["id"] for each in passages.neighbours(first)}
        assert len(row.positives) == (2 if row.kind == "two_passages" else 1)
        assert (row.negative is not None) == (row.kind == "contrastive")
        other = row.negative or row.positives[-1]
        assert row.kind == "single" or other["id"] in near
        assert {"kind", "style", "language", "audience", "difficulty"} <= json.loads(row.columns()["knobs"]).keys()
        assert ("reasoning" in row.knobs) == (row.kind != "two_passages")
        assert row.columns()["positive_ids"] == [each["id"] for each in row.positives]
        assert all(each["text"] in row.prompt and each["text"] not in row.shown for each in row.positives)


def test_a_document_of_one_passage_gets_questions_about_that_one() -> None:
    alone = [row for row in corpus(documents=5) if row["start"] == 0]
    assert {row.kind for row in planned(40, Passages(alone))} == {"single"}
    doubled = [{**row, "id": f"{row['document']}-{i}", "end": row["end"] + i} for row in alone for i in (1, 2)]
    assert {row.kind for row in planned(40, Passages(doubled))} == {"single"}  # they overlap


@pytest.mark.parametrize("field", ["kinds", "styles", "audiences", "difficulty"])
def test_what_is_drawn_follows_the_weights(field: str) -> None:
    (first, *_) = getattr(Questions(), field)
    rows = planned(30, Passages(corpus(documents=5)), **{field: [first]})
    name = {"kinds": "kind", "styles": "style", "audiences": "audience"}.get(field, field)
    assert {row.knobs[name] for row in rows} == {first}
