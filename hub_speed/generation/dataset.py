"""How every dataset stage works: ask a model for many rows, then turn the ledger into a repository.

data/<task type>/train-00000.parquet   the accepted rows; all of them together are the default config
ledger/train-00000.parquet             every request with its state, reason and raw text
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hub_speed.errors import StageError
from hub_speed.generation.batched import generate_in_batches
from hub_speed.generation.jobs import Job, Jobs, Outcome, read_again, without
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.online import generate
from hub_speed.generation.quota import Quota
from hub_speed.generation.writers import Writer, Writers
from hub_speed.llm.address import Address
from hub_speed.llm.batch_api import Batches
from hub_speed.llm.budget import BudgetMeter, Spent
from hub_speed.llm.dialects import Completion
from hub_speed.llm.vllm_run_batch import RunBatch
from hub_speed.parquet import write_parquet
from hub_speed.rows import ACCEPTED, LedgerRow
from hub_speed.stage import SURPLUS, Context, Progress, too_many_rejected

LEAST_DISTINCT = 0.5  # share of the rows that pass the check. Assumption: a usual run loses a tenth (measured.md)
LEAST_ANSWERED = 20  # rows that pass the check, from which on the share is looked at. Assumption
MARKS = 31  # rates are means over the last half minute,
FEW = 10  # or over all the time so far where fewer rows have ended in it. Assumption
Read = Callable[[Job, Completion], Outcome]


def make(
    ctx: Context,
    jobs: Jobs,
    read: Read,
    *,
    rows: int | Quota,
    writers: Writers,
    row: type[BaseModel],
    sift: Callable[[Ledger], None] | None = None,
    publish: Callable[[Ledger, str], Iterable[dict[str, Any]]] | None = None,
    skipped: Callable[[], Iterable[LedgerRow]] = lambda: (),
) -> None:
    """Ask for every job the ledger does not hold yet, then fill `ctx.out` and the counts of `ctx.record`.

    Args:
        ctx: the stage at work.
        jobs: what to ask for, given a function that tells which rows are still to be asked for.
        read: turns an answer into an accepted row or the reason why not.
        rows: how many jobs there are; or how many rows are wanted, where `jobs` follows what the quota says.
        writers: the model that is asked, or the several that share the rows.
        row: the kind of row that is published.
        sift: looks at all accepted rows together once they are there, and rejects some (duplicates).
        publish: (ledger, task type) → the rows to publish, where they are not simply the accepted ones.
        skipped: the rows that are not asked for, each with its reason; `rows` counts them as well.

    Raises:
        StageError: most of the accepted rows repeat others.
    """
    quota = rows if isinstance(rows, Quota) else None
    with Ledger(ctx.work, ctx.record.identity) as ledger:

        def more() -> bool:
            """Looks at what was accepted; whether to go on, because that is too little."""
            if sift:
                sift(ledger)
            _check_distinct(ctx, ledger)
            if not quota or _is_hopeless(ctx, ledger) or not quota.ask_more(ledger):
                return False
            ledger.add((entry, None) for entry in skipped())
            ctx.progress.start(quota.total, "rows", done=ledger.counts().total())
            return True

        if quota:
            quota.resume(ledger)
        ledger.add((entry, None) for entry in skipped())
        total = rows.total if isinstance(rows, Quota) else rows
        ask(ctx, ledger, jobs, read, total=total, writers=writers, more=more)
        finish(ctx, ledger, quota, writers=writers, row=row, publish=publish)


def finish(
    ctx: Context,
    ledger: Ledger,
    quota: Quota | None,
    *,
    writers: Writers | None,
    row: type[BaseModel],
    publish: Callable[[Ledger, str], Iterable[dict[str, Any]]] | None = None,
) -> None:
    """Fill `ctx.out` and the counts of `ctx.record` from a sifted ledger; see `make`. No writers: nobody was asked."""
    if quota:
        quota.drop_surplus(ledger)
        ctx.record.notes += (f"{ctx.record.stage}, {text}" for text in quota.shortfalls(ledger))
    unchecked: Counter[str] = Counter()
    for task_type in ctx.recipe.mixture:
        found = _counted(publish(ledger, task_type) if publish else ledger.rows(task_type), unchecked)
        ctx.record.by_task_type[task_type] = write_parquet(found, row, ctx.out / "data" / task_type)
    ctx.record.measures.unchecked = dict(unchecked.most_common())
    tally(ctx, ledger, writers)


def _counted(rows: Iterable[dict[str, Any]], flaws: Counter[str]) -> Iterator[dict[str, Any]]:
    """The same rows; counts what the checks say that reject nothing here."""
    for row in rows:
        flaws.update(filter(None, row.get("flaws") or [row.get("flaw")]))
        yield row


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
    meter: "Meter",
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
    meter: "Meter",
    budget: BudgetMeter | None,
    more: Callable[[], bool] = lambda: False,
    batches: str = "",
) -> list[str]:
    """Ask one writer; returns what its server does otherwise than it was asked.

    `batches` tells its batches from those of other writers.
    """
    with ctx.address(writer.asked_as, writer.weights) as address:
        if provider := _batches(ctx, address, writer.weights, batches):
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


def _check_distinct(ctx: Context, ledger: Ledger) -> None:
    """Raise StageError where most of the accepted rows repeat others: nobody should train on those."""
    reasons = ledger.reasons()
    accepted = ledger.accepted_by_type().total() + reasons[SURPLUS]
    answered = accepted + reasons["duplicate"] + reasons["near_duplicate"]
    if answered >= LEAST_ANSWERED and accepted < LEAST_DISTINCT * answered:
        raise StageError(
            f"{ctx.record.stage}: only {accepted} of {answered} rows are different",
            expected=f"at least {LEAST_DISTINCT:.0%} of the rows that pass the check",
            got=f"duplicate {reasons['duplicate']}, near_duplicate {reasons['near_duplicate']}",
            fix=f"look at them: hub-speed rows {ctx.work} --state rejected; nothing was published, and the ledger is"
            " kept. A model that often writes the same is too small for the task, or its temperature is too low",
        )


def _is_hopeless(ctx: Context, ledger: Ledger) -> bool:
    """Whether so many rows were rejected that the stage will fail: nobody should pay for more of them."""
    accepted, limit = ledger.accepted_by_type().total(), ctx.recipe.runtime.max_reject_rate
    return too_many_rejected(ledger.counts().total(), accepted, ledger.reasons(), limit)


def _batches(ctx: Context, address: Address, weights: Path | None, whose: str) -> Batches | RunBatch | None:
    """What answers the requests in batches; None where they are asked for one by one."""
    runtime = ctx.recipe.runtime
    if weights is None and runtime.mode == "batch":
        return Batches(address, f"{ctx.record.stage}-{ctx.record.fingerprint}{whose}")
    if weights is None or address.urls:
        return None
    log, folder = ctx.work / "server.log", ctx.work / f"batches{whose}"
    return RunBatch(address, weights, folder, runtime.server_flags, log, ctx.stop.is_set)


class Meter:
    """Numbers on how the asking goes, from the rows that end; tells them about once a second."""

    def __init__(self, progress: Progress, budget: BudgetMeter | None) -> None:
        self._progress, self._budget = progress, budget
        self._states: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._retries = self._written = self._rows = 0
        self._start = (time.monotonic(), 0, 0)  # when; rows and tokens written until then
        self._marks = deque([self._start], maxlen=MARKS)

    def rows(self, entries: list[LedgerRow], in_flight: int) -> None:
        """These rows have ended; none, to say only how many requests are in flight."""
        for entry in entries:
            self._states[entry.state] += 1
            if entry.reason:
                self._reasons[entry.reason] += 1
            self._retries += entry.attempts - entry.calls
            self._written += entry.completion_tokens
        self._rows += len(entries)
        now = time.monotonic()
        if now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, self._rows, self._written))
            self._progress.measure(self._numbers(in_flight))
        self._progress.advance(len(entries))

    def _numbers(self, in_flight: int) -> dict[str, Any]:
        now, rows_now, tokens_now = self._marks[-1]
        start, rows, tokens = self._marks[0] if rows_now - self._marks[0][1] >= FEW else self._start
        used = sum(self._states[state] for state in ACCEPTED)
        numbers = {
            "rows": self._rows,
            "rows_per_s": round((rows_now - rows) / (now - start), 4),
            "tokens_written": self._written,
            "tokens_per_s": round((tokens_now - tokens) / (now - start)),
            "used": round(used / max(1, self._rows), 3),
            "rejected": dict(self._reasons.most_common(3)),
            "in_flight": in_flight,
            "retries": self._retries,
        }
        cost = self._budget.cost_usd() if self._budget else None
        return numbers if cost is None else numbers | {"cost_usd": round(cost, 2)}


def tally(ctx: Context, ledger: Ledger, writers: Writers | None) -> None:
    """Write the ledger into `ctx.out` and its counts into `ctx.record`."""
    record, states = ctx.record, ledger.counts()
    write_parquet(ledger.entries(), LedgerRow, ctx.out / "ledger")
    record.rows_in = sum(states.values())
    record.accepted = sum(states[state] for state in ACCEPTED)
    record.rejected = dict(ledger.reasons().most_common())
    record.measures.repaired, record.measures.reasked = states["repaired"], states["reasked"]
    if writers:
        for model, used in ledger.usage_by(lambda row_id: writers.of(row_id).asked_as).items():
            record.calls[model], record.prompt_tokens[model], record.completion_tokens[model] = used
