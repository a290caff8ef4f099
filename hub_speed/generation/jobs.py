"""What is asked for, and what becomes of each answer: shared by the online and the batched way of asking."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hub_speed.generation.ledger import Journal
from hub_speed.generation.parsing import Rejected
from hub_speed.llm.address import Address
from hub_speed.llm.dialects import Completion, Request
from hub_speed.rows import LedgerRow


@dataclass(frozen=True)
class Job:
    """One row to be asked for; `source` is whatever the reader needs to make sense of the answer."""

    id: str
    task_type: str
    request: Request
    source: Any = None


@dataclass(frozen=True)
class Accepted:
    """A row that was accepted: its columns, whether the answer's JSON had to be repaired, a remark for the ledger."""

    row: dict[str, Any]
    repaired: bool = False
    note: str = ""


Outcome = Accepted | Rejected


OnRows = Callable[[list[LedgerRow], int], None]
"""Told of the rows that have just ended, and of how many requests are in flight."""


Todo = Callable[[str], bool]
"""Whether a row, by its id, is still to be asked for."""


Jobs = Callable[[Todo], Iterable[Job]]
"""What to ask for, lazily. Rows that are not to be asked for are left out, best before their prompts are written."""


READ_AT_ONCE = 1_000  # rows read again that are in memory at a time


def read_again(jobs: Jobs, read: Callable[[Job, Completion], Outcome], journal: Journal) -> None:
    """Read the rejected answers of a ledger anew, without asking anybody."""
    rejected = journal.rejected()
    mended: list[tuple[LedgerRow, dict[str, Any] | None]] = []
    for job in jobs(rejected.__contains__):
        before = journal.entry(job.id)
        texts, reasons = tuple(before["completions"]), tuple(before["finish_reasons"])
        outcome = read(job, Completion(texts, reasons, before["model"], 0, 0))
        if isinstance(outcome, Accepted):
            reasked = len(before["completions"]) > job.request.sampling.n
            after = _verdict(outcome) | ({"state": "reasked"} if reasked else {})
            mended.append((LedgerRow.model_construct(**before | after), outcome.row))
        if len(mended) == READ_AT_ONCE:
            journal.add(mended)
            mended = []
    journal.add(mended)


def ledger_entry(
    job: Job,
    address: Address,
    completion: Completion | None,
    outcome: Outcome,
    first: Rejected | None = None,
    attempts: int = 0,
) -> tuple[LedgerRow, dict[str, Any] | None]:
    """The ledger's line for one job, with the accepted row if there is one.

    `first` is why the first answer was no use, where a second one was asked for; `attempts` is how many requests were
    sent, where none was answered.
    """
    verdict = _verdict(outcome)
    if completion is None:
        verdict["state"] = "failed"
    elif first:
        detail = verdict["detail"]
        verdict["detail"] = f"first {first.reason}: {first.detail}" + (f"; then {detail}" if detail else "")
        verdict["state"] = "reasked" if isinstance(outcome, Accepted) else "rejected"
    got = completion or Completion((), (), address.model, 0, 0, attempts=attempts, calls=0)
    entry = LedgerRow.model_construct(  # made of our own values, so that there is nothing to validate
        id=job.id,
        task_type=job.task_type,
        state=verdict["state"],
        reason=verdict["reason"],
        detail=verdict["detail"],
        request=job.request.digest(address.model),
        completions=list(got.texts),
        thoughts=list(got.thoughts) if any(got.thoughts) else [],
        finish_reasons=list(got.finish_reasons),
        model=got.model,
        prompt_tokens=got.prompt_tokens,
        completion_tokens=got.completion_tokens,
        calls=got.calls,
        attempts=got.attempts,
        latency_s=got.latency_s,
    )
    return entry, outcome.row if isinstance(outcome, Accepted) else None


def _verdict(outcome: Outcome) -> dict[str, str]:
    """What the ledger says of an answer that was asked for once."""
    if isinstance(outcome, Accepted):
        return {"state": "repaired" if outcome.repaired else "accepted", "reason": "", "detail": outcome.note}
    return {"state": "rejected", "reason": outcome.reason, "detail": outcome.detail}
