"""HTML, PDF and Word files → text with Markdown's headings, tables and code. Runs in a process of its own (`child.py`).

The parsers, by what was measured (docs/documents.md): trafilatura leaves the menus of a page out; pypdfium2 is the PDF
engine of Chromium, 9 to 16 times as fast as pypdf and free to use, unlike PyMuPDF (AGPL); python-docx gives the
paragraphs and tables of a Word file with their styles.
"""

import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Collection
from importlib.util import find_spec
from typing import Any, NamedTuple

from hub_speed.encodings import Decoded, decode
from hub_speed.errors import RecipeError
from hub_speed.text import words

MOST_UNPACKED = 500_000_000
"""Bytes that a Word file may have when its parts are unpacked. Assumption: thousands of pages have 50 MB."""


MARGIN_PAGES = 4
"""Pages that must begin or end with the same line at least, so that it is a margin. Assumption."""


class Unreadable(Exception):
    """A file that gives no text: the reason is one of `rows.SkippedRow`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Parsed(NamedTuple):
    """What a file says.

    Attributes:
        title: what it states as its title; maybe empty.
        encoding: what to say of it; empty for UTF-8 and UTF-16.
        hidden: words that a reader of the file does not see, and that are left out.
    """

    title: str
    text: str
    encoding: str = ""
    hidden: int = 0


BINARY_SHARE = 0.01
"""A text with more control characters than this share, or damaged ones, is binary. Assumption: texts have line feeds
and tabs alone."""


def decoded(raw: bytes) -> Decoded:
    """The text that bytes hold, and its encoding; a few damaged characters become U+FFFD.

    Raises:
        Unreadable: too many are damaged.
    """
    try:
        return decode(raw)
    except UnicodeDecodeError as error:
        found = decode(raw, "replace")
        shifted = found.encoding == "UTF-16" and sum(ord(c) & 0xFF == 0 for c in found.text) > len(found.text) / 10
        if shifted or found.text.count("\ufffd") >= BINARY_SHARE * len(found.text):  # shifted: a byte too much inside
            raise Unreadable("binary", "the bytes are no text in UTF-8, UTF-16 or an older encoding") from error
        return found


def html(raw: bytes) -> Parsed:
    """A page without its menus; all of its text where nothing is left then."""
    import trafilatura

    found = decoded(raw)
    page = _DECLARED.sub("", found.text)
    tree = trafilatura.load_html(page)
    if tree is None and page.lstrip().startswith("<"):  # a part of a page
        tree = trafilatura.load_html("<html>" + page)
    if tree is None:
        raise Unreadable("unreadable", "not HTML")
    title = " ".join((tree.findtext(".//title") or "").split())
    text = trafilatura.extract(tree, output_format="markdown", include_tables=True, favor_recall=True, fast=True)
    return Parsed(title, text or trafilatura.html2txt(page), found.told)


_DECLARED = re.compile(r"^\s*<\?xml[^>]*\?>")
"""The encoding of an XHTML page, which is known by now: lxml refuses text that names one."""


def pdf(raw: bytes) -> Parsed:
    """The text of all pages. The headings that the outline names are marked as such."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(raw)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise Unreadable("encrypted", "a password is needed to open it") from error
        begins = raw[:20].decode("ascii", "replace").strip()
        why = "damaged, or cut off" if b"%PDF-" in raw[:1024] else f"no PDF: it begins with {begins!r}"
        raise Unreadable("unreadable", f"{why}; {error}") from error
    outline: dict[int, dict[str, int]] = {}
    for mark in document.get_toc():
        place = mark.get_dest()
        if place is not None and place.get_index() is not None:
            outline.setdefault(place.get_index(), {})[_plain(mark.get_title())] = mark.level + 1
    texts = _without_margins([_whole_words(page.get_textpage().get_text_bounded()) for page in document])
    pages = [_with_headings(lines, outline.get(i, {})) for i, lines in enumerate(texts)]
    if not any(page.strip() for page in pages):
        count = "its page" if len(pages) == 1 else f"its {len(pages):,} pages"
        raise Unreadable("empty", f"no text on {count}; scanned pages are pictures, and need a program that reads them")
    return Parsed(document.get_metadata_dict().get("Title", ""), "\n\n".join(pages))


def _whole_words(text: str) -> list[str]:
    """The lines of a page; words that were hyphenated at the end of a line are whole again (PDFium marks them)."""
    return re.sub(r"[\ufffe\x02]\r?\n?", "", text).splitlines()


def _without_margins(pages: list[list[str]]) -> list[list[str]]:
    """Pages without their first and last lines where half of all pages have the same: running titles, page numbers."""
    for edge in (0, -1):
        ends = Counter(re.sub(r"\d+", "0", lines[edge]).strip() for lines in pages if lines)
        common = {line for line, count in ends.items() if count >= max(MARGIN_PAGES, len(pages) / 2)}
        for lines in pages:
            if lines and re.sub(r"\d+", "0", lines[edge]).strip() in common:
                del lines[edge]
    return pages


def _with_headings(lines: list[str], headings: dict[str, int]) -> str:
    """A page as a text, in which the lines that the outline names are headings of its level."""
    return "\n".join(
        f"\n{'#' * min(6, headings[_plain(line)])} {line.strip()}\n" if _plain(line) in headings else line
        for line in lines
    )


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def docx(raw: bytes) -> Parsed:
    """Paragraphs, headings and tables, in their order."""
    import docx as python_docx
    from docx.table import Table

    if raw.startswith(b"\xd0\xcf\x11\xe0"):  # the container of Word files with a password, and of those before 2007
        raise Unreadable("encrypted", "a password is needed, or the file is older than Word 2007")
    try:
        unpacked = sum(part.file_size for part in zipfile.ZipFile(io.BytesIO(raw)).infolist())
    except zipfile.BadZipFile as error:
        raise Unreadable("unreadable", str(error)) from error
    if unpacked > MOST_UNPACKED:
        raise Unreadable("too_large", f"{unpacked:,} bytes when unpacked; at most {MOST_UNPACKED:,} are read")
    document = python_docx.Document(io.BytesIO(raw))
    _unwrap(document.element.body)
    hidden = _without_hidden(document)
    parts = [_table(part) if isinstance(part, Table) else _paragraph(part) for part in document.iter_inner_content()]
    text = "\n\n".join(part for part in parts if part)
    if hidden and not text:
        raise Unreadable("empty", f"all of its words are hidden ({hidden:,})")
    return Parsed(document.core_properties.title or "", text, hidden=hidden)


_WRAPPERS = {"sdt", "sdtContent", "ins", "moveTo", "smartTag", "customXml"}
_GONE = {"del", "moveFrom", "Fallback"}  # a change that was tracked; a picture of a text box, for old programs


def _unwrap(body: Any) -> None:
    """Put what stands in content controls, tracked changes and text boxes where python-docx looks for it.

    Changes are read as if they had been accepted; the text of a box follows the paragraph that holds it.
    """
    named = [(node, str(node.tag).rpartition("}")[2]) for node in body.iter()]
    for node, name in named:
        if name in _GONE:
            node.getparent().remove(node)
        elif name in _WRAPPERS:
            for child in list(node):
                node.addprevious(child)
            node.getparent().remove(node)
    for node in [node for node, name in named if name == "txbxContent"]:
        holder = next((above for above in node.iterancestors() if str(above.tag).endswith("}p")), None)
        for child in reversed(node):
            if holder is not None:
                holder.addnext(child)


def _without_hidden(document: Any) -> int:
    """Take the hidden text out of a Word document; how many words it had."""
    from docx.oxml.ns import qn

    body, hidden = document.element.body, {style.style_id: _hides(style) for style in document.styles}

    def is_hidden(run: Any) -> bool:
        own = _toggle(run.rPr, qn("w:vanish"))
        if own is not None:
            return own
        paragraph = next(run.iterancestors(qn("w:p")), None)
        return hidden.get(run.style, False) != hidden.get(getattr(paragraph, "style", None), False)

    rows = [row for row in body.iter(qn("w:tr")) if _toggle(row.trPr, qn("w:hidden"))]
    left_out = [*rows, *(run for run in body.iter(qn("w:r")) if is_hidden(run))]
    count = 0
    for node in left_out:
        count += len(words("".join(text.text or "" for text in node.iter(qn("w:t")))))
        node.clear()  # one that lies in a row is empty by then
    for row in rows:
        row.getparent().remove(row)
    return count


def _hides(style: Any) -> bool:
    """Whether a style, or the nearest of those that it is based on that says so, hides text."""
    seen = set[str]()
    while style is not None and style.style_id not in seen:
        seen.add(style.style_id)
        if (found := getattr(style, "font", None)) is not None and found.hidden is not None:
            return bool(found.hidden)
        style = getattr(style, "base_style", None)
    return False


def _toggle(properties: Any, name: str) -> bool | None:
    """What a property that is on or off says; None where it is not there."""
    from docx.oxml.ns import qn

    found = properties.find(name) if properties is not None else None
    return None if found is None else found.get(qn("w:val"), "1") not in ("0", "false", "off")


def _paragraph(paragraph: Any) -> str:
    """A paragraph as Markdown: its style tells headings and lists."""
    text, style = paragraph.text.strip(), (paragraph.style.name if paragraph.style else "") or ""
    level = re.fullmatch(r"Heading (\d)", style)
    if text and (level or style == "Title"):
        return f"{'#' * min(6, int(level[1]) if level else 1)} {' '.join(text.split())}"
    return f"- {text}" if text and style.startswith("List") else text


def _table(table: Any) -> str:
    """A table as Markdown; a cell that spans several columns stands once."""
    rows = [[_cell(cell).replace("|", r"\|") for cell in dict.fromkeys(row.cells)] for row in table.rows]
    lines = [f"| {' | '.join(cells)} |" for cells in rows if any(cells)]
    return "\n".join(lines[:1] + ["|---" * len(rows[0]) + "|"] * bool(lines) + lines[1:])


def _cell(cell: Any) -> str:
    """The text of a cell, with that of tables in it, as one line."""
    parts = []
    for part in cell.iter_inner_content():
        parts += [_cell(each) for row in part.rows for each in row.cells] if hasattr(part, "rows") else [part.text]
    return " ".join(" ".join(parts).split())


PACKAGES = {".html": "trafilatura", ".htm": "trafilatura", ".pdf": "pypdfium2", ".docx": "docx"}
"""Ending of a file → what is imported to parse it."""


def check_installed(kinds: Collection[str]) -> None:
    """Raise a RecipeError where the parser for one of these endings is missing."""
    for kind in kinds:
        if kind in PACKAGES and not find_spec(PACKAGES[kind]):
            raise RecipeError(
                f"corpus.source: {kind} files need a parser that is not installed",
                got=f"no module {PACKAGES[kind]}",
                fix="pip install 'hub-speed[documents]'",
            )


PARSERS: dict[str, Callable[[bytes], Parsed]] = {".html": html, ".htm": html, ".pdf": pdf, ".docx": docx}
"""Ending of a file → its parser."""
