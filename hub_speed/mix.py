"""Shares of task types: how rows are dealt out to them, and how a part of a set keeps the mix of the whole."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any


def deal(weights: Mapping[str, float]) -> Iterator[str]:
    """Names without end, in proportion to their weights; every prefix is as close to the proportion as it can be."""
    total = sum(weights.values())
    dealt = dict.fromkeys(weights, 0)
    i = 0
    while True:
        i += 1
        name = max(dealt, key=lambda n: weights[n] * i / total - dealt[n])
        dealt[name] += 1
        yield name


def shares(weights: Mapping[str, float], count: int) -> dict[str, int]:
    """How often each name is among the first `count` that are dealt."""
    dealt = Counter(islice(deal(weights), count))
    return {name: dealt[name] for name in weights}


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
