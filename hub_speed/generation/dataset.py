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
from hub_speed.generation.jobs import Job, Jobs, Outcome, read_again
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.online import generate
from hub_speed.generation.quota import Quota
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
    model: str,
    weights: Path | None = None,
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
        model: the name of the model that is asked ("teacher", "junior", ...).
        weights: its files, when it is not the teacher.
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
        ask(ctx, ledger, jobs, read, total=total, model=model, weights=weights, more=more)
        finish(ctx, ledger, quota, model=model, row=row, publish=publish)


def finish(
    ctx: Context,
    ledger: Ledger,
    quota: Quota | None,
    *,
    model: str | None,
    row: type[BaseModel],
    publish: Callable[[Ledger, str], Iterable[dict[str, Any]]] | None = None,
) -> None:
    """Fill `ctx.out` and the counts of `ctx.record` from a sifted ledger; see `make`. No model: nobody was asked."""
    if quota:
        quota.drop_surplus(ledger)
        ctx.record.notes += quota.shortfalls(ledger)
    unchecked: Counter[str] = Counter()
    for task_type in ctx.recipe.mixture:
        found = _counted(publish(ledger, task_type) if publish else ledger.rows(task_type), unchecked)
        ctx.record.by_task_type[task_type] = write_parquet(found, row, ctx.out / "data" / task_type)
    ctx.record.measures.unchecked = dict(unchecked.most_common())
    tally(ctx, ledger, model)


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
    model: str,
    weights: Path | None = None,
    more: Callable[[], bool] = lambda: False,
) -> None:
    """Ask for every job the ledger does not hold yet; `more` is called when all have ended, as in `online.generate`."""
    if ctx.recipe.runtime.reread:
        read_again(jobs, read, ledger)
    ctx.progress.start(total, "rows", done=ledger.count_finished())
    budget = ctx.budget if model == "teacher" else None
    meter = Meter(ctx.progress, budget)
    if budget:
        budget.count_earlier(f"{ctx.record.stage}-{ctx.record.fingerprint}", Spent(*ledger.usage()))
    with ctx.address(model, weights) as address:
        if provider := _batches(ctx, address, model, weights):
            retries = ctx.limits.retries
            notes = generate_in_batches(jobs, read, provider, ledger, retries, meter.rows, ctx.stop, budget, more)
        else:
            notes = generate(jobs, read, address, ledger, ctx.limits, meter.rows, ctx.stop, budget, more)
    if notes:
        ctx.record.measures.server = notes


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


def _batches(ctx: Context, address: Address, model: str, weights: Path | None) -> Batches | RunBatch | None:
    """What answers the requests in batches; None where they are asked for one by one."""
    runtime = ctx.recipe.runtime
    if model == "teacher" and runtime.mode == "batch":
        return Batches(address, f"{ctx.record.stage}-{ctx.record.fingerprint}")
    if weights is None or address.urls:
        return None
    log, folder = ctx.work / "server.log", ctx.work / "batches"
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


def tally(ctx: Context, ledger: Ledger, model: str | None) -> None:
    """Write the ledger into `ctx.out` and its counts into `ctx.record`."""
    record, states = ctx.record, ledger.counts()
    write_parquet(ledger.entries(), LedgerRow, ctx.out / "ledger")
    record.rows_in = sum(states.values())
    record.accepted = sum(states[state] for state in ACCEPTED)
    record.rejected = dict(ledger.reasons().most_common())
    record.measures.repaired, record.measures.reasked = states["repaired"], states["reasked"]
    if model:
        record.calls[model], record.prompt_tokens[model], record.completion_tokens[model] = ledger.usage()
