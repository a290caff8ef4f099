"""How a run says how far it is: live bars in a terminal, plain lines every ten seconds elsewhere."""

import threading
import time
from types import TracebackType
from typing import Self

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

SECONDS_BETWEEN_LINES = 10.0


class Bars:
    """Bars for stages that may run side by side; use as a context manager."""

    def __init__(self, console: Console) -> None:
        self.console = console
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
        if self.console.is_terminal:
            self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._rich.stop()

    def stage(self, name: str) -> "Bar":
        """The bar of one stage."""
        return Bar(name, self._rich, self.console)

    def finish(self, name: str) -> None:
        """Take a stage's bar away."""
        for task in list(self._rich.tasks):
            if task.description == name:
                self._rich.remove_task(task.id)


class Bar:
    """How far one stage is."""

    def __init__(self, name: str, rich: Progress, console: Console) -> None:
        self._name, self._rich, self._console = name, rich, console
        self._task: TaskID | None = None
        self._total = self._done = 0
        self._unit = self._note = ""
        self._lock = threading.Lock()
        self._spoke = time.monotonic()

    def start(self, total: int, unit: str, done: int = 0) -> None:
        """How much there is to do, and how much of it an earlier run did."""
        self._total, self._unit, self._done = total, unit, done
        if self._task is not None:
            self._rich.remove_task(self._task)
        self._task = self._rich.add_task(self._name, total=total, completed=done, unit=unit, note="")

    def advance(self, n: int) -> None:
        """`n` more are done."""
        with self._lock:
            self._done += n
        if self._task is not None:
            self._rich.update(self._task, advance=n)
        self._speak()

    def note(self, text: str) -> None:
        """A short word on how it goes."""
        self._note = text
        if self._task is not None:
            self._rich.update(self._task, note=text)

    def _speak(self) -> None:
        now = time.monotonic()
        if self._console.is_terminal or now - self._spoke < SECONDS_BETWEEN_LINES:
            return
        self._spoke = now
        self._console.print(f"  {self._name}: {self._done:,}/{self._total:,} {self._unit} {self._note}".rstrip())
