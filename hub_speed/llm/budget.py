"""What one run may spend on the teacher: calls, tokens, dollars, over all its stages. No cap is ever exceeded.

With `budget.lifetime`, what the ledgers of its stages know of earlier runs counts as well: the answers in them, without
those that no row was made of (too slow, unusable).

Before a request is sent, the most it can use is set aside: a token for every byte of the prompt, and all the tokens
it may write. The request is sent when that still fits. Near a cap, fewer requests are therefore in flight, and the run
ends when not even one fits. What an answer did not use is released. Where the server does not say what it used, the
answer cannot be read, or none came to a request that was sent (too slow, dropped, cancelled), all that was set aside is
charged. Requests that were not sent, or answered with an error, are free; the next attempt is another request.
"""

import threading
from dataclasses import dataclass

from hub_speed.errors import BudgetSpent
from hub_speed.llm.dialects import Completion, Request
from hub_speed.recipe import BudgetCaps

TOKENS_AROUND = 100  # Assumption: what a chat template adds to a prompt, with the system message


@dataclass(frozen=True)
class Spent:
    """Calls, tokens read and tokens written."""

    calls: int = 0
    read: int = 0
    written: int = 0

    @property
    def counts(self) -> tuple[int, int, int]:
        """All three."""
        return self.calls, self.read, self.written

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.calls + other.calls, self.read + other.read, self.written + other.written)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.calls - other.calls, self.read - other.read, self.written - other.written)


class BudgetMeter:
    """Counts what one run spends, and holds it below the caps. Threads of several stages may use it at once.

    Attributes:
        spent: what the answers so far have used.
    """

    def __init__(self, caps: BudgetCaps | None = None) -> None:
        self.spent = Spent()
        self._earlier: dict[str, Spent] = {}
        self._caps = caps or BudgetCaps()
        self._capped = (self._caps.max_calls, self._caps.max_tokens, self._caps.max_usd) != (None, None, None)
        self._aside = Spent()
        self._lock = threading.Lock()

    @property
    def lifetime(self) -> bool:
        """Whether the caps hold for all runs of a stage together."""
        return self._caps.lifetime

    def count_earlier(self, purpose: str, spent: Spent) -> None:
        """Counts what earlier runs spent for a purpose (a stage, a batch), where the caps hold for all runs together.

        The last word on a purpose counts.
        """
        with self._lock:
            if self.lifetime:
                self._earlier[purpose] = spent

    def set_aside(self, request: Request) -> Spent | None:
        """Sets aside the most a request can use, and returns it; None when it does not fit while others are in flight.

        Raises:
            BudgetSpent: it does not fit although nothing is in flight.
        """
        sampling = request.sampling
        earlier = sum(len(text.encode()) for text in request.earlier or ())
        read = len(request.prompt.encode()) + earlier + TOKENS_AROUND
        most = Spent(1, read, sampling.n * sampling.max_tokens)
        if not self._capped:
            return most
        with self._lock:
            earlier_runs = sum(self._earlier.values(), Spent())
            problem = self._over(earlier_runs + self.spent + self._aside + most)
            if not problem:
                self._aside += most
                return most
            if self._aside.calls:
                return None
        raise BudgetSpent(
            f"budget: another call of the teacher could pass {problem}",
            got=f"so far {self._words(self.spent)} in this run"
            + (f", {self._words(earlier_runs)} in earlier ones" if self.lifetime else ""),
            fix="raise it, or leave it: the same command goes on where this one stopped, with a new budget",
        )

    def settle(self, aside: Spent, completion: Completion | None) -> None:
        """Charges what a request used and releases the rest; None was never answered and is free.

        Where the server did not count the tokens it read (TGI) or wrote, all that were set aside are charged.
        """
        with self._lock:
            if self._capped:
                self._aside -= aside
            if completion:
                read, written = completion.prompt_tokens or aside.read, completion.completion_tokens or aside.written
                self.spent += Spent(1, read, written)

    @property
    def total(self) -> Spent:
        """What this run and the earlier ones have spent."""
        with self._lock:
            return sum(self._earlier.values(), self.spent)

    def cost_usd(self) -> float | None:
        """The dollars spent so far; None where the recipe names no prices."""
        return self._caps.cost_usd(self.spent.read, self.spent.written)

    def _over(self, spent: Spent) -> str:
        """The first cap that would be exceeded, in words; empty when there is none."""
        caps = self._caps
        if caps.max_calls is not None and spent.calls > caps.max_calls:
            return f"budget.max_calls = {caps.max_calls:,}"
        if caps.max_tokens is not None and spent.read + spent.written > caps.max_tokens:
            return f"budget.max_tokens = {caps.max_tokens:,}"
        cost = caps.cost_usd(spent.read, spent.written)
        if caps.max_usd is not None and cost is not None and cost > caps.max_usd:
            return f"budget.max_usd = {caps.max_usd:,.2f}"
        return ""

    def _words(self, spent: Spent) -> str:
        cost = self._caps.cost_usd(spent.read, spent.written)
        dollars = "" if cost is None else f", ${cost:,.2f}"
        return f"{spent.calls:,} calls, {spent.read + spent.written:,} tokens{dollars}"
