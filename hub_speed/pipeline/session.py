"""The Hub, the folder, the endpoints and the budget that the stages of a run share."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub_speed.cores import cores, gpus
from hub_speed.hub import Hub
from hub_speed.llm.address import Address
from hub_speed.llm.budget import BudgetMeter
from hub_speed.recipe import Recipe
from hub_speed.record import Ref
from hub_speed.stage import FromHub, Progress


class _Silent:
    """Progress that nobody watches."""

    def start(self, total: int, unit: str, done: int = 0) -> None: ...

    def advance(self, n: int) -> None: ...

    def note(self, text: str) -> None: ...

    def measure(self, numbers: dict[str, Any]) -> None: ...


@dataclass
class Session:
    """What the stages of a run share.

    Attributes:
        hub: where everything is read from and published to.
        org: the organisation that owns the repositories.
        home: folder of the work in progress.
        address: opens an endpoint for a model (recipe, name, weights, threads, log, devices); yields its Address.
        progress: stage name → where the stage reports its progress.
        stop: set by the user to stop; a failed stage does not set it.
        budget: what the session may spend on the teacher, over all its stages.
        pins: the version of every Hub input that was looked at: the same for the whole session.
        branch: the branch results are published on; studies use one of their own.
        threads, devices: processor threads and GPUs of all stages together.
        extend: whether stages go on from versions with fewer rows (`pipeline/extend.py`).
    """

    hub: Hub
    org: str
    home: Path
    address: Callable[[Recipe, str, Path | None, int, Path, tuple[str, ...]], AbstractContextManager[Address]]
    progress: Callable[[str], Progress] = lambda name: _Silent()
    stop: threading.Event = field(default_factory=threading.Event)
    branch: str = "main"
    budget: BudgetMeter = field(default_factory=BudgetMeter)
    pins: dict[FromHub, Ref] = field(default_factory=dict)
    threads: int = field(default_factory=cores)
    devices: tuple[str, ...] = field(default_factory=gpus)
    extend: bool = False

    def full_name(self, name: str) -> str:
        """A repository's name with its organisation: a name without one is the run's own."""
        return name if "/" in name else f"{self.org}/{name}"
