"""What is made of the text that a PDF engine gives."""

from hub_speed.documents.parsers import _whole_words, _with_headings, _without_margins


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
