"""Test texts that stand in training rows: as they are, inside a longer text, or with a few words changed.

A text is compared by its words, so that case, punctuation, white space and the form of its Unicode say nothing. What
two texts share by chance must not count, and most of it is short or common. So each word of a test text weighs as
much as the word is rare among the training rows (in bits), and a word inside a common phrase weighs nothing. A phrase
is three words; one that many rows or many test texts have is common. A match then needs two things:

- *coverage*: one place of the training text holds nearly all of the test text, by weight;
- *bits*: what is found is so rare that no test text would be found by chance.

Source: E5 App. B compares whole texts whatever their case and white space, and finds that a match of a few words is
mostly chance. The rest is ours; `scripts/measure_contamination.py` measures it.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np

from hub_speed.text import words

Row = dict[str, Any]
T = TypeVar("T")

TEXTS = ("query", "positive", "negative", "positives", "negatives")
"""The columns of a training row that are compared."""

COVERAGE = 0.8
"""The least share of a test text, by weight, that one place must hold. Measured: docs/trust.md."""
LEAST_WORDS = 5
"""Shorter test texts are met by chance: E5 App. B found four such questions. Assumption: the number."""
COMMON = (10, 1e-4)
"""A phrase is common that at least so many texts have, and at least this share of them. Assumption."""
PLAIN = 2 / 3
"""The least share of the different words of a test text, of whatever weight, that such a place must hold. Measured as
well: without it, three rare words of one sentence in another are a match."""
HINT = 0.25
"""The share of a test text's uncommon phrases from which two texts are compared word by word. A text of six words with
one of them changed keeps one phrase of four."""
SLACK = 0.25
"""A place may be longer than the test text by this share: words that were put in. Assumption."""
SAMPLE = 100_000
"""Rows in which words and phrases are counted; the memory grows with it. Assumption: enough for rare words."""
SHOWN = 5
"""Ids of rows that a record names."""
AT_ONCE = 20_000
"""Texts that are looked through at once: some 50 MB of long ones."""

KINDS = {
    "exact": "the same text",
    "normalised": "the same words",
    "contained": "the same words inside a longer text",
    "near": "nearly the same words",
}
"""How a test text may stand in a row."""


class Match(NamedTuple):
    """A test text that stands in a row.

    Attributes:
        row, column: the id of the row, and where in it.
        kind: one of `KINDS`.
        coverage: the share of the test text that is there, by weight.
        set, text: the test text, and the set it belongs to; of several sets, the first.
    """

    row: str
    column: str
    kind: str
    coverage: float
    set: str
    text: str


class _Place(NamedTuple):
    """A text of a training row."""

    row: str
    column: str
    text: str


def matches(
    tests: Iterable[tuple[str, str]], rows: Callable[[], Iterable[Row]], coverage: float = COVERAGE
) -> Iterator[Match]:
    """Every place of the rows where one of the test texts stands, in the order of the rows.

    Args:
        tests: set and text of each test text; all of them are in memory.
        rows: gives the training rows; they are read twice, first to count words and phrases.
        coverage: see `COVERAGE`. At 1, no word may differ.
    """
    index = _Index(tests)
    if not index.texts:
        return
    index.weigh(*_sampled(_places(rows())))
    for places in _batched(_places(rows())):
        yield from index.search(places, coverage)


def by_row(found: Iterable[Match]) -> dict[str, Match]:
    """The id of each row in which a test text stands → its match; of several, the plainest by the order of `KINDS`."""
    order, rows = list(KINDS), dict[str, Match]()
    for match in found:
        rows[match.row] = min(rows.get(match.row, match), match, key=lambda each: order.index(each.kind))
    return rows


def report(rows: Mapping[str, Match], drop: Collection[str]) -> dict[str, Any]:
    """What a record keeps of a check.

    Returns:
        found: set → kind → rows; dropped: how many rows have a kind in `drop`; rows: ids of some, to look at.
    """
    found: dict[str, Counter[str]] = {}
    for match in rows.values():
        found.setdefault(match.set, Counter())[match.kind] += 1
    dropped = [match.row for match in rows.values() if match.kind in drop]
    return {
        "found": {name: dict(kinds) for name, kinds in sorted(found.items())},
        "dropped": len(dropped),
        "rows": list(rows)[:SHOWN],
    }


def _places(rows: Iterable[Row]) -> Iterator[_Place]:
    """The texts of the rows."""
    for number, row in enumerate(rows):
        name = str(row.get("id", f"row {number}"))
        for column in TEXTS:
            value = row.get(column)
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and text:
                    yield _Place(name, column, text)


def _sampled(places: Iterable[_Place]) -> tuple[list[str], int]:
    """Texts that lie evenly among all, fewer than twice `SAMPLE`; and how many there are in all."""
    kept: list[str] = []
    step, count = 1, 0
    for count, place in enumerate(places, 1):
        if (count - 1) % step == 0:
            kept.append(place.text)
            if len(kept) >= 2 * SAMPLE:
                kept, step = kept[::2], 2 * step
    return kept, count


def normalised(text: str) -> tuple[str, ...]:
    """The words of a text, whatever its case, punctuation and form of Unicode."""
    return words(text if text.isascii() else unicodedata.normalize("NFKC", text))


class _Index:
    """The test texts, by their words and phrases."""

    def __init__(self, tests: Iterable[tuple[str, str]]) -> None:
        self.texts: list[tuple[str, str]] = []
        self._whole: dict[str, int] = {}  # the words of a test text → its number
        self._number: dict[str, int] = {}  # word → its number; 0 is for all words that no test text has
        for name, text in tests:
            said = normalised(text)
            if len(said) >= LEAST_WORDS and (key := " ".join(said)) not in self._whole:
                self._whole[key] = len(self.texts)
                self.texts.append((name, text))
                for word in said:
                    self._number.setdefault(word, len(self._number) + 1)
        self._keys = list(self._whole)
        self._flat, self._starts = self._numbered(map(str.split, self._keys))
        found, owners = _phrases(self._flat, self._starts)
        self._phrases, which = np.unique(found, return_inverse=True)
        self._pairs = _distinct(which, owners)  # (phrase, test text), in the order of the phrases

    def _numbered(self, texts: Iterable[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of all words, one text after the other, and where each text starts, with the end of the last."""
        flat: list[int] = []
        starts, number = [0], self._number
        for said in texts:
            flat += [number.get(word, 0) for word in said]
            starts.append(len(flat))
        return np.array(flat, np.int64), np.array(starts)

    def weigh(self, sample: list[str], count: int) -> None:
        """Weigh words and phrases by how many texts have them; `count` is how many texts there are in all."""
        keys: Counter[int] = Counter()
        frequency = np.zeros(len(self._number) + 1, np.int64)
        phrases = np.zeros(len(self._phrases), np.int64)
        for part in _batched(sample):
            said = [normalised(text) for text in part]
            keys.update(test for one in said if (test := self._whole.get(" ".join(one))) is not None)
            flat, starts = self._numbered(said)
            frequency += np.bincount(_distinct(flat, _owners(starts))[0], minlength=len(frequency))
            phrases += np.bincount(self._known(flat, starts)[0], minlength=len(phrases))
        of_tests = np.bincount(self._pairs[0], minlength=len(phrases))
        common = (phrases >= _common(len(sample))) | (of_tests >= _common(len(self.texts)))
        self._word_bits = np.log2((len(sample) + 1) / (frequency + 1))
        self._needs = math.log2(max(count, 1) * len(self.texts))
        self._stock = {test for test, seen in keys.items() if seen >= _common(len(sample))}
        self._weights = self._weighted(common)
        rare = ~common[self._pairs[0]]
        which, self._owners_of = self._pairs[0][rare], self._pairs[1][rare]
        self._places_of = np.searchsorted(which, np.arange(len(phrases) + 1))
        self._hints = np.maximum(1, np.bincount(self._owners_of, minlength=len(self.texts)))

    def _weighted(self, common: np.ndarray) -> np.ndarray:
        """The weight of every word of every test text, in bits; 0 inside a common phrase."""
        found, _ = _phrases(self._flat, self._starts, keep_all=True)
        place = np.minimum(np.searchsorted(self._phrases, found), len(self._phrases) - 1)
        owners = _owners(self._starts)
        inside = owners[:-2] == owners[2:]
        begins = np.flatnonzero(common[place] & inside)
        weights: np.ndarray = self._word_bits[self._flat]
        for offset in range(3):
            weights[begins + offset] = 0
        return weights

    def _known(self, flat: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The phrases of the test texts that are in some texts, by number, each once a text; and which text."""
        found, owners = _phrases(flat, starts)
        place = np.minimum(np.searchsorted(self._phrases, found), len(self._phrases) - 1)
        same = self._phrases[place] == found
        return _distinct(place[same], owners[same])

    def search(self, places: Sequence[_Place], coverage: float) -> Iterator[Match]:
        """The matches in some texts."""
        said = [normalised(place.text) for place in places]
        flat, starts = self._numbered(said)
        found = self._hinted(flat, starts)
        for i, (place, one) in enumerate(zip(places, said, strict=True)):
            if len(one) < LEAST_WORDS:
                continue
            key = " ".join(one)
            if (test := self._whole.get(key)) is not None:
                if test not in self._stock and self._bits(test).sum() >= self._needs:
                    kind = "exact" if place.text.strip() == self.texts[test][1].strip() else "normalised"
                    yield Match(place.row, place.column, kind, 1.0, *self.texts[test])
                continue
            if found.get(i):
                yield from self._best(place, f" {key} ", flat[starts[i] : starts[i + 1]], found[i], coverage)

    def _best(self, place: _Place, key: str, text: np.ndarray, tests: list[int], coverage: float) -> Iterator[Match]:
        """The best match among some test texts that a text may hold; a whole one before all others.

        Of a test text that is there as a whole, all words count: its phrases may be common, but hardly all together.
        """
        whole = [test for test in tests if f" {self._keys[test]} " in key and self._bits(test).sum() >= self._needs]
        if whole:
            longest = max(whole, key=lambda test: len(self._keys[test]))
            yield Match(place.row, place.column, "contained", 1.0, *self.texts[longest])
            return
        best, bits, test = max((*self._covers(test, text), test) for test in tests)
        if best >= coverage and bits >= self._needs:
            yield Match(place.row, place.column, "near", round(best, 3), *self.texts[test])

    def _hinted(self, flat: np.ndarray, starts: np.ndarray) -> dict[int, list[int]]:
        """Text → the test texts of which it has enough uncommon phrases (`HINT`)."""
        phrases, owners = self._known(flat, starts)
        first, last = self._places_of[phrases], self._places_of[phrases + 1]
        counts = last - first
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        tests = self._owners_of[np.repeat(first, counts) + steps]
        pairs, shared = np.unique(np.repeat(owners, counts) * len(self.texts) + tests, return_counts=True)
        texts, tests = np.divmod(pairs, len(self.texts))
        found: dict[int, list[int]] = {}
        for i in np.flatnonzero(shared >= HINT * self._hints[tests]):
            found.setdefault(int(texts[i]), []).append(int(tests[i]))
        return found

    def _bits(self, test: int) -> np.ndarray:
        """How rare each word of a test text is, whatever the phrases it stands in."""
        bits: np.ndarray = self._word_bits[self._flat[self._starts[test] : self._starts[test + 1]]]
        return bits

    def _covers(self, test: int, text: np.ndarray) -> tuple[float, float]:
        """The share of a test text that the best place of a text holds, by weight; and the bits that are held."""
        span = slice(self._starts[test], self._starts[test + 1])
        weights: dict[int, float] = {}
        for word, weight in zip(self._flat[span].tolist(), self._weights[span].tolist(), strict=True):
            weights[word] = max(weight, weights.get(word, 0.0))
        total = sum(weights.values())
        length = math.ceil((1 + SLACK) * (span.stop - span.start))
        inside: Counter[int] = Counter()
        held = best = 0.0
        plain = len(weights) * PLAIN
        known = [(i, word) for i, word in enumerate(text.tolist()) if word in weights]
        oldest = 0
        for i, word in known:
            while known[oldest][0] <= i - length:
                inside[gone := known[oldest][1]] -= 1
                held -= 0 if inside[gone] else weights[gone]
                oldest += 1
            held += 0 if inside[word] else weights[word]
            inside[word] += 1
            if held > best and sum(map(bool, inside.values())) >= plain:
                best = held
        return (best / total if total else 0.0), best


def _batched(values: Iterable[T]) -> Iterator[list[T]]:
    """The values, `AT_ONCE` of them at a time."""
    iterator = iter(values)
    while batch := list(islice(iterator, AT_ONCE)):
        yield batch


def _common(texts: int) -> float:
    """How many of so many texts have a phrase that is common."""
    least, share = COMMON
    return max(least, share * texts)


def _owners(starts: np.ndarray) -> np.ndarray:
    """The number of the text that each word belongs to."""
    return np.repeat(np.arange(len(starts) - 1), np.diff(starts))


def _phrases(flat: np.ndarray, starts: np.ndarray, *, keep_all: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A number for every three words in a row that are known, and the text they are in.

    Args:
        flat: see `_Index._numbered`.
        starts: as above.
        keep_all: also those with an unknown word, or that reach into the next text: one for each word but the last two.
    """
    owners, words_of = _owners(starts), flat.astype(np.uint64)
    a, b, c = words_of[:-2], words_of[1:-1], words_of[2:]
    mixed = (a * np.uint64(0x9E3779B97F4A7C15) + b) * np.uint64(0xC2B2AE3D27D4EB4F) + c
    if keep_all:
        return mixed, owners[:-2]
    whole = (owners[:-2] == owners[2:]) & (a > 0) & (b > 0) & (c > 0)
    return mixed[whole], owners[:-2][whole]


def _distinct(values: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of value and owner, each once, in the order of the values."""
    if not len(values):
        return values, owners
    most = int(owners.max()) + 1
    found, owner = np.divmod(np.unique(values.astype(np.int64) * most + owners), most)
    return found, owner
