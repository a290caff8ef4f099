"""The process that parses: a file that makes it crash or hang costs that file alone."""

import pytest

from hub_speed.documents.child import parser
from hub_speed.documents.parsers import Unreadable

PAGE = b"<html><body><p>Some words that are read.</p></body></html>"


def test_a_parser_that_takes_too_long_is_ended_and_the_next_file_is_read() -> None:
    with parser(time_s=0.01) as parsing:
        with pytest.raises(Unreadable) as told:  # the start of the process takes longer
            parsing.parse(".html", PAGE)
        assert (told.value.reason, told.value.detail) == ("unreadable", "took longer than 0.01 s")
        parsing._time_s = 100
        assert "Some words" in parsing.parse(".html", PAGE)[1]


def test_a_process_that_has_died_is_replaced() -> None:
    with parser() as parsing:
        assert "Some words" in parsing.parse(".html", PAGE)[1]
        assert parsing._process
        parsing._process.kill()
        parsing._process.wait()
        with pytest.raises(Unreadable, match="crashed"):
            parsing.parse(".html", PAGE)
        assert "Some words" in parsing.parse(".html", PAGE)[1]
