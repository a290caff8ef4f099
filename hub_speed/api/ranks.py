"""One stage worked by several processes: one rank, all of them on an engine, and who publishes what they finished."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hub_speed.api.hubs import OpenHub
from hub_speed.api.sessions import DEFAULT_ORG, Pairs, open_session

if TYPE_CHECKING:
    from hub_speed.pipeline.ranks import Engine, Ranked
    from hub_speed.pipeline.run import Result
    from hub_speed.recipe import Recipe
    from hub_speed.shared import Finished, Progress
    from hub_speed.stage import Progress as Shown


@contextmanager
def _open(
    recipe: "Recipe",
    hub: OpenHub,
    only: str,
    world: int,
    shared: Path | None,
    org: str,
    endpoints: Pairs,
    progress: "Callable[[str], Shown] | None",
) -> "Iterator[Ranked]":
    from hub_speed.pipeline.ranks import Ranked

    with open_session(recipe, hub, org=org, endpoints=endpoints, progress=progress, publish=True) as (session, pinned):
        yield Ranked(pinned, session, only, world, shared)


def run_rank(
    recipe: "Recipe",
    hub: OpenHub,
    only: str,
    rank: int,
    world: int,
    *,
    shared: Path | None = None,
    org: str = DEFAULT_ORG,
    endpoints: Pairs = (),
    progress: "Callable[[str], Shown] | None" = None,
) -> "Finished | None":
    """Ask for the rows of one rank of a stage, and leave them in the shared folder.

    Args:
        recipe: what to make.
        hub: where inputs are read.
        only: the stage; all it needs is finished.
        rank: 0 to `world` - 1.
        world: how many ranks there are.
        shared: a folder that all ranks reach; None: one of this machine.
        org: organisation or user that owns the repositories.
        endpoints: where models are.
        progress: stage name → where the stage reports its progress.

    Returns:
        The rank's mark; None if the stage is published.

    Raises:
        HubSpeedError: it could not finish; the same call goes on.
    """
    from hub_speed.pipeline import ranks

    with _open(recipe, hub, only, world, shared, org, endpoints, progress) as ranked:
        return ranks.run_rank(ranked, rank)


def run_ranks(
    recipe: "Recipe",
    hub: OpenHub,
    only: str,
    world: int,
    engine: "Engine | None" = None,
    *,
    shared: Path | None = None,
    org: str = DEFAULT_ORG,
    endpoints: Pairs = (),
    progress: "Callable[[str], Shown] | None" = None,
) -> "Result":
    """Publish a stage that ranks have worked; with an engine, start them first, as often as it takes.

    Args:
        recipe: what to make.
        hub: where inputs are read and the result is published.
        only: the stage; all it needs is finished.
        world: how many ranks there are.
        engine: where ranks run; None: they are started by others, and it is looked whether they have finished.
        shared: a folder that all ranks reach; None: one of this machine.
        org: organisation or user that owns the repositories.
        endpoints: where models are.
        progress: stage name → where the stage reports its progress.

    Raises:
        RanksLeft: without an engine: ranks have to be started (again) first.
        HubSpeedError: a rank failed, or the rows are not fit to publish; the same call goes on.
    """
    from hub_speed.pipeline import ranks

    with _open(recipe, hub, only, world, shared, org, endpoints, progress) as ranked:
        return ranks.run_all(ranked, engine) if engine else ranks.publish(ranked)


def show_ranks(
    hub: OpenHub, *, org: str = DEFAULT_ORG, shared: Path | None = None
) -> "dict[str, list[Progress | None]]":
    """Stage → how far each of its ranks is, None before it has begun; for the stages that ranks work just now.

    Raises:
        RecipeError: the shared folder is not there.
    """
    from hub_speed.pipeline.ranks import check_shared, told

    if shared is not None:
        check_shared(shared)
    return told((shared or hub.home / "ranks") / org)
