"""Duplicates are found and nothing else is; intervals, fits and scores agree with an independent computation."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from hub_speed.evaluation.intervals import (
    bootstrap_mean,
    bootstrap_spearman,
    ndcg_at_10,
    resampled_means,
    resampled_spearman,
    wilson,
)
from hub_speed.evaluation.scaling_law import log_linear
from hub_speed.generation.dedup import exact_duplicates, near_duplicates, shingles

# --- duplicates -----------------------------------------------------------------------------------------------------


def row(row_id: int, query: str, positive: str) -> dict[str, str]:
    return {"id": f"{row_id:05d}", "query": query, "positive": positive}


TEXT = st.sampled_from(["a", "b", "A", "a ", "c d"])


@given(st.lists(st.tuples(TEXT, TEXT), max_size=20))
def test_exact_duplicates_name_the_first_of_their_kind(pairs: list[tuple[str, str]]) -> None:
    rows = [row(i, *pair) for i, pair in enumerate(pairs)]
    expected = [
        (f"{i:05d}", f"same as {pairs.index(pair):05d}") for i, pair in enumerate(pairs) if pairs.index(pair) != i
    ]
    assert list(exact_duplicates(rows)) == expected


def text(rng: random.Random, length: int = 60) -> list[str]:
    return [f"w{rng.randrange(5000)}" for _ in range(length)]


def jaccard(a: str, b: str) -> float:
    x, y = set(shingles(a, 3)), set(shingles(b, 3))
    return len(x & y) / len(x | y)


def test_near_duplicates_are_those_that_share_most_word_runs() -> None:
    rng = random.Random(3)
    originals = [" ".join(text(rng)) for _ in range(300)]
    rows = [row(i, original, "answer one two three") for i, original in enumerate(originals)]
    close, far = {}, {}
    for i in range(100):  # one word of 60 changed: still much alike; every sixth word changed: not
        parts = originals[i].split()
        rows.append(row(1000 + i, " ".join([*parts[:-1], "other"]), "answer one two three"))
        close[rows[-1]["id"]] = f"like {i:05d}"
        rows.append(
            row(2000 + i, " ".join("other" if k % 6 == 0 else w for k, w in enumerate(parts)), "answer one two three")
        )
        far[rows[-1]["id"]] = i
    found = dict(near_duplicates(rows, 0.8, 128, 3))
    assert not set(found) & set(far)
    assert len(set(found) & set(close)) >= 98  # an estimate: MinHash misses some
    assert all(close[row_id] == why for row_id, why in found.items())
    assert set(found) <= set(close)
    joined = {r["id"]: f"{r['query']} {r['positive']}" for r in rows}
    assert min(jaccard(joined[row_id], joined[why[5:]]) for row_id, why in found.items()) > 0.8


def test_the_first_is_kept_whatever_comes_after() -> None:
    rng = random.Random(1)
    base = " ".join(text(rng))
    rows = [row(i, base, "same") for i in (5, 3, 9)] + [row(7, " ".join(text(rng)), "same")]
    assert list(near_duplicates(rows, 0.9, 128, 3)) == [("00003", "like 00005"), ("00009", "like 00005")]
    assert list(near_duplicates([], 0.9, 128, 3)) == []


def test_another_answer_to_the_same_query_is_no_duplicate() -> None:
    rng = random.Random(2)
    query, one, two = "what is it", " ".join(text(rng)), " ".join(text(rng))
    assert list(near_duplicates([row(0, query, one), row(1, query, two)], 0.9, 128, 3)) == []
    assert (
        list(near_duplicates([row(0, one, "yes"), row(1, one.upper() + "!", "Yes")], 0.9, 128, 3)) != []
    )  # only words count


def test_shorter_n_grams_forgive_more() -> None:
    words = " ".join(text(random.Random(5))).split()
    changed = ["other" if i % 12 == 0 else word for i, word in enumerate(words)]  # of 12 words, or of 12 three-grams, 3
    rows = [row(0, " ".join(words), "x"), row(1, " ".join(changed), "x")]
    assert [len(list(near_duplicates(rows, 0.7, 256, size))) for size in (1, 3)] == [1, 0]


@pytest.mark.parametrize("permutations", [16, 64, 100, 128, 256])
def test_any_number_of_permutations_a_recipe_allows(permutations: int) -> None:
    rng = random.Random(4)
    rows = [row(i, " ".join(text(rng)), "x") for i in range(50)] * 2
    rows = [r | {"id": f"{i:05d}"} for i, r in enumerate(rows)]
    assert [row_id for row_id, _ in near_duplicates(rows, 0.9, permutations, 3)] == [f"{i:05d}" for i in range(50, 100)]


@given(st.text(max_size=60))
def test_shingles_cover_every_word(value: str) -> None:
    found = shingles(value, 3)
    assert found
    assert all(len(run.split()) <= 3 for run in found)


def test_shingles() -> None:
    assert shingles("The cat sat, on the mat.", 3) == ["the cat sat", "cat sat on", "sat on the", "on the mat"]
    assert shingles("The cat", 3) == ["the cat"]
    assert shingles("", 3) == [""] == shingles("", 1)


# --- intervals ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 3000), st.data())
def test_wilson_is_where_the_score_test_turns(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    low, high = wilson(successes, n)
    expected = stats.binomtest(successes, n).proportion_ci(0.95, "wilson")
    assert (low, high) == (pytest.approx(expected.low, abs=1e-9), pytest.approx(expected.high, abs=1e-9))
    assert 0 <= low <= successes / n + 1e-12
    assert successes / n - 1e-12 <= high <= 1


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


# --- fits and scores ------------------------------------------------------------------------------------------------


def test_log_linear_finds_the_line() -> None:
    rows = np.array([100, 1000, 10_000, 100_000])
    fit = log_linear(rows, 0.1 + 0.05 * np.log10(rows))
    assert (fit.intercept, fit.slope, fit.r_squared, fit.n) == (
        pytest.approx(0.1),
        pytest.approx(0.05),
        pytest.approx(1.0),
        4,
    )
    assert fit.low == pytest.approx(0.05)
    assert fit.high == pytest.approx(0.05)


def test_log_linear_agrees_with_another_fit_of_noisy_scores() -> None:
    rng = np.random.default_rng(1)
    rows = np.repeat([150, 300, 600, 1200], 2)
    scores = 0.2 + 0.1 * np.log10(rows) + rng.normal(0, 0.01, 8)
    fit = log_linear(rows, scores)
    (intercept, slope), covariance = optimize.curve_fit(lambda x, a, b: a + b * np.log10(x), rows, scores)
    half = stats.t.ppf(0.975, 6) * math.sqrt(covariance[1, 1])
    assert (fit.intercept, fit.slope) == (pytest.approx(intercept), pytest.approx(slope))
    assert (fit.low, fit.high) == (pytest.approx(slope - half, rel=1e-4), pytest.approx(slope + half, rel=1e-4))


def test_log_linear_of_few_points() -> None:
    fit = log_linear(np.array([10, 100]), np.array([0.5, 0.6]))
    assert (fit.slope, fit.low, fit.high, fit.n) == (pytest.approx(0.1), None, None, 2)
    with pytest.raises(ValueError, match="two sizes"):
        log_linear(np.array([10, 10, 10]), np.array([0.5, 0.6, 0.7]))


@given(gains=st.lists(st.integers(0, 3), min_size=2, max_size=30).filter(any))
def test_ndcg_agrees_with_scikit_learn(gains: list[int]) -> None:
    ranking = [f"d{i}" for i in range(len(gains))]
    relevant = {doc: gain for doc, gain in zip(ranking, gains, strict=True) if gain}
    expected = pytest.importorskip("sklearn.metrics").ndcg_score([gains], [list(range(len(gains), 0, -1))], k=10)
    assert ndcg_at_10(ranking, relevant) == pytest.approx(expected)


def test_ndcg_by_hand() -> None:
    assert ndcg_at_10(["a", "b", "c"], {"b": 1}) == pytest.approx(1 / math.log2(3))
    assert ndcg_at_10(["x"] * 10 + ["a"], {"a": 1}) == 0.0
    assert ndcg_at_10(["a"], {"a": 1, "missed": 1}) == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert ndcg_at_10([], {"a": 1}) == 0.0
    assert ndcg_at_10(["a"], {}) == 0.0


def test_samples_of_many_values_are_drawn_some_at_a_time() -> None:
    values = np.random.default_rng(1).random(300_000)
    means = resampled_means(values, 50)
    assert len(means) == 50 and len(set(means)) == 50
    assert means.mean() == pytest.approx(values.mean(), abs=1e-3)
    assert means.std() == pytest.approx(values.std() / len(values) ** 0.5, rel=0.4)
