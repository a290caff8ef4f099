"""What is asked for, and what becomes of each answer: shared by online and batch mode.

What is made anew for every row is no frozen dataclass, here and elsewhere: freezing seven of them took 3% of a row's
instructions (`scripts/bench_engine.py --instructions`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hub_speed.generation.ledger import Ledger
from hub_speed.generation.parsing import Rejected
from hub_speed.llm.address import Address
from hub_speed.llm.dialects import Completion, Request
from hub_speed.rows import LedgerRow


@dataclass
class Job:
    """One row to ask for; `source` is whatever is needed to read the answer."""

    id: str
    task_type: str
    request: Request
    source: Any = None


@dataclass
class Accepted:
    """An accepted row: its columns, whether the answer's JSON was repaired, and a note for the ledger."""

    row: dict[str, Any]
    repaired: bool = False
    note: str = ""


Outcome = Accepted | Rejected


OnRows = Callable[[list[LedgerRow], int], None]
"""Called with the rows that have just ended, and the number of requests in flight."""


Todo = Callable[[str], bool]
"""Whether the row with this id is still missing."""


Jobs = Callable[[Todo], Iterable[Job]]
"""Yields what to ask for. It skips the rows that are not missing, best before it writes their prompts."""


Read = Callable[[Job, Completion], Outcome]
"""Turns an answer into an accepted row or the reason why not; does not raise on bad answers."""


UNSIFTED = {"prompt": "", "duplicate_of": "", "similarity": None, "dropped_row": ""}
"""The columns of an accepted row that only a row that is not used fills."""


def without(jobs: Jobs, names: set[str]) -> Jobs:
    """The same jobs but for the rows with these names."""
    return lambda todo: jobs(lambda row_id: row_id not in names and todo(row_id))


READ_AT_ONCE = 1_000  # rows read again that are in memory at a time


def read_again(jobs: Jobs, read: Read, ledger: Ledger) -> None:
    """Reads the rejected answers of a ledger again, without asking a model."""
    rejected = ledger.rejected()
    mended: list[tuple[LedgerRow, dict[str, Any] | None]] = []
    for job in jobs(rejected.__contains__):
        before = ledger.entry(job.id)
        texts, reasons = tuple(before["completions"]), tuple(before["finish_reasons"])
        outcome = read(job, Completion(texts, reasons, before["model"], 0, 0))
        if isinstance(outcome, Accepted):
            reasked = len(before["completions"]) > job.request.sampling.n
            after = _verdict(outcome) | UNSIFTED | ({"state": "reasked"} if reasked else {})
            mended.append((LedgerRow.model_construct(**before | after), outcome.row))
        if len(mended) == READ_AT_ONCE:
            ledger.add(mended)
            mended = []
    ledger.add(mended)


def not_asked(row_id: str, task_type: str, prompt: str, outcome: Outcome) -> LedgerRow:
    """The ledger's entry for a row that needs no model: its outcome is known without one."""
    return _entry(row_id, task_type, _verdict(outcome), prompt, "", Completion((), (), "", 0, 0, attempts=0, calls=0))


def ledger_entry(
    job: Job,
    address: Address,
    completion: Completion | None,
    outcome: Outcome,
    first: Rejected | None = None,
    attempts: int = 0,
) -> tuple[LedgerRow, dict[str, Any] | None]:
    """The ledger's entry for one job, with the accepted row if there is one.

    `first` says why the first answer was rejected, where there is a second one; `attempts` is how many requests were
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
    prompt = "" if isinstance(outcome, Accepted) else job.request.prompt
    entry = _entry(job.id, job.task_type, verdict, prompt, job.request.digest(address.model), got)
    return entry, outcome.row if isinstance(outcome, Accepted) else None


def _entry(
    row_id: str, task_type: str, verdict: dict[str, str], prompt: str, digest: str, got: Completion
) -> LedgerRow:
    return LedgerRow(
        id=row_id,
        task_type=task_type,
        state=verdict["state"],
        reason=verdict["reason"],
        detail=verdict["detail"],
        prompt=prompt,
        request=digest,
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


def _verdict(outcome: Outcome) -> dict[str, str]:
    """The state, reason and detail for the ledger when a row was asked for once."""
    if isinstance(outcome, Accepted):
        return {"state": "repaired" if outcome.repaired else "accepted", "reason": "", "detail": outcome.note}
    return {"state": "rejected", "reason": outcome.reason, "detail": outcome.detail}
