"""Groups of near-duplicate documents, and the split of each group: what a test asks about was in no training.

Documents are of one group where their texts resemble each other (MinHash), where one holds much of another (paragraphs
that both have), or where a third one joins them (union-find).
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import combinations

from hub_speed.generation.dedup import bands, shingles
from hub_speed.text import words

PERMUTATIONS, WORDS = 128, 2
"""Of the MinHash signatures, and of the n-grams they are made of. 128 is usual. Pairs of words find 86% of real
documents with every tenth word replaced, triples 37% (scripts/bench_corpus.py groups; docs/documents.md); single ones
find 99%, but are too much alike in long texts of one field, and in scripts where a word is a sign."""

PARAGRAPH = 8
"""Words of a paragraph that is compared at least: shorter ones are headings and phrases. With 20, 12 of 100 documents
that are cut in half are not found (scripts/check_filters.py), and more of others are joined, since the rest counts
more."""

COMMON = 20
"""A paragraph that more documents have says nothing of two of them: a licence, a greeting. Assumption."""


def grouped(documents: Iterable[tuple[str, str]], threshold: float, run: int = WORDS) -> dict[str, str]:
    """Id of a document → its group: the smallest id in it, so that names and order of the files make no difference.

    Args:
        documents: (id, text) of each.
        threshold: the share of two texts that is alike from which on they are of one group.
        run: words of the n-grams that are compared.
    """
    ids, shared, joined = list[str](), _Shared(), _Union()

    def texts() -> Iterator[str]:
        for name, text in documents:
            ids.append(name)
            shared.add(text)
            yield text

    for place, close in enumerate(_alike(texts(), threshold, run)):
        joined.add()
        for other in close:
            joined.join(place, other)
    for one, other in shared.pairs(threshold):
        joined.join(one, other)
    first: dict[int, str] = {}
    for place, name in enumerate(ids):
        root = joined.root(place)
        first[root] = min(first.get(root, name), name)
    return {name: first[joined.root(place)] for place, name in enumerate(ids)}


def _alike(texts: Iterable[str], threshold: float, run: int) -> Iterator[list[int]]:
    """For each text, the places of the earlier ones that it resembles; of equal ones, of the first alone."""
    from rensa import RMinHash, RMinHashLSH  # the Space imports the stages, and groups no documents

    index = RMinHashLSH(threshold, PERMUTATIONS, bands(threshold, PERMUTATIONS))
    signatures: dict[int, RMinHash] = {}
    for place, text in enumerate(texts):
        signature = RMinHash(PERMUTATIONS, seed=42)
        signature.update(shingles(text, run))
        compared = [(signature.jaccard(signatures[other]), other) for other in index.query(signature)]
        close = [(similarity, other) for similarity, other in compared if similarity >= threshold]
        yield [other for _, other in close]
        if all(similarity < 1 for similarity, _ in close):  # what resembles one of two equal ones resembles the other
            index.insert(place, signature)
            signatures[place] = signature


class _Union:
    """Which places are joined with which (union-find)."""

    def __init__(self) -> None:
        self._parent: list[int] = []

    def add(self) -> None:
        self._parent.append(len(self._parent))

    def join(self, one: int, other: int) -> None:
        self._parent[self.root(one)] = self.root(other)

    def root(self, place: int) -> int:
        """The place that stands for all that are joined with this one."""
        while self._parent[place] != place:
            self._parent[place] = place = self._parent[self._parent[place]]
        return place


class _Shared:
    """Paragraphs that several documents have."""

    def __init__(self) -> None:
        self._holders: defaultdict[bytes, list[int]] = defaultdict(list)  # paragraph → places of documents
        self._words: dict[bytes, int] = {}  # paragraph → its words
        self._totals: list[int] = []  # of each document: the words of its paragraphs

    def add(self, text: str) -> None:
        """Remember the paragraphs of the next document."""
        place, total = len(self._totals), 0
        for said in map(words, dict.fromkeys(text.split("\n\n"))):
            if len(said) < PARAGRAPH:
                continue
            key = blake2b(" ".join(said).encode(), digest_size=8).digest()
            holders = self._holders[key]
            if len(holders) <= COMMON and place not in holders[-1:]:
                holders.append(place)
            self._words[key], total = len(said), total + len(said)
        self._totals.append(total)

    def pairs(self, threshold: float) -> Iterator[tuple[int, int]]:
        """The places of two documents that have this share of the shorter one in common."""
        both: Counter[tuple[int, int]] = Counter()
        for key, holders in self._holders.items():
            if len(holders) <= COMMON:
                both.update(dict.fromkeys(combinations(holders, 2), self._words[key]))
        for (one, other), count in both.items():
            if count >= threshold * min(self._totals[one], self._totals[other]):
                yield one, other


def splits(groups: Iterable[str], dev_share: float, test_share: float) -> dict[str, str]:
    """Group → its split, by a hash of its name: groups that are added later change nothing about the others.

    As long as there are enough groups, every split with a share has one, and train always has: then the hash decides
    only the order in which they are given out.
    """
    order = sorted(set(groups), key=_draw)
    room = len(order) - 1 - (dev_share > 0)
    test = _count(order, 0.0, test_share, most=max(room, min(1, len(order) - 1)))
    dev = _count(order[test:], test_share, dev_share, most=len(order) - test - 1)
    return {group: "test" if i < test else "dev" if i < test + dev else "train" for i, group in enumerate(order)}


def _count(order: Sequence[str], start: float, share: float, most: int) -> int:
    """How many of the first groups belong to a split whose share begins at `start`."""
    drawn = sum(_draw(group) < start + share for group in order)
    return max(0, min(drawn if drawn or not share else 1, most))


def _draw(group: str) -> float:
    """A number from 0 to 1 that stands for a group."""
    return int(hashlib.sha256(group.encode()).hexdigest()[:13], 16) / 16**13
