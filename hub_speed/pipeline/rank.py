"""One rank of a stage: asks for its rows, in its own ledger, and ships them to the shared place."""

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
from typing import Any, Self

from hub_speed import stage
from hub_speed.cards.render import render
from hub_speed.errors import BudgetSpent, Busy, HubSpeedError, RecipeError
from hub_speed.generation.ledger import MOUNTS, Ledger, network_file_system
from hub_speed.generation.shards import Shards, lost_shards
from hub_speed.llm.budget import BudgetMeter, Spent
from hub_speed.pipeline import extend
from hub_speed.pipeline.lock import locked
from hub_speed.pipeline.ranked import Ranked
from hub_speed.recipe import BudgetCaps
from hub_speed.shared import Finished, Progress, RankDone, Share, Wave

_log = logging.getLogger("hub_speed")


def run_rank(ranked: Ranked, number: int) -> Finished | None:
    """Ask for the rows of one rank, as far as they are wanted by now; returns its mark, None if all is published.

    A rank that has finished looks whether its shards are as it has written them, and replaces those that are not.

    Raises:
        RecipeError: there is no such rank, or the place is used by other ranks.
        Busy: this rank is at work already, here or elsewhere.
        HubSpeedError: it could not go on; the same command does.
    """
    if not 0 <= number < ranked.world:
        raise RecipeError(f"--rank {number}", expected=f"0 to {ranked.world - 1}, because of --world {ranked.world}")
    if ranked.published:
        return None
    share, work = ranked.share(number), _work(ranked, number)
    with locked(work):
        wave, mark = share.wave(), share.finished(number)
        if mark and mark.wave >= wave.number:
            if not (lost := lost_shards(share, mark.shards)):
                shutil.rmtree(work, ignore_errors=True)
                return mark
            _log.warning("rank %d: missing or damaged, and made again: %s", number, ", ".join(lost))
            share.finish(mark.model_copy(update={"wave": 0}))  # it is at work again
        rank = _Rank(ranked, number, share, work, wave)
        rank.check_gone()
        mark = rank.ask(mark.seconds if mark else 0.0)
        shutil.rmtree(work, ignore_errors=True)  # the shards hold all that another wave needs
    return mark


def _work(ranked: Ranked, number: int) -> Path:
    """The folder of a rank's ledger: on a local disk, since SQLite on a network file system may give stale bytes."""
    home = ranked.session.home
    if network_file_system(home, MOUNTS):
        home = Path(tempfile.gettempdir()) / f"hub_speed-{os.getuid()}"
    name = f"{ranked.stage.name}-{ranked.fingerprint}-rank-{number}-of-{ranked.world}"
    return home / "work" / ranked.session.org / name


class _Rank:
    """A rank at work on a wave, alone in its work folder."""

    def __init__(self, ranked: Ranked, number: int, share: Share, work: Path, wave: Wave) -> None:
        self._ranked, self._number, self._share, self._work, self._wave = ranked, number, share, work, wave
        self._before = share.progress(number)
        self._holder = f"{platform.node()} {work}"

    def check_gone(self) -> None:
        """Raise Busy where it is at work on another machine. A holder on this one has lost its lock, so it is dead."""
        before = self._before
        if not before or before.holder == self._holder:
            return
        if self._share.at_work([self._number], self._ranked.session.stop):
            raise Busy(
                f"rank {self._number}: it is at work already",
                got=before.holder,
                fix="wait for that process, or stop it; the rows it has shipped are kept",
            )

    def ask(self, seconds: float) -> Finished:
        """Ask for its rows, and write its mark; `seconds` is how long earlier waves have taken."""
        ranked, started = self._ranked, time.monotonic()
        self._work.mkdir(parents=True, exist_ok=True)
        if ranked.extends:
            extend.take_over(ranked.extends, ranked.identity, ranked.session, self._work, self._share)
        known = self._known()
        ranked.session.budget = self._budget(known)
        ctx = ranked.worker(self._share).context(ranked.refs, ranked.identity, ranked.fingerprint, self._work)
        told = Progress(wave=self._wave.number, turn=self._wave.turn, holder=self._holder, calls=known.calls)
        with _Beat(self._share, ctx, told) as beat:
            ctx.progress = beat
            self._share.check_ours()  # until this rank has said that it works, others may take the place
            try:
                stage.build(ranked.stage, ctx, render)
            except RankDone as done:
                mark = Finished(
                    wave=self._wave.number,
                    fingerprint=ranked.fingerprint,
                    shards=self._shards(),
                    spent=ctx.budget.total.counts,
                    seconds=seconds + time.monotonic() - started,
                    notes=done.notes,
                )
                self._share.finish(mark)
                return mark
        raise AssertionError("a rank ends in RankDone")

    def _known(self) -> Spent:
        """What its ledger knows to be spent, once that and the shared place are brought together."""
        with Ledger(self._work, self._ranked.identity) as ledger:
            ledger.note_asked(self._wave.asked)
            Shards(self._share, ledger, self._work)
            return Spent(*ledger.usage())

    def _budget(self, known: Spent) -> BudgetMeter:
        """Its part of the budget, and what it has spent of that before, beside what its ledger knows."""
        ranked = self._ranked
        meter = BudgetMeter(part_of(ranked.recipe.effective_budget, self._wave, self._number, ranked.world))
        said = Spent(*self._before.spent) if self._before else Spent()
        lost = said - known  # charged, but no row came of it, or the rows are gone with a disk
        meter.count_earlier("lost", Spent(*(max(0, count) for count in lost.counts)))
        return meter

    def _shards(self) -> list[str]:
        with Ledger(self._work, self._ranked.identity) as ledger:
            return ledger.shards()


def part_of(caps: BudgetCaps, wave: Wave, rank: int, world: int) -> BudgetCaps:
    """What one rank may spend, over all its runs: what it has spent, and its part of what is left.

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
        left = max(0, caps.max_calls - calls)  # what cannot be divided is for the first ranks
        found["max_calls"] = mine[0] + (left // each + (going.index(rank) < left % each) if each else 0)
        if (not mine[0] and left < each) or not found["max_calls"]:
            fewer = f"--world {caps.max_calls} or fewer, or raise the budget"
            raise RecipeError(f"budget.max_calls = {caps.max_calls}: less than a call for each rank", fix=fewer)
    if caps.max_tokens is not None:
        found["max_tokens"] = mine[1] + mine[2] + int(part(caps.max_tokens, read + written))
    if caps.max_usd is not None:
        all_usd, my_usd = caps.cost_usd(read, written) or 0.0, caps.cost_usd(mine[1], mine[2]) or 0.0
        found["max_usd"] = my_usd + part(caps.max_usd, all_usd)
    return caps.model_copy(update=found)


class _Beat:
    """The progress of a rank: shown here, and told to the others again and again."""

    def __init__(self, share: Share, ctx: stage.Context, told: Progress) -> None:
        self._share, self._shown, self._budget, self._told = share, ctx.progress, ctx.budget, told
        self._earlier = told.calls
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def start(self, total: int, unit: str, done: int = 0) -> None:
        """How much there is to do, and how much of it an earlier run did."""
        self._told.total, self._told.done = total, done
        self._shown.start(total, unit, done)

    def advance(self, n: int) -> None:
        """`n` more are done."""
        self._told.advance(n)
        self._shown.advance(n)

    def note(self, text: str) -> None:
        """A short word on how it goes."""
        self._shown.note(text)

    def measure(self, numbers: dict[str, Any]) -> None:
        """Numbers on how the asking goes."""
        self._told.rows_per_s = numbers["rows_per_s"]
        self._told.calls = self._earlier + numbers["calls"]
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
        if not error:
            self._told.total = self._told.done
        else:
            self._told.state = "budget" if isinstance(error, BudgetSpent) else "stopped"
            if isinstance(error, Exception):  # no KeyboardInterrupt, which says no more than "stopped"
                self._told.error = str(error) if isinstance(error, HubSpeedError) else repr(error)
        with suppress(HubSpeedError):  # where the place is lost, the error that ended the rank says so
            self._tell()

    def _beat(self) -> None:
        while not self._end.wait(self._share.beat_s):
            with suppress(HubSpeedError):  # the next shard says it, or the publisher
                self._share.others = max(1, len(self._share.unfinished(self._told.wave)))
                self._tell()

    def _tell(self) -> None:
        self._told.beat += 1
        self._told.spent = self._budget.total.counts
        self._share.tell(self._told)
