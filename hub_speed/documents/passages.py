"""A document's text → its passages: as its structure has them, and about as long as the recipe asks.

Lengths are words, not tokens: they need no tokenizer, so that another embedder finds the same passages. Passages do not
overlap, and together they hold every word of the text (but a YAML header).
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hub_speed.documents.structure import Block, blocks
from hub_speed.text import word_count, words

CHARS_PER_WORD = 12
"""A text counts as one word for so many characters at least: long codes are few words, and many tokens. Assumption:
twice what an English word and its space take."""

SHORT = 0.25
"""What has less than this share of a passage is joined with what follows, also where both are longer than a passage by
that share. Assumption."""

WHOLE = 2
"""Code and tables stay whole up to so many times the length of a passage: parts of them say little. Assumption."""

SEPARATOR = " › "

_SENTENCES = re.compile(r"(?<=[.!?…।؟])[\"'”’)\]]*\s+|(?<=[。！？｡；])[”’」』）]*|\n+")
_SPACES = re.compile(r"\s+|(?<=[，、,])(?=\w)|\u200b")


@dataclass(frozen=True)
class Passage:
    """The part `text[start:end]` of a document, and the headings above it."""

    start: int
    end: int
    headings: tuple[str, ...]


def length(text: str) -> float:
    """The words of a text; of scripts without spaces, about as many as it would have with spaces."""
    fewest, most = word_count(text)
    return max((fewest + most) / 2, len(text) / CHARS_PER_WORD)


def cut(text: str, passage_words: int, *, markdown: bool = True) -> Iterator[Passage]:
    """The passages of a text, in order.

    Args:
        text: the whole document.
        passage_words: how long a passage is, at most by a quarter more (`SHORT`). Code and tables may be twice as long
            (`WHOLE`), and the headings at the beginning of a passage come on top.
        markdown: whether lines that begin with `#` are headings.
    """
    held, path = _Held(), Path()
    for block in blocks(text, markdown=markdown):
        if block.kind == "heading":
            if held.words >= SHORT * passage_words or (held.has_body and block.level < path.level):
                yield from held.passage(text)
                held = _Held()
            path = path.below(block)
            held.add(block.start, block.end, length(text[block.start : block.end]), path.titles, body=False)
            continue
        for start, end in _parts(text, block, passage_words):
            count = length(text[start:end])
            most = passage_words * (1 if held.words >= SHORT * passage_words else 1 + SHORT)
            if held.has_body and held.words + count > most:
                yield from held.passage(text)
                held = _Held()
            held.add(start, end, count, path.titles, body=True)
    yield from held.passage(text)


@dataclass(frozen=True)
class Path:
    """The headings above a place, from the outermost, each with its level."""

    headings: tuple[tuple[int, str], ...] = ()

    @property
    def level(self) -> int:
        """Of the innermost heading; 0 above all."""
        return self.headings[-1][0] if self.headings else 0

    @property
    def titles(self) -> tuple[str, ...]:
        """The headings, without their levels."""
        return tuple(title for _, title in self.headings)

    def below(self, block: Block) -> "Path":
        """The path below a heading."""
        above = tuple((level, title) for level, title in self.headings if level < block.level)
        return Path((*above, (block.level, block.title)))


@dataclass
class _Held:
    """The blocks that will be a passage."""

    start: int = -1
    end: int = -1
    words: float = 0
    has_body: bool = False
    headings: tuple[str, ...] = field(default=())

    def __bool__(self) -> bool:
        return self.start >= 0

    def add(self, start: int, end: int, count: float, headings: tuple[str, ...], *, body: bool) -> None:
        if self.start < 0:
            self.start = start
        self.headings = _shared(self.headings, headings) if self.has_body else headings
        self.end, self.words, self.has_body = end, self.words + count, self.has_body or body

    def passage(self, text: str) -> Iterator[Passage]:
        """What is held as a passage, unless it has no word."""
        if self and words(text[self.start : self.end]):
            yield Passage(self.start, self.start + len(text[self.start : self.end].rstrip()), self.headings)


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """The headings that stand above both of two places."""
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:same]


Span = tuple[int, int]


def _parts(text: str, block: Block, passage_words: int) -> Sequence[Span]:
    """A block as spans that fit into a passage each: whole, or cut between sentences, lines, words, or letters."""
    whole, most = (block.start, block.end), passage_words * (1 if block.kind == "text" else WHOLE)
    if length(text[slice(*whole)]) <= most:
        return [whole]
    ends = _SENTENCES if block.kind == "text" else re.compile("\n")
    units: list[Span] = []
    for sentence in _between(text, whole, ends):
        fits = length(text[slice(*sentence)]) <= passage_words
        for part in [sentence] if fits else _between(text, sentence, _SPACES):
            units += _slices(text, part, passage_words)
    return _packed(text, units, passage_words)


def _between(text: str, span: Span, separator: "re.Pattern[str]") -> list[Span]:
    """A span cut behind each separator."""
    cuts = [span[0], *(m.end() for m in separator.finditer(text, *span)), span[1]]
    return [(start, end) for start, end in pairwise(cuts) if start < end]


def _slices(text: str, span: Span, most: int) -> Iterator[Span]:
    """A span that has no place to cut at, as slices of equal length; marks stay with the letter before them."""
    start, end = span
    count = math.ceil(length(text[start:end]) / most)
    step = math.ceil((end - start) / count) if count else end - start
    while start < end:
        stop = min(start + step, end)
        while stop < end and unicodedata.category(text[stop])[0] == "M":
            stop += 1
        yield start, stop
        start = stop


def _packed(text: str, units: list[Span], most: int) -> list[Span]:
    """Neighbouring units together, in parts of about equal length."""
    counts = [length(text[start:end]) for start, end in units]
    parts, start, held, left = [], units[0][0], 0.0, sum(counts)
    for (first, _), count in zip(units, counts, strict=True):
        aim = (held + left) / max(1, math.ceil((held + left) / most))
        if held and (held + count / 2 > aim or held + count > most):
            parts.append((start, first))
            start, held = first, 0.0
        held, left = held + count, left - count
    return [*parts, (start, units[-1][1])]
