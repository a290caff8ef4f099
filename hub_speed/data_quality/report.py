"""What a set of rows is like, before a GPU is spent on it: lengths, variety, duplicates, leaks, negatives, coverage.

Every measure is computed within a task type, since a set's mix of types would decide it otherwise, and on a sample:
memory does not grow with the set.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hub_speed.data_quality.measures import (
    MEASURES,
    Embed,
    Numbers,
    dense,
    in_other_script,
    lengths_fit,
    mean,
    near_pairs,
    rank_share,
    rounded,
    run_variety,
    word_share,
    word_vectors,
)
from hub_speed.data_quality.sample import TEXTS, Row, Sample
from hub_speed.text import SCRIPTS, words

ENOUGH = 100
"""Fewer rows of a task type say too little: what compares rows is left out. Assumption."""
EXAMPLES = 5
"""Rows that are named per finding."""


@dataclass
class Report:
    """The measures of one set.

    Attributes:
        rows, sampled: how many rows there are, and how many of them were measured.
        negatives: how many of the measured rows have a negative.
        embedding: how texts were compared.
        by_task_type: task type → name in `MEASURES` → number; None where nothing can be said.
        tasks, effective_tasks: how many (task, topic) pairs have rows; how many pairs, used equally often, would
            repeat as often.
        coverage: task type → first part of the topic → rows; all rows are counted.
        lengths: "task type column" → words of every text in the sample.
        overlaps: task type → the values of which `overlap` is the mean.
        margins: task type → similarity(query, positive) − similarity(query, negative), where texts share words.
        examples: finding → ids of a few rows to look at.
    """

    rows: int
    sampled: int
    embedding: str
    negatives: int = 0
    by_task_type: dict[str, Numbers] = field(default_factory=dict)
    tasks: int = 0
    effective_tasks: float | None = None
    coverage: dict[str, dict[str, int]] = field(default_factory=dict)
    lengths: dict[str, list[int]] = field(default_factory=dict)
    overlaps: dict[str, list[float]] = field(default_factory=dict)
    margins: dict[str, list[float]] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """The part that is published and compared: no lists, no texts."""
        names = ("rows", "sampled", "embedding", "by_task_type", "tasks", "effective_tasks")
        return {name: getattr(self, name) for name in names}


def measure(folders: Iterable[Path], embed: Embed | None = None, embedding: str = "") -> list[Report]:
    """A report on each set of rows: folders with parquet files, in `data/` where there is such a folder.

    Args:
        folders: several sets share the weights of words, so that their similarities can be compared.
        embed: embeds texts; without it, they are compared by their words (`word_vectors`).
        embedding: the name of `embed` in the report.

    Raises:
        RecipeError: a folder has no parquet file, or a column is missing or is not text.
    """
    samples = [Sample(folder) for folder in folders]
    if embed is None:
        rows = [row for sample in samples for kept in sample.rows.values() for row in kept]
        embed = word_vectors(row[column] for row in rows for column in TEXTS if row[column])
        embedding = "words, weighted by TF-IDF"
    return [_report(sample, embed, embedding) for sample in samples]


def _report(sample: Sample, embed: Embed, embedding: str) -> Report:
    report = Report(sample.total, sum(map(len, sample.rows.values())), embedding)
    report.negatives = sum(bool(row["negative"]) for rows in sample.rows.values() for row in rows)
    report.tasks = len(sample.tasks)
    if sample.tasks.total() >= ENOUGH:
        same = sum(n * (n - 1) for n in sample.tasks.values()) / (sample.tasks.total() * (sample.tasks.total() - 1))
        report.effective_tasks = rounded(1 / same) if same else None
    for (kind, topic), number in sorted(sample.coverage.items()):
        report.coverage.setdefault(kind, {})[topic] = number
    for kind, rows in sample.rows.items():
        numbers: Numbers = dict.fromkeys(MEASURES)
        report.by_task_type[kind] = numbers
        _written(kind, rows, report, numbers)
        if len(rows) >= ENOUGH:
            numbers |= run_variety(f"{row['query']} {row['positive']}" for row in rows)
            _twins(kind, rows, report, numbers)
            _similarities(kind, rows, embed, report, numbers)
        report.by_task_type[kind] = {name: rounded(value) for name, value in numbers.items()}
    return report


def _written(kind: str, rows: list[Row], report: Report, numbers: Numbers) -> None:
    """Measures of single rows: lengths, copied words, scripts; and rows that contradict each other."""
    fits: list[bool] = []
    for row in rows:
        for column in TEXTS:
            if row[column]:
                report.lengths.setdefault(f"{kind} {column}", []).append(len(words(row[column])))
        fits += lengths_fit(kind, row)
        short, long = ("positive", "query") if kind == "classification" else ("query", "positive")
        report.overlaps.setdefault(kind, []).append(word_share(row[short], row[long]))
    numbers["in_range"] = mean(fits)
    numbers["overlap"] = mean(report.overlaps.get(kind, []))
    answers = {(words(row["query"]), words(row["positive"])) for row in rows}
    against = [row for row in rows if row["negative"]]
    wrong = [row["id"] for row in against if (words(row["query"]), words(row["negative"])) in answers]
    numbers["contradictions"] = len(wrong) / len(against) if against else None
    spoken = [row for row in rows if row.get("language") in SCRIPTS]
    strange = [row["id"] for row in spoken if in_other_script(row)]
    numbers["wrong_script"] = len(strange) / len(spoken) if spoken else None
    _note(report, "contradictions", wrong)
    _note(report, "wrong_script", strange)


def _twins(kind: str, rows: list[Row], report: Report, numbers: Numbers) -> None:
    """Measures of near-duplicates, by the exact Jaccard similarity of word n-grams."""
    columns = ("query",) if kind == "classification" else ("query", "positive")  # labels are few on purpose
    for column in columns:
        first, second = near_pairs([row[column] for row in rows])
        pairs = list(zip(first.tolist(), second.tolist(), strict=True))
        numbers[f"{column}_twins"] = 1_000 * len(pairs) / (len(rows) * (len(rows) - 1) / 2)
        if column == "query" and pairs and "task" in rows[0]:
            numbers["twins_across_tasks"] = mean([rows[i]["task"] != rows[j]["task"] for i, j in pairs])
        _note(report, f"{column}_twins", [f"{rows[i]['id']} and {rows[j]['id']}" for i, j in pairs])


def _similarities(kind: str, rows: list[Row], embed: Embed, report: Report, numbers: Numbers) -> None:
    """Measures of similarity: how varied queries and positives are, and how the texts of a row relate."""
    query, positive, negative = (embed([row[column] or "" for row in rows]) for column in TEXTS)
    for column, vectors in (("query", query), ("positive", positive)):
        cosines = dense(vectors @ vectors.T)
        pairs = cosines[~np.eye(len(cosines), dtype=bool)]
        squared = float((pairs**2).mean())
        numbers[f"{column}_variety"] = 1 / squared if squared else None
        if column == "query":
            numbers["query_similarity"] = float(pairs.mean())
    to_positive = dense(query @ positive.T)
    own = to_positive.diagonal()
    ids = np.array([row["id"] for row in rows])
    if (own > 0).mean() > 0.5:  # otherwise this embedding sees no similarity in most rows
        numbers["unrelated"] = _flag(report, "unrelated", ids, rank_share(to_positive, own) >= 0.5)
    against = np.array([bool(row["negative"]) for row in rows])
    if against.sum() < ENOUGH:
        return
    to_negative = dense(query[against] @ negative[against].T)
    other, own, ids = to_negative.diagonal(), own[against], ids[against]
    if ((own > 0) | (other > 0)).mean() > 0.5:
        report.margins[kind] = np.round(own - other, 4).tolist()
        numbers["negative_closer"] = _flag(report, "negative_closer", ids, other > own + 1e-9)
        numbers["easy_negatives"] = _flag(report, "easy_negatives", ids, rank_share(to_negative, other) >= 0.5)


def _flag(report: Report, name: str, ids: np.ndarray, found: np.ndarray) -> float:
    _note(report, name, ids[found].tolist())
    return float(found.mean())


def _note(report: Report, name: str, ids: list[str]) -> None:
    """Name a few rows for people to look at."""
    if ids:
        known = report.examples.setdefault(name, [])
        known += ids[: EXAMPLES - len(known)]
