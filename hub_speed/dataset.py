"""How every dataset stage works: ask a model for many rows, then turn the ledger into a repository.

data/<task type>/train-00000.parquet   the accepted rows; all of them together are the default config
ledger/train-00000.parquet             every request with its state, reason and raw text
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hub_speed.generate import Job, Jobs, Outcome, generate
from hub_speed.journal import Journal
from hub_speed.llm.dialects import Completion
from hub_speed.rows import ACCEPTED, LedgerRow, write_parquet
from hub_speed.stage import Context

Read = Callable[[Job, Completion], Outcome]


def make(
    ctx: Context,
    jobs: Jobs,
    read: Read,
    *,
    total: int,
    model: str,
    weights: Path | None = None,
    row: type[BaseModel],
    sift: Callable[[Journal], None] | None = None,
    publish: Callable[[Journal, str], Iterable[dict[str, Any]]] | None = None,
) -> None:
    """Ask for every job the ledger does not hold yet, then fill `ctx.out` and the counts of `ctx.record`.

    Args:
        ctx: the stage at work.
        jobs: what to ask for, given a function that tells which rows are still to be asked for.
        read: turns an answer into an accepted row or the reason why not.
        total: how many jobs there are.
        model: the name of the model that is asked ("teacher", "junior", ...).
        weights: its files, when it is not the teacher.
        row: the kind of row that is published.
        sift: looks at all accepted rows together once they are there, and rejects some (duplicates).
        publish: (ledger, task type) → the rows to publish, where they are not simply the accepted ones.
    """
    with Journal(ctx.work, ctx.record.identity) as journal:
        ask(ctx, journal, jobs, read, total=total, model=model, weights=weights)
        if sift:
            sift(journal)
        for task_type in ctx.recipe.mixture:
            rows = publish(journal, task_type) if publish else journal.rows(task_type)
            ctx.record.by_task_type[task_type] = write_parquet(rows, row, ctx.out / "data" / task_type)
        tally(ctx, journal, model)


def ask(
    ctx: Context,
    journal: Journal,
    jobs: Jobs,
    read: Read,
    *,
    total: int,
    model: str,
    weights: Path | None = None,
) -> None:
    """Ask for every job the ledger does not hold yet."""
    ctx.progress.start(total, "rows", done=journal.count_finished())
    budget = ctx.budget if model == "teacher" else None
    with ctx.address(model, weights) as address:
        notes = generate(jobs, read, address, journal, ctx.limits, ctx.progress.advance, ctx.stop, budget)
    if notes:
        ctx.record.measures["server"] = notes


def tally(ctx: Context, journal: Journal, model: str) -> None:
    """Write the ledger into `ctx.out` and its counts into `ctx.record`."""
    record, states = ctx.record, journal.counts()
    write_parquet(journal.entries(), LedgerRow, ctx.out / "ledger")
    record.rows_in = sum(states.values())
    record.accepted = sum(states[state] for state in ACCEPTED)
    record.rejected = dict(journal.reasons().most_common())
    record.measures["repaired"], record.measures["reasked"] = states["repaired"], states["reasked"]
    record.calls[model], record.prompt_tokens[model], record.completion_tokens[model] = journal.usage()
