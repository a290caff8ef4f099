"""Whether the server or a single row is at fault: the counts alone."""

from hub_speed.llm import faults
from hub_speed.llm.faults import Faults, Reasking


def test_a_refused_row_is_at_fault_once_a_later_row_is_answered() -> None:
    found = Faults(answers=0, in_flight=4)
    refused, later = found.begin_row(), found.begin_row()
    found.end_row()
    assert found.may_answer_later_than(refused)
    found.answer()
    found.answer_row(later)
    found.end_row()
    assert not found.may_answer_later_than(refused)
    assert not found.refuse_row(refused)


def test_the_server_is_at_fault_when_it_refuses_the_first_row_or_many_in_a_row() -> None:
    assert Faults(answers=0, in_flight=4).refuse_row(1)
    found = Faults(answers=1, in_flight=4)
    assert [found.refuse_row(i + 1) for i in range(faults.REFUSED_IN_A_ROW + 1)].index(True) == faults.REFUSED_IN_A_ROW


def test_an_account_is_empty_when_the_first_row_is_told_so_or_several_in_a_row() -> None:
    found = Faults(answers=9, in_flight=4)
    assert found.refuse_row(1, no_money=True)  # nothing was answered in this run
    found.answer_row(2)
    assert not found.refuse_row(1, no_money=True)
    rows = range(3, 3 + faults.NO_MONEY_IN_A_ROW)
    assert [found.refuse_row(row, no_money=True) for row in rows] == [False, False, True]
    found.answer_row(9)
    assert not found.refuse_row(10, no_money=True)


def test_a_server_is_down_after_a_few_failures_at_first_and_more_later() -> None:
    for answers, most in ((0, faults.FAILED_AT_FIRST), (1, faults.FAILED_IN_A_ROW)):
        found = Faults(answers, in_flight=64)
        assert [found.fail_row(i + 1) for i in range(most)] == [False] * (most - 1) + [True]
    assert [Faults(1, in_flight=1).fail_row(1), Faults(1, in_flight=2).fail_row(1)] == [False, False]


def test_a_row_that_fails_after_a_later_row_was_answered_says_nothing_about_the_server() -> None:
    found = Faults(answers=0, in_flight=2)
    first, second, later = found.begin_row(), found.begin_row(), found.begin_row()
    found.answer()
    found.answer_row(later)
    assert not any(found.fail_row(row) for row in (first, second) * 20)
    after = [found.begin_row() for _ in range(2)]
    assert [found.fail_row(row) for row in after] == [False, True]


def test_requests_that_have_not_come_back_are_known_by_number() -> None:
    found = Faults(0, 4)
    first, second = found.send(), found.send()
    found.come_back(first)
    assert (found.has_open(first), found.has_open(second)) == (False, True)


def test_second_askings_end_after_several_in_vain_and_never_after_one_that_worked() -> None:
    never, once = Reasking(), Reasking()
    assert [never.refuse() for _ in range(5)] == [False, False, True, False, False] and never.off
    once.refuse()
    once.answer()
    assert not any(once.refuse() for _ in range(9)) and not once.off
