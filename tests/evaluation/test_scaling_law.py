"""Both forms of the scaling law find what made the scores, say no more than the runs do, and take any input."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scaling_scores import RUNS, SIZES, law, noise, straight

from hub_speed.evaluation.scaling_curves import PowerLaw, log_linear
from hub_speed.evaluation.scaling_law import (
    AHEAD,
    FAR,
    by_measure,
    compare,
    shared,
)
from hub_speed.evaluation.scaling_sentences import describe


def test_the_form_that_made_the_scores_wins_where_it_can_be_told() -> None:
    found = compare(RUNS, law(RUNS) + noise(0.001), 0.01)
    assert (found["best"], found["distinguishable"]) == ("power law", True)
    said = " ".join(describe("nDCG@10", found))
    assert "The power law predicts the held-out size better." in said
    assert "At 24,000 rows the power law predicts" in said and "rows the log-linear line predicts" not in said
    form = found["forms"]["power law"]
    assert form["forecast"] == pytest.approx(float(law(np.array(24_000.0))), abs=0.005)
    assert form["forecast_span"][0] < float(law(np.array(24_000.0))) < form["forecast_span"][1]
    truth = PowerLaw(0.8, 4.0, 0.6, 1).saturation_rows(0.01)
    assert form["saturation_span"][0] < truth < form["saturation_span"][1]


def test_what_cannot_be_distinguished_is_not() -> None:
    """Noisy scores on a line: neither form is said to be the better, and both forecasts are shown."""
    verdicts = []
    for seed in range(6):
        found = compare(RUNS, straight(RUNS) + noise(0.01, seed), 0.01)
        said = " ".join(describe("nDCG@10", found))
        verdicts.append(found["distinguishable"])
        if found["best"] and not found["distinguishable"]:
            assert "do not distinguish" in said and said.count("At 24,000 rows") == 2
    assert sum(verdicts) <= 1


def test_the_forecast_holds_what_comes() -> None:
    """The log-linear's forecast for ten times the rows, on scores that are log-linear: about 95 of 100 times."""
    hits = 0
    truth = float(straight(np.array(24_000.0)))
    for seed in range(20):
        span = compare(RUNS, straight(RUNS) + noise(0.01, seed), 0.01)["forms"]["log-linear"]["forecast_span"]
        hits += span[0] <= truth <= span[1]
    assert hits >= 17


def test_few_sizes_and_few_seeds() -> None:
    two = compare(np.array([6.0, 12]), np.array([0.1, 0.2]), 0.01)
    assert (two["low"], two["best"], two["distinguishable"], list(two["forms"])) == (None, None, False, ["log-linear"])
    form = two["forms"]["log-linear"]
    assert (form["predicted"], form["forecast_span"], form["saturation_span"]) == (None, None, None)
    assert "no interval: too few sizes" in " ".join(describe("x", two))
    one_seed = compare(SIZES, law(SIZES), 0.01)
    assert one_seed["best"] == "power law" and not one_seed["distinguishable"]  # nothing says how far chance goes
    with pytest.raises(ValueError, match="two sizes"):
        compare(np.array([6.0, 6]), np.array([0.1, 0.2]), 0.01)


def test_a_forecast_is_a_score() -> None:
    found = compare(RUNS, np.clip(0.2 * np.log10(RUNS) + 0.2, 0, 1), 0.01)
    assert found["forms"]["log-linear"]["forecast"] == 1.0
    assert found["forms"]["log-linear"]["saturation_rows"] is None  # a line never saturates
    assert "a line gains the same from every tenfold increase, no less than 0.01" in " ".join(describe("x", found))


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(2, 10**7), st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])), min_size=2, max_size=8
    ).filter(lambda runs: len({size for size, _ in runs}) > 1)
)
def test_any_runs_give_finite_numbers_and_whole_sentences(runs: list[tuple[int, float]]) -> None:
    rows, scores = (np.array(column, dtype=float) for column in zip(*runs, strict=True))
    found = compare(rows, scores, 0.01)
    json.dumps(found, allow_nan=False)
    for form in found["forms"].values():
        assert 0 <= form["forecast"] <= 1
        if form["saturation_rows"] is not None:
            assert 0 <= form["saturation_rows"] <= FAR * rows.max()
        if form["forecast_span"]:
            assert -1 <= form["forecast_span"][0] <= form["forecast_span"][1] <= 2
    said = describe("nDCG@10", found)
    assert said and not any(word in " ".join(said) for word in ("nan", "inf ", "None", "e+"))
    assert f"{AHEAD * int(rows.max()):,} rows" in " ".join(said) or all(
        form["holdout_rejected"] for form in found["forms"].values()
    )


def test_the_line_alone_is_as_before() -> None:
    scores = straight(RUNS) + noise(0.01)
    found, alone = compare(RUNS, scores, 0.01), log_linear(RUNS, scores)
    curve = found["forms"]["log-linear"]["curve"]
    assert (curve["intercept"], curve["slope"]) == (pytest.approx(alone.intercept), pytest.approx(alone.slope))
    assert (found["slope"], found["low"], found["high"]) == (alone.slope, alone.low, alone.high)


def test_a_miss_beyond_chance_is_said_to_be_one() -> None:
    """Scores that grow faster and faster: the line is said not to hold, and no law that levels off is made up."""
    found = compare(RUNS, 0.7 + 0.1 * (RUNS / 2400) ** 2 + noise(0.003), 0.01)
    said = " ".join(describe("nDCG@10", found))
    assert list(found["forms"]) == ["log-linear"] and found["best"] is None
    assert "the scores do not level off" in said and "mispredicts the largest size" in said
    fits = " ".join(describe("nDCG@10", compare(RUNS, straight(RUNS) + noise(0.01), 0.01)))
    assert "within noise" in fits
    assert "the scores do not grow" in " ".join(describe("x", compare(RUNS, 1 - straight(RUNS), 0.01)))


def test_benchmarks_of_one_measure_are_averaged_in_each_run() -> None:
    runs = [
        {"rows": size, "rng_seed": seed, "measure": "m", "benchmark": name, "value": 0.1 * np.log10(size) + shift}
        for size in (10, 100, 1000)
        for seed in (0, 1)
        for name, shift in (("a", 0.1), ("b", 0.3))
    ]
    found = by_measure(runs, 0.01)
    assert list(found) == ["m"] and found["m"]["n"] == 6
    assert (found["m"]["slope"], found["m"]["intercept"]) == (pytest.approx(0.1), pytest.approx(0.2))


def test_a_benchmark_that_one_run_lacks_is_in_no_fit() -> None:
    """Else a run that lacks an easy benchmark would look worse than the others."""
    runs = [
        {"rows": size, "rng_seed": 0, "measure": "m", "benchmark": name, "value": 0.1 * np.log10(size) + shift}
        for size in (10, 100, 1000)
        for name, shift in (("a", 0.1), ("easy", 0.6))
        if (size, name) != (1000, "easy")
    ]
    assert {run["benchmark"] for run in shared(runs)} == {"a"} and len(shared(runs)) == 3
    assert by_measure(runs, 0.01)["m"]["slope"] == pytest.approx(0.1)


def test_a_line_that_does_not_fit_is_said_not_to() -> None:
    bent, flat = compare(RUNS, law(RUNS) + noise(0.005), 0.01), compare(RUNS, straight(RUNS) + noise(0.01), 0.01)
    assert bent["lacks_fit"] and "Lack of fit" in " ".join(describe("x", bent))
    assert not flat["lacks_fit"] and "Lack of fit" not in " ".join(describe("x", flat))
    assert "p < 0.001" in " ".join(describe("x", bent))
