"""Ask the writers of a stage for its rows: one by one or in batches, several writers in turn."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from hub_speed.errors import HubSpeedError, RecipeError, StageError
from hub_speed.generation.jobs import Jobs, OnRows, Read, read_again, without
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.meter import Meter
from hub_speed.generation.shards import Shards, gather, next_wave
from hub_speed.generation.writers import Writer, Writers
from hub_speed.llm.address import Address, Limits
from hub_speed.llm.budget import BudgetMeter, Spent
from hub_speed.llm.servers import groups
from hub_speed.record import Ranks
from hub_speed.rows import LedgerRow
from hub_speed.shared import RankDone, Share
from hub_speed.stage import Context

if TYPE_CHECKING:
    from hub_speed.llm.batch_api import Batches
    from hub_speed.llm.vllm_run_batch import RunBatch


def ask(
    ctx: Context,
    ledger: Ledger,
    jobs: Jobs,
    read: Read,
    *,
    total: int,
    writers: Writers,
    more: Callable[[], bool] = lambda: False,
) -> None:
    """Ask for every job the ledger does not hold yet; `more` is called when all have ended, as in `online.generate`.

    Several writers are asked one after the other, and all of them before `more` is called. Where ranks share the rows,
    a rank asks for its own, once, and the publisher for none.

    Raises:
        RankDone: this is a rank, and all its rows have ended.
        RanksLeft: this is the publisher, and ranks have to go on.
    """
    share = ctx.share
    if share and share.rank is not None:
        _ask_as_rank(ctx, share, ledger, jobs, read, total, writers)
    marks = gather(share, ledger) if share else []
    if ctx.recipe.runtime.reread:
        read_again(jobs, read, ledger)
    if share:
        next_wave(share, ledger, jobs, more, marks)
        notes = [note for mark in marks for note in mark.notes]
        seconds = round(sum(mark.seconds for mark in marks), 1)
        ctx.record.ranks = Ranks(world=share.world, waves=share.wave().number, seconds=seconds)
    else:
        notes = _ask_all(ctx, ledger, jobs, read, total, writers, more=more)
    if notes:
        ctx.record.measures.server = list(dict.fromkeys(notes))


def _ask_as_rank(
    ctx: Context, share: Share, ledger: Ledger, jobs: Jobs, read: Read, total: int, writers: Writers
) -> NoReturn:
    """Ask for the rows of a rank, and send them to the shared place as they end."""
    shards = Shards(share, ledger, ctx.work)
    try:
        notes = _ask_all(ctx, ledger, shards.jobs(jobs), read, round(total / share.world), writers, ended=shards.add)
    except HubSpeedError:
        shards.close()
        raise
    shards.close_wave()
    raise RankDone(notes)


def _ask_all(
    ctx: Context,
    ledger: Ledger,
    jobs: Jobs,
    read: Read,
    total: int,
    writers: Writers,
    *,
    more: Callable[[], bool] = lambda: False,
    ended: Callable[[list[LedgerRow]], None] = lambda entries: None,
) -> list[str]:
    """Ask every writer; returns what their servers do otherwise than they were asked. `ended` gets the rows as well."""
    ctx.progress.start(total, "rows", done=ledger.count_finished())
    budget = ctx.budget if writers.everyone[0].teaches else None
    meter = Meter(ctx.progress, budget)

    def on_rows(entries: list[LedgerRow], in_flight: int) -> None:
        meter.rows(entries, in_flight)
        ended(entries)

    if budget:
        budget.count_earlier(f"{ctx.record.stage}-{ctx.record.fingerprint}", Spent(*ledger.usage()))
    try:
        if len(writers.everyone) == 1:
            return _ask_one(ctx, ledger, jobs, read, writers.everyone[0], on_rows, budget, more)
        notes = _ask_in_turn(ctx, ledger, jobs, read, writers, on_rows, budget)
        while more():
            notes += _ask_in_turn(ctx, ledger, without(jobs, ledger.failed()), read, writers, on_rows, budget)
        return notes
    finally:
        meter.end()


def _ask_in_turn(
    ctx: Context,
    ledger: Ledger,
    jobs: Jobs,
    read: Read,
    writers: Writers,
    on_rows: OnRows,
    budget: BudgetMeter | None,
) -> list[str]:
    """Ask every writer for its rows; returns what their servers do otherwise than they were asked."""
    notes = []
    for writer in writers.everyone:
        mine = writers.part(writer, jobs)
        if any(True for _ in mine(ledger.todo())):  # no server is started for nothing
            found = _ask_one(ctx, ledger, mine, read, writer, on_rows, budget, batches=f"-{writer.name}")
            notes += [f"{writer.name}: {note}" for note in found]
            _check_answered(ctx, ledger, writers, writer)
    return notes


def _ask_one(
    ctx: Context,
    ledger: Ledger,
    jobs: Jobs,
    read: Read,
    writer: Writer,
    on_rows: OnRows,
    budget: BudgetMeter | None,
    more: Callable[[], bool] = lambda: False,
    batches: str = "",
) -> list[str]:
    """Ask one writer; returns what its server does otherwise than it was asked.

    `batches` tells its batches from those of other writers.
    """
    # Imported here, for commands that ask nobody: aiohttp takes a tenth of a second.
    from hub_speed.generation.batched import generate_in_batches
    from hub_speed.generation.online import generate

    with ctx.address(writer.asked_as, writer.weights) as address:
        if provider := _batches(ctx, address, writer, batches):
            retries = ctx.limits.retries
            return generate_in_batches(jobs, read, provider, ledger, retries, on_rows, ctx.stop, budget, more)
        return generate(jobs, read, address, ledger, _limits(ctx, address), on_rows, ctx.stop, budget, more)


def _limits(ctx: Context, address: Address) -> Limits:
    """How hard an endpoint may be worked: each of its servers, where this process has started several.

    A rank works it with its part only, where all ranks ask the same one.

    Raises:
        RecipeError: there are more ranks than requests that may be open.
    """
    if not ctx.share or not address.place:  # this process alone has started the server
        return replace(ctx.limits, in_flight=ctx.limits.in_flight * address.servers)
    if ctx.limits.in_flight < ctx.share.world:
        raise RecipeError(
            f"endpoint {address.name}: {ctx.share.world} ranks share {ctx.limits.in_flight} requests at once",
            expected="at least one for each rank",
            fix=f"fewer ranks, or --set runtime.in_flight={ctx.share.world} where the server can take that many",
        )
    return replace(ctx.limits, part=ctx.share.part)


def _check_answered(ctx: Context, ledger: Ledger, writers: Writers, writer: Writer) -> None:
    """Raise StageError where one of several writers answered nothing: its rows would be missing, and nobody told."""
    failed = next((row_id for row_id in sorted(ledger.failed()) if writers.of(row_id) == writer), None)
    if failed and not ledger.usage_by(lambda row_id: writers.of(row_id).name)[writer.name][0]:
        raise StageError(
            f"{ctx.record.stage}: {writer.name} answered no request",
            got=ledger.entry(failed)["detail"],
            fix="check its name and its address; the same command asks for its rows again, and keeps those of others",
        )


def _batches(ctx: Context, address: Address, writer: Writer, whose: str) -> "Batches | RunBatch | None":
    """What answers the requests in batches; None where they are asked for one by one."""
    from hub_speed.llm.batch_api import Batches
    from hub_speed.llm.vllm_run_batch import RunBatch

    runtime = ctx.recipe.runtime
    if ctx.share:
        whose += f"-{ctx.share.rank}-of-{ctx.share.world}"
    if writer.teaches and runtime.mode == "batch":
        return Batches(address, f"{ctx.record.stage}-{ctx.record.fingerprint}{whose}")
    if writer.weights is None or address.urls:
        return None
    log, folder = ctx.work / "server.log", ctx.work / f"batches{whose}"
    gpus = groups("vllm", ctx.devices, runtime.replicas, runtime.server_flags)
    return RunBatch(address, writer.weights, folder, runtime.server_flags, gpus, log, ctx.stop.is_set)
