"""One model behind one or several URLs: asks, retries, and says clearly when it cannot go on.

What is retried and what is not:

    answer                         what happens
    401 403 404 405                stop at once with the server's message: asking again would not help
    400 413 422                    the row fails if others are answered; stop if none is, or none any more
    408 409 425 429 5xx            wait (Retry-After if given, else back off), ask again
    dropped, timed out, not JSON   back off, ask again; the row fails at last, or stop if no other is answered
    redirect                       stop: the key is not carried to another address
    400 422 on a JSON schema       send it in another form, at last without: see `schema_forms`
    400 on a parameter             send another in its place, or none: see `dialects.unsupported`
    fewer texts than `n`           ask for the missing ones alone, and for one at a time from then on

A row that failed in an earlier run, while others were answered, says nothing about the server: it fails alone.

A request that waits holds no place among those in flight. How many are in flight, and at which replica, is decided in
`pacing`; whether the server or a row is at fault, in `faults`; how a request is sent, in `transport`.
"""

import asyncio
import random
import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import orjson

from hub_speed.errors import EndpointDown, EndpointRefused
from hub_speed.llm import dialects
from hub_speed.llm.address import Address, base_url, request_url, shown
from hub_speed.llm.budget import BudgetMeter
from hub_speed.llm.dialects import Completion, Request, SchemaForm
from hub_speed.llm.faults import Faults
from hub_speed.llm.pacing import Pace, Replica, Replicas
from hub_speed.llm.schema_forms import SchemaForms
from hub_speed.llm.transport import OF_ONE_REQUEST, Transport, Trouble

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0  # Assumption: our own waits double from half a second to a minute
LONGEST_RETRY_AFTER_S = 900.0  # Assumption: a server that asks for more than 15 minutes is asked again after them
LOOK_AGAIN_S = 0.05  # Assumption: between two looks whether the budget has room, or another request was answered


class _NoAnswer(Exception):
    """A row was not answered; `attempts` is how many requests were sent for it."""

    def __init__(self, problem: str, attempts: int) -> None:
        super().__init__(problem)
        self.attempts = attempts


class RowFailed(_NoAnswer):
    """The endpoint kept failing on one request, while it may well serve others."""


class RowRefused(_NoAnswer):
    """The endpoint refuses one request, while it answers others."""


@dataclass
class _Row:
    """A row that is asked for.

    Attributes:
        failed_before: whether an earlier run failed on it, while others were answered.
        attempts: how many requests were sent for it.
        refused: how many of them the server refused, so that the row was asked for in another form.
    """

    failed_before: bool = False
    attempts: int = 0
    refused: int = 0


UNREAD = Completion((), (), "", 0, 0)
"""Stands for an unusable answer when the budget is charged."""


class Endpoint:
    """An open connection to a model; use as an async context manager.

    Args:
        address: the model's address.
        in_flight: most requests at once, over all replicas.
        timeout_s: seconds one answer may take.
        retries: how often a failing request is asked again.
        budget: what may be spent, None for a model that costs nothing.
        answered_before: how many rows of the same kind were answered in earlier runs.

    Attributes:
        notes: what the server does otherwise than it was asked, as seen in its answers.
    """

    def __init__(
        self,
        address: Address,
        *,
        in_flight: int,
        timeout_s: float,
        retries: int,
        budget: BudgetMeter | None = None,
        answered_before: int = 0,
    ) -> None:
        self.address = address
        self.pace = Pace(in_flight)
        self.replicas = Replicas([base_url(url, address.dialect) for url in address.urls])
        self.notes: list[str] = []
        self._transport = Transport(address, timeout_s)
        self._forms = SchemaForms(address.dialect, self.notes)
        self._faults = Faults(answered_before, in_flight)
        self._retries, self._budget = retries, budget
        self._without: set[str] = set()  # parameters that the server does not take
        self._never_taken: frozenset[str] | None = None  # what was left out of all that was answered
        self._one_at_a_time = address.dialect == "tgi"
        self._takes_objections = address.dialect == "chat"

    @property
    def model(self) -> str:
        """The name the server knows the model by."""
        return self._transport.model

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def probe(self, max_tokens: int = 0) -> None:
        """Check that a server answers and takes the key, before any row is asked for.

        A replica that does not answer is set aside, like one that keeps failing. Where the address names no model,
        the server's own is taken.

        Args:
            max_tokens: how long an answer may be.

        Raises:
            EndpointRefused: the key is not taken, or no answer of that length fits into the model.
            EndpointDown: nobody answers at any URL.
        """
        missing: list[EndpointDown] = []
        for i, replica in enumerate(self.replicas.all, 1):
            try:
                await self._transport.probe(replica.root, max_tokens)
            except EndpointDown as error:
                missing.append(error)
                self.replicas.miss(replica)
                self.notes.append(f"nobody answers at replica {i} of {len(self.replicas.all)}: set aside, tried again")
        if len(missing) == len(self.replicas.all):
            raise missing[0]

    async def complete(self, request: Request, *, failed_before: bool = False) -> Completion:
        """The model's answer to a request.

        Args:
            request: what is asked.
            failed_before: whether an earlier run failed on it, while others were answered.

        Raises:
            EndpointRefused: the server will not serve this model, or no request at all.
            EndpointDown: nothing was answered for a long time, by any request.
            RowFailed: this request failed again and again, while others were answered.
            RowRefused: this request was refused, while others were answered.
            BudgetSpent: the budget does not allow it.
        """
        row, number = _Row(failed_before), self._faults.begin_row()
        try:
            found = await self._complete(request, row)
            self._faults.answer_row(number)
            return found
        except EndpointRefused as error:
            if error.status not in OF_ONE_REQUEST:
                raise
            refused = error
        finally:
            self._faults.end_row()
        # Servers refuse quickly and answer slowly: it was the row, not the server, once a later row is answered.
        while not failed_before and self._faults.may_answer_later_than(number):
            await asyncio.sleep(LOOK_AGAIN_S)
        if not failed_before and self._faults.refuse_row(number):
            raise refused
        raise RowRefused(f"{refused.status} {refused.got}", row.attempts)

    async def _complete(self, request: Request, row: _Row) -> Completion:
        """An answer with all the texts the request asks for."""
        n = request.sampling.n
        first = request if not self._one_at_a_time else _one_of(request, 0)
        found = await self._with_schema(first, row)
        if len(found.texts) < first.sampling.n and not self._one_at_a_time:
            self._one_at_a_time = True
            self.notes.append(f"asked for {n} answers at once, it gives {len(found.texts)}: asked for one at a time")
        while len(found.texts) < n:
            found = found.joined(await self._with_schema(_one_of(request, len(found.texts)), row))
        return replace(found, attempts=row.attempts - row.refused)

    async def complete_again(self, request: Request, answer: str, problem: str) -> Completion | None:
        """A second answer, after telling the model what was wrong with the first.

        None when there is none: the model does not chat, or the server refuses the conversation.

        Raises:
            EndpointDown, RowFailed, BudgetSpent: as `complete`.
        """
        if not self._takes_objections:
            return None
        try:
            return await self._complete(replace(request, earlier=(answer, problem)), _Row())
        except EndpointRefused as error:
            if error.status not in OF_ONE_REQUEST:
                raise
            self._takes_objections = False
            self.notes.append(f"refuses to be asked again about an answer. It says: {error.got}")
            return None

    async def _with_schema(self, request: Request, row: _Row) -> Completion:
        """An answer, with the schema in a form that the server takes."""
        forms = self._forms
        if request.schema is None:
            return await self._retried(request, forms.left[0], row)
        refusal: EndpointRefused | None = None
        for form in forms.left:
            try:
                found = await self._retried(request, form, row)
            except EndpointRefused as error:
                if error.status not in OF_ONE_REQUEST:
                    raise
                refusal = refusal or error
                continue
            forms.works(form, refusal.got if refusal else "")
            forms.check(request, found)
            return found
        assert refusal is not None
        raise refusal

    async def _retried(self, request: Request, form: SchemaForm, row: _Row) -> Completion:
        """An answer, after as many retries as it takes and are allowed."""
        address, model, failures = self.address, self.model, 0
        replica: Replica | None = None
        while True:
            without = frozenset(self._without)
            data = orjson.dumps(dialects.body(address.dialect, request, model, address.prompt_format, form, without))
            row.attempts += 1
            try:
                replica, found, took_s = await self._afforded(request, data, replica)
            except EndpointRefused as error:
                row.refused += 1
                if error.status not in (400, 422) or not self._reworded(error.got, without):
                    raise
                continue
            if isinstance(found, Completion):
                self._never_taken = without if self._never_taken is None else self._never_taken & without
                self._faults.answer()
                return replace(found, model=found.model or model, latency_s=round(took_s, 4))
            system = found.problem.startswith("500 ") and dialects.unsupported(found.problem, without) == "system"
            if system and self._reworded(found.problem, without):
                continue
            failures += 1
            if failures > self._retries:
                break
            back_off = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (failures - 1)) * random.uniform(0.5, 1.0)
            await asyncio.sleep(back_off if found.wait_s is None else min(found.wait_s, LONGEST_RETRY_AFTER_S))
        if not row.failed_before and await self._silent() and self._faults.fail_row():
            raise EndpointDown(
                f"endpoint {address.name}: {shown(request_url(replica.root, address.dialect))} keeps failing",
                got=found.problem,
                fix="start it or pass another --endpoint; the same command then goes on where it stopped",
            )
        raise RowFailed(found.problem, row.attempts)

    async def _silent(self) -> bool:
        """Whether none of the requests now in flight gets an answer; waits for them, since failures can be quick."""
        faults = self._faults
        answers, last = faults.answers, faults.sent
        while faults.answers == answers and faults.has_open(last):
            await asyncio.sleep(LOOK_AGAIN_S)
        return faults.answers == answers

    def _reworded(self, words: str, without: frozenset[str]) -> bool:
        """Whether a parameter was refused that can be left out and never was taken; it is left out from now on."""
        name = dialects.unsupported(words, without)
        known = self._never_taken is not None and name not in self._never_taken
        if self.address.dialect == "tgi" or not name or known:
            return False
        if name not in self._without:
            self._without.add(name)
            self.notes.append(dialects.left_out_note(name, words))
        return True

    async def _afforded(
        self, request: Request, data: bytes, before: Replica | None
    ) -> tuple[Replica, Completion | Trouble, float]:
        """The result of one attempt, sent once the budget has room for it."""
        n = request.sampling.n
        if self._budget is None:
            return await self._attempt(data, n, before)
        while (aside := self._budget.set_aside(request)) is None:
            await asyncio.sleep(LOOK_AGAIN_S)
        took: Completion | None = None
        try:
            replica, found, took_s = await self._attempt(data, n, before)
            took = found if isinstance(found, Completion) else UNREAD if found.answered else None
            return replica, found, took_s
        finally:
            self._budget.settle(aside, took)

    async def _attempt(
        self, data: bytes, n: int, before: Replica | None
    ) -> tuple[Replica, Completion | Trouble, float]:
        """The replica, result and seconds of one attempt, at another replica than `before` where there is one."""
        entered = await self.pace.enter()
        replica = self.replicas.pick(but=before)
        sent = self._faults.send()
        found: Completion | Trouble = Trouble("cancelled")
        try:
            started = time.monotonic()
            found = await self._transport.ask(request_url(replica.root, self.address.dialect), data, n)
            return replica, found, time.monotonic() - started
        finally:
            self._faults.come_back(sent)
            trouble = found if isinstance(found, Trouble) else None
            self.replicas.leave(replica, failed=trouble is not None and trouble.broken)
            refused = trouble is not None and trouble.too_much
            # One turn of the loop later: the answer is then in the ledger before the next request goes out, and a kill
            # costs no more requests than there are places, where a row takes one.
            asyncio.get_running_loop().call_soon(lambda: self.pace.leave(entered, refused=refused))


def _one_of(request: Request, i: int) -> Request:
    """The request for the i-th answer alone, with a seed of its own where seeds are given."""
    s = request.sampling
    return replace(request, sampling=replace(s, n=1, seed=None if s.seed is None else s.seed + i))
