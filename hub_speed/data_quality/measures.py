"""What a set of rows is like, before a GPU is spent on it: lengths, variety, duplicates, leaks, negatives, coverage.

No measure depends on how many rows there are: words are counted in runs of equal length, texts are compared pair by
pair, and the mean over pairs is taken. Sets of different sizes therefore compare. All are taken within a task type,
since a set's mix of types would decide them otherwise. What is measured is a sample; memory does not grow with the set.
"""

import heapq
import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy import sparse

from hub_speed.errors import RecipeError
from hub_speed.generation.dedup import shingles
from hub_speed.text import SCRIPTS, UNSPACED, word_range, words, wrong_script

Row = dict[str, Any]
Numbers = dict[str, float | None]
Embed = Callable[[list[str]], Any]
"""Texts → one vector of length one (or zero) a row, as a scipy sparse or a numpy array of shape (texts, dimensions)."""

TEXTS = ("query", "positive", "negative")
SAMPLE = 1_000
"""Rows of a task type that are looked at, drawn evenly. Assumption: half a million pairs of them are plenty."""
ENOUGH = 100
"""Fewer rows of a task type say too little, and nothing is said of them. Assumption."""
RUN = 1_000
"""Words in a run, over which different words are counted. Assumption."""
NEAR = 0.8
"""Jaccard similarity of word n-grams from which two texts are near-duplicates. Assumption; `revise` drops at 0.9."""
NGRAM = 3
"""Words of such an n-gram. Assumption: as in `revise`, unless a recipe has another one."""
EXAMPLES = 5
"""Rows that are named per finding."""

LENGTH_KNOBS = {
    "retrieval": {"query": "query_length", "positive": "min_words", "negative": "min_words"},
    "classification": {"query": "text_length"},
    "short_matching": {"query": "text_length", "positive": "text_length"},
    "long_matching": {"query": "min_words", "positive": "min_words"},
}
"""Task type → column → the knob that asks for its length; sts and bitext ask for none in words."""


@dataclass(frozen=True)
class Measure:
    """One number of the report.

    Attributes:
        label: its name for people.
        meaning: what exactly is counted.
        better: "more" or "less"; empty where neither is better as such.
        noise: differences up to this one are called alike: points for a share, else a part of the larger number.
            Rounded up from what random halves of a quickstart's seed differed by, five times (`docs/quality.md`).
        share: whether it is a share of rows, texts or words, shown in per cent.
    """

    label: str
    meaning: str
    better: str
    noise: float
    share: bool = False


# fmt: off
MEASURES = {
    "in_range": Measure("length as asked", "texts that have as many words as was asked for", "more", 0.01, True),
    "distinct_1": Measure("different words", "different words per word, in runs of 1,000 words", "more", 0.02),
    "distinct_2": Measure("different word pairs", "different pairs of neighbouring words per pair, in the same runs",
                          "more", 0.02),
    "compression": Measure("compression ratio", "size of such a run by its deflated size: 1 is incompressible", "less",
                           0.02),
    "query_similarity": Measure("similarity of queries", "mean cosine of two queries", "less", 0.15),
    "query_variety": Measure("variety of queries", "effective number of different queries: 1 by the mean squared"
                             " cosine of two queries", "more", 0.15),
    "positive_variety": Measure("variety of positives", "the same of positives", "more", 0.15),
    "query_twins": Measure("near-duplicate queries", "near-duplicates a query has among 1,000 others", "less", 0.5),
    "twins_across_tasks": Measure("of these, across tasks", "pairs of near-duplicate queries that belong to different"
                                  " tasks", "", 0.0, True),
    "positive_twins": Measure("near-duplicate positives", "near-duplicates a positive has among 1,000 others"
                              " (labels left out)", "less", 0.5),
    "overlap": Measure("query in positive", "words of the query that stand in the positive (classification: of the"
                       " label, in the text)", "less", 0.01, True),
    "unrelated": Measure("unrelated positives", "rows whose positive is no closer to the query than half of the other"
                         " positives are", "less", 0.005, True),
    "easy_negatives": Measure("easy negatives", "rows whose negative is no closer to the query than half of the other"
                              " negatives are", "less", 0.05, True),
    "negative_closer": Measure("negative closer", "rows whose negative is closer to the query than the positive:"
                               " perhaps a false negative", "less", 0.05, True),
    "contradictions": Measure("contradictions", "rows whose negative is the positive of another row with that query",
                              "less", 0.001, True),
    "wrong_script": Measure("other script", "rows with a text in a script its language does not use", "less", 0.001,
                            True),
}
# fmt: on
"""In the order of the report. Sources: distinct-n: Li et al. 2016, arXiv 1510.03055; compression: Shaib et al. 2024,
arXiv 2403.00553; runs of equal length: Johnson 1944 (mean segmental type-token ratio); effective number: the Vendi
score of order 2, Friedman and Dieng, arXiv 2210.02410, Pasarkar and Dieng, arXiv 2310.12952, here without the pairs of
a text with itself, which makes it independent of the number of texts (Simpson 1949). The others are ours."""


@dataclass
class Report:
    """What was found in one set.

    Attributes:
        rows, sampled: how many rows there are, and how many of them were looked at.
        embedding: how texts were compared.
        by_task_type: task type → name in `MEASURES` → number; None where nothing can be said.
        tasks, effective_tasks: how many tasks (each with its topic) have rows; how many evenly used ones would repeat
            as often.
        coverage: task type → first part of the topic → rows; all rows are counted.
        lengths: "task type column" → words of every text that was looked at.
        overlaps: task type → what `overlap` is the mean of.
        margins: task type → similarity(query, positive) − similarity(query, negative), where that can be told.
        examples: finding → ids of a few rows to look at.
    """

    rows: int
    sampled: int
    embedding: str
    by_task_type: dict[str, Numbers] = field(default_factory=dict)
    tasks: int = 0
    effective_tasks: float | None = None
    coverage: dict[str, dict[str, int]] = field(default_factory=dict)
    lengths: dict[str, list[int]] = field(default_factory=dict)
    overlaps: dict[str, list[float]] = field(default_factory=dict)
    margins: dict[str, list[float]] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """The part that is kept and compared: no lists, no texts."""
        names = ("rows", "sampled", "embedding", "by_task_type", "tasks", "effective_tasks")
        return {name: getattr(self, name) for name in names}


def overall(numbers: dict[str, Any], *others: dict[str, Any]) -> Numbers:
    """Every measure as its mean over the task types; with other sets, over those for which all have a number.

    Args:
        numbers: what `Report.numbers` gives.
        others: the same of other sets.
    """
    sets = [each["by_task_type"] for each in (numbers, *others)]
    found: Numbers = {}
    for name in MEASURES:
        common = [t for t in sets[0] if all(each.get(t, {}).get(name) is not None for each in sets)]
        found[name] = _round(_mean(sets[0][t][name] for t in common))
    return found


def verdict(name: str, value: float | None, reference: float | None) -> str:
    """How a number compares with that of a reference set: "better", "worse", "alike" (see `Measure.noise`), or ""."""
    measure = MEASURES[name]
    if value is None or reference is None or not measure.better:
        return ""
    difference = value - reference
    if abs(difference) <= measure.noise * (1 if measure.share else max(value, reference)):
        return "alike"
    return "better" if (difference > 0) == (measure.better == "more") else "worse"


def shown(name: str, value: float | None) -> str:
    """A number as people read it; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.1%}" if MEASURES[name].share else f"{value:.3f}" if value < 10 else f"{value:.0f}"


def measure(folders: Iterable[Path], embed: Embed | None = None, embedding: str = "") -> list[Report]:
    """Look at sets of rows: folders with parquet files (in `data/`, where there is such a folder).

    Args:
        folders: several sets share the weights of their words, so that their similarities compare.
        embed: compares texts; by their words, when left out (`WordWeights`).
        embedding: how `embed` is called in the report.

    Raises:
        RecipeError: a folder has no parquet file, or a column is missing or not text.
    """
    samples = [_Sample(folder) for folder in folders]
    if embed is None:
        weights = WordWeights(text for s in samples for rows in s.rows.values() for r in rows for text in _texts(r))
        embed, embedding = weights.embed, "words, weighted by TF-IDF"
    return [_report(sample, embed, embedding) for sample in samples]


def _texts(row: Row) -> list[str]:
    return [row[column] for column in TEXTS if row[column]]


class _Sample:
    """A set as it is read once, from the first row to the last: counts of all rows, and a sample of each task type."""

    def __init__(self, folder: Path) -> None:
        self.total = 0
        self.tasks: Counter[tuple[str, str]] = Counter()  # with their topics: some task types have but one task
        self.coverage: Counter[tuple[str, str]] = Counter()
        self.kept: dict[str, list[tuple[float, int, Row]]] = {}  # heaps: the rows with the largest random keys stay
        rng, number = np.random.default_rng(0), count()
        for batch in _batches(folder):
            keys = rng.random(batch.num_rows).tolist()
            columns = {
                name: batch[name].to_pylist() for name in ("task_type", "task", "topic") if name in batch.schema.names
            }
            kinds = columns.get("task_type") or ["all"] * batch.num_rows
            chosen = [i for i, (kind, key) in enumerate(zip(kinds, keys, strict=True)) if self._wants(kind, key)]
            for i, row in zip(chosen, batch.take(pa.array(chosen, pa.int64())).to_pylist(), strict=True):
                self._keep(kinds[i], keys[i], next(number), {"id": f"row {self.total + i}", "negative": None} | row)
            self.total += batch.num_rows
            if "task" in columns and "topic" in columns:
                self.tasks.update(zip(columns["task"], columns["topic"], strict=True))
                self.coverage.update((k, t.split("/")[0]) for k, t in zip(kinds, columns["topic"], strict=True))
        self.rows = {
            kind: [row for _, _, row in sorted(heap, reverse=True)] for kind, heap in sorted(self.kept.items())
        }

    def _wants(self, kind: str, key: float) -> bool:
        heap = self.kept.setdefault(kind, [])
        return len(heap) < SAMPLE or key > heap[0][0]

    def _keep(self, kind: str, key: float, number: int, row: Row) -> None:
        heap = self.kept[kind]
        (heapq.heappush if len(heap) < SAMPLE else heapq.heappushpop)(heap, (key, number, row))


def _batches(folder: Path) -> Iterator[pa.RecordBatch]:
    """The columns that are needed, of all rows, a batch at a time.

    Raises:
        RecipeError: see `measure`.
    """
    inside = folder / "data" if (folder / "data").is_dir() else folder
    paths = sorted(inside.rglob("*.parquet"))
    if not paths:
        raise RecipeError(f"{folder}: there is no parquet file", expected="a dataset as parquet files")
    for path in paths:
        file = pq.ParquetFile(path)
        schema = file.schema_arrow
        for column in TEXTS:
            if column not in schema.names or not _is_text(schema.field(column).type):
                raise RecipeError(
                    f"{path.name}: no column {column} of texts",
                    expected="the columns query, positive and negative (texts; negative may hold nulls)",
                    got=", ".join(schema.names),
                    fix="rename the columns, or name another dataset",
                )
        known = ("id", "task_type", "task", "topic", "language", "target_language", "knobs", *TEXTS)
        columns = [name for name in known if name in schema.names]
        yield from map(_tidy, file.iter_batches(2_000, columns=columns))


def _tidy(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with a query and a positive; of the other columns those that hold what is expected, without nulls."""
    batch = batch.filter(pc.and_(pc.is_valid(batch["query"]), pc.is_valid(batch["positive"])))
    columns: dict[str, pa.Array] = {"negative": batch["negative"].cast(pa.string())}
    for name in batch.schema.names:
        kind = batch.schema.field(name).type
        if name != "negative" and (_is_text(kind) or (name == "id" and pa.types.is_integer(kind))):
            columns[name] = pc.fill_null(batch[name].cast(pa.string()), "none" if name == "task_type" else "")
    return pa.RecordBatch.from_pydict(columns)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)


class WordWeights:
    """Texts as vectors of words: 1 + log(count), times the word's inverse document frequency, length one (TF-IDF).

    Two texts are similar when they share rare words. It sees no synonyms: of a question and a one-word answer it can
    say nothing. Cutting the vectors down (truncated SVD) sees a few, but was worse at telling sets apart.

    Args:
        texts: those in which the frequencies are counted.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        frequency: Counter[str] = Counter()
        total = 0
        for text in texts:
            for word in set(words(text)):
                frequency[word] += 1
            total += 1
        self._index = {word: i for i, word in enumerate(frequency)}
        self._idf = np.array([1 + math.log((1 + total) / (1 + n)) for n in frequency.values()])

    def embed(self, texts: list[str]) -> sparse.csr_array:
        """One row a text; all zeros for a text without known words."""
        known = [[self._index[word] for word in words(text) if word in self._index] for text in texts]
        matrix = _rows_of_marks(known, len(self._index))
        matrix.sum_duplicates()
        matrix.data = (1 + np.log(matrix.data)) * self._idf[matrix.indices]
        lengths = np.sqrt(matrix.multiply(matrix).sum(1))
        return sparse.csr_array(sparse.diags_array(1 / np.where(lengths > 0, lengths, 1)) @ matrix)


def _rows_of_marks(marks: list[list[int]], width: int) -> sparse.csr_array:
    """A matrix that holds a one in row i for every mention of a column in `marks[i]`."""
    columns = np.fromiter(chain.from_iterable(marks), dtype=np.int64)
    starts = np.cumsum([0, *map(len, marks)])
    return sparse.csr_array((np.ones(len(columns)), columns, starts), shape=(len(marks), width))


def _report(sample: _Sample, embed: Embed, embedding: str) -> Report:
    report = Report(sample.total, sum(map(len, sample.rows.values())), embedding)
    report.tasks = len(sample.tasks)
    if sample.tasks.total() >= ENOUGH:
        same = sum(n * (n - 1) for n in sample.tasks.values()) / (sample.tasks.total() * (sample.tasks.total() - 1))
        report.effective_tasks = _round(1 / same) if same else None
    for (kind, topic), number in sorted(sample.coverage.items()):
        report.coverage.setdefault(kind, {})[topic] = number
    for kind, rows in sample.rows.items():
        numbers: Numbers = dict.fromkeys(MEASURES)
        report.by_task_type[kind] = numbers
        _written(kind, rows, report, numbers)
        if len(rows) >= ENOUGH:
            numbers |= _runs(f"{row['query']} {row['positive']}" for row in rows)
            _twins(kind, rows, report, numbers)
            _similarities(kind, rows, embed, report, numbers)
        report.by_task_type[kind] = {name: _round(value) for name, value in numbers.items()}
    return report


def _written(kind: str, rows: list[Row], report: Report, numbers: Numbers) -> None:
    """What is seen in a row by itself: lengths, copied words, scripts; and rows that contradict each other."""
    fits: list[bool] = []
    for row in rows:
        for column in TEXTS:
            if row[column]:
                report.lengths.setdefault(f"{kind} {column}", []).append(len(words(row[column])))
        fits += _lengths_fit(kind, row)
        held, within = (row["positive"], row["query"]) if kind == "classification" else (row["query"], row["positive"])
        report.overlaps.setdefault(kind, []).append(_share(words(w) for w in (held, within)))
    numbers["in_range"] = _mean(fits)
    numbers["overlap"] = _mean(report.overlaps.get(kind, []))
    answers = {(words(row["query"]), words(row["positive"])) for row in rows}
    against = [row for row in rows if row["negative"]]
    wrong = [row["id"] for row in against if (words(row["query"]), words(row["negative"])) in answers]
    numbers["contradictions"] = len(wrong) / len(against) if against else None
    spoken = [row for row in rows if row.get("language") in SCRIPTS]
    strange = [row["id"] for row in spoken if _strange(row)]
    numbers["wrong_script"] = len(strange) / len(spoken) if spoken else None
    _note(report, "contradictions", wrong)
    _note(report, "wrong_script", strange)


def _share(texts: Iterable[tuple[str, ...]]) -> float:
    held, within = (set(found) for found in texts)
    return len(held & within) / len(held) if held else 0.0


def _lengths_fit(kind: str, row: Row) -> Iterator[bool]:
    """For every text of a row whose length was asked for: whether it has it, to the word."""
    try:  # in rows of others, anything may stand there
        knobs = json.loads(row.get("knobs") or "{}")
        asked = {column: str(knobs[knob]) for column, knob in LENGTH_KNOBS.get(kind, {}).items() if knob in knobs}
        ranges = {column: (int(a), math.inf) if a.isdigit() else word_range(a) for column, a in asked.items()}
    except (ValueError, TypeError):
        return
    for column, (least, most) in ranges.items():
        if row[column] and row.get("language") not in UNSPACED:
            yield least <= len(words(row[column])) <= most


def _strange(row: Row) -> bool:
    target = row.get("target_language") or row["language"]
    rest = [row[column] for column in ("positive", "negative") if row[column]]
    return wrong_script(row["language"], row["query"]) or (target in SCRIPTS and wrong_script(target, *rest))


def _runs(texts: Iterable[str]) -> Numbers:
    """Different words, different pairs of words and compression, as means over runs of `RUN` words."""
    stream = [word for text in texts for word in words(text)]
    found: dict[str, list[float]] = {"distinct_1": [], "distinct_2": [], "compression": []}
    for start in range(0, len(stream) - RUN + 1, RUN):
        run = stream[start : start + RUN]
        raw = " ".join(run).encode()
        found["distinct_1"].append(len(set(run)) / RUN)
        found["distinct_2"].append(len(set(pairwise(run))) / (RUN - 1))
        found["compression"].append(len(raw) / len(zlib.compress(raw, 9)))
    return {name: _mean(values) for name, values in found.items()}


def _twins(kind: str, rows: list[Row], report: Report, numbers: Numbers) -> None:
    """Pairs of texts that are nearly the same, by the exact Jaccard similarity of their word n-grams."""
    columns = ("query",) if kind == "classification" else ("query", "positive")  # labels are few on purpose
    for column in columns:
        first, second = _near_pairs([row[column] for row in rows])
        pairs = list(zip(first.tolist(), second.tolist(), strict=True))
        numbers[f"{column}_twins"] = 1_000 * len(pairs) / (len(rows) * (len(rows) - 1) / 2)
        if column == "query" and pairs and "task" in rows[0]:
            numbers["twins_across_tasks"] = _mean([rows[i]["task"] != rows[j]["task"] for i, j in pairs])
        _note(report, f"{column}_twins", [f"{rows[i]['id']} and {rows[j]['id']}" for i, j in pairs])


def _near_pairs(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The pairs (i < j) of near-duplicates, as two arrays of numbers."""
    index: dict[str, int] = {}
    sets = [list({index.setdefault(piece, len(index)) for piece in shingles(text, NGRAM)}) for text in texts]
    marks = _rows_of_marks(sets, len(index))
    shared = sparse.triu(marks @ marks.T, 1).tocoo()
    sizes = np.diff(marks.indptr)
    near = shared.data >= NEAR * (sizes[shared.row] + sizes[shared.col] - shared.data)
    return shared.row[near], shared.col[near]


def _similarities(kind: str, rows: list[Row], embed: Embed, report: Report, numbers: Numbers) -> None:
    """What is seen when texts are compared: how much queries and positives vary, and how the texts of a row relate."""
    query, positive, negative = (embed([row[column] or "" for row in rows]) for column in TEXTS)
    for column, vectors in (("query", query), ("positive", positive)):
        cosines = _dense(vectors @ vectors.T)
        pairs = cosines[~np.eye(len(cosines), dtype=bool)]
        squared = float((pairs**2).mean())
        numbers[f"{column}_variety"] = 1 / squared if squared else None
        if column == "query":
            numbers["query_similarity"] = float(pairs.mean())
    to_positive = _dense(query @ positive.T)
    own = to_positive.diagonal()
    ids = np.array([row["id"] for row in rows])
    if (own > 0).mean() > 0.5:  # else most positives share nothing with the query that this embedding can see
        numbers["unrelated"] = _flag(report, "unrelated", ids, _chance(to_positive, own) >= 0.5)
    against = np.array([bool(row["negative"]) for row in rows])
    if against.sum() < ENOUGH:
        return
    to_negative = _dense(query[against] @ negative[against].T)
    other, own, ids = to_negative.diagonal(), own[against], ids[against]
    if ((own > 0) | (other > 0)).mean() > 0.5:
        report.margins[kind] = np.round(own - other, 4).tolist()
        numbers["negative_closer"] = _flag(report, "negative_closer", ids, other > own + 1e-9)
        numbers["easy_negatives"] = _flag(report, "easy_negatives", ids, _chance(to_negative, other) >= 0.5)


def _dense(matrix: Any) -> np.ndarray:
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def _chance(similarities: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Per row: the share of the others' texts that are closer to its query than its own; those as close count half."""
    closer = (similarities > own[:, None] + 1e-9).sum(1)
    as_close = (np.abs(similarities - own[:, None]) <= 1e-9).sum(1) - 1  # itself
    return (closer + as_close / 2) / max(1, len(own) - 1)


def _flag(report: Report, name: str, ids: np.ndarray, found: np.ndarray) -> float:
    _note(report, name, ids[found].tolist())
    return float(found.mean())


def _note(report: Report, name: str, ids: list[str]) -> None:
    """Name a few rows for somebody to look at."""
    if ids:
        known = report.examples.setdefault(name, [])
        known += ids[: EXAMPLES - len(known)]


def _mean(values: Iterable[Any]) -> float | None:
    found = list(values)
    return float(sum(found) / len(found)) if found else None


def _round(value: float | None) -> float | None:
    """Four digits after the point, or four digits in all for what is large."""
    return value if value is None else round(value, 4) if abs(value) < 100 else round(value, 1)
