"""How a score grows with the number of rows: a line in log rows, or a power law that saturates; which one, how far.

SPEED (§4.4) says log-linear and fits nothing. Here both forms are fitted by least squares over all runs, and each has
to foretell what it has not seen: the score of the largest size, from the smaller ones. Intervals of forecasts are from
a two-level residual bootstrap: the sizes' residuals from the curve, and the runs' residuals from their size's mean.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

AHEAD = 10  # forecasts are for so many times the largest size
FAR = 1000  # sizes beyond so many times the largest are not named: nobody has been near them. Assumption
EXPONENTS = np.geomspace(0.02, 4, 120)  # of the power law; below, it is a line within these sizes; above, a step
ROUNDS = 400

Form = Literal["log-linear", "power law"]
Span = tuple[float, float]

LEAST_GAIN = 0.01
"""Score that ten times the rows must bring to be worth it. Assumption"""


@dataclass(frozen=True)
class Line:
    """score = intercept + slope · log10(rows): the slope is the gain per tenfold data."""

    intercept: float
    slope: float

    def at(self, rows: float) -> float:
        """The score this many rows give."""
        return self.intercept + self.slope * math.log10(rows)

    def enough(self, least_gain: float) -> float:
        """The size from which one more decade buys less than `least_gain`: 0 or infinity."""
        return 0.0 if self.slope < least_gain else math.inf


@dataclass(frozen=True)
class LogLinear(Line):
    """A line and how sure it is: `low` and `high` bound the slope at 95%; None with fewer than three points."""

    low: float | None
    high: float | None
    r_squared: float
    n: int


@dataclass(frozen=True)
class PowerLaw:
    """score = ceiling − gap · (rows / unit)^−exponent, gap ≥ 0: it grows towards its ceiling."""

    ceiling: float
    gap: float
    exponent: float
    unit: float

    def at(self, rows: float) -> float:
        """The score this many rows give."""
        return self.ceiling - self.gap * (rows / self.unit) ** -self.exponent

    def enough(self, least_gain: float) -> float:
        """The size from which one more decade buys less than `least_gain`."""
        share = self.gap * (1 - 10**-self.exponent) / least_gain
        if share <= 0:
            return 0.0
        log_size = math.log(share) / self.exponent + math.log(self.unit)
        return math.exp(log_size) if log_size < 700 else math.inf


Curve = Line | PowerLaw


def line(rows: np.ndarray, scores: np.ndarray) -> Line:
    """Least squares over all runs, of two sizes or more."""
    x = np.log10(rows)
    x_centred = x - x.mean()
    slope = float(x_centred @ scores / (x_centred @ x_centred))
    return Line(float(scores.mean()) - slope * float(x.mean()), slope)


def log_linear(rows: np.ndarray, scores: np.ndarray) -> LogLinear:
    """Least squares over all runs; the slope's interval from the t distribution.

    Raises:
        ValueError: fewer than two different sizes.
    """
    x = np.log10(rows)
    if len(set(x)) < 2:
        raise ValueError("a line needs at least two sizes")
    fit = stats.linregress(x, scores)
    numbers = (float(fit.intercept), float(fit.slope))
    explained = float(np.nan_to_num(fit.rvalue)) ** 2  # of scores that are all the same, nothing
    if len(x) < 3:
        return LogLinear(*numbers, None, None, explained, len(x))
    half = float(stats.t.ppf(0.975, len(x) - 2) * np.nan_to_num(fit.stderr))  # as above
    return LogLinear(*numbers, numbers[1] - half, numbers[1] + half, explained, len(x))


def power_law(rows: np.ndarray, scores: np.ndarray) -> PowerLaw | None:
    """Least squares over all runs: for every exponent of a grid the best line, then the best exponent.

    Returns:
        None where the runs determine no such curve: fewer than three sizes, scores that do not grow, or a best
        exponent at an end of the grid (a straight line in log rows, or a step after the smallest size).
    """
    if len(set(rows)) < 3:
        return None
    unit = float(np.exp(np.log(rows).mean()))
    x = (rows / unit)[None, :] ** -EXPONENTS[:, None]
    x_centred, y_centred = x - x.mean(1, keepdims=True), scores - scores.mean()
    slopes = (x_centred @ y_centred) / (x_centred**2).sum(1)
    errors = ((y_centred - slopes[:, None] * x_centred) ** 2).sum(1)
    best = int(errors.argmin())
    gap = -float(slopes[best])
    if best in (0, len(EXPONENTS) - 1) or gap <= 1e-9:
        return None
    return PowerLaw(float(scores.mean()) + gap * float(x[best].mean()), gap, float(EXPONENTS[best]), unit)


FITS: dict[Form, Callable[[np.ndarray, np.ndarray], Curve | None]] = {"log-linear": line, "power law": power_law}
PARAMETERS: dict[Form, int] = {"log-linear": 2, "power law": 3}


@dataclass(frozen=True)
class Fitted:
    """One form on one measure. What the runs cannot tell is None.

    Attributes:
        curve: its parameters.
        error: mean square root of the residuals.
        predicted: the largest size's score, from the smaller sizes alone.
        missed: how far that is from the mean score measured there; and its 95% interval over the chance in the runs.
        fails: it missed by more than chance and more than `least_gain`: it is not carried on beyond the largest size.
        ahead: the score at AHEAD times the largest size, between 0 and 1, and its 95% interval.
        enough: the size from which a decade buys less than the recipe's `scaling.least_gain`: 0 is "from the smallest
            on", None "not within FAR times the largest"; and its 95% interval, in the same way.
    """

    curve: dict[str, Any]
    error: float
    predicted: float | None
    missed: float | None
    missed_span: Span | None
    fails: bool
    ahead: float
    ahead_span: Span | None
    enough: float | None
    enough_span: tuple[float | None, float | None] | None


def by_measure(runs: Sequence[dict[str, Any]], least_gain: float) -> dict[str, dict[str, Any]]:
    """Measure → what `compare` finds, for `rows.ScalingRow`s; of several benchmarks, a run's mean. See `shared`."""
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
    """The rows of the benchmarks that every size and seed was scored on: means over others could not be compared."""
    seen: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for run in runs:
        seen.setdefault((run["measure"], run["benchmark"]), set()).add((run["rows"], run["rng_seed"]))
    every = set().union(*seen.values())
    return [run for run in runs if seen[run["measure"], run["benchmark"]] == every]


def compare(rows: np.ndarray, scores: np.ndarray, least_gain: float) -> dict[str, Any]:
    """Both forms on one measure, which predicts better, and whether the runs can tell them apart.

    Args:
        rows: size of each run.
        scores: its score.
        least_gain: the gain a decade must bring to be worth it.

    Returns:
        The fields of `LogLinear`; `forms` (form → fields of `Fitted`, without forms that cannot be fitted), `best` (the
        form with the smaller held-out error, None where there is none), `told_apart`, `sizes` (how many), `largest` and
        `least_gain`. Every number is finite.

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
    told_apart = False
    if best and len(misses["power law"]) and len(misses["log-linear"]):
        low, high = _span(np.abs(misses["log-linear"]) - np.abs(misses["power law"]))
        told_apart = not low <= 0 <= high
    return asdict(slope) | {
        "forms": {name: asdict(form) for name, form in forms.items()},
        "best": best,
        "told_apart": told_apart,
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
    ahead_span = enough_span = None
    if again:
        ahead_span = _span(np.array([_share(c.at(AHEAD * largest) + off) for c, off in again]))
        low, high = np.quantile([min(c.enough(least_gain), 2 * limit) for c, _ in again], [0.025, 0.975])
        enough_span = (_named(float(low), limit), _named(float(high), limit))
    missed = None if predicted is None else predicted - float(scores[rows == largest].mean())
    missed_span = _span(misses) if missed is not None and len(misses) else None
    beyond = missed_span is not None and not missed_span[0] <= 0 <= missed_span[1]
    return Fitted(
        curve=asdict(curve),
        error=float(np.sqrt(np.mean([(curve.at(n) - y) ** 2 for n, y in zip(rows, scores, strict=True)]))),
        predicted=predicted,
        missed=missed,
        missed_span=missed_span,
        fails=beyond and abs(missed or 0.0) > least_gain,
        ahead=_share(curve.at(AHEAD * largest)),
        ahead_span=ahead_span,
        enough=_named(curve.enough(least_gain), limit),
        enough_span=enough_span,
    )


def _held_out(name: Form, rows: np.ndarray, scores: np.ndarray) -> float | None:
    """The largest size's score as the smaller sizes foresee it; None with too few of them."""
    smaller = rows < rows.max()
    if len(set(rows[smaller])) < PARAMETERS[name]:
        return None
    curve = FITS[name](rows[smaller], scores[smaller])
    return None if curve is None else curve.at(float(rows.max()))


def _resampled(name: Form, curve: Curve, rows: np.ndarray, scores: np.ndarray) -> list[tuple[Curve, float]]:
    """Curves fitted to scores drawn anew around `curve`, each with the offset of a further size; [] without any spread.

    Residuals are stretched for the parameters that were fitted to them. Needs more sizes than the form has parameters.
    """
    sizes = np.unique(rows)
    spare = len(sizes) - PARAMETERS[name]
    if spare < 1:
        return []
    rng = np.random.default_rng(0)
    of_size = np.array([scores[rows == n].mean() - curve.at(float(n)) for n in sizes]) * math.sqrt(len(sizes) / spare)
    within = _within(rows, scores)
    at = np.array([curve.at(float(n)) for n in rows])
    place = np.searchsorted(sizes, rows)
    found = []
    for _ in range(ROUNDS):
        drawn = at + rng.choice(of_size, len(sizes))[place] + rng.choice(within, len(rows))
        again = FITS[name](rows, drawn) or line(rows, drawn)  # where it does not bend, it is a line
        found.append((again, float(rng.choice(of_size))))
    return found


def _within(rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The runs' residuals from the mean of their size, stretched for the means; zero with one run a size."""
    means = np.array([scores[rows == n].mean() for n in rows])
    spare = len(rows) - len(np.unique(rows))
    return (scores - means) * math.sqrt(len(rows) / spare) if spare else np.zeros(len(rows))


def _misses(name: Form, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Held-out errors when the runs are drawn anew around their sizes' means: the same draws for every form.

    Empty where nothing says how far chance goes (one run a size, or runs that never differ), or with too few sizes.
    """
    within, smaller = _within(rows, scores), rows < rows.max()
    if len(set(rows[smaller])) < PARAMETERS[name] or not within.any():
        return np.empty(0)
    rng = np.random.default_rng(0)
    means = np.array([scores[rows == n].mean() for n in rows])
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
    """Scores end at 0 and 1."""
    return min(1.0, max(0.0, float(score)))


def _named(size: float, limit: float) -> float | None:
    return None if size > limit else size


# --- in words -------------------------------------------------------------------------------------------------------


CALLED: dict[str, str] = {"log-linear": "log-linear line", "power law": "power law"}


def in_words(measure: str, found: dict[str, Any]) -> list[str]:
    """What `compare` found on one measure, and no more than that: one sentence after the other."""
    span = "" if found["low"] is None else f" (95% interval {found['low']:+.3f} to {found['high']:+.3f})"
    said = [
        f"**{measure}**: {found['slope']:+.3f} per tenfold data{span}, R² {found['r_squared']:.2f}, {found['n']} runs."
    ]
    forms, largest = found["forms"], found["largest"]
    if "power law" not in forms:
        said.append(f"No saturating power law can be fitted: {_why_no_law(found)}.")
    said += [_foretold(name, form, largest) for name, form in forms.items() if form["predicted"] is not None]
    if found["best"] and found["told_apart"]:
        said.append(f"The {CALLED[found['best']]} foretells it better.")
    elif found["best"]:
        said.append(f"The {CALLED[found['best']]} came nearer, but the two forms cannot be told apart by these runs.")
    used = [found["best"]] if found["best"] and found["told_apart"] else list(forms)
    return said + [_ahead(name, forms[name], largest, found["least_gain"]) for name in used]


def _why_no_law(found: dict[str, Any]) -> str:
    if found["sizes"] < PARAMETERS["power law"]:
        return "too few sizes"
    if found["slope"] <= 0:
        return "the scores do not grow"
    return "within these sizes the scores do not level off, or they do so after the smallest"


def _foretold(name: str, form: dict[str, Any], largest: int) -> str:
    """How far off the largest size's score was foretold, and whether chance may be the reason."""
    text = f"From the smaller sizes, the {CALLED[name]} foretells {form['predicted']:.3f} for {largest:,} rows"
    text += f", {form['missed']:+.3f} off"
    if form["missed_span"] is None:
        return f"{text}; how far chance goes is not known."
    low, high = form["missed_span"]
    why = "chance may be the reason" if low <= 0 <= high else "further than the chance in the runs"
    return f"{text} (95% interval {low:+.3f} to {high:+.3f}): {why}."


def _ahead(name: str, form: dict[str, Any], largest: int, least_gain: float) -> str:
    if form["fails"]:
        return f"The {CALLED[name]} did not hold for the largest size and is not carried on to more rows."
    span = form["ahead_span"]
    interval = f" (95% interval {span[0]:.3f} to {span[1]:.3f})" if span else " (no interval: too few sizes)"
    text = f"At {AHEAD * largest:,} rows the {CALLED[name]} gives {form['ahead']:.3f}{interval}"
    if name == "log-linear":
        less = "less" if form["curve"]["slope"] < least_gain else "not less"
        return f"{text}; a line gains the same with every decade, {less} than {least_gain:g}."
    ends = form["enough_span"]
    bounds = f" (95% interval {_size(ends[0], largest)} to {_size(ends[1], largest)})" if ends else ""
    return f"{text}; a decade buys less than {least_gain:g} from {_size(form['enough'], largest)}{bounds}."


def _size(rows: float | None, largest: int) -> str:
    if rows is None:
        return f"more than {FAR * largest:,} rows"
    return f"{float(f'{rows:.2g}'):,.0f} rows" if rows >= 1 else "any size"
