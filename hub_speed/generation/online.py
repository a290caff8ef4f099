"""Asks an endpoint for many rows at once and writes what becomes of each into the ledger.

Rows already in the ledger are skipped, so the same call goes on after a kill. Memory does not grow with the number of
rows: at most `in_flight` requests are open at a time.
"""

import asyncio
import gc
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvloop

from hub_speed.errors import BudgetSpent, Stopped
from hub_speed.generation.jobs import Job, Jobs, OnRows, Read, ledger_entry, without
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.parsing import Rejected
from hub_speed.llm.address import Address, Limits
from hub_speed.llm.budget import BudgetMeter
from hub_speed.llm.dialects import Completion
from hub_speed.llm.endpoint import Endpoint, RowFailed, RowRefused
from hub_speed.llm.faults import FAILED_AT_FIRST
from hub_speed.rows import REASONS, LedgerRow

_log = logging.getLogger("hub_speed")

UNREADABLE = frozenset(
    {"empty_answer", "bad_json", "wrong_keys", "wrong_type", "empty_field", "broken_text", "bad_index"}
)
"""Reasons the model is told, so that it answers again: the answer lacks the form that was asked for. Content is judged
but not negotiated, and a truncated answer would be truncated again."""
COLLECT_EVERY = 10_000
"""New objects between two searches for garbage cycles, while rows are asked for. With Python's 700 and hundreds of
open requests, a fifth of the time goes into searches that find nothing (`scripts/bench_engine.py`)."""
NO_ANSWER = "(no answer)"
"""What the model is reminded of when its answer is empty: many servers refuse an empty turn."""
LONGEST_QUOTE = 8_000  # characters of an answer the model is reminded of. Assumption: the rest would not help it


def generate(
    jobs: Jobs,
    read: Read,
    address: Address,
    ledger: Ledger,
    limits: Limits,
    on_rows: OnRows,
    stop: threading.Event,
    budget: BudgetMeter | None = None,
    more: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Ask for every job that the ledger does not hold yet.

    Args:
        jobs: what to ask for, given a function that says which rows are still missing.
        read: turns a completion into an accepted row or the reason why not. Must not raise on bad answers.
        address: the model.
        ledger: the open ledger.
        limits: how many requests at once, how long one may take, how often to retry.
        on_rows: called as soon as rows are in the ledger, and without rows ten times a second.
        stop: set from another thread (or a signal) to stop asking; what is in flight is dropped.
        budget: what may be spent, None for a model that costs nothing.
        more: called when every row has ended; whether there are new ones to ask for.

    Returns:
        What the server does otherwise than it was asked, as seen in its answers; one sentence each.

    Raises:
        EndpointRefused, EndpointDown: the endpoint cannot be used; finished rows are kept.
        NoSpace: the ledger cannot be written.
        BudgetSpent: the budget has no room for another call; all that was in flight has come back.
        Stopped: `stop` was set.
    """
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_EVERY)
    try:
        return uvloop.run(_generate(jobs, read, address, ledger, limits, on_rows, stop, budget, more))
    except BaseExceptionGroup as group:
        raise _first(group) from None
    finally:
        gc.set_threshold(*before)


async def _generate(
    jobs: Jobs,
    read: Read,
    address: Address,
    ledger: Ledger,
    limits: Limits,
    on_rows: OnRows,
    stop: threading.Event,
    budget: BudgetMeter | None,
    more: Callable[[], bool],
) -> list[str]:
    waves = _waves(jobs, ledger, more)
    wave = next(waves, None)
    if wave is None:
        return []
    first = next(wave)
    answered_before = ledger.count_finished()
    failed_before = ledger.failed() if answered_before else set()
    async with Endpoint(
        address,
        in_flight=limits.part(limits.in_flight),
        timeout_s=limits.timeout_s,
        retries=limits.retries,
        budget=budget,
        answered_before=answered_before,
    ) as endpoint:
        await endpoint.probe(first.request.sampling.max_tokens)
        writer = _Writer(ledger, lambda entries: on_rows(entries, endpoint.pace.open))

        def tell() -> None:
            endpoint.pace.most = limits.part(limits.in_flight)
            on_rows([], endpoint.pace.open)

        for todo in itertools.chain([itertools.chain([first], wave)], waves):
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(_watch(stop, tell))
                # Twice as many as there are places, so that a place is not left empty while a request waits to be
                # retried; and so many that a few odd rows at the beginning are not all that is known of the server.
                count = max(2 * limits.in_flight, FAILED_AT_FIRST)
                work = (_work(todo, endpoint, read, writer, limits, failed_before) for _ in range(count))
                workers = [group.create_task(each) for each in work]
                await asyncio.gather(*workers)
                watch.cancel()
    return endpoint.notes


def _waves(jobs: Jobs, ledger: Ledger, more: Callable[[], bool]) -> Iterator[Iterator[Job]]:
    """The jobs that the ledger does not hold yet; then, as long as there are `more`, the next ones.

    A row that fails is asked for again by the next run, not by the next wave.
    """
    failed: set[str] = set()
    while True:
        wave = iter(without(jobs, failed)(ledger.todo()))
        if (first := next(wave, None)) is not None:
            yield itertools.chain([first], wave)
        if not more():
            return
        failed = ledger.failed()


async def _watch(stop: threading.Event, tell: Callable[[], None]) -> None:
    while not stop.is_set():
        tell()
        await asyncio.sleep(0.1)
    raise Stopped("stopped", fix="finished rows are safe; run the same command to go on")


async def _work(
    todo: Iterator[Job],
    endpoint: Endpoint,
    read: Read,
    writer: "_Writer",
    limits: Limits,
    failed_before: set[str],
) -> None:
    """One worker: takes the next job once the answer to the last one is in the ledger."""
    for job in todo:
        try:
            completion = await endpoint.complete(job.request, failed_before=job.id in failed_before)
            outcome = read(job, completion)
        except (RowFailed, RowRefused) as error:
            reason = "refused" if isinstance(error, RowRefused) else "endpoint_error"
            _log.info("row %s is given up after %d requests: %s", job.id, error.attempts, reason)
            failed = Rejected(reason, str(error))
            await writer.add(*ledger_entry(job, endpoint.address, None, failed, attempts=error.attempts))
            continue
        first = None
        if limits.reask and isinstance(outcome, Rejected) and outcome.reason in UNREADABLE:
            second = await _ask_again(job, endpoint, completion, outcome)
            if second:
                first, completion, outcome = outcome, second.joined(completion), read(job, second)
        await writer.add(*ledger_entry(job, endpoint.address, completion, outcome, first))


async def _ask_again(job: Job, endpoint: Endpoint, completion: Completion, first: Rejected) -> Completion | None:
    """What the model answers when it is told what was wrong; None where it does not, and the first answer stands."""
    problem = f"{REASONS[first.reason]} ({first.detail})" if first.detail else REASONS[first.reason]
    quote = completion.texts[0][:LONGEST_QUOTE].strip() or NO_ANSWER
    try:
        return await endpoint.complete_again(job.request, quote, problem)
    except BudgetSpent:
        return None


def _first(group: BaseExceptionGroup) -> BaseException:
    """The error that stopped the others."""
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")


class _Writer:
    """Gathers what ends within one tick of the event loop and writes it in one transaction."""

    def __init__(self, ledger: Ledger, on_written: Callable[[list[LedgerRow]], None]) -> None:
        self._ledger, self._on_written = ledger, on_written
        self._waiting: list[tuple[LedgerRow, dict[str, Any] | None]] = []
        self._written: asyncio.Future[None]

    async def add(self, entry: LedgerRow, row: dict[str, Any] | None) -> None:
        """Returns once the entry is in the ledger; raises what writing it raised."""
        if not self._waiting:
            loop = asyncio.get_running_loop()
            self._written = loop.create_future()
            loop.call_soon(self._write)
        self._waiting.append((entry, row))
        await self._written

    def _write(self) -> None:
        entries, self._waiting = self._waiting, []
        try:
            self._ledger.add(entries)
            self._on_written([entry for entry, _ in entries])
        except Exception as error:  # handed to every worker that waits for it
            if not self._written.done():
                self._written.set_exception(error)
        else:
            if not self._written.done():  # cancelled with the workers, if the run was stopped in this moment
                self._written.set_result(None)
