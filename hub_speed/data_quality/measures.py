"""Every measure: its name, its meaning and how it is computed.

No measure depends on how many rows there are: words are counted in runs of equal length, texts are compared pair by
pair, and the mean over pairs is taken. Sets of different sizes can therefore be compared.
"""

import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from hub_speed.data_quality.sample import Row
from hub_speed.generation.dedup import shingles
from hub_speed.text import SCRIPTS, UNSPACED, word_range, words, wrong_script

Numbers = dict[str, float | None]
Embed = Callable[[list[str]], Any]
"""Texts → one unit (or zero) vector a text: a scipy sparse or a numpy array of shape (texts, dimensions)."""

RUN = 1_000
"""Words in a run, within which different words are counted. Assumption."""
NEAR = 0.8
"""Jaccard similarity of word n-grams from which two texts are near-duplicates. Assumption; `revise` drops at 0.9."""
NGRAM = 3
"""Words of such an n-gram. Assumption: the default of `revise`."""

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
        label: the name people read.
        meaning: what exactly is counted.
        better: "more" or "less"; empty where neither is better in itself.
        noise: differences up to this one are called "alike": absolute for a share, else relative to the larger number.
            Rounded up from the differences between random halves of a quickstart's seed, split five times
            (`docs/quality.md`).
        share: whether the number is a share of rows, texts or words, shown as a percentage.
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
    "positive_variety": Measure("variety of positives", "the same for positives", "more", 0.15),
    "query_twins": Measure("near-duplicate queries", "near-duplicates of a query among 1,000 others", "less", 0.5),
    "twins_across_tasks": Measure("of these, across tasks", "pairs of near-duplicate queries that belong to different"
                                  " tasks", "", 0.0, True),
    "positive_twins": Measure("near-duplicate positives", "near-duplicates of a positive among 1,000 others"
                              " (labels left out)", "less", 0.5),
    "overlap": Measure("query in positive", "words of the query that are in the positive (classification: of the"
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


OF_NEGATIVES = ("easy_negatives", "negative_closer", "contradictions")
"""The measures of negatives, which a set of pairs does not have."""


def overall(numbers: dict[str, Any], *others: dict[str, Any]) -> Numbers:
    """Every measure as its mean over the task types; with other sets, over the task types for which all have a number.

    Args:
        numbers: the result of `Report.numbers`.
        others: that of other sets.
    """
    sets = [each["by_task_type"] for each in (numbers, *others)]
    found: Numbers = {}
    for name in MEASURES:
        common = [t for t in sets[0] if all(each.get(t, {}).get(name) is not None for each in sets)]
        found[name] = rounded(mean(sets[0][t][name] for t in common))
    return found


def verdict(name: str, value: float | None, reference: float | None) -> str:
    """How a number compares with a reference: "better", "worse", "alike" (see `Measure.noise`), or "" if unknown."""
    measure = MEASURES[name]
    if value is None or reference is None or not measure.better:
        return ""
    difference = value - reference
    if abs(difference) <= measure.noise * (1 if measure.share else max(value, reference)):
        return "alike"
    return "better" if (difference > 0) == (measure.better == "more") else "worse"


def shown(name: str, value: float | None) -> str:
    """A number formatted for people; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.1%}" if MEASURES[name].share else f"{value:.3f}" if value < 10 else f"{value:.0f}"


# --- texts compared -------------------------------------------------------------------------------------------------


def word_vectors(texts: Iterable[str]) -> Embed:
    """A function that embeds texts by their words: TF-IDF, with 1 + log(count) and unit length.

    Two texts are similar when they share rare words. Synonyms are not seen: nothing can be said about a question and a
    one-word answer. Truncated SVD sees a few synonyms, but was worse at telling sets apart.

    Args:
        texts: those from which the weights of words are computed. Other words are ignored.
    """
    counted = [Counter(words(text)) for text in texts]
    texts_with = Counter(word for counts in counted for word in counts)
    weights = {word: math.log((1 + len(counted)) / (1 + n)) + 1 for word, n in texts_with.items()}
    places = {word: i for i, word in enumerate(sorted(weights))}

    def embed(some: list[str]) -> sparse.csr_array:
        weighted = (
            {word: (1 + math.log(n)) * weights.get(word, 0) for word, n in Counter(words(text)).items()}
            for text in some
        )
        matrix = _matrix(weighted, places)
        lengths = np.sqrt(matrix.multiply(matrix).sum(axis=1))
        return sparse.csr_array(sparse.diags_array(1 / np.where(lengths, lengths, 1)) @ matrix)

    return embed


def _matrix(texts: Iterable[Mapping[str, float]], places: Mapping[str, int]) -> sparse.csr_array:
    """One row a text, with the numbers of its words at their places; words without a place are left out."""
    data: list[float] = []
    columns: list[int] = []
    ends = [0]
    for text in texts:
        known = sorted((places[word], number) for word, number in text.items() if word in places)
        columns += (place for place, _ in known)
        data += (number for _, number in known)
        ends.append(len(columns))
    return sparse.csr_array((np.array(data, float), columns, ends), shape=(len(ends) - 1, max(1, len(places))))


def near_pairs(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The pairs (i < j) of near-duplicates, as two arrays of positions."""
    runs = [dict.fromkeys(shingles(text, NGRAM), 1) for text in texts]
    contains = _matrix(runs, {run: i for i, run in enumerate(sorted(set().union(*runs)))})
    shared = sparse.triu(contains @ contains.T, 1).tocoo()
    sizes = np.diff(contains.indptr)
    near = shared.data >= NEAR * (sizes[shared.row] + sizes[shared.col] - shared.data)
    return shared.row[near], shared.col[near]


def dense(matrix: Any) -> np.ndarray:
    """A matrix as a numpy array, whether it is sparse or one already."""
    return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix)


def rank_share(similarities: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Per row: the share of other rows' texts that are closer to its query than its own text; ties count half."""
    closer = (similarities > own[:, None] + 1e-9).sum(1)
    as_close = (np.abs(similarities - own[:, None]) <= 1e-9).sum(1) - 1  # itself
    return np.asarray((closer + as_close / 2) / max(1, len(own) - 1))


# --- rows by themselves -----------------------------------------------------------------------------------------------


def word_share(text: str, within: str) -> float:
    """The share of a text's different words that are in another text; 0 without words."""
    own = set(words(text))
    return len(own & set(words(within))) / len(own) if own else 0.0


def lengths_fit(kind: str, row: Row) -> Iterator[bool]:
    """Whether each text of a row has the length it was asked for; yields nothing for texts without one."""
    try:  # datasets of other people may have anything in this column
        knobs = json.loads(row.get("knobs") or "{}")
        asked = {column: str(knobs[knob]) for column, knob in LENGTH_KNOBS.get(kind, {}).items() if knob in knobs}
        ranges = {column: (int(a), math.inf) if a.isdigit() else word_range(a) for column, a in asked.items()}
    except (ValueError, TypeError):
        return
    for column, (least, most) in ranges.items():
        if row[column] and row.get("language") not in UNSPACED:
            yield least <= len(words(row[column])) <= most


def in_other_script(row: Row) -> bool:
    """Whether a text of the row is in a script that its language, one of `text.SCRIPTS`, does not use."""
    target = row.get("target_language") or row["language"]
    rest = [row[column] for column in ("positive", "negative") if row[column]]
    return wrong_script(row["language"], row["query"]) or (target in SCRIPTS and wrong_script(target, *rest))


def run_variety(texts: Iterable[str]) -> Numbers:
    """Different words, different pairs of words and compression, as means over runs of `RUN` words."""
    stream = [word for text in texts for word in words(text)]
    found: dict[str, list[float]] = {"distinct_1": [], "distinct_2": [], "compression": []}
    for start in range(0, len(stream) - RUN + 1, RUN):
        run = stream[start : start + RUN]
        raw = " ".join(run).encode()
        found["distinct_1"].append(len(set(run)) / RUN)
        found["distinct_2"].append(len(set(pairwise(run))) / (RUN - 1))
        found["compression"].append(len(raw) / len(zlib.compress(raw, 9)))
    return {name: mean(values) for name, values in found.items()}


def mean(values: Iterable[Any]) -> float | None:
    """The mean, or None of nothing."""
    found = list(values)
    return float(sum(found) / len(found)) if found else None


def rounded(value: float | None) -> float | None:
    """Four digits after the decimal point, or one for numbers of 100 and more."""
    return value if value is None else round(value, 4) if abs(value) < 100 else round(value, 1)
