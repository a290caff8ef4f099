"""Intervals and scores. Everything is 95% unless it says otherwise."""

import math

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
    means = resampled_means(values, rounds, seed)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def resampled_means(values: np.ndarray, rounds: int, seed: int = 0) -> np.ndarray:
    """The means of `rounds` samples with replacement, some at a time: memory does not grow with their number."""
    rng, n = np.random.default_rng(seed), len(values)
    at_once = max(1, 4_000_000 // n)
    parts = [min(at_once, rounds - i) for i in range(0, rounds, at_once)]
    return np.concatenate([values[rng.integers(0, n, (part, n))].mean(1) for part in parts])


def bootstrap_spearman(a: np.ndarray, b: np.ndarray, *, rounds: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The percentile bootstrap interval of Spearman's correlation, over pairs."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(rounds):
        index = rng.integers(0, len(a), len(a))
        found.append(stats.spearmanr(a[index], b[index]).statistic)
    return float(np.nanquantile(found, 0.025)), float(np.nanquantile(found, 0.975))


def ndcg_at_10(ranking: list[str], relevant: dict[str, int]) -> float:
    """nDCG@10 of one query: linear gain, log2 discount (as trec_eval, which mteb uses)."""
    gains = [relevant.get(doc, 0) for doc in ranking[:10]]
    ideal = sorted(relevant.values(), reverse=True)[:10]
    dcg, best = (sum(g / math.log2(i + 2) for i, g in enumerate(x)) for x in (gains, ideal))
    return dcg / best if best else 0.0
