"""What batches take of a budget.

The requests of this run are set aside before they are sent, as single ones are. Of a batch that an earlier run sent,
the most that it can use counts while it is under way, and what its answers used once they are collected.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from hub_speed.errors import BudgetSpent
from hub_speed.generation.jobs import Job
from hub_speed.llm.budget import BudgetMeter, Spent
from hub_speed.llm.dialects import Completion
from hub_speed.rows import LedgerRow


class BatchBudget:
    """The budget of one stage that asks in batches; None where the model costs nothing."""

    def __init__(self, budget: BudgetMeter | None) -> None:
        self._budget = budget
        self._aside: dict[str, Spent] = {}  # row → what was set aside for it
        self._spent: defaultdict[str, Spent] = defaultdict(Spent)  # batch of an earlier run → what its answers used

    def affordable(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """The jobs, as long as they fit into the budget; none while only others that come back can make room.

        Raises:
            BudgetSpent: not even the first one fits.
        """
        for i, job in enumerate(jobs):
            if self._budget:
                try:
                    aside = self._budget.set_aside(job.request)
                except BudgetSpent:
                    if i == 0:
                        raise
                    return
                if aside is None:
                    return
                self._aside[job.id] = aside
            yield job

    def settle(self, row_id: str, completion: Completion | None) -> None:
        """A request of this run has come back, or will not."""
        aside = self._aside.pop(row_id, None)
        if self._budget and aside:
            self._budget.settle(aside, completion)

    def see(self, batch: str, most: Spent) -> None:
        """A batch of an earlier run is under way, and can use so much."""
        if self._budget:
            self._budget.count_earlier(batch, most)

    def collect(self, batch: str, entries: Iterable[LedgerRow]) -> None:
        """Answers of a batch of an earlier run are in the ledger; more of them may follow."""
        if self._budget:
            used = (Spent(entry.calls, entry.prompt_tokens, entry.completion_tokens) for entry in entries)
            self._spent[batch] = sum(used, self._spent[batch])
            self._budget.count_earlier(batch, self._spent[batch])


def most_spent(body: dict[str, Any], length: int) -> Spent:
    """The most that a request in a file can use: a token for every byte of its line, and all it may write."""
    written = body.get("max_tokens") or body.get("max_completion_tokens") or 0
    return Spent(1, length, written * body.get("n", 1))
