"""One model behind one or several URLs: asks, retries, and says clearly when it cannot go on.

What is retried and what is not:

    answer                         what happens
    2xx with a whole answer        it is taken
    any status but those below     the row fails if others are answered; stop if none is, or none any more
    redirect                       the same; the key is not carried to another address
    401 before any answer          stop at once with the server's message: asking again would not help
    408 409 424 425 429 498 499    wait, ask again: as long as Retry-After says, and no less than the back-off
    5xx                            the same
    no money (429 or other)        not asked again; stop if no row is answered yet, or after three rows in a row
    an error inside a 200          as its own status
    dropped, timed out, not JSON   back off, ask again; the row fails at last, or stop if no later one is answered
    refused by one of many         ask the other replicas; a replica that refuses what another answers is set aside
    unreadable from one of many    the same
    4xx 500 501 on a JSON schema   send it in another form, at last without: see `wording`. Where a form works for
                                   others, the row is asked once more without its schema
    400 422 500 on a parameter     send the same replica another in its place, or none: see `wording`
    fewer texts than `n`           ask for the missing ones alone; for one at a time, after several rows

A row that failed in an earlier run, while others were answered, says nothing about the server: it fails alone.

A request that waits holds no place among those in flight. How many are in flight, and at which replica, is decided in
`pacing`; whether the server or a row is at fault, in `faults`; how a request is worded, in `wording`; and how it is
sent, in `transport`.
"""

import asyncio
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import orjson

from hub_speed.errors import EndpointDown, EndpointRefused
from hub_speed.llm import dialects
from hub_speed.llm.address import Address, base_url, request_url, shown
from hub_speed.llm.budget import BudgetMeter
from hub_speed.llm.dialects import Completion, Request
from hub_speed.llm.faults import Faults, Reasking
from hub_speed.llm.pacing import Pace, Replica, Replicas, wait_s
from hub_speed.llm.schema_forms import Contrary, SchemaForms
from hub_speed.llm.transport import Transport, Trouble
from hub_speed.llm.wording import Parameters, Wording

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
        number: how many rows had begun with it.
        failed_before: whether an earlier run failed on it, while others were answered.
        attempts: how many requests were sent for it.
        reworded: how many of them were refused and sent in other words.
    """

    number: int
    failed_before: bool = False
    attempts: int = 0
    reworded: int = 0


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
        self._forms: dict[str, SchemaForms] = {}  # of each schema: a server may take one and refuse another
        self._faults = Faults(answered_before, in_flight)
        self._retries, self._budget = retries, budget or BudgetMeter()
        several = len(self.replicas.all) > 1
        self._parameters = {
            replica: Parameters(address.dialect, self.notes, self.replicas.name(replica) if several else "")
            for replica in self.replicas.all
        }
        self._one_at_a_time, self._gives_all, self._fewer = address.dialect == "tgi", False, Contrary()
        self._reasking = Reasking()
        self._named: dict[Replica, str] = {}  # the model that its first answer names

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
            EndpointDown: no server answers at any URL.
        """
        missing: list[EndpointDown] = []
        for replica in self.replicas.all:
            try:
                await self._transport.probe(replica.root, max_tokens)
            except EndpointDown as error:
                missing.append(error)
                self.replicas.miss(replica)
                self.notes.append(f"no server answers at {self.replicas.name(replica)}: set aside, tried again")
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
        number = self._faults.begin_row()
        row = _Row(number, failed_before)
        try:
            found = await self._complete(request, row)
            self._faults.answer_row(number)
            return found
        except EndpointRefused as error:
            if error.status == 401 and not self._faults.answered_now:
                raise
            refused = error
        finally:
            self._faults.end_row()
        # Servers refuse quickly and answer slowly: it was the row, not the server, once a later row is answered.
        while not failed_before and self._faults.may_answer_later_than(number):
            await asyncio.sleep(LOOK_AGAIN_S)
        if not failed_before and self._faults.refuse_row(number, no_money=refused.no_money):
            raise refused
        raise RowRefused(f"{refused.status} {refused.got}".strip(), row.attempts - row.reworded)

    async def _complete(self, request: Request, row: _Row) -> Completion:
        """An answer with all the texts the request asks for."""
        n, begun = request.sampling.n, self._fewer.begin()
        if (name := request.schema_name) not in self._forms:
            self._forms[name] = SchemaForms(self.address.dialect, self.notes)
        wording = Wording(request, self._forms[name])
        found = await self._answered(_one_of(request, 0) if self._one_at_a_time else request, row, wording)
        if len(found.texts) == n:
            self._gives_all |= n > 1
        elif not (self._gives_all or self._one_at_a_time) and self._fewer.refuse("n", begun):
            self._one_at_a_time = True
            self.notes.append(f"asked for {n} answers at once, it gives {len(found.texts)}: asked for one at a time")
        while len(found.texts) < n:
            found = found.joined(await self._answered(_one_of(request, len(found.texts)), row, wording))
        attempts = row.attempts - row.reworded
        return found if found.attempts == attempts else replace(found, attempts=attempts)

    async def complete_again(self, request: Request, answer: str, problem: str) -> Completion | None:
        """A second answer, after telling the model what was wrong with the first.

        None when there is none: the model does not chat, or the server does not answer the conversation.

        Raises:
            EndpointDown, BudgetSpent: as `complete`.
        """
        if self.address.dialect != "chat" or self._reasking.off:
            return None
        try:
            found = await self._complete(replace(request, earlier=(answer, problem)), _Row(self._faults.rows))
            self._reasking.answer()
            return found
        except (EndpointRefused, RowFailed) as error:
            if isinstance(error, EndpointRefused) and error.no_money:
                return None  # says nothing about the conversation; the next rows tell whether it is all of them
            if self._reasking.refuse():
                words = error.got if isinstance(error, EndpointRefused) else str(error)
                self.notes.append(f"refuses to be asked again about an answer. It says: {words}")
            return None

    async def _answered(self, request: Request, row: _Row, wording: Wording) -> Completion:
        """An answer, after as many retries, replicas and wordings as it takes and are allowed."""
        failures, refused = 0, list[EndpointRefused]()
        refusing: list[Replica] = []  # those that refuse the request in its present words
        unread: list[Replica] = []  # those whose answer nobody can read
        others: list[Replica] = []  # than the one that is asked in other words, or the one that failed at last
        while True:
            row.attempts, row.reworded = row.attempts + 1, wording.changes
            replica, found = await self._attempt(request, wording, refusing + others)
            if self._is_unreadable(replica, found) and replica not in unread:
                unread.append(replica)
                if len(unread) < len(self.replicas.all):
                    others = unread
                    continue
            if isinstance(found, Completion):
                wording.works(request, found)
                self._faults.answer()
                self._look_at_name(replica, found.model)
                self._blame(refusing, "refuses what another answers")
                if unread and any(found.texts):
                    worse = [other for other in unread if other is not replica]
                    self._blame(worse, "sends no readable answer where another does")
                return found
            status, words = found.status, found.got if isinstance(found, EndpointRefused) else found.problem
            others, no_money = [], isinstance(found, EndpointRefused) and found.no_money
            if status and not no_money and wording.leave_out(status, words):
                others = [other for other in self.replicas.all if other is not replica]
                continue
            if isinstance(found, EndpointRefused):
                refused.append(found)
                if not self._ask_otherwise(found, wording, replica, refusing):
                    # That one of several replicas has no money says nothing about a row that another one refuses.
                    raise next((each for each in refused if not each.no_money), refused[0])
                continue
            if wording.change_form(status, words, failures):
                continue
            failures, others = failures + 1, [replica]
            if failures > self._retries:
                break
            await asyncio.sleep(wait_s(failures, found.wait_s))
        if not row.failed_before and await self._silent() and self._faults.fail_row(row.number):
            raise EndpointDown(
                f"endpoint {self.address.name}: {shown(request_url(replica.root, self.address.dialect))} keeps failing",
                got=found.problem,
                fix="start it or pass another --endpoint; the same command then goes on where it stopped",
            )
        raise RowFailed(found.problem, row.attempts)

    def _is_unreadable(self, replica: Replica, found: Completion | Trouble | EndpointRefused) -> bool:
        """Whether a replica sent what is no answer; the answer of another one tells whether it was the request's fault.

        A text may be empty, but not the first one of a replica.
        """
        if isinstance(found, Completion):
            return replica not in self._named and not any(found.texts) and set(found.finish_reasons) == {"stop"}
        return isinstance(found, Trouble) and found.charged and not found.broken

    def _blame(self, replicas: list[Replica], what: str) -> None:
        """Count a failure of replicas, since another one answered the same request; note which are set aside."""
        for replica in replicas:
            if self.replicas.fail(replica):
                self.notes.append(f"{self.replicas.name(replica)} {what}: set aside, tried again")

    def _look_at_name(self, replica: Replica, model: str) -> None:
        """Note, once, that a replica names another model than the one that answered first."""
        if replica in self._named:
            return
        self._named[replica] = model
        first = next(iter(self._named.values()))
        if model != first:
            self.notes.append(f"{self.replicas.name(replica)} names another model: {model} instead of {first}")

    def _ask_otherwise(
        self, refused: EndpointRefused, wording: Wording, replica: Replica, refusing: list[Replica]
    ) -> bool:
        """Whether a refused request may be answered in other words, or by another replica."""
        asked_twice = replica in refusing
        refusing.append(replica)
        if len(refusing) < len(self.replicas.all) and not asked_twice:
            return True
        refusing.clear()
        return not refused.no_money and wording.change_form(refused.status, refused.got)

    async def _silent(self) -> bool:
        """Whether none of the requests now in flight gets an answer; waits for them, since failures can be quick."""
        faults = self._faults
        answers, last = faults.answers, faults.sent
        while faults.answers == answers and faults.has_open(last):
            await asyncio.sleep(LOOK_AGAIN_S)
        return faults.answers == answers

    async def _attempt(
        self, request: Request, wording: Wording, but: list[Replica]
    ) -> tuple[Replica, Completion | Trouble | EndpointRefused]:
        """The replica and the result of one attempt, sent once the budget has room for it."""
        while (aside := self._budget.set_aside(request)) is None:
            await asyncio.sleep(LOOK_AGAIN_S)
        try:
            entered = await self.pace.enter()
        except BaseException:
            self._budget.settle(aside, None)
            raise
        replica = self.replicas.pick(but)
        wording.look(self._parameters[replica])
        address, form, without = self.address, wording.form, wording.without
        data = orjson.dumps(dialects.body(address.dialect, request, self.model, address.prompt_format, form, without))
        sent = self._faults.send()
        found: Completion | Trouble | EndpointRefused = Trouble("cancelled", charged=True)
        try:
            found = await self._transport.ask(request_url(replica.root, address.dialect), data, request.sampling.n)
        except EndpointRefused as error:
            found = error
        finally:
            self._faults.come_back(sent)
            trouble = found if isinstance(found, Trouble) else None
            undecided = isinstance(found, EndpointRefused) or self._is_unreadable(replica, found)
            self.replicas.leave(replica, failed=None if undecided else trouble is not None and trouble.broken)
            unusable = isinstance(found, EndpointRefused) and 200 <= found.status < 300 and not found.no_money
            unread = UNREAD if unusable or (trouble and trouble.charged) else None
            self._budget.settle(aside, found if isinstance(found, Completion) else unread)
            refused = trouble is not None and trouble.too_much
            # One turn of the loop later: the answer is then in the ledger before the next request goes out, and a kill
            # costs no more requests than there are places, where a row takes one.
            asyncio.get_running_loop().call_soon(lambda: self.pace.leave(entered, refused=refused))
        return replica, found


def _one_of(request: Request, i: int) -> Request:
    """The request for the i-th answer alone, with a seed of its own where seeds are given."""
    s = request.sampling
    return replace(request, sampling=replace(s, n=1, seed=None if s.seed is None else s.seed + i))
