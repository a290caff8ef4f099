"""How the asking goes: rows and tokens a second, what is rejected, what it costs so far."""

import time
from collections import Counter, deque
from typing import Any

from hub_speed.llm.budget import BudgetMeter
from hub_speed.rows import ACCEPTED, LedgerRow
from hub_speed.stage import Progress

MARKS = 31  # rates are means over the last half minute,
FEW = 10  # or over all the time so far where fewer rows have ended in it. Assumption


class Meter:
    """Numbers on how the asking goes, from the rows that end; tells them about once a second."""

    def __init__(self, progress: Progress, budget: BudgetMeter | None) -> None:
        self._progress, self._budget = progress, budget
        self._states: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._retries = self._written = self._rows = self._calls = 0
        self._start = (time.monotonic(), 0, 0)  # when; rows and tokens written until then
        self._marks = deque([self._start], maxlen=MARKS)

    def rows(self, entries: list[LedgerRow], in_flight: int) -> None:
        """These rows have ended; none, to say only how many requests are in flight."""
        for entry in entries:
            self._states[entry.state] += 1
            if entry.reason:
                self._reasons[entry.reason] += 1
            self._retries += entry.attempts - entry.calls
            self._written += entry.completion_tokens
            self._calls += entry.calls
        self._rows += len(entries)
        self._tell(1.0, in_flight)
        self._progress.advance(len(entries))

    def end(self) -> None:
        """Tells the last numbers: no more rows will end."""
        self._tell(0.0, 0)

    def _tell(self, after_s: float, in_flight: int) -> None:
        now = time.monotonic()
        since = now - self._marks[-1][0]
        if since and since >= after_s:
            self._marks.append((now, self._rows, self._written))
            self._progress.measure(self._numbers(in_flight))

    def _numbers(self, in_flight: int) -> dict[str, Any]:
        now, rows_now, tokens_now = self._marks[-1]
        start, rows, tokens = self._marks[0] if rows_now - self._marks[0][1] >= FEW else self._start
        used = sum(self._states[state] for state in ACCEPTED)
        numbers = {
            "rows": self._rows,
            "calls": self._calls,
            "rows_per_s": round((rows_now - rows) / (now - start), 4),
            "tokens_written": self._written,
            "tokens_per_s": round((tokens_now - tokens) / (now - start)),
            "used": round(used / max(1, self._rows), 3),
            "rejected": dict(self._reasons.most_common(3)),
            "in_flight": in_flight,
            "retries": self._retries,
        }
        cost = self._budget.cost_usd() if self._budget else None
        return numbers if cost is None else numbers | {"cost_usd": round(cost, 2)}
