"""Intervals of effects hold the truth about as often as they say, and verdicts say what the intervals support."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from hub_speed.evaluation.intervals import resampled_means
from hub_speed.study.effects import Effect, Scored, effect, interval, mean_interval, sentence, summary, verdict

TRUTH = 0.02


def covered(seeds: int, of_seed: float, of_item: float, *, with_items: bool, trials: int = 150) -> float:
    """How often the interval holds the truth, for differences with these spreads over seeds and over 100 questions."""
    hits = 0
    for k in range(trials):
        rng = np.random.default_rng(k)
        table = TRUTH + rng.normal(0, of_seed, (seeds, 1)) + rng.normal(0, of_item, (1, 100))
        table = table + rng.normal(0, 0.1, (seeds, 100))
        resampled = resampled_means(table.mean(0), 2000) if with_items else np.empty(0)
        low, high = interval(table.mean(1), resampled) or (1, 0)
        hits += low <= TRUTH <= high
    return hits / trials


@pytest.mark.parametrize(
    ("seeds", "of_seed", "of_item"), [(2, 0.03, 0.2), (3, 0.03, 0.0), (3, 0.03, 0.2), (5, 0.0, 0.2)]
)
def test_the_interval_holds_the_truth_of_new_seeds_and_new_questions(
    seeds: int, of_seed: float, of_item: float
) -> None:
    assert covered(seeds, of_seed, of_item, with_items=True) >= 0.91  # of 150: 0.95 within two standard errors


def test_without_questions_it_holds_the_truth_of_new_seeds_on_these_questions() -> None:
    assert covered(3, 0.03, 0.0, with_items=False, trials=600) == pytest.approx(0.95, abs=0.025)


def test_seeds_alone_are_the_t_interval() -> None:
    differences = np.array([0.01, 0.03, 0.02])
    low, high = interval(differences, np.empty(0)) or (0, 0)
    half = 4.302653 * 0.01 / np.sqrt(3)
    assert (low, high) == (pytest.approx(0.02 - half), pytest.approx(0.02 + half))
    mean, found = mean_interval(differences)
    assert (mean, found) == (pytest.approx(0.02), pytest.approx(half))
    assert mean_interval(np.array([0.5])) == (0.5, None)


def test_where_chance_is_not_known_there_is_no_interval() -> None:
    assert interval(np.array([0.1]), np.empty(0)) is None  # one seed
    assert interval(np.array([0.1, 0.1]), np.empty(0)) is None  # the seed changes nothing
    assert interval(np.array([0.0, 0.0]), np.empty(0)) == (0.0, 0.0)  # the value changes nothing


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6), st.floats(0.5, 0.999))
def test_a_surer_interval_is_wider_and_holds_the_mean(differences: list[float], level: float) -> None:
    values = np.array(differences)
    found, surer = interval(values, np.empty(0), level), interval(values, np.empty(0), 0.9999)
    if found and surer:
        assert surer[0] <= found[0] <= values.mean() + 1e-12 and values.mean() - 1e-12 <= found[1] <= surer[1]


# --- verdicts and words ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((0.001, 0.2), "supported"),
        ((-0.2, -0.001), "supported"),
        ((-0.009, 0.008), "indistinguishable"),
        ((-0.009, 0.02), "unclear"),
        ((-0.2, 0.2), "unclear"),
        ((0.0, 0.005), "indistinguishable"),
        (None, "unclear"),
    ],
)
def test_a_verdict_is_what_the_interval_supports(found: tuple[float, float] | None, expected: str) -> None:
    assert verdict(found, 0.01) == expected


def runs(scores: list[float], items: int = 0) -> list[Scored]:
    """Runs with these scores; with items, each a mean of so many questions."""
    spread = np.linspace(-0.1, 0.1, items) if items else np.empty(0)
    return [Scored(s, {f"q{i}": s + float(d) for i, d in enumerate(spread)} if items else None) for s in scores]


def found(value: list[float], reference: list[float], comparisons: int = 1, items: int = 0) -> Effect:
    names = ("senior.dpo_beta", "0.3", "0.1", "nDCG@10", "b")
    value_runs, reference_runs = ([[run] for run in runs(scores, items)] for scores in (value, reference))
    return effect(names, value_runs, reference_runs, margin=0.01, comparisons=comparisons)


def test_supported_says_better_or_worse_and_whether_it_stands_among_many() -> None:
    one = found([0.6, 0.62, 0.64], [0.5, 0.521, 0.539])
    assert (one.verdict, one.holds) == ("supported", True)
    assert "**supported**, better than 0.1" in sentence(one, 0.01) and "comparisons" not in sentence(one, 0.01)
    assert summary([one]) == "Supported: 0.3 (nDCG@10) better than 0.1."
    many = found([0.52, 0.54, 0.555], [0.5, 0.521, 0.53], comparisons=50)
    assert (many.verdict, many.holds) == ("supported", False)
    assert "no longer after correcting for all comparisons" in sentence(many, 0.01)
    worse = found([0.5, 0.521, 0.539], [0.6, 0.62, 0.64])
    assert "**supported**, worse than 0.1" in sentence(worse, 0.01)


def test_indistinguishable_names_the_margin() -> None:
    same = found([0.5, 0.6, 0.7], [0.5005, 0.5995, 0.7])
    assert same.verdict == "indistinguishable"
    assert "any difference is smaller than 0.01" in sentence(same, 0.01)
    assert summary([same]).startswith("All values are indistinguishable from 0.1")


def test_unclear_claims_nothing() -> None:
    wide, single = found([0.5, 0.6, 0.9], [0.5, 0.7, 0.6]), found([0.9], [0.5])
    assert (wide.verdict, single.verdict, single.low) == ("unclear", "unclear", None)
    assert "the difference may be zero, or larger than 0.01" in sentence(wide, 0.01)
    assert "no interval: one seed" in sentence(single, 0.01)
    assert "still allow differences that matter" in summary([wide])
    for text in (sentence(wide, 0.01), sentence(single, 0.01), summary([wide, single])):
        assert "better" not in text and "worse" not in text


def test_questions_count_only_where_the_score_is_made_of_them() -> None:
    with_items = found([0.6, 0.62, 0.64], [0.5, 0.521, 0.539], items=50)
    assert with_items.items == 50
    values, gold = {"a": 0.1, "b": 0.2, "c": 0.3}, {"a": 1.0, "b": 3.0, "c": 2.0}
    names = ("f", "1", "2", "Spearman", "b")

    def items(*pair: Scored) -> int:
        return effect(names, [[pair[0]]] * 2, [[pair[1]]] * 2, margin=0.01, comparisons=1).items

    assert items(Scored(0.5, values, gold), Scored(0.5, values, gold)) == 3
    assert items(Scored(0.5, values, gold), Scored(0.9, values, gold)) == 0  # not their correlation
    assert items(Scored(0.5, values), Scored(0.5, values)) == 0  # nor their mean
    assert items(Scored(0.2, values), Scored(0.2, values)) == 3
    assert items(Scored(0.5, values, gold), Scored(0.2, values)) == 0
    assert items(Scored(0.15, {"a": 0.1, "b": 0.2}), Scored(0.1, {"a": 0.1})) == 0
    with pytest.raises(ValueError, match="pair"):
        effect(names, [], [], margin=0.01, comparisons=1)


def correlated(rng: np.random.Generator, gold: np.ndarray, shift: np.ndarray) -> list[Scored]:
    """A run on each of two benchmarks: cosines that follow the gold scores, with noise of its own and of the pairs."""
    values = gold + shift + rng.normal(0, 0.1, gold.shape)
    return [
        Scored(float(spearmanr(v, g).statistic), *({str(i): float(x) for i, x in enumerate(each)} for each in (v, g)))
        for v, g in zip(values, gold, strict=True)
    ]


def test_the_interval_of_a_spearman_difference_holds_the_truth_of_new_pairs() -> None:
    """Two settings that are equally good on all pairs there are: on 60 of them one looks better, by chance."""
    hits, alone = 0, 0
    for k in range(100):
        rng = np.random.default_rng(k)
        gold = np.round(rng.normal(0, 1, (2, 60)), 1)
        shifts = rng.normal(0, 1, (2, *gold.shape))
        value, reference = ([correlated(rng, gold, shift) for _ in range(3)] for shift in shifts)
        whole = effect(("f", "1", "2", "Spearman", "b"), value, reference, margin=0.01, comparisons=1)
        bare = [[[Scored(s.score) for s in run] for run in runs] for runs in (value, reference)]
        seeds = effect(("f", "1", "2", "Spearman", "b"), *bare, margin=0.01, comparisons=1)
        assert (whole.items, seeds.items) == (120, 0) and whole.difference == seeds.difference
        hits += whole.low is not None and whole.high is not None and whole.low <= 0 <= whole.high
        alone += seeds.low is not None and seeds.high is not None and seeds.low <= 0 <= seeds.high
    assert hits >= 90 and alone < 60  # the seeds' chance alone holds it far too seldom


def test_questions_widen_the_interval_by_their_own_chance() -> None:
    rng = np.random.default_rng(0)
    seeds, items = np.array([0.02, 0.021, 0.019]), rng.normal(0.02, 0.3, 200)
    alone, both = interval(seeds, np.empty(0)), interval(seeds, resampled_means(items, 2000))
    assert alone and both
    assert both[1] - both[0] > 10 * (alone[1] - alone[0])
