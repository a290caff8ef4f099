"""Intervals and scores agree with an independent computation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hub_speed.evaluation.intervals import (
    bootstrap_mean,
    bootstrap_spearman,
    ndcg_at_10,
    resampled_means,
    resampled_spearman,
    wilson,
)


@given(st.integers(1, 3000), st.data())
def test_wilson_is_where_the_score_test_turns(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    low, high = wilson(successes, n)
    z, share = 1.959963984540054, successes / n
    for bound in (low, high):  # the score test rejects beyond these shares: they solve its equation
        assert (share - bound) ** 2 == pytest.approx(z * z * bound * (1 - bound) / n, abs=1e-12)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1


def test_wilson_of_nothing_is_everything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_bootstrap_mean_agrees_with_the_normal_interval_of_many_values() -> None:
    values = np.random.default_rng(0).normal(0.6, 0.2, 400)
    low, high = bootstrap_mean(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - half, abs=0.004)
    assert high == pytest.approx(values.mean() + half, abs=0.004)
    assert bootstrap_mean(values) == (low, high)
    assert bootstrap_mean(values, seed=1) != (low, high)
    assert bootstrap_mean(np.ones(5)) == (1.0, 1.0)


def test_bootstrap_spearman_agrees_with_fishers_interval() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=300)
    b = a + rng.normal(size=300)
    low, high = bootstrap_spearman(a, b, rounds=400)
    z, half = math.atanh(stats.spearmanr(a, b).statistic), 1.96 * 1.03 / math.sqrt(297)
    assert low == pytest.approx(math.tanh(z - half), abs=0.03)
    assert high == pytest.approx(math.tanh(z + half), abs=0.03)


def test_spearman_of_a_sample_is_that_of_scipy_ties_and_all_in_samples_that_all_rows_share() -> None:
    rng = np.random.default_rng(3)
    gold = rng.integers(0, 6, 57).astype(float)
    several = np.round(rng.normal(size=(3, 57)) + 0.3 * gold, 1)
    found, again = resampled_spearman(several, gold, 40, seed=5), np.random.default_rng(5)
    for k in range(40):
        drawn = again.integers(0, 57, 57)
        expected = [stats.spearmanr(row[drawn], gold[drawn]).statistic for row in several]
        assert found[:, k] == pytest.approx(expected, abs=1e-12)
    many = rng.random((1, 300_000))  # some samples at a time
    few = resampled_spearman(many, many[0] + rng.normal(size=300_000), 8)
    assert few.shape == (1, 8) and len(set(few[0])) == 8
    assert few[0] == pytest.approx(stats.spearmanr(many[0], many[0]).statistic * 0.268, abs=0.02)
    assert np.isnan(resampled_spearman(np.ones((1, 5)), np.arange(5.0), 3)).all()  # nothing to rank


def by_formula(scores: dict[str, float], relevant: dict[str, int]) -> float:
    """nDCG@10 as its definition says, ties broken by name, falling."""
    ranking = sorted(scores, key=lambda name: (scores[name], name), reverse=True)
    gains = [relevant.get(name, 0) for name in ranking], sorted(relevant.values(), reverse=True)
    dcg, best = (sum(gain / math.log2(i + 2) for i, gain in enumerate(each[:10])) for each in gains)
    return dcg / best if best else 0.0


NAMES = st.sampled_from([f"d{i}" for i in range(25)])


@given(st.dictionaries(NAMES, st.integers(0, 4).map(float)), st.dictionaries(NAMES, st.integers(0, 3), min_size=1))
def test_ndcg_is_that_of_the_formula_ties_and_all(scores: dict[str, float], relevant: dict[str, int]) -> None:
    assert ndcg_at_10({"q": scores}, {"q": relevant})["q"] == pytest.approx(by_formula(scores, relevant), abs=1e-12)


def test_ndcg_by_hand() -> None:
    def of(ranking: list[str], relevant: dict[str, int]) -> float:
        return ndcg_at_10({"q": {name: -float(i) for i, name in enumerate(ranking)}}, {"q": relevant})["q"]

    assert of(["a", "b", "c"], {"b": 1}) == pytest.approx(1 / math.log2(3))
    assert of([f"x{i}" for i in range(10)] + ["a"], {"a": 1}) == 0.0
    assert of(["a"], {"a": 1, "missed": 1}) == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert of([], {"a": 1}) == 0.0
    assert ndcg_at_10({"q": {"a": 1.0}}, {}) == {}  # nothing to find: mteb leaves such a query out as well


def test_samples_of_many_values_are_drawn_some_at_a_time() -> None:
    values = np.random.default_rng(1).random(300_000)
    means = resampled_means(values, 50)
    assert len(means) == 50 and len(set(means)) == 50
    assert means.mean() == pytest.approx(values.mean(), abs=1e-3)
    assert means.std() == pytest.approx(values.std() / len(values) ** 0.5, rel=0.4)
