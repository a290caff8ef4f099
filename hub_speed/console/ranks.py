"""Ranks on the command line: flags that do not go together, what a rank and the publisher say, a table of all ranks."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_speed import api
from hub_speed.api import OpenHub
from hub_speed.console.progress import Bars
from hub_speed.console.run import print_result
from hub_speed.console.terminal import console, print_json, table
from hub_speed.engines import Options, open_engine
from hub_speed.errors import RecipeError
from hub_speed.pipeline.ranked import ON_HUB, Ranked
from hub_speed.pipeline.ranks import Engine
from hub_speed.recipe import Recipe
from hub_speed.shared import Progress


@dataclass(frozen=True)
class Where:
    """What all commands on ranks have in common."""

    hub: OpenHub
    org: str
    endpoints: list[str]
    shared: Path | None
    extend: bool
    as_json: bool

    def open(self, recipe: Recipe, stage: str, world: int, bars: Bars) -> AbstractContextManager[Ranked]:
        """The stage that ranks work."""
        return api.open_ranks(
            recipe,
            self.hub,
            stage,
            world,
            shared=self.shared,
            org=self.org,
            endpoints=self.endpoints,
            extend=self.extend,
            progress=bars.stage,
        )


def check_flags(
    only: str | None, rank: int | None, world: int | None, ranks: int | None, again_from: str | None
) -> str:
    """The stage that ranks work.

    Raises:
        RecipeError: flags are missing, or do not go together.
    """
    if only is None:
        raise RecipeError("ranks work one stage", expected="--only STAGE", fix="--only synthesize, for example")
    if again_from:
        raise RecipeError("--from: not together with ranks", fix="publish the stage again without them")
    if ranks is not None and (rank, world) != (None, None):
        raise RecipeError("--ranks: starts all ranks", expected="no --rank and no --world beside it")
    if rank is not None and world is None:
        raise RecipeError(f"--rank {rank}: of how many?", expected=f"--rank {rank} --world WORLD")
    if (ranks if ranks is not None else world or 0) < 1:
        raise RecipeError(f"--world {world}" if ranks is None else f"--ranks {ranks}", expected="at least 1")
    if rank is not None and not 0 <= rank < (world or 0):
        raise RecipeError(f"--rank {rank}", expected=f"0 to {(world or 0) - 1}, because of --world {world}")
    return only


def on_machines(
    name: str, recipe: Recipe, where: Where, stage: str, world: int, flags: list[str], machines: dict[str, Any]
) -> Engine:
    """The engine that starts the ranks of a stage, with the command line of a rank.

    Raises:
        RecipeError: there is no such engine, or it cannot be used here.
    """
    given = str(Path(recipe.given).absolute()) if Path(recipe.given).is_file() else recipe.given
    command = ["run", given, "--only", stage, "--world", str(world), *flags, "--log-format", "json"]
    on_hub = str(where.shared) == ON_HUB
    if where.shared:
        command += ["--shared", ON_HUB if on_hub else str(where.shared.absolute())]
    if name == "jobs":
        if not on_hub:
            raise RecipeError("--on jobs: Jobs share no folder", expected=f"--shared {ON_HUB}: a branch of the dataset")
        machines |= {"hub": None if where.hub.local else where.hub.hub, "org": where.org}
    logs = where.hub.home / "logs" / where.org / f"{stage}-ranks"
    return open_engine(name, Options(tuple(command), logs, world, **machines))


def run_rank(recipe: Recipe, where: Where, stage: str, rank: int, world: int) -> None:
    """Work one rank, and say how it ended."""
    with Bars(console, as_json=where.as_json) as bars, where.open(recipe, stage, world, bars) as ranked:
        mark = api.run_rank(ranked, rank)
        bars.finish(stage)
    if where.as_json:
        print_json({"stage": stage, "rank": rank} | (mark.model_dump() if mark else {"published": True}))
    elif mark:
        console.print(f"[green]✓[/green] {stage} rank {rank} of {world}: wave {mark.wave}, {mark.seconds:.0f} s")
    else:
        console.print(f"[green]✓[/green] {stage} is published: nothing to do for rank {rank}")


def publish(recipe: Recipe, where: Where, stage: str, world: int, engine: Engine | None) -> None:
    """Start all ranks where there is an engine, publish what they have finished, and say so."""
    with Bars(console, as_json=where.as_json) as bars, where.open(recipe, stage, world, bars) as ranked:
        result = api.run_ranks(ranked, engine)
        print_result(result, bars, as_json=where.as_json)


def print_told(found: dict[str, list[Progress | None]], *, as_json: bool) -> None:
    """All ranks of all stages that ranks work, as one table."""
    if as_json:
        print_json({name: [told and told.model_dump() for told in each] for name, each in found.items()}, indent=1)
        return
    if not found:
        console.print("no ranks are at work: a published stage has removed its shards (hub-speed show RECIPE)")
        return
    right = ("rank", "wave", "rows", "of", "rows/s", "calls")
    lines = table("stage", *right, "state", "where", right=right)
    damaged = []
    for name, ranks in found.items():
        for rank, told in enumerate(ranks):
            if told is None:
                lines.add_row(name, str(rank), "", "", "", "", "", "not begun", "")
                continue
            if told.state == "damaged":
                damaged.append(told.error)
                lines.add_row(name, str(rank), "", "", "", "", "", told.state, "see below")
                continue
            cells = (told.wave, told.done, told.total)
            counts = [f"{n:,}" for n in cells] + [f"{told.rows_per_s:,.1f}", f"{told.calls:,}"]
            error = told.error.splitlines()[0] if told.error else told.holder.partition(" ")[0]
            lines.add_row(name, str(rank), *counts, told.state, error)
    console.print(lines)
    for error in damaged:
        console.print(error, markup=False)
