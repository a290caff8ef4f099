"""A stage that several processes work, called ranks: what each of them and its publisher have to know.

A row belongs to a rank by a hash of its id. Ranks (`pipeline/rank.py`) know nothing of each other's rows; what needs
all rows (duplicates, how many are still wanted) is the publisher's (`pipeline/ranks.py`), which merges the ranks'
ledgers into one and goes on as a single process would. So the published rows are the same, whatever the number of
ranks.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import hub_speed
from hub_speed.cores import cores
from hub_speed.errors import NoSpace, RecipeError
from hub_speed.hub import Hub
from hub_speed.pipeline import extend
from hub_speed.pipeline.branch import Branch
from hub_speed.pipeline.plan import pin, plan
from hub_speed.pipeline.run import Result, Worker
from hub_speed.pipeline.session import Session
from hub_speed.pipeline.table import ASKS, STAGES, asks
from hub_speed.recipe import Recipe
from hub_speed.record import TEACHER, Json, Ref, fingerprint_of, tag_of
from hub_speed.shared import About, Folder, Place, Progress, Share
from hub_speed.stage import Stage

ON_HUB = "hub"
"""The shared place that is a branch of the dataset repository."""

BRANCH = "ranks-"
"""What the name of that branch begins with; the fingerprint of the stage follows."""


class Ranked:
    """A stage that ranks work, with its finished inputs.

    Args:
        recipe: what to make.
        session: with what.
        only: the stage.
        world: how many ranks there are.
        shared: a folder that all ranks reach, or `ON_HUB`; None: one in the folder of this program, for ranks here.

    Raises:
        RecipeError: the stage asks no model, its inputs are not finished, or the shared folder is not there.
    """

    def __init__(self, recipe: Recipe, session: Session, only: str, world: int, shared: Path | None) -> None:
        if only not in ASKS:
            raise RecipeError(f"--only {only}: not a stage that ranks can work", expected=f"one of {', '.join(ASKS)}")
        self.recipe, self.session, self.world = recipe, session, world
        steps = plan(recipe, session, only)
        *before, step = steps
        if not asks(step.stage, recipe):
            raise RecipeError(f"--only {only}: under this recipe the stage asks no model", fix="run it without ranks")
        if only == "filter" and recipe.filter.judge == TEACHER:
            where = "--only filter: with filter.judge, it asks twice, the second time about what is found"
            raise RecipeError(where, fix="run it without ranks")
        if problem := next((each.problem for each in (*before, step) if each.problem), None):
            raise problem
        if left := [each.stage.name for each in before if not each.ref]:
            raise RecipeError(
                f"--only {only}: ranks work one stage, and {', '.join(left)} before it is not finished",
                fix=f"hub-speed run {recipe.given} --org {session.org} --only {left[-1]}",
            )
        self.stage: Stage = step.stage
        self.done: dict[str, Ref] = {each.stage.name: each.ref for each in before if each.ref}
        self.refs = pin(self.stage, recipe, session, self.done)
        self.identity: Json = self.stage.identity(recipe, self.refs)
        self.fingerprint = fingerprint_of(self.identity)
        if session.extend:
            extend.check(steps, recipe, session)
        self.extends = extend.earlier(self.stage, self.identity, self.refs, session) if session.extend else None
        self.place: Place
        if str(shared) == ON_HUB:
            self.place = Branch(session.hub, self.stage.repo(session.org), BRANCH + self.fingerprint)
        else:
            self.place = Folder(_folder(session, shared, only))

    @property
    def published(self) -> bool:
        """Whether the stage is on the Hub by now; others may publish it meanwhile."""
        hub, repo = self.session.hub, self.stage.repo(self.session.org)
        return hub.find(self.stage.kind, repo, tag_of(self.fingerprint)) is not None

    def share(self, rank: int | None = None) -> Share:
        """The part of a rank, or of the publisher, once it is clear that the place is ours."""
        share = Share(self.place, self.world, self.fingerprint, rank)
        about = About(
            stage=self.stage.name,
            recipe=self.recipe.name,
            fingerprint=self.fingerprint,
            identity=self.identity,
            world=self.world,
            hub_speed=hub_speed.__version__,
            extends=self.extends.version if self.extends else "",
        )
        share.begin(about, self.session.stop)
        return share

    def worker(self, share: Share) -> Worker:
        """What runs the stage."""
        return Worker(self.stage, self.recipe, self.session, self.session.stop, cores(), share=share)

    def result(self) -> Result:
        """The stage as it is on the Hub already; removes what a kill after the commit has left."""
        result = Worker(self.stage, self.recipe, self.session, self.session.stop, cores()).run(self.done)
        with suppress(RecipeError):
            about = Share(self.place, self.world, self.fingerprint).load("about.json", About)
            if about and about.fingerprint == self.fingerprint:  # ranks of another run may be at work there by now
                self.place.clear()
        return result


def _folder(session: Session, shared: Path | None, name: str) -> Path:
    """The folder of a stage in the shared one.

    Raises:
        RecipeError: the shared folder is not there.
        NoSpace: it cannot be written.
    """
    root = session.home / "ranks" if shared is None else shared
    if shared is not None:
        check_shared(shared)
    folder = root / session.org / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NoSpace(f"{folder}: the shared folder cannot be written", got=str(error)) from error
    return folder


def check_shared(shared: Path) -> None:
    """Raise RecipeError where the shared folder is not there."""
    if not shared.is_dir():
        raise RecipeError(
            f"--shared {shared}: there is no such folder",
            expected="a folder that every rank reaches by this name",
            fix="create it, or mount it on this machine",
        )


def told(hub: Hub, org: str, shared: Path) -> dict[str, list[Progress | None]]:
    """Stage → how far each of its ranks is, None before it has begun; of all stages that ranks of `org` work.

    Where ranks of several recipes work a stage, each on a branch of its own, the others have their fingerprint beside
    the stage. A rank of which a file cannot be read is in the state "damaged", with the reason; a place that cannot be
    read has a single one of these.

    Raises:
        RecipeError: the shared folder is not there.
    """
    found: dict[str, list[Progress | None]] = {}
    for name, place in _places(hub, org, shared):
        try:
            about = Share(place, 0, "").load("about.json", About)
            share = Share(place, about.world if about else 0, about.fingerprint if about else "")
            share.wave()
        except RecipeError as error:
            found.setdefault(name, [_damaged(error)])
            continue
        if about:
            found[f"{name} {about.fingerprint}" if name in found else name] = [
                _seen(share, rank) for rank in range(about.world)
            ]
    return found


def _seen(share: Share, rank: int) -> Progress | None:
    """How far a rank is; what cannot be read of it is not passed over."""
    try:
        share.check_readable(rank)
    except RecipeError as error:
        return _damaged(error)
    return share.progress(rank)


def _damaged(error: RecipeError) -> Progress:
    return Progress(wave=0, turn=0, holder="", state="damaged", error=str(error))


def _places(hub: Hub, org: str, shared: Path) -> Iterator[tuple[str, Place]]:
    """The places that ranks share, with their stages."""
    if str(shared) != ON_HUB:
        check_shared(shared)
        yield from ((path.parent.name, Folder(path.parent)) for path in sorted((shared / org).glob("*/about.json")))
        return
    for name in ASKS:
        repo = STAGES[name].repo(org)
        for branch in sorted(hub.branches("dataset", repo)):
            if branch.startswith(BRANCH):
                yield name, Branch(hub, repo, branch)
