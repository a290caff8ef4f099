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
def open_ranks(
    recipe: "Recipe",
    hub: OpenHub,
    only: str,
    world: int,
    *,
    shared: Path | None = None,
    org: str = DEFAULT_ORG,
    endpoints: Pairs = (),
    extend: bool = False,
    progress: "Callable[[str], Shown] | None" = None,
) -> "Iterator[Ranked]":
    """A stage for `run_rank` and `run_ranks`.

    Args:
        recipe: what to make.
        hub: where inputs are read and the result is published.
        only: the stage; all it needs is finished.
        world: how many ranks there are.
        shared: a folder that all ranks reach; None: one of this machine.
        org: organisation or user that owns the repositories.
        endpoints: where models are.
        extend: go on from a published version with fewer rows: only new rows are asked for.
        progress: stage name → where the stage reports its progress.

    Raises:
        RecipeError: ranks cannot work this stage, or its inputs are not finished.

    Example:
        >>> with open_ranks(load_recipe("speed"), hub, "synthesize", 16, shared=Path("/scratch/me")) as ranked:
        ...     run_rank(ranked, 3)
    """
    from hub_speed.pipeline.ranks import Ranked

    with open_session(recipe, hub, org=org, endpoints=endpoints, progress=progress, publish=True) as (session, pinned):
        session.extend = extend
        yield Ranked(pinned, session, only, world, shared)


def run_rank(ranked: "Ranked", rank: int) -> "Finished | None":
    """Ask for the rows of one rank of a stage, from 0, and leave them in the shared folder.

    Returns:
        The rank's mark; None if the stage is published.

    Raises:
        HubSpeedError: it could not finish; the same call goes on.
    """
    from hub_speed.pipeline import ranks

    return ranks.run_rank(ranked, rank)


def run_ranks(ranked: "Ranked", engine: "Engine | None" = None) -> "Result":
    """Publish a stage that ranks have worked; with an engine, start them first, as often as it takes.

    Raises:
        RanksLeft: without an engine: ranks have to be started (again) first.
        HubSpeedError: a rank failed, or the rows are not fit to publish; the same call goes on.
    """
    from hub_speed.pipeline import ranks

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
