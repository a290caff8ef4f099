"""Measures agree with their definitions, computed independently."""

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_speed.data_quality import measures
from hub_speed.generation.dedup import shingles
from hub_speed.text import words


@given(st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=6).map(" ".join), min_size=2, max_size=12))
def test_near_pairs_are_those_of_all_pairs_compared_one_by_one(texts: list[str]) -> None:
    sets = [set(shingles(text, measures.NGRAM)) for text in texts]
    expected = {
        (i, j) for (i, a), (j, b) in combinations(enumerate(sets), 2) if len(a & b) >= measures.NEAR * len(a | b)
    }
    first, second = measures.near_pairs(texts)
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == expected


@given(st.lists(st.text("ab cd", max_size=12), min_size=1, max_size=8))
def test_word_vectors_have_length_one_and_those_of_the_same_words_are_the_same(texts: list[str]) -> None:
    embed = measures.word_vectors(texts)
    vectors = embed([*texts, *(" ".join(reversed(t.split())) for t in texts), "zz"]).toarray()
    lengths = np.linalg.norm(vectors, axis=1)
    assert all(np.isclose(length, 1) or length == 0 for length in lengths)
    assert [bool(length) for length in lengths[: len(texts)]] == [bool(text.split()) for text in texts]
    assert np.allclose(vectors[: len(texts)], vectors[len(texts) : -1])
    assert lengths[-1] == 0  # a word it has not seen


def test_rare_words_weigh_more_than_frequent_ones() -> None:
    embed = measures.word_vectors(["the cat", "the dog", "the cow", "the hen"])
    cat, other, the = embed(["the cat", "a cat", "the"]).toarray()
    assert cat @ other > cat @ the > 0


def test_means_are_over_the_task_types_that_both_sets_have() -> None:
    mine = {"by_task_type": {"a": {"overlap": 0.2}, "b": {"overlap": 0.4}, "c": {"overlap": None}}}
    theirs = {"by_task_type": {"a": {"overlap": 0.1}, "c": {"overlap": 0.9}}}
    assert measures.overall(mine)["overlap"] == pytest.approx(0.3)
    assert measures.overall(mine, theirs)["overlap"] == 0.2
    assert measures.overall(theirs, mine)["overlap"] == 0.1
    assert measures.overall(mine)["distinct_1"] is None


@pytest.mark.parametrize(
    ("name", "value", "reference", "expected"),
    [
        ("distinct_2", 0.80, 0.81, "alike"),
        ("distinct_2", 0.70, 0.81, "worse"),
        ("query_variety", 300.0, 200.0, "better"),
        ("query_variety", 220.0, 200.0, "alike"),
        ("in_range", 0.75, 1.0, "worse"),
        ("unrelated", 0.02, 0.0, "worse"),
        ("query_twins", 0.0, 0.0, "alike"),
        ("twins_across_tasks", 0.9, 0.1, ""),
        ("overlap", None, 0.1, ""),
    ],
)
def test_verdicts(name: str, value: float | None, reference: float | None, expected: str) -> None:
    assert measures.verdict(name, value, reference) == expected


@given(st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1).map(" ".join), min_size=1, max_size=12))
def test_similarities_by_words_are_those_of_the_formula(texts: list[str]) -> None:
    counts = [Counter(words(text)) for text in texts]
    frequency = Counter(word for count in counts for word in count)
    weights = [
        {w: (1 + math.log(n)) * (1 + math.log((1 + len(texts)) / (1 + frequency[w]))) for w, n in count.items()}
        for count in counts
    ]
    lengths = [math.hypot(*each.values()) for each in weights]
    vectors = measures.word_vectors(texts)(texts)
    for (i, a), (j, b) in combinations(enumerate(weights), 2):
        expected = sum(a[word] * b.get(word, 0.0) for word in a) / lengths[i] / lengths[j]
        assert (vectors @ vectors.T)[i, j] == pytest.approx(expected, abs=1e-12)
