"""How a run says how far it is: live bars in a terminal, lines every ten seconds elsewhere, as words or as JSON."""

import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from hub_speed.console.terminal import print_json

SECONDS_BETWEEN_LINES = 10.0
SECONDS_TO_FIRST_LINE = 1.0  # Assumption: soon enough to see that the run has begun


class Bars:
    """Bars for stages that may run side by side; use as a context manager."""

    def __init__(self, console: Console, *, as_json: bool = False) -> None:
        self.console, self._as_json = console, as_json
        self._live = console.is_terminal and not as_json
        self._rich = Progress(
            TextColumn("{task.description:<11}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]} {task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Self:
        if self._live:
            self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._rich.stop()

    def stage(self, name: str) -> "Bar":
        """The bar of one stage."""
        return Bar(name, self._rich, self.console, live=self._live, as_json=self._as_json)

    def finish(self, name: str) -> None:
        """Take a stage's bar away."""
        for task in list(self._rich.tasks):
            if task.description == name:
                self._rich.remove_task(task.id)


class Bar:
    """How far one stage is."""

    def __init__(self, name: str, rich: Progress, console: Console, *, live: bool, as_json: bool) -> None:
        self._name, self._rich, self._console = name, rich, console
        self._live, self._as_json = live, as_json
        self._numbers: dict[str, Any] = {}
        self._task: TaskID | None = None
        self._total = self._done = 0
        self._unit = self._note = ""
        self._lock = threading.Lock()
        self._spoke = time.monotonic() - SECONDS_BETWEEN_LINES + SECONDS_TO_FIRST_LINE

    def start(self, total: int, unit: str, done: int = 0) -> None:
        """How much there is to do, and how much of it an earlier run did; what was said of other work is gone."""
        self._total, self._unit, self._done = total, unit, done
        self._numbers, self._note = {}, ""
        if self._task is not None:
            with suppress(KeyError):
                self._rich.remove_task(self._task)
        self._add()

    def _add(self) -> None:
        self._task = self._rich.add_task(
            self._name, total=self._total, completed=self._done, unit=self._unit, note=self._note
        )

    def _update(self, **changes: Any) -> None:
        """Change the bar; add it again where a stage of the same name has ended beside this one and taken it away."""
        if self._task is not None:
            try:
                self._rich.update(self._task, **changes)
            except KeyError:
                self._add()

    def advance(self, n: int) -> None:
        """`n` more are done."""
        with self._lock:
            self._done += n
            self._total = max(self._total, self._done)  # that of a rank was an even part of all rows
        self._update(advance=n, total=self._total)
        self._speak()

    def note(self, text: str) -> None:
        """A short word on how it goes."""
        self._note = text
        self._update(note=text)
        self._speak()

    def measure(self, numbers: dict[str, Any]) -> None:
        """Numbers on how the asking goes: rates, the share that is used, what is in flight, the cost."""
        self._numbers = numbers
        if numbers["rows_per_s"]:
            numbers["seconds_left"] = round((self._total - self._done) / numbers["rows_per_s"])
        self.note(in_words(numbers))

    def _speak(self) -> None:
        now = time.monotonic()
        if self._live or now - self._spoke < SECONDS_BETWEEN_LINES:
            return
        self._spoke = now
        if self._as_json:
            line = {"time": round(time.time(), 1), "stage": self._name, "done": self._done, "total": self._total}
            words = {} if self._numbers or not self._note else {"note": self._note}
            print_json(line | {"unit": self._unit} | self._numbers | words)
            return
        self._console.print(f"  {self._name}: {self._done:,}/{self._total:,} {self._unit} {self._note}".rstrip())


def in_words(numbers: dict[str, Any]) -> str:
    """The numbers of `measure` as one short line."""
    in_flight = f"{numbers['in_flight']} in flight"
    if not numbers["rows"]:
        return f"{in_flight} · no row has ended yet"
    per_s, worst = numbers["rows_per_s"], ", ".join(f"{why} {count}" for why, count in numbers["rejected"].items())
    parts = [
        f"{per_s:,.0f} rows/s" if per_s >= 1 else f"{per_s * 60:.2g} rows/min",
        f"{numbers['tokens_per_s']:,} tokens/s" if per_s >= 1 else f"{numbers['tokens_written']:,} tokens",
        f"{numbers['used']:.0%} used" + (f" ({worst})" if worst else ""),
        in_flight,
    ]
    if numbers["retries"]:
        parts.append(f"{numbers['retries']:,} retries")
    if "cost_usd" in numbers:
        parts.append(f"${numbers['cost_usd']:,.2f}")
    if "seconds_left" in numbers:
        parts.append(f"{numbers['seconds_left']:,} s left")
    return " · ".join(parts)
