"""Asks for many rows in batches: the same jobs and ledger as `generate`, half the price at a provider, more time.

Batches at a provider carry the stage's fingerprint, by which any machine finds them again; the ledger keeps their names
as well, for a provider that lists them late. A round collects what is answered, submits what is neither in the ledger
nor under way, and waits. Requests that expired or failed are in neither, so the next round submits them again; one that
keeps failing is given up for this run. What was refused for its wording is sent again in other words: see
`batch_wording`. A batch that does not fit into the provider's queue waits until others are done. Batch mode never
re-asks after an unreadable answer.
"""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from itertools import chain, islice
from typing import Any, TypeVar

import orjson

from hub_speed.errors import EndpointDown, EndpointRefused, Stopped
from hub_speed.generation.batch_budget import BatchBudget, most_spent
from hub_speed.generation.jobs import Job, Jobs, OnRows, Read, ledger_entry
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.parsing import Rejected
from hub_speed.llm import batch_api
from hub_speed.llm.address import Address
from hub_speed.llm.batch_api import WORKING, Batch, BatchAnswer, Batches
from hub_speed.llm.batch_wording import BatchWording, Sent
from hub_speed.llm.budget import BudgetMeter, Spent
from hub_speed.llm.faults import NO_MONEY_IN_A_ROW, REFUSED_IN_A_ROW
from hub_speed.llm.transport import REFUSED_STATUS
from hub_speed.llm.vllm_run_batch import RunBatch
from hub_speed.rows import LedgerRow

_log = logging.getLogger("hub_speed")
T = TypeVar("T")

FEW_LEFT = 0.1  # of the rows that have been answered. Assumption
REQUESTS_PER_BATCH = 10_000  # Assumption: of the 50,000 that are allowed, some 30 MB; smaller ones come back sooner


def generate_in_batches(
    jobs: Jobs,
    read: Read,
    provider: Batches | RunBatch,
    ledger: Ledger,
    rounds: int,
    on_rows: OnRows,
    stop: threading.Event,
    budget: BudgetMeter | None = None,
    more: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Ask for every job that the ledger does not hold yet.

    Args:
        jobs: what to ask for, given a function that says which rows are still missing.
        read: turns a completion into an accepted row or the reason why not.
        provider: what answers the batches; of several URLs of a model the first is used.
        ledger: the open ledger.
        rounds: how many batches in a row may come back without one answer, and how often one request may fail.
        on_rows: called as soon as rows are in the ledger, and without rows after each look at the batches.
        stop: set to stop waiting for the batches.
        budget: what may be spent, None for a model that costs nothing.
        more: called when every row has ended; whether there are new ones to ask for.

    Returns:
        What the provider does otherwise than it was asked; one sentence each.

    Raises:
        EndpointRefused, EndpointDown: the provider takes or answers no batches; finished rows are kept.
        BudgetSpent: the budget has no room for another request.
        Stopped: `stop` was set; what is under way goes on, and the next run collects it.
    """
    work = _Rounds(jobs, read, provider, ledger, rounds, on_rows, budget, more)
    return asyncio.run(_unless_stopped(work.run(), stop))


async def _unless_stopped(work: Coroutine[None, None, T], stop: threading.Event) -> T:
    """What some work returns; ends it once `stop` is set, whatever it waits for."""
    task = asyncio.create_task(work)
    while not task.done():
        await asyncio.wait([task], timeout=0.1)
        if stop.is_set():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise Stopped("stopped", fix="batches under way go on; run the same command to collect them")
    return task.result()


class _Rounds:
    """Collect, submit, wait, until every row is in the ledger."""

    def __init__(
        self,
        jobs: Jobs,
        read: Read,
        provider: Batches | RunBatch,
        ledger: Ledger,
        rounds: int,
        on_rows: OnRows,
        budget: BudgetMeter | None,
        more: Callable[[], bool],
    ) -> None:
        self._jobs, self._read, self._provider, self._address = jobs, read, provider, provider.address
        self._ledger, self._most, self._on_rows, self._more = ledger, rounds, on_rows, more
        self._budget = BatchBudget(budget)
        self.notes: list[str] = []
        self._collected: set[str] = set()
        self._unread: set[str] = set()  # batches of earlier runs with answers to rows that are not asked for yet
        self._rows: dict[str, set[str]] = {}  # batch → rows, of all that were seen under way
        self._submitted: dict[str, Sent] = {}  # batch → its words, of those of this process
        self._wording = BatchWording(self._address.dialect, self.notes)
        self._per_batch = REQUESTS_PER_BATCH * provider.sharing
        self._no_room: Batch | None = None  # one that waits until others are done
        self._failures: Counter[str] = Counter()  # of a request, at the provider
        self._failed_before = ledger.failed()
        self._given_up: set[str] = set()
        self._answered = False  # whether a row was answered, in a batch that was collected
        self._no_money_in_a_row = 0

    async def run(self) -> list[str]:
        async with self._provider as provider:
            fruitless = 0
            await self._find_cut_off(provider)
            while True:
                known = await provider.mine(self._ledger.batches())
                there = {batch.id for batch in known}
                # What was submitted a moment ago may not even be found by its name yet.
                underway = {row for name in self._submitted if name not in there for row in self._rows[name]}
                for batch in known:
                    if batch.state in WORKING:
                        underway |= await self._rows_of(batch)
                    elif batch.id not in self._collected:
                        self._collected.add(batch.id)
                        if await self._collect(batch):
                            fruitless = 0
                        elif batch.id in self._submitted:
                            fruitless += 1
                        if fruitless > self._most:
                            raise EndpointDown(
                                f"endpoint {self._address.name}: {fruitless} batches in a row without one answer",
                                got=f"the last: {batch.state} {batch.problem}".strip(),
                            )
                self._on_rows([], len(underway))
                if self._has_room(underway) and await self._submit(underway) and not underway:
                    if not self._more():
                        return self.notes
                    self._collected -= self._unread
                    self._unread.clear()
                    continue
                await asyncio.sleep(provider.look_every_s)

    async def _find_cut_off(self, provider: Batches | RunBatch) -> None:
        """Find the batches that a run was about to start, or had just started, when it was cut off."""
        for file, name in self._ledger.batches().items():
            if not name and (batch := await provider.find(file)):
                self._ledger.note_batch(file, batch.id)
            elif not name:
                self._ledger.forget_batch(file)

    async def _rows_of(self, batch: Batch) -> set[str]:
        """The rows that a batch asks for.

        Raises:
            EndpointRefused: its file of requests is not the one that was submitted.
        """
        if batch.id not in self._rows:
            rows, most, line = set(), Spent(), b""
            try:
                with await self._provider.content(batch.requests) as lines:
                    for line in lines:
                        request = orjson.loads(line)
                        rows.add(_row_of(request["custom_id"]))
                        most += most_spent(request["body"], len(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                where = f"endpoint {self._address.name}: the requests of batch {batch.id} cannot be read"
                got = self._address.words(" ".join(line.decode("utf-8", "replace").split())[:200])
                fix = "run the same command again; if the provider's file stays so, cancel the batch there"
                raise EndpointRefused(where, expected="the lines that were submitted", got=got, fix=fix) from error
            self._rows[batch.id] = rows
            self._budget.see(batch.id, most)
        return self._rows[batch.id]

    async def _collect(self, batch: Batch) -> bool:
        """Write what became of the requests of a batch into the ledger; returns whether it brought us any further.

        What an earlier run was refused is asked for again: its cause may have gone.
        """
        sent = self._submitted.get(batch.id)
        own = self._rows[batch.id] if sent else set()
        answers = await self._answers_of(batch)
        for row in own:
            self._budget.settle(row, answers[row].completion if row in answers else None)
        if own and batch.no_room:
            self._no_room = batch
            return True
        self._no_room = None  # it is one batch less now
        if own and batch.state == "failed":
            where = f"endpoint {self._address.name}: the provider refuses batch {batch.id}"
            fix = "fix what it names, and run the same command again: what was answered is kept"
            raise EndpointRefused(where, got=batch.problem, fix=fix)
        again = self._wording.learn(sent, answers) if sent else set()
        entries, refused = self._judge(batch, answers, own, again, sent)
        self._ledger.add(entries)
        if not own and any(map(self._ledger.todo(), answers)):
            self._unread.add(batch.id)
        if not own:
            self._budget.collect(batch.id, (entry for entry, _ in entries))
        self._on_rows([entry for entry, _ in entries], 0)
        if len(refused) > max(REFUSED_IN_A_ROW, sum(bool(answer.completion) for answer in answers.values())):
            raise refused[0]
        return bool(entries or again)

    def _judge(
        self, batch: Batch, answers: dict[str, BatchAnswer], own: set[str], again: set[str], sent: Sent | None
    ) -> tuple[list[tuple[LedgerRow, dict[str, Any] | None]], list[EndpointRefused]]:
        """Entries for the rows of a batch that have ended, and the refusals of those that failed in no earlier run.

        Args:
            batch: that has ended.
            answers: to its requests, by row.
            own: its rows, where this process has sent them.
            again: those of them that are asked for in other words.
            sent: how they were worded.
        """
        answered, finished = sum(bool(answer.completion) for answer in answers.values()), self._ledger.count_finished()
        todo, entries = self._ledger.todo(), []
        refused: list[EndpointRefused] = []
        self._answered |= answered > 0
        for job in self._jobs(lambda row_id: (row_id in answers or row_id in own) and todo(row_id)):
            answer = answers.get(job.id) or BatchAnswer("", None, 0, "no answer that can be read")
            if answer.completion is not None and answer.custom_id == _custom_id(job, self._address):
                self._no_money_in_a_row = 0
                outcome = self._read(job, answer.completion)
                entries.append(ledger_entry(job, self._address, answer.completion, outcome))
                self._wording.check(job.id, job.request, answer.completion, sent)
            elif job.id in own - again and (reason := self._failure(batch, job, answer, answered, finished)):
                if reason == "refused" and job.id not in self._failed_before:
                    refused.append(self._refused(batch, answer))
                self._given_up.add(job.id)
                _log.info("row %s is given up: %s", job.id, reason)
                rejected = Rejected(reason, f"{answer.status or ''} {answer.problem}".strip())
                entries.append(ledger_entry(job, self._address, None, rejected))
        return entries, refused

    async def _answers_of(self, batch: Batch) -> dict[str, BatchAnswer]:
        """What became of the requests of a batch, by row."""
        answers: dict[str, BatchAnswer] = {}
        for file in (batch.answers, batch.errors):
            if file:
                with await self._provider.content(file) as lines:
                    found = batch_api.read_answers(self._address, lines)
                    answers |= {_row_of(answer.custom_id): answer for answer in found}
        return answers

    def _failure(self, batch: Batch, job: Job, answer: BatchAnswer, answered: int, finished: int) -> str:
        """Why a request of ours is given up; empty when it is not, or not yet.

        `answered` counts the others of its batch that were answered; `finished` the rows that were, before it.
        """
        if answer.no_money and job.id not in self._failed_before:
            self._no_money_in_a_row += 1
            if not self._answered or self._no_money_in_a_row >= NO_MONEY_IN_A_ROW:
                raise self._refused(batch, answer)
        if answer.status in REFUSED_STATUS or answer.no_money:
            if answer.status == 401 or not (answered or finished):
                raise self._refused(batch, answer)
            return "refused"
        # A batch without one answer is the provider's failure, but for a few requests that are left over.
        if answered or len(self._rows[batch.id]) <= FEW_LEFT * finished:
            self._failures[job.id] += 1
        return "endpoint_error" if self._failures[job.id] > self._most else ""

    def _refused(self, batch: Batch, answer: BatchAnswer) -> EndpointRefused:
        """What it means that a request was refused, in words that name the fix."""
        of_request = answer.status in (400, 413, 422)
        fix = "fix what it names in the recipe, or ask another model" if of_request else "check the key and the model"
        fix = "top up the account, or raise its limit" if answer.no_money else fix
        refused = EndpointRefused(
            f"endpoint {self._address.name}: a request of batch {batch.id} was refused",
            got=f"{answer.status} {answer.problem}",
            fix=f"{fix} (it was {self._address.model}); what was answered is kept",
        )
        refused.status, refused.no_money = answer.status, answer.no_money
        return refused

    def _has_room(self, underway: set[str]) -> bool:
        """Whether another batch may go; a smaller one, where there was no room though nothing is under way."""
        batch = self._no_room
        if batch and not underway:
            size = len(self._rows[batch.id])
            if size == 1:
                raise EndpointRefused(
                    f"endpoint {self._address.name}: the provider has no room for a batch of one request",
                    got=batch.problem,
                    fix="wait until other batches of yours are done there, then run the same command again",
                )
            self._per_batch, self._no_room = size // 2, None
        return self._no_room is None

    async def _submit(self, underway: set[str]) -> bool:
        """Submit one more batch of what nobody has been asked for; returns whether there was nothing (left) to ask.

        What does not fit into the budget until others have come back is left.
        """
        todo = self._ledger.todo()
        jobs = self._jobs(lambda row_id: row_id not in underway and row_id not in self._given_up and todo(row_id))
        unasked = iter(jobs)
        first = next(unasked, None)
        if first is None:
            return True
        asked = list(islice(self._budget.affordable(chain([first], unasked)), self._per_batch))
        if asked:
            sent = self._wording.next((job.id, job.request) for job in asked)
            batch = await self._provider.submit((self._line(job, sent) for job in asked), self._ledger.note_batch)
            self._rows[batch.id], self._submitted[batch.id] = {job.id for job in asked}, sent
        return False

    def _line(self, job: Job, sent: Sent) -> bytes:
        """A job as a line of a batch."""
        _, form = sent.rows[job.id]
        return batch_api.line(_custom_id(job, self._address), self._address, job.request, form, sent.without)


def _custom_id(job: Job, address: Address) -> str:
    """The row, so that it is found again, and the hash of its request, so that it is known to be the same."""
    return f"{job.id}.{job.request.digest(address.model)[:16]}"


def _row_of(custom_id: str) -> str:
    return custom_id.rpartition(".")[0]
