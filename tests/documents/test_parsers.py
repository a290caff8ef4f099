"""What is made of the text that a PDF engine gives."""

import io
import re
from pathlib import Path

import docx as python_docx
import pytest
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml import parse_xml

from hub_speed.documents.parsers import Unreadable, _whole_words, _with_headings, _without_margins, docx, html, pdf

LOCKED = Path(__file__).with_name("locked.pdf")
"""A page, locked with AES-256 and the password "secret", as qpdf does it."""


def test_running_titles_and_page_numbers_are_left_out_of_a_pdf() -> None:
    pages = [["The handbook", f"words of page {i}", f"Page {i} of 9"] for i in range(9)]
    assert _without_margins(pages) == [[f"words of page {i}"] for i in range(9)]
    few = [["The handbook", f"words of page {i}", str(i)] for i in range(3)]
    assert _without_margins([list(page) for page in few]) == few  # it may be chance
    assert _without_margins([[], ["a"], []]) == [[], ["a"], []]


def test_hyphenated_words_are_whole_and_headings_are_marked() -> None:
    lines = _whole_words("1.  Intro\r\nhyphen\ufffe\r\nated words\r\n")
    assert lines == ["1.  Intro", "hyphenated words"]
    assert _with_headings(lines, {"1. intro": 2}) == "\n## 1.  Intro\n\nhyphenated words"


PAGE = b"""%PDF-1.4
1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj
2 0 obj <</Type/Pages/Kids[3 0 R]/Count 1>> endobj
3 0 obj <</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>> endobj
4 0 obj <</Length 22>> stream
9 0 0 9 0 0 cm /I Do
endstream endobj
5 0 obj <</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8/Length 1>> stream
\x80
endstream endobj
trailer <</Root 1 0 R>>
"""


@pytest.mark.parametrize(
    ("raw", "reason", "says"),
    [
        (LOCKED.read_bytes(), "encrypted", "a password is needed to open it"),
        (PAGE, "empty", "no text on its page; scanned pages are pictures"),
        (PAGE.replace(b"[3 0 R]/Count 1", b"[3 0 R 3 0 R]/Count 2"), "empty", "no text on its 2 pages"),
        (LOCKED.read_bytes()[:700], "unreadable", "damaged, or cut off"),
        (b"<html>404 not found</html>", "unreadable", "no PDF: it begins with '<html>404 not found"),
    ],
)
def test_a_pdf_that_gives_no_text_says_why(raw: bytes, reason: str, says: str) -> None:
    with pytest.raises(Unreadable, match=re.escape(says)) as told:
        pdf(raw)
    assert told.value.reason == reason


def test_text_of_a_word_file_is_found_wherever_it_stands() -> None:
    document, out = python_docx.Document(), io.BytesIO()
    run, box = "<w:r><w:t xml:space='preserve'>%s</w:t></w:r>", "<w:txbxContent><w:p>%s</w:p></w:txbxContent>"
    boxes = f"<mc:Choice>{box % run % 'in a box'}</mc:Choice><mc:Fallback>{box % run % 'in a box'}</mc:Fallback>"
    blocks = [
        f"<w:sdt><w:sdtContent><w:p>{run % 'in a control'}</w:p></w:sdtContent></w:sdt>",
        f"<w:p>{run % 'before '}<w:sdt><w:sdtContent>{run % 'inside'}</w:sdtContent></w:sdt>{run % ' after'}</w:p>",
        f"<w:p><w:ins>{run % 'new'}</w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>",
        f"<w:p>{run % 'beside'}<w:r><mc:AlternateContent>{boxes}</mc:AlternateContent></w:r></w:p>",
    ]
    space = "xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'"
    space += " xmlns:mc='http://schemas.openxmlformats.org/markup-compatibility/2006'"
    for block in parse_xml(f"<w:body {space}>{''.join(blocks)}</w:body>"):
        document.element.body.insert(len(document.element.body) - 1, block)
    table = document.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "a | b", "outer"
    table.cell(0, 1).add_table(1, 1).cell(0, 0).text = "inner"
    document.save(out)
    paragraphs = ["in a control", "before inside after", "new", "beside", "in a box"]
    assert docx(out.getvalue())[1].split("\n\n") == [*paragraphs, "| a \\| b | outer inner |\n|---|---|"]


def test_text_that_word_hides_is_left_out_and_counted() -> None:
    document, out = python_docx.Document(), io.BytesIO()
    first = document.add_paragraph("Leave is asked for in writing.")
    first.add_run(" Nine words that nobody who reads it can see.").font.hidden = True
    document.add_comment(first.runs[0], text="A remark.", author="me", initials="m")
    note = document.styles.add_style("Note", WD_STYLE_TYPE.PARAGRAPH)
    note.font.hidden = True
    deeper, quiet = (document.styles.add_style(*about) for about in (("Deeper", 1), ("Quiet", WD_STYLE_TYPE.CHARACTER)))
    deeper.base_style, quiet.font.hidden = note, True
    document.add_paragraph("Hidden too.", style="Note")
    document.add_paragraph("Hidden as well.", style="Deeper").add_run("Seen again.").font.hidden = False
    document.add_paragraph("Seen.").add_run(" Not this.", style="Quiet")
    table = document.add_table(2, 1)
    table.cell(0, 0).text, table.cell(1, 0).text = "a row", "no row"
    hidden = "<w:hidden xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'/>"
    table.rows[1]._tr.get_or_add_trPr().append(parse_xml(hidden))
    document.save(out)
    said = docx(out.getvalue())
    seen = ["Leave is asked for in writing.", "Seen again.", "Seen.", "| a row |\n|---|"]
    assert said.text.split("\n\n") == seen and said.hidden == 9 + 2 + 3 + 2 + 2


def test_a_word_file_of_nothing_but_hidden_text_says_so() -> None:
    document, out = python_docx.Document(), io.BytesIO()
    document.add_paragraph().add_run("all of it").font.hidden = True
    document.save(out)
    with pytest.raises(Unreadable, match=r"all of its words are hidden \(3\)"):
        docx(out.getvalue())


@pytest.mark.parametrize("codec", ["utf-8", "cp1251", "koi8-r"])
@pytest.mark.parametrize("head", ["", '<meta charset="%s">', '<?xml version="1.0" encoding="%s"?>'])
def test_a_page_is_read_in_its_encoding_whether_it_names_it_or_not(codec: str, head: str) -> None:
    text = "Ключ от подвала висит рядом с окном. Каждый год мы проверяем трубы до первых морозов."
    declared = head % codec if head else ""
    page = f"<html><head><title>Дом</title></head><body><main><p>{text}</p></main></body></html>"
    page = declared + page if head.startswith("<?") else page.replace("<head>", "<head>" + declared)
    said = html(page.encode(codec))
    assert text in said.text and said.title == "Дом"
    assert said.encoding == {"utf-8": "", "cp1251": "Windows-1251", "koi8-r": "KOI8-R"}[codec]
