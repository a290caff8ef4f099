"""Intervals and scores. Intervals are 95% unless the docstring says otherwise."""

import numpy as np


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The Wilson score interval of a share; (0, 1) when nothing was counted. Source: Wilson 1927."""
    from scipy.stats import binomtest  # takes a second to import; most who import this module need no interval

    if n == 0:
        return 0.0, 1.0
    low, high = binomtest(successes, n).proportion_ci(method="wilson")
    return float(low), float(high)


def bootstrap_mean(values: np.ndarray, *, rounds: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The percentile bootstrap interval of a mean."""
    means = resampled_means(values, rounds, seed)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def resampled_means(values: np.ndarray, rounds: int, seed: int = 0) -> np.ndarray:
    """The means of `rounds` samples with replacement, drawn in batches: memory does not grow with their number."""
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

    All rows see the same samples, so their differences are paired. Every sample is ranked again, from how often it
    contains each pair: ties get their mean rank, as in scipy. NaN where all values of a sample are equal. Samples are
    drawn in batches: memory does not grow with their number.

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
    """What `_ranks` needs: the order of the values, where each distinct value begins in it, and the index of each."""
    _, which, times = np.unique(values, return_inverse=True, return_counts=True)
    return values.argsort(kind="stable"), times.cumsum() - times, which


def _ranks(counts: np.ndarray, order: np.ndarray, begins: np.ndarray, which: np.ndarray) -> np.ndarray:
    """The centred ranks of values in samples that contain each of them `counts` times."""
    tied = np.add.reduceat(counts[:, order], begins, axis=1)
    middle = tied.cumsum(1) - tied / 2
    return np.asarray(middle[:, which] - counts.shape[1] / 2)


def _weighted_correlation(counts: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each row of `a` and `b`, whose weighted means are 0."""
    weighted = counts * a
    with np.errstate(invalid="ignore"):
        return np.asarray((weighted * b).sum(1) / np.sqrt((weighted * a).sum(1) * (counts * b * b).sum(1)))


def ndcg_at_10(found: dict[str, dict[str, float]], relevant: dict[str, dict[str, int]]) -> dict[str, float]:
    """nDCG@10 of every query that has a relevant document, by trec_eval, as in mteb: linear gain, log2 discount.

    Args:
        found: query → document → its score. Ties are broken by the document's name, in falling order.
        relevant: query → document → its gain.
    """
    from pytrec_eval import RelevanceEvaluator  # part of the extra `train`

    scores = RelevanceEvaluator(relevant, {"ndcg_cut.10"}).evaluate(found)
    return {query: score["ndcg_cut_10"] for query, score in scores.items()}
