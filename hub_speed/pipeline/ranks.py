"""A stage that several processes work: each rank asks for its rows, and one publisher makes the commit.

A row belongs to a rank by a hash of its id. Ranks know nothing of each other's rows; what needs all rows
(duplicates, how many are still wanted) is the publisher's, which merges the ranks' ledgers into one and goes on as a
single process would. So the published rows are the same, whatever the number of ranks.
"""

import logging
import os
import platform
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import hub_speed
from hub_speed import stage
from hub_speed.cards.render import render
from hub_speed.cores import cores
from hub_speed.errors import BudgetSpent, Busy, HubSpeedError, NoSpace, RanksLeft, RecipeError, ShardLost, parts_of
from hub_speed.generation.ledger import MOUNTS, Ledger, network_file_system
from hub_speed.generation.shards import Shards, lost_shards
from hub_speed.llm.budget import BudgetMeter, Spent
from hub_speed.pipeline import extend
from hub_speed.pipeline.branch import Branch
from hub_speed.pipeline.lock import locked
from hub_speed.pipeline.plan import pin, plan
from hub_speed.pipeline.run import Result, Worker
from hub_speed.pipeline.session import Session
from hub_speed.pipeline.table import ASKS, asks
from hub_speed.recipe import BudgetCaps, Recipe
from hub_speed.record import TEACHER, Json, Ref, fingerprint_of
from hub_speed.shared import About, Finished, Folder, Place, Progress, RankDone, Share, Used, Wave, folder_of, some
from hub_speed.stage import Stage

_log = logging.getLogger("hub_speed")

ON_HUB = "hub"
"""The shared place that is a branch of the dataset repository."""


class Engine(Protocol):
    """What starts ranks somewhere; see `engines`."""

    def run(self, ranks: list[int], stop: threading.Event) -> dict[int, int]:
        """Start these ranks and wait until all have ended; returns their exit codes."""

    def last_words(self, rank: int) -> str:
        """Where the messages of a rank are, and how they end."""


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
        self.published = step.ref
        if session.extend:
            extend.check(steps, recipe, session)
        self.extends = extend.earlier(self.stage, self.identity, self.refs, session) if session.extend else None
        self.place: Place
        if str(shared) == ON_HUB:
            self.place = Branch(session.hub, self.stage.repo(session.org), f"ranks-{self.fingerprint}")
        else:
            self.place = Folder(_folder(session, shared, only))

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
        share.begin(about)
        return share

    def worker(self, share: Share) -> Worker:
        """What runs the stage."""
        return Worker(self.stage, self.recipe, self.session, self.session.stop, cores(), share=share)

    def result(self) -> Result:
        """The stage as it is on the Hub already; removes what a kill after the commit has left."""
        result = Worker(self.stage, self.recipe, self.session, self.session.stop, cores()).run(self.done)
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


def run_rank(ranked: Ranked, rank: int) -> Finished | None:
    """Ask for the rows of one rank, as far as they are wanted by now; returns its mark, None if all is published.

    A rank that has finished looks whether its shards are as it has written them, and replaces those that are not.

    Raises:
        RecipeError: there is no such rank, or the place is used by other ranks.
        Busy: this rank is at work already, here or elsewhere.
        HubSpeedError: it could not go on; the same command does.
    """
    if not 0 <= rank < ranked.world:
        raise RecipeError(f"--rank {rank}", expected=f"0 to {ranked.world - 1}, because of --world {ranked.world}")
    if ranked.published:
        return None
    share = ranked.share(rank)
    work = _work(ranked, f"-rank-{rank}-of-{ranked.world}")
    with locked(work):
        wave, mark = share.wave(), share.finished(rank)
        if mark and mark.wave >= wave.number:
            if not (lost := lost_shards(share, mark.shards)):
                shutil.rmtree(work, ignore_errors=True)
                return mark
            _log.warning("rank %d: missing or damaged, and made again: %s", rank, ", ".join(lost))
            share.save(f"{folder_of(rank)}/finished.json", mark.model_copy(update={"wave": 0}))  # it is at work again
        holder = f"{platform.node()} {work}"
        _check_gone(share, holder, ranked.session.stop)
        work.mkdir(parents=True, exist_ok=True)
        if ranked.extends:
            extend.take_over(ranked.extends, ranked.identity, ranked.session, work, share)
        ranked.session.budget = _budget(ranked, share, work, wave)
        mark = _work_on(ranked, share, work, wave, holder, mark.seconds if mark else 0.0)
        shutil.rmtree(work, ignore_errors=True)  # the shards hold all that another wave needs
    return mark


def _work(ranked: Ranked, ending: str) -> Path:
    """The folder of a rank's ledger: on a local disk, since SQLite on a network file system may give stale bytes."""
    home = ranked.session.home
    if network_file_system(home, MOUNTS):
        home = Path(tempfile.gettempdir()) / f"hub_speed-{os.getuid()}"
    return home / "work" / ranked.session.org / f"{ranked.stage.name}-{ranked.fingerprint}{ending}"


def _check_gone(share: Share, holder: str, stop: threading.Event) -> None:
    """Raise Busy where this rank is at work on another machine; clocks are not compared, its beat is listened to."""
    assert share.rank is not None
    before = share.progress(share.rank)
    if not before or before.state != "asking" or before.holder == holder:
        return
    stop.wait(3 * share.place.beat_s)
    now = share.progress(share.rank)
    if now and now.beat != before.beat:
        raise Busy(
            f"rank {share.rank}: it is at work already",
            got=now.holder,
            fix="wait for that process, or stop it; the rows it has shipped are kept",
        )


def _budget(ranked: Ranked, share: Share, work: Path, wave: Wave) -> BudgetMeter:
    """The rank's part of the budget, and what it has spent of that before.

    Brings its ledger and the shared place together on the way, since the ledger knows what was spent.
    """
    assert share.rank is not None
    progress = share.progress(share.rank)
    with Ledger(work, ranked.identity) as ledger:
        ledger.note_asked(wave.asked)
        Shards(share, ledger, work)
        known = Spent(*ledger.usage())
    meter = BudgetMeter(part_of(ranked.recipe.effective_budget, wave, share.rank, ranked.world))
    said = Spent(*progress.spent) if progress else Spent()
    lost = said - known  # charged, but no row came of it, or the rows are gone with a disk
    meter.count_earlier("lost", Spent(max(0, lost.calls), max(0, lost.read), max(0, lost.written)))
    return meter


def part_of(caps: BudgetCaps, wave: Wave, rank: int, world: int) -> BudgetCaps:
    """What one rank may spend, over all its runs: what it has spent, and an equal part of what is left.

    Raises:
        RecipeError: not even one call is left for a rank.
    """
    spent, going = wave.spent or [(0, 0, 0)] * world, wave.going or list(range(world))
    calls, read, written = (sum(used[i] for used in spent) for i in range(3))
    mine, each = spent[rank], len(going) if rank in going else 0
    found: dict[str, Any] = {"lifetime": True}

    def part(cap: float, all_spent: float) -> float:
        return max(0.0, cap - all_spent) / each if each else 0.0

    if caps.max_calls is not None:
        found["max_calls"] = mine[0] + int(part(caps.max_calls, calls))
        if not found["max_calls"]:
            fewer = f"--world {caps.max_calls} or fewer, or raise the budget"
            raise RecipeError(f"budget.max_calls = {caps.max_calls}: less than a call for each rank", fix=fewer)
    if caps.max_tokens is not None:
        found["max_tokens"] = mine[1] + mine[2] + int(part(caps.max_tokens, read + written))
    if caps.max_usd is not None:
        all_usd, my_usd = caps.cost_usd(read, written) or 0.0, caps.cost_usd(mine[1], mine[2]) or 0.0
        found["max_usd"] = my_usd + part(caps.max_usd, all_usd)
    return caps.model_copy(update=found)


def _work_on(ranked: Ranked, share: Share, work: Path, wave: Wave, holder: str, seconds: float) -> Finished:
    """Ask for a rank's rows of a wave, and write its mark."""
    assert share.rank is not None
    s, session, started = ranked.stage, ranked.session, time.monotonic()
    ctx = ranked.worker(share).context(ranked.refs, ranked.identity, ranked.fingerprint, work)
    with _Beat(share, ctx, wave, holder) as beat:
        ctx.progress = beat
        try:
            stage.build(s, ctx, render)
        except RankDone as done:
            with Ledger(work, ranked.identity) as ledger:
                shards = ledger.shards()
            mark = Finished(
                wave=wave.number,
                fingerprint=ranked.fingerprint,
                shards=shards,
                spent=used(session.budget),
                seconds=seconds + time.monotonic() - started,
                notes=done.notes,
            )
            share.save(f"{folder_of(share.rank)}/finished.json", mark)
            return mark
    raise AssertionError("a rank ends in RankDone")


def used(budget: BudgetMeter) -> Used:
    """What a rank has spent of its budget."""
    total = budget.total
    return total.calls, total.read, total.written


class _Beat:
    """The progress of a rank: shown here, and told to the others again and again."""

    def __init__(self, share: Share, ctx: stage.Context, wave: Wave, holder: str) -> None:
        self._share, self._shown, self._budget, self._wave = share, ctx.progress, ctx.budget, wave.number
        self._told = Progress(wave=wave.number, turn=wave.turn, holder=holder)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def start(self, total: int, unit: str, done: int = 0) -> None:
        """How much there is to do, and how much of it an earlier run did."""
        self._told.total, self._told.done = total, done
        self._shown.start(total, unit, done)

    def advance(self, n: int) -> None:
        """`n` more are done."""
        self._told.done += n
        self._shown.advance(n)

    def note(self, text: str) -> None:
        """A short word on how it goes."""
        self._shown.note(text)

    def measure(self, numbers: dict[str, Any]) -> None:
        """Numbers on how the asking goes."""
        self._told.rows_per_s = numbers["rows_per_s"]
        self._shown.measure(numbers)

    def __enter__(self) -> Self:
        self._tell()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._told.state = "finished"
        if error:
            self._told.state = "budget" if isinstance(error, BudgetSpent) else "stopped"
            self._told.error = str(error) if isinstance(error, HubSpeedError) else repr(error)
        with suppress(NoSpace):  # where the place is lost, the error that ended the rank says so
            self._tell()

    def _beat(self) -> None:
        place, world = self._share.place, self._share.world
        while not self._end.wait(place.beat_s * max(1.0, world / 100)):  # every rank reads the marks of all
            with suppress(NoSpace):  # the next shard says it
                self._share.others = max(1, len(self._share.unfinished(self._wave)))
                self._tell()

    def _tell(self) -> None:
        assert self._share.rank is not None
        self._told.beat += 1
        self._told.spent = used(self._budget)
        self._share.save(f"{folder_of(self._share.rank)}/progress.json", self._told)


def publish(ranked: Ranked) -> Result:
    """Merge what the ranks have shipped, sift it, and publish it: one commit and its tag. Then the shards are removed.

    Raises:
        RanksLeft: ranks have to go on first, or another wave is needed.
        BudgetSpent: all ranks have spent their parts.
        ShardLost: a shard is missing or damaged; its rank has to be started again.
        StageError: a row is missing or there twice; or the rows are not fit to publish.
    """
    if ranked.published:
        return ranked.result()
    share = ranked.share()
    try:
        share.check_finished()
    except RanksLeft:
        _deal_again(share, ranked.recipe.effective_budget)
        raise
    result = ranked.worker(share).run(ranked.done)
    ranked.place.clear()
    return result


def _deal_again(share: Share, caps: BudgetCaps) -> None:
    """Give ranks that have spent their parts what the others leave; only once none of them is at work.

    Raises:
        BudgetSpent: they have got that before, and could make nothing of it.
    """
    wave = share.wave()
    left = share.unfinished(wave.number)
    told = {rank: share.progress(rank) for rank in left}
    if not all(each and each.state == "budget" and each.turn == wave.turn for each in told.values()):
        return
    marks = (told.get(rank) or share.finished(rank) for rank in range(share.world))
    spent = [mark.spent if mark else (0, 0, 0) for mark in marks]
    if wave.going == left and spent == wave.spent:
        raise BudgetSpent(
            f"budget: ranks {some(left)} have rows left, and no other rank leaves anything of it",
            got=f"{sum(each[0] for each in spent):,} calls, {sum(each[1] + each[2] for each in spent):,} tokens so far",
            fix="raise it: the same command goes on, and keeps what was answered",
        )
    share.save("wave.json", wave.model_copy(update={"turn": wave.turn + 1, "spent": spent, "going": left}))


def run_all(ranked: Ranked, engine: Engine) -> Result:
    """Start all ranks on an engine, wave after wave, and publish what they have asked for.

    Ranks whose shards are lost are started again as well, once.

    Raises:
        HubSpeedError: a rank failed, with its exit code; the same call goes on.
    """
    stop, again, healed = ranked.session.stop, list[int](), False
    while not ranked.published:
        share = ranked.share()
        wave = share.wave()
        left, again = again or share.unfinished(wave.number), []
        ended = engine.run(left, stop) if left else {}
        for rank, code in ended.items():
            said = share.progress(rank)
            if code not in (0, BudgetSpent.exit_code) and not (said and said.state == "budget"):
                raise _failed(share, engine, rank, code)
        try:
            return publish(ranked)
        except RanksLeft:
            if share.wave() == wave:  # nothing new to do, and yet ranks are left
                raise
        except ShardLost:
            if healed:
                raise
            marks = [share.finished(rank) for rank in range(share.world)]
            again = [rank for rank, mark in enumerate(marks) if mark and lost_shards(share, mark.shards)]
            healed = True
    return ranked.result()


def _failed(share: Share, engine: Engine, rank: int, code: int) -> HubSpeedError:
    """What a rank said before it ended."""
    told = share.progress(rank)
    words = (told.error if told and told.state == "stopped" else "") or engine.last_words(rank)
    where, parts = f"rank {rank} of {share.world} ended with exit code {code}", parts_of(words)
    if len(parts) > 1:  # it has said more than where
        where = f"{where}: {parts['where']}"
    else:
        parts["got"] = words
    parts["fix"] = parts.get("fix") or "the same command goes on: what was answered is kept"
    error = HubSpeedError(**parts | {"where": where})
    error.exit_code = code if code > 0 else HubSpeedError.exit_code
    return error


def told(folder: Path) -> dict[str, list[Progress | None]]:
    """Stage → how far each of its ranks is, None before it has begun; of all stages in a shared folder."""
    found = {}
    for path in sorted(folder.glob("*/about.json")):
        share = Share(Folder(path.parent), 0, "")
        if about := share.load("about.json", About):
            found[about.stage] = [share.progress(rank) for rank in range(about.world)]
    return found
