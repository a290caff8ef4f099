"""Where the ranks of a stage run: on this machine, in Slurm, on a Ray cluster, in Hugging Face Jobs.

An engine starts `hub-speed run … --rank R --world W` for some ranks and waits until all have ended. What has to be done
is the publisher's business (`pipeline.ranks`), and where, when and how often it is tried is the engine's: there is no
scheduler here.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hub_speed.errors import RecipeError, did_you_mean

if TYPE_CHECKING:
    from hub_speed.hub import Hub
    from hub_speed.pipeline.ranks import Engine


@dataclass(frozen=True)
class Options:
    """How ranks are started.

    Attributes:
        arguments: of `hub-speed`, for a rank, but for --rank.
        logs: a folder for the messages of ranks.
        world: how many there are.
        partition, gpus_per_rank: of Slurm; Ray gives a rank its GPUs as well.
        address: of a Ray cluster.
        flavor, timeout: the machine of a Job, and how long it may run ("6h"); a task of Slurm, too.
        hub, org: where Jobs are started; no Hub if it is one of this machine alone.
    """

    arguments: tuple[str, ...]
    logs: Path
    world: int
    partition: str = ""
    gpus_per_rank: int = 0
    address: str = ""
    flavor: str = ""
    timeout: str = ""
    hub: "Hub | None" = None
    org: str = ""

    @property
    def seconds(self) -> int:
        """The timeout.

        Raises:
            RecipeError: it is not a time.
        """
        found = re.fullmatch(r"([1-9]\d*)([smhd])", self.timeout)
        if not found:
            raise RecipeError(f"--timeout {self.timeout}: not a time", expected="a number and s, m, h or d: 30m, 6h")
        return int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def open_engine(name: str, options: Options) -> "Engine":
    """The engine with a name.

    Raises:
        RecipeError: there is none, or it cannot be used here.
    """
    from hub_speed.engines.jobs import Jobs
    from hub_speed.engines.local import Local
    from hub_speed.engines.ray import Ray
    from hub_speed.engines.slurm import Slurm

    engines: dict[str, Callable[[Options], Engine]] = {"local": Local, "slurm": Slurm, "ray": Ray, "jobs": Jobs}
    if name not in engines:
        known = f"one of {', '.join(engines)}"
        raise RecipeError(f"--on {name}: there is no such engine", expected=known, fix=did_you_mean(name, engines))
    return engines[name](options)


def last_words(log: Path) -> str:
    """The last lines of a log, and where it is."""
    lines = log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
    return f"{' | '.join(line.strip() for line in lines[-4:])[-1000:]} ({log})"
