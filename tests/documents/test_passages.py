"""Blocks and passages: every word of a document is in one passage, and each passage is a part of the text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.documents.passages import SHORT, WHOLE, cut, length
from hub_speed.documents.structure import blocks, title_of
from hub_speed.text import words

PIECES = ["# One", "## Two", "Title\n=====", "a b c.", "```", "~~~", "| a | b |", "    code()", "", "---", "- item"]
PIECES += ["word " * 60, "Ein Satz. " * 30, "你好，世界。" * 40, "สวัสดีชาวโลก" * 30, "x" * 900, "é\u0301" * 300]
PIECES += ["\t", "\u2028", "****"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=25).map("\n".join) | st.text(max_size=300)
WORDS = 30


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.booleans())
def test_passages_are_parts_of_the_text_and_hold_every_word(text: str, markdown: bool) -> None:
    passages = list(cut(text, WORDS, markdown=markdown))
    parts = [text[p.start : p.end] for p in passages]
    edges = [0, *(edge for p in passages for edge in (p.start, p.end)), len(text)]
    assert edges == sorted(edges)
    assert all(words(part) and part == part.rstrip() for part in parts)
    between = [text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    assert not any(words(gap) for gap in between)


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_no_passage_is_much_longer_than_asked(text: str) -> None:
    for p in cut(text, WORDS):
        first = next(blocks(text[p.start :], markdown=True))
        headings = WORDS if first.kind == "heading" else 0  # beside their text: sections that are only headings
        assert length(text[p.start : p.end]) <= (WHOLE + SHORT) * WORDS + headings + 20


def passages(text: str, *, markdown: bool = True) -> list[tuple[str, str]]:
    found = cut(text, WORDS, markdown=markdown)
    return [(" › ".join(p.headings), text[p.start : p.end]) for p in found]


def test_a_long_section_starts_a_passage_and_short_ones_are_joined() -> None:
    text = "\n\n".join(["# Doc", "## A", "word " * 20, "## B", "few", "## C", "word " * 20, "# End", "last"])
    assert [(title, part.split()[:2]) for title, part in passages(text)] == [
        ("Doc › A", ["#", "Doc"]),
        ("Doc", ["##", "B"]),  # B and C: what stands above both
        ("End", ["#", "End"]),
    ]


def test_code_and_tables_stay_whole_up_to_twice_the_length() -> None:
    code = "```\n# no heading\n\n" + "one two three\n" * 13 + "```"
    table = "| a | b |\n|---|---|\n" + "| one | two |\n" * 20
    found = [part for _, part in passages(f"# T\n\nIntro here.\n\n{code}\n\nmiddle " + "word " * 25 + f"\n\n{table}")]
    assert [part for part in found if code in part] and [part for part in found if table.rstrip() in part]
    long = passages("```\n" + "one two three\n" * 40 + "```")
    assert len(long) > 1 and all(part.split("\n")[1] == "one two three" for _, part in long)  # cut between lines


THAI = ("หนึ่งประโยคสั้นๆ ", "ๆ")


@pytest.mark.parametrize(
    ("sentence", "end"), [("今天天气很好我们去公园。", "。"), ("Here is one sentence. ", "."), THAI]
)
def test_long_paragraphs_end_at_a_sentence_and_are_about_equally_long(sentence: str, end: str) -> None:
    found = [part for _, part in passages(sentence * 30)]
    assert len(found) > 2 and all(part.endswith(end) for part in found)
    counts = [length(part) for part in found]
    assert max(counts) <= WORDS and min(counts) > WORDS / 3


def test_headings_of_restructured_text_and_of_plain_text() -> None:
    text = "=====\nTitle\n=====\n\nPart\n----\n\n# a comment\n\nSub\n~~~\n\ntext\n"
    found = [(b.level, b.title) for b in blocks(text, markdown=False) if b.kind == "heading"]
    assert found == [(1, "Title"), (2, "Part"), (3, "Sub")]
    assert title_of(text, markdown=False) == "Title"
    assert title_of("# One\n\n# Two", markdown=True) == title_of("nothing", markdown=True) == ""


def test_a_yaml_header_is_in_no_passage_but_a_rule_is_no_header() -> None:
    assert passages("---\ntitle: x\n---\nbody here") == [("", "body here")]
    assert passages("---\nbody here\n\n---\nmore")[0][1].startswith("---\nbody")
