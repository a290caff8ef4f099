"""Test texts in training rows."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.data_quality.contamination import Match, bare, matches


def test_a_test_text_is_found_in_whatever_column_case_and_spacing() -> None:
    rows = [
        {"id": "a", "query": "Who  wrote\tIT?", "positive": "A man did.", "negative": None},
        {"id": "b", "query": "who wrote it", "positive": "HE\nDID", "negative": "who wrote it?"},
        {"query": "", "positive": "nothing", "negative": ["who wrote it?"]},
    ]
    tests = ["who wrote it?", "He did", "", "he"]
    assert list(matches(tests, rows)) == [
        Match("who wrote it?", "a", "query"),
        Match("He did", "b", "positive"),
        Match("who wrote it?", "b", "negative"),
    ]
    assert list(matches(tests, rows, ["positive"])) == [Match("He did", "b", "positive")]


@given(st.lists(st.text("ab ß\n", max_size=4)), st.lists(st.text("AB S\t", max_size=4)))
@settings(max_examples=50)
def test_two_texts_match_where_their_letters_do(tests: list[str], texts: list[str]) -> None:
    found = {match.row for match in matches(tests, [{"id": str(i), "query": text} for i, text in enumerate(texts)])}
    assert found == {str(i) for i, text in enumerate(texts) if bare(text) and bare(text) in {bare(t) for t in tests}}
