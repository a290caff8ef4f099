"""Rows in proportion: at every prefix of what is dealt, and in every subset of a set."""

import random
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.mix import deal, drawn, firsts, one_or_mix, shares, subset
from hub_speed.recipe import Recipe

MIXTURE = Recipe(name="x").mixture
WEIGHTS = st.dictionaries(st.sampled_from(list("abcdefgh")), st.floats(0.01, 100) | st.integers(1, 1000), min_size=1)


@given(WEIGHTS, st.integers(0, 300))
def test_every_prefix_holds_the_mix(weights: dict[str, float], count: int) -> None:
    total, dealt = sum(weights.values()), Counter[str]()
    for i, name in enumerate(islice(deal(weights), count), 1):
        dealt[name] += 1
        # Never a whole row too many; never many too few, however the weights are.
        assert all(dealt[n] - weights[n] * i / total < 1 + 1e-9 for n in weights)
        assert all(weights[n] * i / total - dealt[n] < len(weights) for n in weights)
    assert sum(dealt.values()) == count


@given(WEIGHTS, st.integers())
def test_a_name_is_drawn_as_python_draws_it(weights: dict[str, float], seed: int) -> None:
    expected = random.Random(seed).choices(list(weights), list(weights.values()))[0]
    assert drawn(weights, random.Random(seed)) == expected


@given(WEIGHTS, st.integers(0, 100), st.integers(0, 100))
def test_more_rows_keep_the_earlier_ones(weights: dict[str, float], few: int, more: int) -> None:
    assert list(islice(deal(weights), few)) == list(islice(deal(weights), few + more))[:few]


def test_the_papers_mix_is_exact_every_23_rows() -> None:
    dealt = list(islice(deal(MIXTURE), 230))
    for start in range(0, 230, 23):
        assert Counter(dealt[start : start + 23]) == MIXTURE


SETS = st.lists(st.sampled_from("abc"), max_size=40).map(
    lambda kinds: [{"id": i, "task_type": kind} for i, kind in enumerate(kinds)]
)


@settings(max_examples=50)
@given(SETS, st.integers(0, 40), st.integers(0, 40))
def test_a_subset_holds_the_mix_and_lies_in_every_larger_one(rows: list[dict], few: int, more: int) -> None:
    few, more = sorted((few, more))
    small, large = subset(rows, few), subset(rows, more)
    assert len(small) == min(few, len(rows))
    assert all(row in large for row in small)
    assert [row["id"] for row in small] == sorted(row["id"] for row in small)
    there, taken = Counter(row["task_type"] for row in rows), Counter(row["task_type"] for row in small)
    assert all(abs(taken[kind] - there[kind] * len(small) / len(rows)) < 2 for kind in there)
    assert subset(rows, None) == rows


def test_types_that_come_late_are_in_a_subset_as_well() -> None:
    rows = [{"id": i, "task_type": "ab"[i >= 90]} for i in range(100)]
    assert Counter(row["task_type"] for row in subset(rows, 20)) == {"a": 18, "b": 2}
    assert [row["id"] for row in firsts(rows, {"b": 2, "a": 1})] == [0, 90, 91]
    assert shares({"a": 9, "b": 1}, 20) == {"a": 18, "b": 2}


@given(WEIGHTS, st.integers(0, 500))
def test_shares_are_what_is_dealt(weights: dict[str, float], count: int) -> None:
    dealt = Counter(islice(deal(weights), count))
    assert shares(weights, count) == {name: dealt[name] for name in weights}


def test_a_billion_rows_are_shared_at_once() -> None:
    assert shares({"a": 7, "b": 0.5, "c": 2.5}, 10**9 + 1) == {"a": 700_000_001, "b": 50_000_000, "c": 250_000_000}


@pytest.mark.parametrize("text", ["1e3", "1000"])
def test_a_weight_may_be_written_as_a_text(text: str) -> None:
    assert one_or_mix({"a": text, "b": 1}) == {"a": 1000.0, "b": 1.0}
