"""Whether the server or a single row is at fault when requests fail or are refused: counts only, no waiting."""

from hub_speed.llm.schema_forms import SEVERAL

REFUSED_IN_A_ROW = 20  # Assumption: so many, and no answer to any that came after them, and it is not the rows
NO_MONEY_IN_A_ROW = 3  # Assumption: so many rows are told that the account is empty, and it is; one may be an odd row
FAILED_IN_A_ROW = 20  # Assumption: so many, and no answer between them, and it is the server
FAILED_AT_FIRST = 4  # Assumption: the same before the first answer


class Faults:
    """What became of the rows and requests sent to one endpoint.

    Args:
        answers: how many rows of the same kind were answered in earlier runs.
        in_flight: most requests at once.

    Attributes:
        answers: how many requests were answered, with those rows.
        rows: how many rows have begun; each has its count as its number.
        sent: how many requests were sent; each has its count as its number.
    """

    def __init__(self, answers: int, in_flight: int) -> None:
        self.answers = answers
        self.rows = self.sent = 0
        self._in_flight = in_flight
        self._open: dict[int, None] = {}  # requests that have not come back, in order
        self._failed_in_a_row = 0
        self._undecided = 0  # rows that may yet be answered
        self._answered_row = 0  # the last row that was answered
        self._refused_in_a_row = self._no_money_in_a_row = 0

    @property
    def answered_now(self) -> bool:
        """Whether a row was answered in this run."""
        return self._answered_row > 0

    def begin_row(self) -> int:
        """The number of a row that is asked for now."""
        self.rows += 1
        self._undecided += 1
        return self.rows

    def answer_row(self, number: int) -> None:
        """A row was answered."""
        self._answered_row = max(self._answered_row, number)
        self._refused_in_a_row = self._no_money_in_a_row = 0

    def end_row(self) -> None:
        """Nothing more is asked for a row, answered or not."""
        self._undecided -= 1

    def may_answer_later_than(self, number: int) -> bool:
        """Whether no later row than this one was answered, but one may yet be."""
        return self._answered_row < number and self._undecided > 0

    def refuse_row(self, number: int, *, no_money: bool = False) -> bool:
        """A row was refused; returns whether the server refuses all rows, and not just this one."""
        if self._answered_row >= number:
            return False
        self._refused_in_a_row += 1
        self._no_money_in_a_row += no_money
        if no_money and (not self.answered_now or self._no_money_in_a_row >= NO_MONEY_IN_A_ROW):
            return True
        return not self.answers or self._refused_in_a_row > REFUSED_IN_A_ROW

    def fail_row(self, number: int) -> bool:
        """A row failed while nothing was answered; returns whether the server is down.

        A row whose retries outlasted a later row that was answered says nothing about the server.
        """
        if self._answered_row > number:
            return False
        self._failed_in_a_row += 1
        # No more than are in flight, which takes long enough; at least two, so that every run ends a row.
        most = min(FAILED_IN_A_ROW if self.answers else FAILED_AT_FIRST, max(2, self._in_flight))
        return self._failed_in_a_row >= most

    def send(self) -> int:
        """The number of a request that is sent now."""
        self.sent += 1
        self._open[self.sent] = None
        return self.sent

    def come_back(self, number: int) -> None:
        """A request was answered, failed or was cancelled."""
        del self._open[number]

    def answer(self) -> None:
        """A request was answered."""
        self.answers += 1
        self._failed_in_a_row = 0

    def has_open(self, last: int) -> bool:
        """Whether a request up to this number has not come back."""
        return next(iter(self._open), last + 1) <= last


class Reasking:
    """Whether a server answers when a model is told what was wrong with its answer.

    Attributes:
        off: whether it was asked for in vain by several rows, and never answered.
    """

    def __init__(self) -> None:
        self.off = self._works = False
        self._refused = 0

    def answer(self) -> None:
        """A second answer came."""
        self._works, self.off = True, False

    def refuse(self) -> bool:
        """None came; returns whether no more is asked for from now on."""
        self._refused += 1
        before, self.off = self.off, not self._works and self._refused >= SEVERAL
        return self.off and not before
