"""The blocks of a text: headings, paragraphs, code and tables, in Markdown, reStructuredText or plain text.

One pass over the lines, which never fails: a text of whatever kind has blocks. Markdown's `#` headings are comments in
many plain texts, so they count only where Markdown is expected; underlined headings count everywhere.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

LONGEST_HEADING = 200
"""Characters. A longer line is a paragraph, whatever stands before or below it. Assumption."""

_LINE = re.compile(r".*(?:\n|\Z)")
_FENCE = re.compile(r"[ \t>]*(`{3,}|~{3,})")
_HASHES = re.compile(r"(#{1,6})[ \t]+(\S.*?)[ \t#]*\n?\Z")
_RULE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}[ \t]*\n?\Z")
_TABLE = re.compile(r"[ \t]*(?:\||\+[-=]{2})")
_INDENTED = re.compile(r"(?: {4}|\t)[ \t]*\S")
_FRONT_MATTER = re.compile(r"\s*---[ \t]*\n(?=[\w-]+:)(?:.*\n)*?---[ \t]*(?:\n|\Z)")


@dataclass(frozen=True)
class Block:
    """A part of a text that belongs together, as whole lines.

    Attributes:
        start, end: the characters `text[start:end]`.
        level: of a heading, from 1; of others 0.
        title: of a heading, without its marks.
    """

    start: int
    end: int
    kind: Literal["heading", "text", "code", "table"]
    level: int = 0
    title: str = ""


@dataclass(frozen=True)
class _Line:
    start: int
    end: int
    text: str

    @property
    def is_blank(self) -> bool:
        return not self.text.strip()


def is_markdown(source: str) -> bool:
    """Whether the text of a document is Markdown, which parsers write as well; its name tells."""
    return not source.lower().endswith((".txt", ".rst"))


def blocks(text: str, *, markdown: bool) -> Iterator[Block]:
    """The blocks of a text, in order; blank lines and a YAML header (`---`) are in none of them."""
    lines = [_Line(m.start(), m.end(), m[0]) for m in _LINE.finditer(text, _body(text, markdown)) if m[0]]
    levels: dict[str, int] = {}  # of underlined headings that are not Markdown: in the order of their first use
    i = 0
    while i < len(lines):
        if lines[i].is_blank:
            i += 1
            continue
        length, block = _heading(lines, i, levels, markdown) or _other(lines, i)
        yield block
        i += length


def title_of(text: str, *, markdown: bool) -> str:
    """The first heading of a text, if no other has its level; else nothing."""
    headings = [block for block in blocks(text, markdown=markdown) if block.kind == "heading"]
    first = headings[0] if headings else None
    return first.title if first and sum(block.level <= first.level for block in headings) == 1 else ""


def _body(text: str, markdown: bool) -> int:
    """Where the text begins after its YAML header."""
    header = _FRONT_MATTER.match(text) if markdown else None
    return header.end() if header else 0


Found = tuple[int, Block]
"""How many lines a block has, and the block."""


def _heading(lines: list[_Line], i: int, levels: dict[str, int], markdown: bool) -> Found | None:
    """The heading at line `i`, if there is one: with `#` before it, or underlined and maybe overlined."""
    line = lines[i]
    hashes = _HASHES.match(line.text) if markdown else None
    if hashes and len(hashes[2]) <= LONGEST_HEADING:
        return 1, Block(line.start, line.end, "heading", len(hashes[1]), hashes[2])
    over = _RULE.match(line.text)
    title = i + 1 if over else i
    if title + 1 >= len(lines) or lines[title].is_blank or (lines[title].text[0] in " \t" and not over):
        return None
    under, said = _RULE.match(lines[title + 1].text), lines[title].text.strip()
    if not under or len(said) > LONGEST_HEADING or _RULE.match(lines[title].text):
        return None
    if (over and over[1] != under[1]) or len(under[0].strip()) < (3 if markdown else len(said)):
        return None
    style = ("over" if over else "") + under[1]
    of_markdown = {"=": 1, "-": 2}.get(style) if markdown else None
    level = of_markdown or levels.setdefault(style, len(levels) + 1)
    return title + 2 - i, Block(line.start, lines[title + 1].end, "heading", level, said)


def _other(lines: list[_Line], i: int) -> Found:
    """The block at line `i` that is no heading."""
    if fence := _FENCE.match(lines[i].text):
        end = next((j + 1 for j in range(i + 1, len(lines)) if _closes(lines[j].text, fence[1])), len(lines))
        return _block(lines, i, end, "code")
    if _TABLE.match(lines[i].text):
        return _block(lines, i, _until(lines, i, lambda line: bool(_TABLE.match(line))), "table")
    if _INDENTED.match(lines[i].text):
        return _block(lines, i, _until(lines, i, lambda line: not line.strip() or bool(_INDENTED.match(line))), "code")
    end = i + 1
    while end < len(lines) and not _starts_another(lines[end].text):
        end += 1
    return _block(lines, i, end, "text")


def _until(lines: list[_Line], first: int, goes_on: Callable[[str], bool]) -> int:
    """The first line from `first` on that does not go on."""
    return next((i for i in range(first, len(lines)) if not goes_on(lines[i].text)), len(lines))


def _closes(line: str, fence: str) -> bool:
    return line.strip(" \t\n>").startswith(fence) and not line.strip(" \t\n>" + fence[0])


def _starts_another(line: str) -> bool:
    """Whether a line ends the paragraph above it."""
    return not line.strip() or bool(_FENCE.match(line) or _HASHES.match(line) or _TABLE.match(line))


def _block(lines: list[_Line], first: int, end: int, kind: Literal["text", "code", "table"]) -> Found:
    """Lines as a block, without the blank ones at its end."""
    last = end
    while lines[last - 1].is_blank:
        last -= 1
    return end - first, Block(lines[first].start, lines[last - 1].end, kind)
