"""All ranks of a stage: an engine starts them, and the publisher makes the commit of what they have asked for."""

import logging
import threading
from typing import Protocol

from hub_speed.errors import BudgetSpent, Busy, HubSpeedError, RanksLeft, ShardLost, Stopped, parts_of
from hub_speed.generation.shards import lost_shards
from hub_speed.pipeline.ranked import Ranked
from hub_speed.pipeline.run import Result
from hub_speed.shared import BEAT_S, Share, some

_log = logging.getLogger("hub_speed")


class Engine(Protocol):
    """What starts ranks somewhere; see `engines`."""

    def run(self, ranks: list[int], stop: threading.Event) -> dict[int, int]:
        """Start these ranks and wait until all have ended; returns their exit codes."""

    def last_words(self, rank: int) -> str:
        """Where the messages of a rank are, and how they end."""


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
        _deal_again(share)
        raise
    result = ranked.worker(share).run(ranked.done)
    ranked.place.clear()
    return result


def _deal_again(share: Share) -> None:
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

    Ranks whose shards are lost are started again as well, once. What another call has started is waited for: ranks
    that are still at work, since that call goes on or was killed, and a publisher.

    Raises:
        Stopped: the user wants to stop.
        HubSpeedError: a rank failed, with its exit code; the same call goes on.
    """
    stop, again, healed = ranked.session.stop, list[int](), False
    while not ranked.published:
        share = ranked.share()
        wave = share.wave()
        left, again = again or share.unfinished(wave.number), []
        ended = engine.run(left, stop) if left else {}
        _check_stop(stop)
        for rank, code in ended.items():
            said = share.progress(rank)
            if code not in (0, BudgetSpent.exit_code, Busy.exit_code) and not (said and said.state == "budget"):
                raise _failed(share, engine, rank, code)
        if busy := [rank for rank, code in ended.items() if code == Busy.exit_code]:
            _wait_for(share, busy, stop)
            continue
        try:
            return _publish_in_turn(ranked, min(BEAT_S, share.place.beat_s))
        except RanksLeft:
            if share.wave() == wave and not ranked.published:  # nothing new to do, and yet ranks are left
                raise
        except ShardLost:
            if healed:
                raise
            marks = [share.finished(rank) for rank in range(share.world)]
            again = [rank for rank, mark in enumerate(marks) if mark and lost_shards(share, mark.shards)]
            healed = True
    return ranked.result()


def _publish_in_turn(ranked: Ranked, look_every_s: float) -> Result:
    """Publish, once no other call that has started these ranks does; that one may have published them by then."""
    warned = False
    while True:
        try:
            return publish(ranked)
        except Busy as error:
            if not warned:
                _log.warning("%s (%s): waiting for it", error.where, error.got)
            warned = True
        ranked.session.stop.wait(look_every_s)
        _check_stop(ranked.session.stop)


def _wait_for(share: Share, ranks: list[int], stop: threading.Event) -> None:
    """Wait until none of these ranks, which others have started, is at work any more."""
    _log.warning("ranks %s are at work already: waiting for them", some(ranks))
    while share.at_work(ranks, stop):
        pass


def _check_stop(stop: threading.Event) -> None:
    """Raise Stopped where the user wants to stop."""
    if stop.is_set():
        raise Stopped("stopped", fix="what the ranks have shipped is kept; the same command goes on")


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
