"""Asks for many rows in batches: the same jobs and ledger as `generate`, half the price at a provider, more time.

Nothing has to be remembered between runs: batches at a provider carry the stage's fingerprint and are found again by
it, from any machine. A round collects what is answered, submits what is neither in the ledger nor under way, and waits.
What came back expired or failed is in neither, so the next round submits it again; a request that keeps failing is
given up for this run. Nobody is told what was wrong with an answer.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

import orjson

from hub_speed.errors import BudgetSpent, EndpointDown, EndpointRefused, Stopped
from hub_speed.generate import Job, Jobs, OnRows, Outcome, ledger_entry
from hub_speed.journal import Journal
from hub_speed.llm import batches
from hub_speed.llm.batches import WORKING, Answer, Batch, Batches
from hub_speed.llm.budget import Budget, Spent
from hub_speed.llm.dialects import Completion
from hub_speed.llm.endpoint import OF_ONE_REQUEST, RETRY_STATUS, Address
from hub_speed.llm.run_batch import RunBatch
from hub_speed.parse import Rejected

FEW = 0.1  # of the rows that have been answered. Assumption
REQUESTS_PER_BATCH = 10_000  # Assumption: of the 50,000 that are allowed, some 30 MB; smaller ones come back sooner


def generate_in_batches(
    jobs: Jobs,
    read: Callable[[Job, Completion], Outcome],
    provider: Batches | RunBatch,
    journal: Journal,
    rounds: int,
    on_rows: OnRows,
    stop: threading.Event,
    budget: Budget | None = None,
) -> None:
    """Ask for every job that the ledger does not hold yet.

    Args:
        jobs: what to ask for, given a function that tells which rows are still to be asked for.
        read: turns a completion into an accepted row or the reason why not.
        provider: what answers the batches; of several URLs of a model the first is used.
        journal: the open ledger.
        rounds: how many batches in a row may come back without one answer, and how often one request may fail.
        on_rows: called as soon as rows are in the ledger, and with none when it was looked after the batches.
        stop: set to stop looking after them.
        budget: what may be spent; batches are cheaper than the prices it counts with.

    Raises:
        EndpointRefused, EndpointDown: batches cannot be submitted or are not answered; finished rows are kept.
        BudgetSpent: not one more request fits into the budget.
        Stopped: `stop` was set; what is under way goes on, and the next run collects it.
    """
    asyncio.run(_Rounds(jobs, read, provider, journal, rounds, on_rows, stop, budget).run())


class _Rounds:
    """Collect, submit, wait, until every row is in the ledger."""

    def __init__(
        self,
        jobs: Jobs,
        read: Callable[[Job, Completion], Outcome],
        provider: Batches | RunBatch,
        journal: Journal,
        rounds: int,
        on_rows: OnRows,
        stop: threading.Event,
        budget: Budget | None,
    ) -> None:
        self._jobs, self._read, self._provider, self._address = jobs, read, provider, provider.address
        self._journal, self._most, self._on_rows, self._stop, self._budget = journal, rounds, on_rows, stop, budget
        self._aside: dict[str, Spent] = {}
        self._collected: set[str] = set()
        self._submitted: dict[str, set[str]] = {}  # by this process: batch → rows
        self._failures: Counter[str] = Counter()  # of a request, at the provider
        self._given_up: set[str] = set()

    async def run(self) -> None:
        async with self._provider as provider:
            fruitless = 0
            while True:
                known = await provider.mine()
                listed = {batch.id for batch in known}
                # What was submitted a moment ago may not be in the listing yet.
                underway = {row for name, rows in self._submitted.items() if name not in listed for row in rows}
                for batch in known:
                    if batch.state in WORKING:
                        underway |= await _rows_of(provider, batch)
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
                if await self._submit(underway) and not underway:
                    return
                await self._wait()

    async def _collect(self, batch: Batch) -> int:
        """Write what became of the requests of a batch into the ledger; returns for how many that is decided.

        What an earlier run was refused is asked for again: its cause may have gone.
        """
        own = self._submitted.get(batch.id, set())
        if batch.state == "failed" and own:
            raise EndpointRefused(
                f"endpoint {self._address.name}: the provider refuses batch {batch.id}", got=batch.problem
            )
        answers: dict[str, Answer] = {}
        for file in (batch.answers, batch.errors):
            if file:
                found = batches.read_answers(self._address, await self._provider.content(file))
                answers |= {_row_of(answer.custom_id): answer for answer in found}
        todo, entries = self._journal.todo(), []
        for job in self._jobs(lambda row_id: (row_id in answers or row_id in own) and todo(row_id)):
            answer = answers.get(job.id) or Answer("", None, 0, "no answer that can be read")
            self._settle(job.id, answer.completion)
            if answer.completion is not None and answer.custom_id == _custom_id(job, self._address):
                outcome = self._read(job, answer.completion)
                entries.append(ledger_entry(job, self._address, answer.completion, outcome))
            elif job.id in own and (reason := self._failure(batch, job, answer, answers.values())):
                self._given_up.add(job.id)
                rejected = Rejected(reason, f"{answer.status or ''} {answer.problem}".strip())
                entries.append(ledger_entry(job, self._address, None, rejected))
        self._journal.add(entries)
        self._on_rows([entry for entry, _ in entries], 0)
        return len(entries)

    def _failure(self, batch: Batch, job: Job, answer: Answer, others: Iterable[Answer]) -> str:
        """Why a request of ours is given up; empty when it is not, or not yet."""
        some = any(other.completion for other in others)
        if 400 <= answer.status < 500 and answer.status not in RETRY_STATUS:
            if answer.status in OF_ONE_REQUEST and some:
                return "refused"
            where = f"endpoint {self._address.name}: a request of batch {batch.id} was refused"
            raise EndpointRefused(where, got=f"{answer.status} {answer.problem}")
        # A batch without one answer is the provider's failure, but for a few requests that are left over.
        if some or len(self._submitted[batch.id]) <= FEW * self._journal.count_finished():
            self._failures[job.id] += 1
        return "endpoint_error" if self._failures[job.id] > self._most else ""

    async def _submit(self, underway: set[str]) -> bool:
        """Submit one more batch of what nobody has been asked for; returns whether there was nothing (left) to ask.

        What does not fit into the budget until others have come back is left.
        """
        todo = self._journal.todo()
        jobs = self._jobs(lambda row_id: row_id not in underway and row_id not in self._given_up and todo(row_id))
        unasked = iter(jobs)
        first = next(unasked, None)
        if first is None:
            return True
        lines = list(islice(self._affordable(chain([first], unasked)), REQUESTS_PER_BATCH))
        if lines:
            batch = await self._provider.submit(lines)
            self._submitted[batch.id] = {_row_of(orjson.loads(line)["custom_id"]) for line in lines}
        return False

    def _affordable(self, jobs: Iterable[Job]) -> Iterator[bytes]:
        """The lines of the jobs, as long as they fit into the budget."""
        for i, job in enumerate(jobs):
            if self._budget:
                try:
                    aside = self._budget.set_aside(job.request)
                except BudgetSpent:
                    if i == 0:
                        raise
                    return
                if aside is None:
                    return
                self._aside[job.id] = aside
            yield batches.line(_custom_id(job, self._address), self._address, job.request)

    def _settle(self, row_id: str, completion: Completion | None) -> None:
        aside = self._aside.pop(row_id, None)
        if self._budget and aside:
            self._budget.settle(aside, completion)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        if await loop.run_in_executor(None, self._stop.wait, self._provider.look_every_s):
            raise Stopped("stopped", fix="batches under way go on; run the same command to collect them")


def _custom_id(job: Job, address: Address) -> str:
    """The row, so that it is found again, and the hash of its request, so that it is known to be the same."""
    return f"{job.id}.{job.request.digest(address.model)[:16]}"


def _row_of(custom_id: str) -> str:
    return custom_id.rpartition(".")[0]


async def _rows_of(provider: Batches | RunBatch, batch: Batch) -> set[str]:
    """The rows that a batch asks for."""
    content = await provider.content(batch.requests)
    return {_row_of(orjson.loads(line)["custom_id"]) for line in content.splitlines()}
