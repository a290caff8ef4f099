"""What a changed setting is worth: differences paired by seed and question, their intervals, and what may be said.

Two chances are in a difference: the training seed and the benchmark's questions. Seeds are few, so their part comes
from the t distribution: a bootstrap over three seeds gives intervals that are far too narrow. Questions are many, so
theirs is a paired bootstrap. Both parts are joined by the squares of their half widths (MOVER: Zou & Donner 2008).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from hub_speed.stats import resampled_means

Verdict = Literal["supported", "not told apart", "unclear"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Scored:
    """One run on one benchmark: its score and, where they are known, the values of single questions."""

    score: float
    items: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Effect:
    """A value of a factor against the reference, on one measure.

    Attributes:
        difference: mean over the seeds of value − reference; a score difference, between −1 and 1.
        low, high: its 95% interval; None where there is none.
        seeds: pairs of runs with the same seed.
        items: questions in the bootstrap; 0 where the scores are no means of questions, or those are not known.
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
    value: Sequence[Scored],
    reference: Sequence[Scored],
    *,
    margin: float,
    comparisons: int,
) -> Effect:
    """The effect of one value.

    Args:
        names: factor, value, reference's value, measure, benchmark.
        value: its runs.
        reference: the reference's runs, in the same order of seeds.
        margin: a smaller difference does not matter.
        comparisons: how many effects the study looks at.

    Raises:
        ValueError: not as many runs of the one as of the other, or none.
    """
    by_seed = np.array([v.score - r.score for v, r in zip(value, reference, strict=True)])
    if not len(by_seed):
        raise ValueError("an effect needs at least one pair of runs")
    by_item = _by_item(value, reference)
    mean = float(by_seed.mean())
    found = interval(by_seed, by_item)
    strict = interval(by_seed, by_item, 1 - 0.05 / max(1, comparisons))
    low, high = found or (None, None)
    holds = strict is not None and not strict[0] <= 0 <= strict[1]
    return Effect(*names, mean, low, high, len(by_seed), len(by_item), verdict(found, margin), holds)


def interval(by_seed: np.ndarray, by_item: np.ndarray, level: float = 0.95) -> Interval | None:
    """The interval of a mean difference over new seeds and new questions.

    Args:
        by_seed: the difference of each pair of runs.
        by_item: the difference on each question, a mean over seeds; empty: the questions count as given.
        level: how sure.

    Returns:
        None with fewer than two seeds, or where no seed makes a difference and no question is known: nothing tells then
        how far chance goes.
    """
    spread = by_seed.std(ddof=1) if len(by_seed) > 1 else 0.0
    if len(by_seed) < 2 or (spread < 1e-12 and not len(by_item) and abs(by_seed.mean()) > 1e-12):
        return None
    mean = float(by_seed.mean())
    seeds = float(stats.t.ppf((1 + level) / 2, len(by_seed) - 1) * spread / np.sqrt(len(by_seed)))
    below = above = 0.0
    if len(by_item):
        low, high = _bootstrap(by_item, level)
        below, above = mean - low, high - mean
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


def _bootstrap(values: np.ndarray, level: float, rounds: int = 2000) -> Interval:
    """The percentile bootstrap interval of a mean over questions; each resampled from the differences, hence paired."""
    low, high = np.quantile(resampled_means(values, rounds), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _by_item(value: Sequence[Scored], reference: Sequence[Scored]) -> np.ndarray:
    """The mean difference on each question; empty unless every score is the mean of the same questions' values."""
    questions = list((value[0].items or {}) if value else {})
    rows = []
    for run in (*value, *reference):
        if not questions or run.items is None or set(run.items) != set(questions):
            return np.empty(0)
        rows.append(np.array([run.items[question] for question in questions]))
        if abs(rows[-1].mean() - run.score) > 1e-4:
            return np.empty(0)
    table = np.array(rows)
    return table[: len(value)].mean(0) - table[len(value) :].mean(0)


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
