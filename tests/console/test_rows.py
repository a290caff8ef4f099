"""Rows on the command line."""

import pytest

from hub_speed.console.rows import print_rows


@pytest.mark.parametrize(
    ("rows", "limit", "words"),
    [([{"id": "a"}], 5, "1 row shown"), ([], 5, "no such rows"), ([], 0, "0 rows shown")],
)
def test_that_nothing_was_asked_for_is_not_that_there_is_nothing(
    rows: list[dict[str, str]], limit: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_rows(rows, limit=limit, as_json=False)
    assert words in capsys.readouterr().out
