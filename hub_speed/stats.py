"""Intervals and fits. Everything is 95% unless it says otherwise."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

Z = 1.959963984540054  # 97.5% quantile of the normal distribution


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The Wilson score interval of a share; (0, 1) when nothing was counted. Source: Wilson 1927."""
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    middle = p + Z * Z / (2 * n)
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return max(0.0, (middle - half) / (1 + Z * Z / n)), min(1.0, (middle + half) / (1 + Z * Z / n))


def bootstrap_mean(values: np.ndarray, *, rounds: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The percentile bootstrap interval of a mean."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (rounds, len(values)))].mean(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def bootstrap_spearman(a: np.ndarray, b: np.ndarray, *, rounds: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The percentile bootstrap interval of Spearman's correlation, over pairs."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(rounds):
        index = rng.integers(0, len(a), len(a))
        found.append(stats.spearmanr(a[index], b[index]).statistic)
    return float(np.nanquantile(found, 0.025)), float(np.nanquantile(found, 0.975))


@dataclass(frozen=True)
class LogLinear:
    """score = intercept + slope · log10(rows): the slope is the gain per tenfold data (SPEED §4.4 claims this form).

    `low` and `high` bound the slope; None with fewer than three points.
    """

    intercept: float
    slope: float
    low: float | None
    high: float | None
    r_squared: float
    n: int


def log_linear(rows: np.ndarray, scores: np.ndarray) -> LogLinear:
    """Least squares over all runs; the slope's interval from the t distribution.

    Raises:
        ValueError: fewer than two different sizes.
    """
    x = np.log10(rows)
    if len(set(x)) < 2:
        raise ValueError("a line needs at least two sizes")
    fit = stats.linregress(x, scores)
    if len(x) < 3:
        return LogLinear(fit.intercept, fit.slope, None, None, fit.rvalue**2, len(x))
    half = stats.t.ppf(0.975, len(x) - 2) * fit.stderr
    return LogLinear(fit.intercept, fit.slope, fit.slope - half, fit.slope + half, fit.rvalue**2, len(x))


def ndcg_at_10(ranking: list[str], relevant: dict[str, int]) -> float:
    """nDCG@10 of one query: linear gain, log2 discount (as trec_eval, which mteb uses)."""
    gains = [relevant.get(doc, 0) for doc in ranking[:10]]
    ideal = sorted(relevant.values(), reverse=True)[:10]
    dcg, best = (sum(g / math.log2(i + 2) for i, g in enumerate(x)) for x in (gains, ideal))
    return dcg / best if best else 0.0
