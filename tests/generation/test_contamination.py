"""Test texts in training rows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.generation.contamination import Match, Row, matches, normalised

TESTS = [
    ("a", "Which river runs through the old town of Passau?"),
    ("a", "Why do cats land on their feet when they fall from a high shelf?"),
    ("b", "A baker in Lyon explains how she bakes bread without any salt at all."),
    ("b", "What is it?"),
]
OTHERS = [
    "The museum opens at nine and closes at five on every day but Monday.",
    "Nobody in the village remembers who built the bridge over the stream.",
    "Cats and dogs can live together when they meet as puppies and kittens.",
    "Salt makes dough less sticky and slows the yeast down a little.",
]


def rows(*texts: str) -> list[Row]:
    """The texts among others, each in a row of its own."""
    return [{"id": f"r{i}", "query": text, "positive": None} for i, text in enumerate([*texts, *OTHERS * 3])]


def found(*texts: str, coverage: float = 0.8) -> list[Match]:
    return list(matches(TESTS, lambda: rows(*texts), coverage))


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [
        (TESTS[0][1], "exact", 0),
        ("WHICH river, runs through the   ｏｌｄ town of Passau", "normalised", 0),
        (f"{OTHERS[0]} {TESTS[1][1]} {OTHERS[1]}", "contained", 1),
        ("Why do cats land on their feet when they tumble from a high shelf?", "near", 1),
        ("How she bakes bread without any salt at all, a baker in Lyon explains.", "near", 2),
    ],
)
def test_a_test_text_is_found_however_it_is_written(text: str, kind: str, number: int) -> None:
    (match,) = found(text)
    assert (match.row, match.column, match.kind, match.set, match.text) == ("r0", "query", kind, *TESTS[number])
    assert match.coverage >= 0.8


@pytest.mark.parametrize(
    "text",
    [
        "What is it?",  # too short
        "Which bridge crosses the old town of Passau?",  # about something else there
        "A baker in Lyon explains why she left Paris.",  # its beginning alone
        "Cats land on shelves, and their feet are high when they fall.",  # the same words, about something else
    ],
)
def test_what_only_looks_like_a_test_text_is_not_found(text: str) -> None:
    assert found(text) == []


def test_a_phrase_that_many_rows_have_says_nothing() -> None:
    opening = "Please read this carefully before you answer as well as you can:"
    tests = [("t", f"{opening} where do storks spend the winter?")]
    many = [f"{opening} {other} {i}" for i in range(6) for other in OTHERS]
    assert list(matches(tests, lambda: rows(*many))) == []
    leak = f"{opening} where do all the storks spend the winter?"
    assert [match.row for match in matches(tests, lambda: rows(leak, *many))] == ["r0"]
    greeting = "Thank you so much for all of your help"  # a whole test text that everybody writes
    assert list(matches([("t", greeting)], lambda: rows(*[greeting] * 12))) == []


def test_every_column_is_looked_at_also_those_of_lists() -> None:
    text = TESTS[2][1]
    looked_at = [
        {"query": "x", "positive": "y", "negative": text},
        {"id": "n", "query": "x", "positives": ["y", text], "answer": text},
        {"id": "m", "query": "x", "negatives": [text.upper()]},
        *rows(),
    ]
    places = [(match.row, match.column) for match in matches(TESTS, lambda: looked_at)]
    assert places == [("row 0", "negative"), ("n", "positives"), ("m", "negatives")]


def test_nothing_is_found_where_there_is_nothing() -> None:
    assert list(matches([], lambda: rows())) == []
    assert list(matches(TESTS, list)) == []
    assert list(matches([("t", "short")], lambda: rows("short"))) == []


WORDS = st.sampled_from("amber basil cedar delta ember fjord grove heron ivory jolly 河 川 山".split())


@given(st.lists(st.lists(WORDS, min_size=5, max_size=9).map(" ".join), min_size=1, max_size=4), st.data())
@settings(max_examples=30)
def test_a_whole_test_text_that_is_rare_is_always_found(tests: list[str], data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(tests))
    others = [{"id": f"o{i}", "query": f"entirely different words number {i} here"} for i in range(300)]
    leak = {"id": "leak", "query": data.draw(st.sampled_from([text, text.upper(), f"¡{text}!"]))}
    (match,) = matches([("t", one) for one in tests], lambda: [*others, leak])
    assert match.row == "leak" and normalised(match.text) == normalised(text) and match.coverage == 1
