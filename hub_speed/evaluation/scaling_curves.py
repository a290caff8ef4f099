"""The two forms a score may grow in, and their fits by least squares: a line in log rows, a saturating power law."""

import math
from dataclasses import dataclass

import numpy as np

EXPONENTS = np.geomspace(0.02, 4, 120)  # of the power law: below, it is a straight line here; above, a step


@dataclass(frozen=True)
class Line:
    """score = intercept + slope · log10(rows): the slope is the gain per tenfold data."""

    intercept: float
    slope: float

    def at(self, rows: float) -> float:
        """The predicted score of this many rows."""
        return self.intercept + self.slope * math.log10(rows)

    def saturation_rows(self, least_gain: float) -> float:
        """Rows beyond which tenfold data gains less than `least_gain`: 0 or infinity."""
        return 0.0 if self.slope < least_gain else math.inf


@dataclass(frozen=True)
class LogLinear(Line):
    """A line and its uncertainty.

    Attributes:
        low, high: the slope's 95% interval; None with fewer than three sizes.
        r_squared: the share of the runs' variance that the line explains.
        n: how many runs there are.
        f, p: the F test for lack of fit; None with fewer than three sizes, or where the noise of the runs is unknown.
    """

    low: float | None
    high: float | None
    r_squared: float
    n: int
    f: float | None
    p: float | None


@dataclass(frozen=True)
class PowerLaw:
    """score = ceiling − gap · (rows / unit)^−exponent, gap ≥ 0: it grows towards its ceiling."""

    ceiling: float
    gap: float
    exponent: float
    unit: float

    def at(self, rows: float) -> float:
        """The predicted score of this many rows."""
        return self.ceiling - self.gap * math.pow(rows / self.unit, -self.exponent)

    def saturation_rows(self, least_gain: float) -> float:
        """Rows beyond which tenfold data gains less than `least_gain`."""
        share = self.gap * (1 - 10**-self.exponent) / least_gain
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
    """Least squares over all runs; the slope's interval from the means of the sizes, by the t distribution.

    Raises:
        ValueError: fewer than two different sizes.
    """
    from scipy import stats  # takes a second to import; the table of stages imports this module

    sizes, means = means_by_size(rows, scores)
    if len(sizes) < 2:
        raise ValueError("a line needs at least two sizes")
    fit = stats.linregress(np.log10(rows), scores)
    slope = float(fit.slope)
    low = high = None
    if len(sizes) > 2:
        stderr = np.nan_to_num(stats.linregress(np.log10(sizes), means).stderr)
        half = float(stats.t.ppf(0.975, len(sizes) - 2) * stderr)
        low, high = slope - half, slope + half
    explained = float(np.nan_to_num(fit.rvalue)) ** 2  # 0 where all scores are equal
    f, p = lack_of_fit(rows, scores) or (None, None)
    return LogLinear(float(fit.intercept), slope, low, high, explained, len(rows), f, p)


def lack_of_fit(rows: np.ndarray, scores: np.ndarray) -> tuple[float, float] | None:
    """F and p of the test that the means of the sizes lie on a line but for the noise of the runs.

    Returns:
        None with fewer than three sizes, or where the noise is unknown: one run a size, or runs that never differ.
    """
    from scipy import stats

    sizes, means = means_by_size(rows, scores)
    place = np.searchsorted(sizes, rows)
    noise = float(((scores - means[place]) ** 2).sum())
    spare = (len(sizes) - 2, len(rows) - len(sizes))
    if min(spare) < 1 or noise < 1e-12:
        return None
    fit = line(rows, scores)
    off = np.array([fit.at(n) for n in sizes]) - means
    f = float((off[place] ** 2).sum()) / spare[0] / (noise / spare[1])
    return f, float(stats.f.sf(f, *spare))


def means_by_size(rows: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sizes in rising order, and the mean score of each."""
    sizes = np.unique(rows)
    return sizes, np.array([scores[rows == n].mean() for n in sizes])


def power_law(rows: np.ndarray, scores: np.ndarray) -> PowerLaw | None:
    """Least squares over all runs: the best line for every exponent of a grid, then the best exponent.

    Returns:
        None if the runs do not determine such a curve: fewer than three sizes, scores that do not grow, or a best
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
