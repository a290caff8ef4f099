"""How every dataset stage works: ask a model for many rows, then turn the ledger into a repository.

data/<task type>/train-00000.parquet   the accepted rows; all of them together are the default config. Questions about
                                       documents have files of the splits dev and test as well
ledger/train-00000.parquet             every request with its state, reason and raw text
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any

from pydantic import BaseModel

from hub_speed.errors import StageError
from hub_speed.generation.asking import ask
from hub_speed.generation.jobs import Jobs, Read
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.quota import Quota
from hub_speed.generation.writers import Writers
from hub_speed.parquet import write_parquet, write_splits
from hub_speed.rows import ACCEPTED, LedgerRow
from hub_speed.stage import SURPLUS, Context, too_many_rejected

LEAST_DISTINCT = 0.5  # share of the rows that pass the check. Assumption: a usual run loses a tenth (measured.md)
LEAST_ANSWERED = 20  # rows that pass the check, from which on the share is looked at. Assumption


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
    task_types: Collection[str] = (),
) -> None:
    """Ask for rows, then fill `ctx.out` and the counts of `ctx.record`.

    It goes in waves: ask for what the ledger does not hold yet, sift what was accepted, and, where `quota` says that
    rows are short, ask for more. Without a quota there is one wave.

    Args:
        ctx: the stage at work.
        jobs: what to ask for, given a function that tells which rows are still to be asked for.
        read: judges each answer.
        rows: how many jobs there are; or how many rows are wanted, where `jobs` follows what the quota says.
        writers: the model that is asked, or the several that share the rows.
        row: the kind of row that is published.
        sift: looks at all accepted rows together once they are there, and rejects some (duplicates).
        publish: (ledger, task type) → the rows to publish, where they are not simply the accepted ones.
        skipped: the rows that are not asked for, each with its reason; `rows` counts them as well.
        task_types: those of the rows; (): those of the recipe's mixture.

    Raises:
        StageError: most of the accepted rows repeat others.
    """
    quota = rows if isinstance(rows, Quota) else None
    with Ledger(ctx.work, ctx.record.identity) as ledger:

        def more() -> bool:
            """Look at what was accepted; whether to go on, because that is too little."""
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
        finish(ctx, ledger, quota, writers=writers, row=row, publish=publish, task_types=task_types)


def finish(
    ctx: Context,
    ledger: Ledger,
    quota: Quota | None,
    *,
    writers: Writers | None,
    row: type[BaseModel],
    publish: Callable[[Ledger, str], Iterable[dict[str, Any]]] | None = None,
    task_types: Collection[str] = (),
) -> None:
    """Fill `ctx.out` and the counts of `ctx.record` from a sifted ledger; see `make`. No writers: nobody was asked."""
    stage = ctx.record.stage
    if quota:
        quota.drop_surplus(ledger)
        ctx.record.notes += (f"{stage}, {text}" for text in quota.shortfalls(ledger))
    unchecked: Counter[str] = Counter()
    for task_type in task_types or ctx.recipe.mixture:
        folder = ctx.out / "data" / task_type
        if "split" in row.model_fields:
            count = write_splits(partial(_of_split, ledger, task_type), row, folder)
            assert count == ledger.accepted_by_type()[task_type], "a row of an unknown split would be lost"
        else:
            found = _counted(publish(ledger, task_type) if publish else ledger.rows(task_type), unchecked)
            count = write_parquet(found, row, folder)
        ctx.record.by_task_type[task_type] = count
        if not count and not (quota and quota.strict):  # a strict quota has said so
            ctx.record.notes.append(f"{stage}, {task_type}: no row was accepted")
    ctx.record.measures.unchecked = dict(unchecked.most_common())
    tally(ctx, ledger, writers)


def _of_split(ledger: Ledger, task_type: str, split: str) -> Iterator[dict[str, Any]]:
    return (row for row in ledger.rows(task_type) if row["split"] == split)


def _counted(rows: Iterable[dict[str, Any]], flaws: Counter[str]) -> Iterator[dict[str, Any]]:
    """The same rows; counts what the checks say that reject nothing here."""
    for row in rows:
        flaws.update(filter(None, row.get("flaws") or [row.get("flaw")]))
        yield row


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
