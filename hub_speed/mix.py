"""Weights: how rows are dealt out to task types by them, and how several models share a work.

A part of a set keeps the mix of the whole.
"""

import math
import random
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate, islice
from typing import Any, TypeVar

Name = TypeVar("Name", bound=str)


def deal(weights: Mapping[str, float]) -> Iterator[str]:
    """Names without end, in proportion to their weights; every prefix is as close to the proportion as it can be.

    The deal is exact, so it comes round: after as many names as there are units, each has had its units.
    """
    units = _units(weights)
    total = sum(units.values())
    while True:
        dealt = dict.fromkeys(units, 0)
        for i in range(1, total + 1):
            name = max(dealt, key=lambda n: units[n] * i - dealt[n] * total)
            dealt[name] += 1
            yield name


def shares(weights: Mapping[str, float], count: int) -> dict[str, int]:
    """How often each name is among the first `count` that are dealt."""
    units = _units(weights)
    rounds, rest = divmod(count, sum(units.values()))
    dealt = Counter(islice(deal(weights), rest))
    return {name: rounds * units[name] + dealt[name] for name in weights}


def _units(weights: Mapping[str, float]) -> dict[str, int]:
    """The weights as the smallest whole numbers in the same proportion; they are taken as they are written."""
    exact = {name: Fraction(str(weight)) for name, weight in weights.items()}
    bottom = math.lcm(*(weight.denominator for weight in exact.values()))
    whole = {name: int(weight * bottom) for name, weight in exact.items()}
    return {name: weight // math.gcd(*whole.values()) for name, weight in whole.items()}


def drawn(weights: Mapping[Name, float], rng: random.Random) -> Name:
    """A name drawn by weight: what `rng.choices` draws, in a part of its time, since every knob of every row is."""
    names, sums = _running(tuple(weights.items()))
    name: Name = names[bisect(sums, rng.random() * sums[-1], hi=len(sums) - 1)]
    return name


@lru_cache(1024)
def _running(weights: tuple[tuple[str, float], ...]) -> tuple[list[Any], list[float]]:
    """The names, and the sum of the weights up to each."""
    return [name for name, _ in weights], list(accumulate(weight for _, weight in weights))


def firsts(rows: Iterable[dict[str, Any]], counts: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """The first rows of each task type, as many as `counts` says, in the order they come in."""
    left = dict(counts)
    for row in rows:
        if left.get(row["task_type"], 0):
            left[row["task_type"]] -= 1
            yield row


def subset(rows: Sequence[dict[str, Any]], count: int | None) -> list[dict[str, Any]]:
    """`count` of the rows, from every task type in proportion to its rows; None, or as many as there are: all.

    Of each type the first rows are taken. A smaller subset of the same rows is therefore inside every larger one.
    """
    if count is None or count >= len(rows):
        return list(rows)
    there = Counter(row["task_type"] for row in rows)
    return list(firsts(rows, shares(dict(sorted(there.items())), count)))


# --- models that share a work -----------------------------------------------------------------------------------------

Mix = dict[str, float]
"""Several models that share a work: name → weight."""


def one_or_mix(value: Any) -> str | Mix:
    """A name, or a mapping name → weight; a mapping of one name is that name.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, str):
        return value
    try:  # YAML reads 1e9 as a text
        mix = {name: float(weight) for name, weight in value.items()}
    except (AttributeError, TypeError, ValueError):
        mix = {}
    if not mix or not all(0 < weight < math.inf and isinstance(name, str) for name, weight in mix.items()):
        raise ValueError("a name, or a mapping name → weight with every weight above 0")
    return next(iter(mix)) if len(mix) == 1 else mix


def as_mix(models: str | Mix) -> Mix:
    """Name → weight, also of a single model."""
    return {models: 1.0} if isinstance(models, str) else models


def heaviest(models: str | Mix) -> str:
    """The model with the largest weight; of several, the first."""
    mix = as_mix(models)
    return max(mix, key=mix.__getitem__)


def joined(models: str | Mix) -> str:
    """The models' names as one text."""
    return " + ".join(as_mix(models))
