"""A line and a power law find what made the scores, and say no more than the runs do."""

import math

import numpy as np
import pytest
from scaling_scores import RUNS, SIZES, law, noise, straight
from scipy import optimize, stats

from hub_speed.evaluation.scaling_curves import (
    Line,
    PowerLaw,
    lack_of_fit,
    log_linear,
    power_law,
)


def test_a_power_law_is_found() -> None:
    found = power_law(SIZES, law(SIZES))
    assert found is not None
    assert found.ceiling == pytest.approx(0.8, abs=0.002)
    assert found.exponent == pytest.approx(0.6, abs=0.03)  # as fine as the grid
    for rows in (150, 1000, 100_000):
        assert found.at(rows) == pytest.approx(float(law(np.array(rows))), abs=0.003)


def test_a_power_law_agrees_with_another_fit_of_noisy_scores() -> None:
    scores = law(RUNS) + noise(0.005)
    found = power_law(RUNS, scores)
    (ceiling, gap, exponent), _ = optimize.curve_fit(
        lambda n, a, b, c: a - b * (n / 600) ** -c, RUNS, scores, p0=(0.8, 0.1, 0.5), maxfev=20_000
    )
    assert found is not None
    errors = [((curve - scores) ** 2).sum() for curve in (ceiling - gap * (RUNS / 600) ** -exponent, at(found))]
    assert errors[1] == pytest.approx(errors[0], rel=0.001)
    assert found.exponent == pytest.approx(exponent, rel=0.06)


def at(curve: PowerLaw | Line) -> np.ndarray:
    return np.array([curve.at(float(n)) for n in RUNS])


def test_saturation_is_where_tenfold_data_gains_just_that() -> None:
    curve = PowerLaw(0.8, 0.1, 0.6, 600)
    saturation = curve.saturation_rows(0.01)
    assert curve.at(10 * saturation) - curve.at(saturation) == pytest.approx(0.01)
    assert Line(0.4, 0.1).saturation_rows(0.01) == math.inf
    assert Line(0.4, 0.001).saturation_rows(0.01) == 0
    assert PowerLaw(0.8, 0.1, 0.02, 1e300).saturation_rows(1e-9) == math.inf  # beyond what a float holds


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        (straight(SIZES), "a line"),
        (0 * SIZES + 0.5, "flat"),
        (1 - straight(SIZES), "falling"),
        ((SIZES > 150) * 0.5, "a step"),
    ],
    ids=["line", "flat", "falling", "step"],
)
def test_scores_that_do_not_bend_have_no_power_law(scores: np.ndarray, why: str) -> None:
    assert power_law(SIZES, scores) is None, why
    assert power_law(SIZES[:2], law(SIZES[:2])) is None


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
    (intercept, slope), _ = optimize.curve_fit(lambda x, a, b: a + b * np.log10(x), rows, scores)
    assert (fit.intercept, fit.slope) == (pytest.approx(intercept), pytest.approx(slope))
    # The interval is that of a line through the means of the four sizes.
    _, covariance = optimize.curve_fit(lambda x, a, b: a + b * np.log10(x), rows[::2], scores.reshape(4, 2).mean(1))
    half = stats.t.ppf(0.975, 2) * math.sqrt(covariance[1, 1])
    assert (fit.low, fit.high) == (pytest.approx(slope - half, rel=1e-4), pytest.approx(slope + half, rel=1e-4))


def test_the_slopes_interval_holds_the_truth_where_sizes_are_off_the_line() -> None:
    """Runs of one size share its distance from the line: intervals that call them independent are far too narrow."""
    hits, independent = 0, 0
    rng = np.random.default_rng(0)
    for _ in range(300):
        scores = straight(RUNS) + np.repeat(rng.normal(0, 0.02, 5), 5) + rng.normal(0, 0.01, 25)
        fit, alone = log_linear(RUNS, scores), stats.linregress(np.log10(RUNS), scores)
        assert fit.low is not None and fit.high is not None
        hits += fit.low <= 0.1 <= fit.high
        independent += abs(alone.slope - 0.1) <= stats.t.ppf(0.975, 23) * alone.stderr
    assert hits / 300 == pytest.approx(0.95, abs=0.03)  # 1.3 points is the standard error
    assert independent / 300 < 0.7


def test_lack_of_fit_is_the_f_test_of_two_nested_models() -> None:
    """Against a direct computation: a mean for every size explains more than a line, or it does not."""
    scores = law(RUNS) + noise(0.01)
    x, dummies = np.log10(RUNS), (RUNS[:, None] == SIZES).astype(float)
    rests = [np.linalg.lstsq(m, scores)[1][0] for m in (np.stack([x, np.ones(25)], axis=1), dummies)]
    f = (rests[0] - rests[1]) / 3 / (rests[1] / 20)
    assert lack_of_fit(RUNS, scores) == (pytest.approx(f), pytest.approx(stats.f.sf(f, 3, 20)))
    assert lack_of_fit(SIZES, law(SIZES)) is None  # one run a size: the noise is unknown
    assert lack_of_fit(RUNS, law(RUNS)) is None  # no noise
    assert lack_of_fit(RUNS[:10], scores[:10]) is None  # two sizes: a line always fits


def test_log_linear_of_few_points() -> None:
    fit = log_linear(np.array([10, 100]), np.array([0.5, 0.6]))
    assert (fit.slope, fit.low, fit.high, fit.n) == (pytest.approx(0.1), None, None, 2)
    with pytest.raises(ValueError, match="two sizes"):
        log_linear(np.array([10, 10, 10]), np.array([0.5, 0.6, 0.7]))
