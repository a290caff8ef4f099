"""Ask the writers of a stage for its rows: one by one or in batches, several writers in turn."""

from collections.abc import Callable

from hub_speed.errors import StageError
from hub_speed.generation.batched import generate_in_batches
from hub_speed.generation.jobs import Jobs, Read, read_again, without
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.meter import Meter
from hub_speed.generation.online import generate
from hub_speed.generation.writers import Writer, Writers
from hub_speed.llm.address import Address
from hub_speed.llm.batch_api import Batches
from hub_speed.llm.budget import BudgetMeter, Spent
from hub_speed.llm.vllm_run_batch import RunBatch
from hub_speed.stage import Context


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

    Several writers are asked one after the other, and all of them before `more` is called.
    """
    if ctx.recipe.runtime.reread:
        read_again(jobs, read, ledger)
    ctx.progress.start(total, "rows", done=ledger.count_finished())
    budget = ctx.budget if writers.everyone[0].teaches else None
    meter = Meter(ctx.progress, budget)
    if budget:
        budget.count_earlier(f"{ctx.record.stage}-{ctx.record.fingerprint}", Spent(*ledger.usage()))
    if len(writers.everyone) == 1:
        notes = _ask_one(ctx, ledger, jobs, read, writers.everyone[0], meter, budget, more)
    else:
        notes = _ask_in_turn(ctx, ledger, jobs, read, writers, meter, budget)
        while more():
            notes += _ask_in_turn(ctx, ledger, without(jobs, ledger.failed()), read, writers, meter, budget)
    if notes:
        ctx.record.measures.server = list(dict.fromkeys(notes))


def _ask_in_turn(
    ctx: Context,
    ledger: Ledger,
    jobs: Jobs,
    read: Read,
    writers: Writers,
    meter: Meter,
    budget: BudgetMeter | None,
) -> list[str]:
    """Ask every writer for its rows; returns what their servers do otherwise than they were asked."""
    notes = []
    for writer in writers.everyone:
        mine = writers.part(writer, jobs)
        if any(True for _ in mine(ledger.todo())):  # no server is started for nothing
            found = _ask_one(ctx, ledger, mine, read, writer, meter, budget, batches=f"-{writer.name}")
            notes += [f"{writer.name}: {note}" for note in found]
            _check_answered(ctx, ledger, writers, writer)
    return notes


def _ask_one(
    ctx: Context,
    ledger: Ledger,
    jobs: Jobs,
    read: Read,
    writer: Writer,
    meter: Meter,
    budget: BudgetMeter | None,
    more: Callable[[], bool] = lambda: False,
    batches: str = "",
) -> list[str]:
    """Ask one writer; returns what its server does otherwise than it was asked.

    `batches` tells its batches from those of other writers.
    """
    with ctx.address(writer.asked_as, writer.weights) as address:
        if provider := _batches(ctx, address, writer, batches):
            retries = ctx.limits.retries
            return generate_in_batches(jobs, read, provider, ledger, retries, meter.rows, ctx.stop, budget, more)
        return generate(jobs, read, address, ledger, ctx.limits, meter.rows, ctx.stop, budget, more)


def _check_answered(ctx: Context, ledger: Ledger, writers: Writers, writer: Writer) -> None:
    """Raise StageError where one of several writers answered nothing: its rows would be missing, and nobody told."""
    failed = next((row_id for row_id in sorted(ledger.failed()) if writers.of(row_id) == writer), None)
    if failed and not ledger.usage_by(lambda row_id: writers.of(row_id).name)[writer.name][0]:
        raise StageError(
            f"{ctx.record.stage}: {writer.name} answered no request",
            got=ledger.entry(failed)["detail"],
            fix="check its name and its address; the same command asks for its rows again, and keeps those of others",
        )


def _batches(ctx: Context, address: Address, writer: Writer, whose: str) -> Batches | RunBatch | None:
    """What answers the requests in batches; None where they are asked for one by one."""
    runtime = ctx.recipe.runtime
    if writer.teaches and runtime.mode == "batch":
        return Batches(address, f"{ctx.record.stage}-{ctx.record.fingerprint}{whose}")
    if writer.weights is None or address.urls:
        return None
    log, folder = ctx.work / "server.log", ctx.work / f"batches{whose}"
    return RunBatch(address, writer.weights, folder, runtime.server_flags, log, ctx.stop.is_set)
