"""Intervals and scores. Everything is 95% unless it says otherwise."""

import math

import numpy as np

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
    (found,) = resampled_spearman(a[None], b, rounds, seed)
    return float(np.nanquantile(found, 0.025)), float(np.nanquantile(found, 0.975))


def resampled_spearman(several: np.ndarray, gold: np.ndarray, rounds: int, seed: int = 0) -> np.ndarray:
    """Spearman's correlation of each row of `several` with `gold` on `rounds` samples of pairs with replacement.

    All rows see the same samples, so that their differences are paired. Every sample is ranked anew, from how often
    each pair is in it: ties get their mean rank, as in scipy. NaN where a sample is all ties. Samples are drawn some at
    a time: memory does not grow with their number.

    Returns:
        shape (rows of `several`, rounds).
    """
    rng, n = np.random.default_rng(seed), len(gold)
    at_once = max(1, 1_000_000 // n)
    orders = [_ties(values) for values in (gold, *several)]
    found = []
    for start in range(0, rounds, at_once):
        part = min(at_once, rounds - start)
        drawn = rng.integers(0, n, (part, n)) + n * np.arange(part)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=part * n).reshape(part, n)
        target, *ranks = (_ranks(counts, *order) for order in orders)
        found.append(np.stack([_weighted_correlation(counts, each, target) for each in ranks]))
    return np.concatenate(found, axis=1)


def _ties(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For `_ranks`: the order of the values, where in it each different value begins, and which one each value is."""
    _, which, times = np.unique(values, return_inverse=True, return_counts=True)
    return values.argsort(kind="stable"), times.cumsum() - times, which


def _ranks(counts: np.ndarray, order: np.ndarray, begins: np.ndarray, which: np.ndarray) -> np.ndarray:
    """The ranks of values in samples that hold each of them `counts` times, less their mean."""
    tied = np.add.reduceat(counts[:, order], begins, axis=1)
    middle = tied.cumsum(1) - tied / 2
    return middle[:, which] - counts.shape[1] / 2


def _weighted_correlation(counts: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each row of `a` and `b`, whose weighted means are 0."""
    weighted = counts * a
    with np.errstate(invalid="ignore"):
        return (weighted * b).sum(1) / np.sqrt((weighted * a).sum(1) * (counts * b * b).sum(1))


def ndcg_at_10(ranking: list[str], relevant: dict[str, int]) -> float:
    """nDCG@10 of one query: linear gain, log2 discount (as trec_eval, which mteb uses)."""
    gains = [relevant.get(doc, 0) for doc in ranking[:10]]
    ideal = sorted(relevant.values(), reverse=True)[:10]
    dcg, best = (sum(g / math.log2(i + 2) for i, g in enumerate(x)) for x in (gains, ideal))
    return dcg / best if best else 0.0
