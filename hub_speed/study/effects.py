"""What a changed setting is worth: differences paired by seed and question, their intervals, and what may be said.

Two chances are in a difference: the training seed and the benchmark's questions (queries, pairs or texts). Seeds are
few, so their part comes from the t distribution: a bootstrap over three seeds gives intervals that are far too narrow.
Questions are many, so theirs is a paired bootstrap: every run sees the same sample, and Spearman's correlation is that
of the sample, ranked anew. Both parts are joined by the squares of their half widths (MOVER: Zou & Donner 2008).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from hub_speed.evaluation.intervals import resampled_means, resampled_spearman

Verdict = Literal["supported", "not told apart", "unclear"]
Interval = tuple[float, float]


ROUNDS = 2000  # samples of the questions


@dataclass(frozen=True)
class Scored:
    """One run on one benchmark.

    Attributes:
        score: of the run.
        items: where they are known, the values of single questions: their mean is the score, or
        gold: what the same pairs should be like: the score is Spearman's correlation of values and gold.
    """

    score: float
    items: Mapping[str, float] | None = None
    gold: Mapping[str, float] | None = None


Runs = Sequence[Sequence[Scored]]
"""Some runs, and each on the same benchmarks of one measure."""


@dataclass(frozen=True)
class Effect:
    """A value of a factor against the reference, on one measure.

    Attributes:
        difference: mean over the seeds of value − reference; a score difference, between −1 and 1.
        low, high: its 95% interval; None where there is none.
        seeds: pairs of runs with the same seed.
        items: questions in the bootstrap; 0 where those of a benchmark are not known.
        verdict: *supported*: 0 is outside the interval. *Not told apart*: the interval is within ± margin, so any
            difference is too small to matter. *Unclear*: neither.
        holds: whether 0 is outside the interval at 1 − 5%/comparisons, too (Bonferroni).
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
        value: its runs; of several benchmarks, the mean counts.
        reference: the reference's runs, in the same order of seeds.
        margin: a smaller difference does not matter.
        comparisons: how many effects the study looks at.

    Raises:
        ValueError: not as many runs of the one as of the other, or none.
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
    """The interval of a mean difference over new seeds and new questions.

    Args:
        by_seed: the difference of each pair of runs.
        resampled: the mean difference on samples of the questions; empty: the questions count as given.
        level: how sure.

    Returns:
        None with fewer than two seeds, or where no seed makes a difference and no question is known: nothing tells then
        how far chance goes.
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
    """What an interval supports, and no more than that."""
    if found is None:
        return "unclear"
    low, high = found
    if not low <= 0 <= high:
        return "supported"
    return "not told apart" if -margin <= low and high <= margin else "unclear"


def _resampled(value: Runs, reference: Runs) -> tuple[np.ndarray, int]:
    """The mean difference on samples of the questions, and how many there are; of several benchmarks, each is sampled.

    Empty unless the questions of every score are known.
    """
    parts, total = [], 0
    for place, first in enumerate(value[0]):
        table = _table([run[place] for run in (*value, *reference)])
        if not len(table):
            return np.empty(0), 0
        signs = np.repeat([1 / len(value), -1 / len(reference)], [len(value), len(reference)])
        if first.gold:
            gold = np.array([first.gold[question] for question in sorted(first.gold)])
            parts.append(signs @ resampled_spearman(table, gold, ROUNDS, place))
        else:
            parts.append(resampled_means(signs @ table, ROUNDS, place))
        total += table.shape[1]
    return np.mean(parts, axis=0), total


def _table(runs: Sequence[Scored]) -> np.ndarray:
    """Values, run by question; empty unless every run has the same questions and they make its score."""
    questions, gold = sorted(runs[0].items or ()), runs[0].gold
    rows = []
    for run in runs:
        if not questions or run.items is None or set(run.items) != set(questions) or run.gold != gold:
            return np.empty(0)
        rows.append(np.array([run.items[question] for question in questions]))
        made = stats.spearmanr(rows[-1], [gold[q] for q in questions]).statistic if gold else rows[-1].mean()
        if not abs(made - run.score) < 1e-4:
            return np.empty(0)
    return np.array(rows)


# --- in words -------------------------------------------------------------------------------------------------------


def sentence(found: Effect, margin: float) -> str:
    """One effect in words."""
    if found.low is None or found.high is None:
        why = "one seed" if found.seeds < 2 else "the seeds made no difference"
        return f"{found.measure}: {found.difference:+.3f} with {found.value} (no interval: {why}): **unclear**"
    span = f"{found.difference:+.3f} with {found.value} ({found.low:+.3f} to {found.high:+.3f})"
    if found.verdict == "supported":
        kind = "better" if found.difference > 0 else "worse"
        also = "" if found.holds else "; not any more once all comparisons are allowed for"
        return f"{found.measure}: {span}: **supported**, {kind} than {found.reference}{also}"
    if found.verdict == "not told apart":
        return f"{found.measure}: {span}: **not told apart**, any difference is smaller than {margin:g}"
    return f"{found.measure}: {span}: **unclear**, there may be none, or one larger than {margin:g}"


def summary(effects: Sequence[Effect]) -> str:
    """The first sentence on a factor: which values differ from the reference, as far as the intervals go."""
    first = effects[0]
    parts = []
    for kind, sign in (("better", 1), ("worse", -1)):
        names = [f"{e.value} ({e.measure})" for e in effects if e.verdict == "supported" and e.difference * sign > 0]
        if names:
            parts.append(f"{', '.join(names)} {kind} than {first.reference}")
    if parts:
        return f"Supported: {'; '.join(parts)}."
    if all(e.verdict == "not told apart" for e in effects):
        return f"No value was told apart from {first.reference}, and no difference that matters is left open."
    return f"No value was shown to differ from {first.reference}; the intervals leave room for differences that matter."
