"""Scores by the style and the kind of the questions: means, and what a training has changed."""

from collections.abc import Iterable

import numpy as np

from hub_speed.evaluation.intervals import bootstrap_mean
from hub_speed.record import Json

AFTER = "embedder"
"""The subject that was trained."""


def scores(items: Iterable[Json], queries: Iterable[Json], before: str) -> list[Json]:
    """The `rows.QuestionScoreRow`s of a benchmark.

    Args:
        items: its `rows.ItemScoreRow`s.
        queries: its `rows.BenchmarkQueryRow`s.
        before: the subject that the embedder is compared with, question by question.
    """
    values: dict[str, dict[str, float]] = {}
    for item in items:
        values.setdefault(item["subject"], {})[item["item"]] = item["value"]
    if AFTER in values and before in values:
        both = values[AFTER].keys() & values[before].keys()
        values[f"{AFTER} − {before}"] = {name: values[AFTER][name] - values[before][name] for name in both}
    return [
        {"subject": subject, "by": by, "group": group} | _mean(np.array([found[name] for name in sorted(names)]))
        for (by, group), of_group in _groups(list(queries)).items()
        for subject, found in values.items()
        if (names := of_group & found.keys())
    ]


def is_change(row: Json) -> bool:
    """Whether a `rows.QuestionScoreRow` is a difference."""
    return str(row["subject"]).startswith(f"{AFTER} − ")


def _groups(queries: list[Json]) -> dict[tuple[str, str], set[str]]:
    """All questions, those of each style, and those of each kind, the larger groups first."""
    found: dict[tuple[str, str], set[str]] = {("all", "all"): {row["_id"] for row in queries}}
    for by in ("style", "kind"):
        of: dict[str, set[str]] = {}
        for row in queries:
            of.setdefault(row[by], set()).add(row["_id"])
        found |= {(by, name): of[name] for name in sorted(of, key=lambda name: (-len(of[name]), name))}
    return found


def _mean(values: np.ndarray) -> Json:
    low, high = bootstrap_mean(values)
    return {"value": float(values.mean()), "low": low, "high": high, "n": len(values)}
