"""What is made of the text that a PDF engine gives."""

import io

import docx as python_docx
from docx.oxml import parse_xml

from hub_speed.documents.parsers import _whole_words, _with_headings, _without_margins, docx


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
