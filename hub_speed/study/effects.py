"""What a changed setting is worth: differences paired by seed and by item, their intervals and their verdicts.

A difference has two noise sources: the training seed and the benchmark's items (queries, pairs or texts). Seeds are
few, so their part comes from the t distribution: a bootstrap over three seeds gives intervals that are far too narrow.
Items are many, so their part is a paired bootstrap: every run sees the same samples, and Spearman's correlation is
computed on each sample, ranked again. The squares of both half widths are added (MOVER: Zou & Donner 2008).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from hub_speed.evaluation.intervals import resampled_means, resampled_spearman

Verdict = Literal["supported", "indistinguishable", "unclear"]
Interval = tuple[float, float]

ROUNDS = 2000  # samples of the items


@dataclass(frozen=True)
class Scored:
    """One run on one benchmark.

    Attributes:
        score: the score of the run.
        items: item → its value, where known. The score is their mean or, with `gold`,
        gold: item → its gold similarity: then the score is Spearman's correlation of values and gold.
    """

    score: float
    items: Mapping[str, float] | None = None
    gold: Mapping[str, float] | None = None


Runs = Sequence[Sequence[Scored]]
"""Several runs, each on the same benchmarks of one measure."""


@dataclass(frozen=True)
class Effect:
    """The effect of one value of a factor against the reference, on one measure.

    Attributes:
        difference: mean over the seeds of score(value) − score(reference).
        low, high: its 95% interval, or None (see `interval`).
        seeds: pairs of runs with the same seed.
        items: items in the bootstrap; 0 if those of some benchmark are not known.
        verdict: *supported*: 0 is outside the interval. *Indistinguishable*: the interval is within ± margin, so
            any difference is too small to matter. *Unclear*: neither.
        holds: whether 0 is outside the interval at level 1 − 5%/comparisons as well (Bonferroni).
    """

    factor: str
    value: str
    reference: str
    measure: str
    benchmark: str
    difference: float
    low: float | None
    high: float | None
    seeds: int
    items: int
    verdict: Verdict
    holds: bool


def effect(
    names: tuple[str, str, str, str, str],
    value: Runs,
    reference: Runs,
    *,
    margin: float,
    comparisons: int,
) -> Effect:
    """The effect of one value.

    Args:
        names: factor, value, reference's value, measure, benchmark.
        value: its runs; scores on several benchmarks are averaged.
        reference: the reference's runs, in the same order of seeds.
        margin: smaller differences do not matter.
        comparisons: how many effects the study computes.

    Raises:
        ValueError: there are no runs, or not the same number of both.
    """
    by_seed = np.array([_mean(v) - _mean(r) for v, r in zip(value, reference, strict=True)])
    if not len(by_seed):
        raise ValueError("an effect needs at least one pair of runs")
    resampled, items = _resampled(value, reference)
    mean = float(by_seed.mean())
    found = interval(by_seed, resampled)
    strict = interval(by_seed, resampled, 1 - 0.05 / max(1, comparisons))
    low, high = found or (None, None)
    holds = strict is not None and not strict[0] <= 0 <= strict[1]
    return Effect(*names, mean, low, high, len(by_seed), items, verdict(found, margin), holds)


def _mean(run: Sequence[Scored]) -> float:
    return float(np.mean([scored.score for scored in run]))


def interval(by_seed: np.ndarray, resampled: np.ndarray, level: float = 0.95) -> Interval | None:
    """The confidence interval of a mean difference, for other seeds and other items.

    Args:
        by_seed: the difference of each pair of runs.
        resampled: the mean difference on samples of the items; if empty, the noise of the items is not included.
        level: the confidence level.

    Returns:
        None if the noise is unknown: with fewer than two seeds, or if all seeds give the same difference and the items
        are not known.
    """
    spread = by_seed.std(ddof=1) if len(by_seed) > 1 else 0.0
    if len(by_seed) < 2 or (spread < 1e-12 and not len(resampled) and abs(by_seed.mean()) > 1e-12):
        return None
    mean = float(by_seed.mean())
    seeds = float(stats.t.ppf((1 + level) / 2, len(by_seed) - 1) * spread / np.sqrt(len(by_seed)))
    below = above = 0.0
    if len(resampled):
        low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
        below, above = mean - float(low), float(high) - mean
    return mean - float(np.hypot(seeds, below)), mean + float(np.hypot(seeds, above))


def mean_interval(scores: np.ndarray) -> tuple[float, float | None]:
    """A mean over seeds and the half width of its 95% interval (t distribution), None with one seed."""
    if len(scores) < 2:
        return float(scores.mean()), None
    half = stats.t.ppf(0.975, len(scores) - 1) * scores.std(ddof=1) / np.sqrt(len(scores))
    return float(scores.mean()), float(half)


def verdict(found: Interval | None, margin: float) -> Verdict:
    """The verdict that an interval supports."""
    if found is None:
        return "unclear"
    low, high = found
    if not low <= 0 <= high:
        return "supported"
    return "indistinguishable" if -margin <= low and high <= margin else "unclear"


def _resampled(value: Runs, reference: Runs) -> tuple[np.ndarray, int]:
    """The mean difference on samples of the items, and the number of items; each benchmark is sampled by itself.

    Empty unless the items of every score are known.
    """
    parts, total = [], 0
    for place, first in enumerate(value[0]):
        table = _table([run[place] for run in (*value, *reference)])
        if not len(table):
            return np.empty(0), 0
        signs = np.repeat([1 / len(value), -1 / len(reference)], [len(value), len(reference)])
        if first.gold:
            gold = np.array([first.gold[item] for item in sorted(first.gold)])
            parts.append(signs @ resampled_spearman(table, gold, ROUNDS, place))
        else:
            parts.append(resampled_means(signs @ table, ROUNDS, place))
        total += table.shape[1]
    return np.mean(parts, axis=0), total


def _table(runs: Sequence[Scored]) -> np.ndarray:
    """Values of shape (runs, items); empty unless all runs have the same items and these yield their scores."""
    names, gold = sorted(runs[0].items or ()), runs[0].gold
    rows = []
    for run in runs:
        if not names or run.items is None or set(run.items) != set(names) or run.gold != gold:
            return np.empty(0)
        rows.append(np.array([run.items[item] for item in names]))
        made = stats.spearmanr(rows[-1], [gold[item] for item in names]).statistic if gold else rows[-1].mean()
        if not abs(made - run.score) < 1e-4:
            return np.empty(0)
    return np.array(rows)


# --- sentences ------------------------------------------------------------------------------------------------------


def sentence(found: Effect, margin: float) -> str:
    """One sentence on an effect."""
    if found.low is None or found.high is None:
        why = "one seed" if found.seeds < 2 else "all seeds gave the same difference"
        return f"{found.measure}: {found.difference:+.3f} with {found.value} (no interval: {why}): **unclear**"
    span = f"{found.difference:+.3f} with {found.value} ({found.low:+.3f} to {found.high:+.3f})"
    if found.verdict == "supported":
        kind = "better" if found.difference > 0 else "worse"
        also = "" if found.holds else "; no longer after correcting for all comparisons"
        return f"{found.measure}: {span}: **supported**, {kind} than {found.reference}{also}"
    if found.verdict == "indistinguishable":
        return f"{found.measure}: {span}: **indistinguishable**, any difference is smaller than {margin:g}"
    return f"{found.measure}: {span}: **unclear**, the difference may be zero, or larger than {margin:g}"


def summary(effects: Sequence[Effect]) -> str:
    """The first sentence on a factor: which values differ from the reference, as far as the intervals support it."""
    first = effects[0]
    parts = []
    for kind, sign in (("better", 1), ("worse", -1)):
        names = [f"{e.value} ({e.measure})" for e in effects if e.verdict == "supported" and e.difference * sign > 0]
        if names:
            parts.append(f"{', '.join(names)} {kind} than {first.reference}")
    if parts:
        return f"Supported: {'; '.join(parts)}."
    if all(e.verdict == "indistinguishable" for e in effects):
        return f"All values are indistinguishable from {first.reference}: any difference is too small to matter."
    return f"No value was shown to differ from {first.reference}; the intervals still allow differences that matter."
