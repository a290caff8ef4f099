"""How a score grows with the number of rows: both forms of `scaling_curves` fitted, compared, and forecasts.

SPEED (§4.4) says log-linear and fits nothing. Here both forms are fitted by least squares over all runs, and each must
predict the score of the held-out largest size from the smaller sizes.

Runs of one size are not independent around a curve: they share how far this size is from it. The sizes, not the runs,
are therefore the sample: the slope's interval is that of a line through the means of the sizes (t distribution), and
an F test says whether these are further from the line than the noise of the runs explains. Intervals of forecasts come
from a two-level residual bootstrap: residuals of the sizes from the curve, and of the runs from the mean of their size.
`scripts/check_intervals.py` measures how often these intervals hold the truth. None includes the noise of the
benchmark's items, which all runs share.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from hub_speed.evaluation.scaling_curves import Curve, line, log_linear, means_by_size, power_law

AHEAD = 10  # forecasts are for this many times the largest size
FAR = 1000  # sizes beyond this many times the largest are not reported: too far from any run. Assumption
ROUNDS = 400
LACK_OF_FIT = 0.05  # the usual level: below this p of the F test, a line is said not to fit

Form = Literal["log-linear", "power law"]
Span = tuple[float, float]

LEAST_GAIN = 0.01
"""Score that ten times the rows must bring to be worth it. Assumption"""


FITS: dict[Form, Callable[[np.ndarray, np.ndarray], Curve | None]] = {"log-linear": line, "power law": power_law}
PARAMETERS: dict[Form, int] = {"log-linear": 2, "power law": 3}


@dataclass(frozen=True)
class Fitted:
    """One form fitted to one measure; None where the runs do not determine a value.

    Attributes:
        curve: its parameters.
        error: root mean square of the residuals.
        predicted: the largest size's score, predicted from the smaller sizes alone.
        missed: `predicted` less the mean score measured there, and its 95% interval over the noise of the runs.
        holdout_rejected: the error is larger than noise and than `least_gain`: there is no forecast from this form.
        forecast: the score at AHEAD times the largest size, between 0 and 1, and its 95% interval.
        saturation_rows: rows beyond which tenfold data gains less than `LEAST_GAIN`, and the 95%
            interval; 0 is "at any size", None "not within FAR times the largest size".
    """

    curve: dict[str, Any]
    error: float
    predicted: float | None
    missed: float | None
    missed_span: Span | None
    holdout_rejected: bool
    forecast: float
    forecast_span: Span | None
    saturation_rows: float | None
    saturation_span: tuple[float | None, float | None] | None


def by_measure(runs: Sequence[dict[str, Any]], least_gain: float) -> dict[str, dict[str, Any]]:
    """Measure → the result of `compare` for `rows.ScalingRow`s, on each run's mean over the benchmarks of `shared`."""
    found = {}
    runs = shared(runs)
    for measure in dict.fromkeys(run["measure"] for run in runs):
        scores: dict[tuple[int, int], list[float]] = {}
        for run in runs:
            if run["measure"] == measure:
                scores.setdefault((run["rows"], run["rng_seed"]), []).append(run["value"])
        sizes = np.array([size for size, _ in scores], dtype=float)
        found[measure] = compare(sizes, np.array([np.mean(values) for values in scores.values()]), least_gain)
    return found


def shared(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The scores on the benchmarks that every size and seed was scored on; means over others are not comparable."""
    seen: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for run in runs:
        seen.setdefault((run["measure"], run["benchmark"]), set()).add((run["rows"], run["rng_seed"]))
    every = set().union(*seen.values())
    return [run for run in runs if seen[run["measure"], run["benchmark"]] == every]


def compare(rows: np.ndarray, scores: np.ndarray, least_gain: float) -> dict[str, Any]:
    """Both forms on one measure, which one predicts better, and whether the runs distinguish them.

    Args:
        rows: size of each run.
        scores: its score.
        least_gain: the gain that makes tenfold data worthwhile.

    Returns:
        The fields of `LogLinear`; `lacks_fit` (whether the F test finds that a line does not fit), `forms` (form →
        fields of `Fitted`, without forms that cannot be fitted), `best` (the form with the smaller held-out error, or
        None), `distinguishable`, `sizes` (how many), `largest` and `least_gain`. Every number is finite.

    Raises:
        ValueError: fewer than two different sizes.
    """
    slope = log_linear(rows, scores)
    misses = {name: _misses(name, rows, scores) for name in FITS}
    forms = {
        name: _fitted(name, curve, rows, scores, least_gain, misses[name]) for name, curve in _curves(rows, scores)
    }
    missed = {name: abs(form.missed) for name, form in forms.items() if form.missed is not None}
    best = sorted(missed, key=missed.__getitem__)[0] if len(missed) == len(FITS) else None
    distinguishable = False
    if best and len(misses["power law"]) and len(misses["log-linear"]):
        low, high = _span(np.abs(misses["log-linear"]) - np.abs(misses["power law"]))
        distinguishable = not low <= 0 <= high
    return asdict(slope) | {
        "lacks_fit": slope.p is not None and slope.p < LACK_OF_FIT,
        "forms": {name: asdict(form) for name, form in forms.items()},
        "best": best,
        "distinguishable": distinguishable,
        "sizes": len(set(rows)),
        "largest": int(rows.max()),
        "least_gain": least_gain,
    }


def _curves(rows: np.ndarray, scores: np.ndarray) -> Iterator[tuple[Form, Curve]]:
    for name, fit in FITS.items():
        if curve := fit(rows, scores):
            yield name, curve


def _fitted(
    name: Form, curve: Curve, rows: np.ndarray, scores: np.ndarray, least_gain: float, misses: np.ndarray
) -> Fitted:
    largest = float(rows.max())
    predicted = _held_out(name, rows, scores)
    limit = largest * FAR
    again = _resampled(name, curve, rows, scores)
    saturation_span = None
    if again:
        low, high = np.quantile([min(c.saturation_rows(least_gain), 2 * limit) for c, _ in again], [0.025, 0.975])
        saturation_span = (_named(float(low), limit), _named(float(high), limit))
    missed = None if predicted is None else predicted - float(scores[rows == largest].mean())
    missed_span = _span(misses) if missed is not None and len(misses) else None
    beyond = missed_span is not None and not missed_span[0] <= 0 <= missed_span[1]
    return Fitted(
        curve=asdict(curve),
        error=float(np.sqrt(np.mean([(curve.at(n) - y) ** 2 for n, y in zip(rows, scores, strict=True)]))),
        predicted=predicted,
        missed=missed,
        missed_span=missed_span,
        holdout_rejected=beyond and abs(missed or 0.0) > least_gain,
        forecast=_share(curve.at(AHEAD * largest)),
        forecast_span=_ahead(again, largest),
        saturation_rows=_named(curve.saturation_rows(least_gain), limit),
        saturation_span=saturation_span,
    )


def forecast_span(name: Form, curve: Curve, rows: np.ndarray, scores: np.ndarray) -> Span | None:
    """The 95% interval of the score at AHEAD times the largest size; None with too few sizes."""
    return _ahead(_resampled(name, curve, rows, scores), float(rows.max()))


def _ahead(again: list[tuple[Curve, float]], largest: float) -> Span | None:
    return _span(np.array([_share(c.at(AHEAD * largest) + off) for c, off in again])) if again else None


def _held_out(name: Form, rows: np.ndarray, scores: np.ndarray) -> float | None:
    """The largest size's score as predicted from the smaller sizes; None with too few of them."""
    smaller = rows < rows.max()
    if len(set(rows[smaller])) < PARAMETERS[name]:
        return None
    curve = FITS[name](rows[smaller], scores[smaller])
    return None if curve is None else curve.at(float(rows.max()))


def _resampled(name: Form, curve: Curve, rows: np.ndarray, scores: np.ndarray) -> list[tuple[Curve, float]]:
    """Curves fitted to resampled scores, each with the residual of one more size; [] if sizes are too few for that."""
    sizes, means = means_by_size(rows, scores)
    spare = len(sizes) - PARAMETERS[name]
    if spare < 1:
        return []
    rng = np.random.default_rng(0)
    of_size = _widened(means - np.array([curve.at(float(n)) for n in sizes]), spare)
    within = _within(rows, scores)
    at = np.array([curve.at(float(n)) for n in rows])
    place = np.searchsorted(sizes, rows)
    found = []
    for _ in range(ROUNDS):
        drawn = at + rng.choice(of_size, len(sizes))[place] + rng.choice(within, len(rows))
        again = FITS[name](rows, drawn) or line(rows, drawn)  # a power law that does not bend is a line
        found.append((again, float(rng.choice(of_size))))
    return found


def _within(rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The runs' residuals from the mean of their size; zero with one run a size."""
    sizes, means = means_by_size(rows, scores)
    spare = len(rows) - len(sizes)
    return _widened(scores - means[np.searchsorted(sizes, rows)], spare) if spare else np.zeros(len(rows))


def _widened(residuals: np.ndarray, spare: int) -> np.ndarray:
    """Residuals as large as those of a fresh sample: scaled up for what was fitted to them, and because they are few.

    Quantiles of a bootstrap are about those of a normal distribution; with `spare` degrees of freedom, they should be
    those of Student's t.
    """
    from scipy import stats

    return residuals * math.sqrt(len(residuals) / spare) * float(stats.t.ppf(0.975, spare) / stats.norm.ppf(0.975))


def _misses(name: Form, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Held-out errors on runs resampled around the means of their sizes; every form gets the same samples.

    Empty if the noise is unknown (one run a size, or runs that never differ), or with too few sizes.
    """
    within, smaller = _within(rows, scores), rows < rows.max()
    if len(set(rows[smaller])) < PARAMETERS[name] or not within.any():
        return np.empty(0)
    rng = np.random.default_rng(0)
    sizes, of_size = means_by_size(rows, scores)
    means = of_size[np.searchsorted(sizes, rows)]
    found = []
    for _ in range(ROUNDS):
        drawn = means + rng.choice(within, len(rows))
        # A power law that does not bend is a line.
        curve = FITS[name](rows[smaller], drawn[smaller]) or line(rows[smaller], drawn[smaller])
        found.append(curve.at(float(rows.max())) - drawn[~smaller].mean())
    return np.array(found)


def _span(values: np.ndarray) -> Span:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _share(score: float) -> float:
    """A score, limited to 0 and 1."""
    return min(1.0, max(0.0, float(score)))


def _named(size: float, limit: float) -> float | None:
    return None if size > limit else size
