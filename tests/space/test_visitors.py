"""Limits of a visitor: one row at a time, so many an hour; other visitors are not concerned."""

from types import SimpleNamespace

import pytest

pytest.importorskip("gradio")

from visitors import Visitors

from hub_speed.errors import Busy


def visitor(page: str, host: str = "203.0.113.7") -> SimpleNamespace:
    return SimpleNamespace(session_hash=page, client=SimpleNamespace(host=host))


def test_one_at_a_time_and_so_many_an_hour() -> None:
    visitors = Visitors(an_hour=3)
    with visitors.turn(visitor("a")), pytest.raises(Busy, match="still being written"), visitors.turn(visitor("a")):
        pass
    with visitors.turn(visitor("b")), visitors.turn(visitor("c")):  # other pages of the same address
        pass
    with pytest.raises(Busy, match="many rows"), visitors.turn(visitor("d")):
        pass
    with visitors.turn(visitor("a", "203.0.113.8")):
        pass


def test_a_turn_ends_with_an_error_as_well() -> None:
    visitors = Visitors()
    with pytest.raises(ZeroDivisionError), visitors.turn(visitor("a")):
        raise ZeroDivisionError
    with visitors.turn(visitor("a")):
        pass


def test_on_this_machine_every_page_is_a_visitor() -> None:
    visitors = Visitors(an_hour=1)
    for page in "abc":
        with visitors.turn(visitor(page, "127.0.0.1")):
            pass
