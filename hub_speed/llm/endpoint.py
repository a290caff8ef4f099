"""One model behind one or several URLs: asks, retries, and says clearly when it cannot go on.

What is retried and what is not:

    answer                         what happens
    401 403 404 405                stop at once with the server's message: asking again would not help
    400 413 422                    the row fails if others are answered; stop if none is, or none any more
    408 409 425 429 5xx            wait (Retry-After if given, else back off), ask again
    dropped, timed out, not JSON   back off, ask again; the row fails at last, or stop if no other is answered
    redirect                       stop: the key is not carried to another address
    400 422 on a JSON schema       send it in another form, at last without: see `dialects.SCHEMA_FORMS`
    400 on a parameter             send another in its place, or none: see `dialects.unsupported`
    fewer texts than `n`           ask for the missing ones alone, and for one at a time from then on

A row that failed in an earlier run, while others were answered, says nothing about the server: it fails alone.

A request that waits holds no place among those in flight. How many are in flight, and at which replica, is decided in
`pacing`. Keys are sent to the endpoint's own address and nowhere else, and are never part of a message.
"""

import asyncio
import email.utils
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import aiohttp
import orjson

from hub_speed.errors import EndpointDown, EndpointRefused, did_you_mean
from hub_speed.llm import dialects
from hub_speed.llm.address import Address
from hub_speed.llm.budget import Budget
from hub_speed.llm.dialects import PATHS, SCHEMA_FORMS, Completion, Request, SchemaForm
from hub_speed.llm.pacing import Pace, Replica, Replicas

TOO_MUCH_STATUS = {429, 503, 529}  # 529: "overloaded", as some servers say it
RETRY_STATUS = {408, 409, 425, 429, *range(500, 600)}
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0  # Assumption: our own waits double from half a second to a minute
LONGEST_RETRY_AFTER_S = 900.0  # Assumption: a server that asks for more than 15 minutes is asked again after them
ANSWERS_TO_CHECK = 20  # Assumption: a server that ignores the schema shows it in one of them
OF_ONE_REQUEST = {400, 413, 422}  # what a server says to one request it cannot take, or to a way of asking
REFUSED_IN_A_ROW = 20  # Assumption: so many, and no answer to any that came after them, and it is not the rows
FAILED_IN_A_ROW = 20  # Assumption: so many, and no answer between them, and it is the server
FAILED_AT_FIRST = 4  # Assumption: the same before the first answer
LOOK_AGAIN_S = 0.05  # until it is looked again whether the budget has room, or another request was answered
MAX_ANSWER_BYTES = 20_000_000  # Assumption: a hundred times the longest answer a prompt here asks for


class TooLong(ValueError):
    """An answer of more than MAX_ANSWER_BYTES."""


class _NoAnswer(Exception):
    """One row is not answered; `attempts` is how many requests were sent for it."""

    def __init__(self, problem: str, attempts: int) -> None:
        super().__init__(problem)
        self.attempts = attempts


class RowFailed(_NoAnswer):
    """The endpoint kept failing on one request, while it may well serve others."""


class RowRefused(_NoAnswer):
    """The endpoint refuses one request, while it answers others."""


@dataclass
class _Row:
    """One row that is asked for.

    Attributes:
        failed_before: whether an earlier run failed on it, while others were answered.
        attempts: how many requests were sent for it.
    """

    failed_before: bool = False
    attempts: int = 0


@dataclass(frozen=True)
class Trouble:
    """An attempt that came to nothing, but may be made again.

    Attributes:
        problem: what happened, in words.
        wait_s: how long the server asks to wait, None when it does not say.
        too_much: whether fewer requests at once might have helped.
        broken: whether the server itself failed, so that another replica might do better.
        answered: whether it was an answer (200) that cannot be used: it may well have to be paid for.
    """

    problem: str
    wait_s: float | None = None
    too_much: bool = False
    broken: bool = False
    answered: bool = False


UNREAD = Completion((), (), "", 0, 0)
"""What the budget is told of an answer that cannot be used."""


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
        budget: Budget | None = None,
        answered_before: int = 0,
    ) -> None:
        self.address = address
        self.pace = Pace(in_flight)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(10.0, timeout_s))
        self._retries, self._budget = retries, budget
        self._in_flight = in_flight
        self.replicas = Replicas([url.rstrip("/").removesuffix("/v1") for url in address.urls])
        self._answers = answered_before
        self._sent = 0  # requests so far, by which they are numbered
        self._open: dict[int, None] = {}  # those that have not come back, in order
        self._failed_in_a_row = 0
        self._begun = 0  # rows so far, by which they are numbered
        self._undecided = 0  # rows that may yet be answered
        self._answered_row = 0  # the last of those that were answered
        self._refused_in_a_row = 0
        self._listed: dict[str, int | None] = {}
        self._session: aiohttp.ClientSession | None = None
        self.model = address.model
        self.notes: list[str] = []
        self._forms = SCHEMA_FORMS[address.dialect]  # only the one that works, once it is known
        self._to_check = ANSWERS_TO_CHECK
        self._without: set[str] = set()  # parameters that the server does not take
        self._one_at_a_time = address.dialect == "tgi"
        self._takes_objections = address.dialect == "chat"

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self.address.key}"} if self.address.key else {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=75),
            timeout=self._timeout,
            headers=headers | {"Content-Type": "application/json"},
            json_serialize=lambda value: orjson.dumps(value).decode(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def probe(self, max_tokens: int = 0) -> None:
        """Make sure somebody answers and takes the key, before any row is asked for.

        A replica at which nobody answers is set aside, as one that keeps failing. Where no model was named, the
        server's own is taken.

        Args:
            max_tokens: how long an answer may be.

        Raises:
            EndpointRefused: the key is not taken, or no answer of that length fits into the model.
            EndpointDown: nobody answers at any URL.
        """
        missing: list[EndpointDown] = []
        for i, replica in enumerate(self.replicas.all, 1):
            try:
                await self._probe(replica.root, max_tokens)
            except EndpointDown as error:
                missing.append(error)
                self.replicas.miss(replica)
                self.notes.append(f"nobody answers at replica {i} of {len(self.replicas.all)}: set aside, tried again")
        if len(missing) == len(self.replicas.all):
            raise missing[0]

    async def _probe(self, url: str, max_tokens: int) -> None:
        assert self._session is not None
        try:
            async with self._session.get(f"{url}/v1/models", allow_redirects=False) as response:
                body = await _read(response)
                if response.status in (401, 403):
                    raise self._refused(response.status, url, body)
                self._listed = _models(body)
                self.model = self.model or next(iter(self._listed), "")
                longest = self._listed.get(self.model)
                if longest is not None and longest <= max_tokens:
                    raise EndpointRefused(
                        f"endpoint {self.address.name}: {self.model} at {url} takes {longest} tokens in all",
                        got=f"answers of up to {max_tokens} tokens are to be asked for",
                        fix="lower max_tokens of the recipe's teacher or generator, or serve a longer context",
                    )
        except TooLong:
            return  # no list of models, but somebody is there
        except (aiohttp.ClientError, TimeoutError) as error:
            where, fix = f"nobody answers at {url}", f"start the server, or pass --endpoint {self.address.name}=URL"
            if isinstance(error, aiohttp.ClientConnectorCertificateError):
                where = f"the certificate of {url} is not trusted"
                fix = "if the server is your own, name the file with its authority's certificate in SSL_CERT_FILE"
            got = self.address.words(f"{type(error).__name__}: {error}")
            raise EndpointDown(f"endpoint {self.address.name}: {where}", got=got, fix=fix) from error

    async def complete(self, request: Request, *, failed_before: bool = False) -> Completion:
        """The model's answer.

        Args:
            request: what to ask.
            failed_before: whether an earlier run failed on it, while others were answered.

        Raises:
            EndpointRefused: the server will not serve this model, or no request at all.
            EndpointDown: nothing was answered for a long time, by any request.
            RowFailed: this request failed again and again, while others were answered.
            RowRefused: this request was refused, while others were answered.
            BudgetSpent: the budget does not allow it.
        """
        row = _Row(failed_before)
        self._begun += 1
        self._undecided += 1
        number = self._begun
        try:
            found = await self._complete(request, row)
            self._answered_row, self._refused_in_a_row = max(self._answered_row, number), 0
            return found
        except EndpointRefused as error:
            if error.status not in OF_ONE_REQUEST:
                raise
            refused = error
        finally:
            self._undecided -= 1
        # Servers refuse quickly and answer slowly: it was the row, not the server, once a later row is answered.
        while not failed_before and self._answered_row < number and self._undecided:
            await asyncio.sleep(LOOK_AGAIN_S)
        if not failed_before and self._answered_row < number:
            self._refused_in_a_row += 1
            if not self._answers or self._refused_in_a_row > REFUSED_IN_A_ROW:
                raise refused
        raise RowRefused(f"{refused.status} {refused.got}", row.attempts)

    async def _complete(self, request: Request, row: _Row) -> Completion:
        """All the texts of an answer."""
        n = request.sampling.n
        first = request if not self._one_at_a_time else _one_of(request, 0)
        found = await self._with_schema(first, row)
        if len(found.texts) < first.sampling.n and not self._one_at_a_time:
            self._one_at_a_time = True
            self.notes.append(f"asked for {n} answers at once, it gives {len(found.texts)}: asked for one at a time")
        while len(found.texts) < n:
            found = found.joined(await self._with_schema(_one_of(request, len(found.texts)), row))
        return replace(found, attempts=row.attempts)

    async def complete_again(self, request: Request, answer: str, problem: str) -> Completion | None:
        """One more answer to a request, when the model is told what was wrong with the first.

        None when there is none to be had: the model is not one to talk with, or the server refuses the conversation.

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
        if request.schema is None or len(self._forms) == 1:
            return self._checked(request, await self._retried(request, self._forms[0], row))
        refusal: EndpointRefused | None = None
        for form in self._forms:
            try:
                found = await self._retried(request, form, row)
            except EndpointRefused as error:
                if error.status not in OF_ONE_REQUEST:
                    raise
                refusal = refusal or error
                continue
            if refusal and len(self._forms) > 1:
                self.notes.append(f"refuses a JSON schema as {self._forms[0]}: sent as {form}. It says: {refusal.got}")
            self._forms = (form,)
            return self._checked(request, found)
        assert refusal is not None
        raise refusal

    def _checked(self, request: Request, found: Completion) -> Completion:
        """Notes when an answer lacks what the server was given a schema for; looks at the first ones only."""
        if request.schema is not None and self._forms != ("none",) and self._to_check:
            self._to_check -= 1
            ended = [t for t, why in zip(found.texts, found.finish_reasons, strict=True) if why != "length"]
            if not all(_has(text, request.schema.get("required", [])) for text in ended):
                self._to_check = 0
                self.notes.append(f"takes a JSON schema as {self._forms[0]}, but answers otherwise")
        return found

    async def _retried(self, request: Request, form: SchemaForm, row: _Row) -> Completion:
        """An answer, at the latest after the last retry."""
        address, failures = self.address, 0
        replica: Replica | None = None
        while True:
            without = frozenset(self._without)
            data = orjson.dumps(
                dialects.body(address.dialect, request, self.model, address.prompt_format, form, without)
            )
            row.attempts += 1
            try:
                replica, found, took_s = await self._afforded(request, data, replica)
            except EndpointRefused as error:
                if not self._reworded(error, without):
                    raise
                continue
            if isinstance(found, Completion):
                self._answers += 1
                self._failed_in_a_row = 0
                return replace(found, model=found.model or self.model, latency_s=round(took_s, 4))
            failures += 1
            if failures > self._retries:
                break
            back_off = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (failures - 1)) * random.uniform(0.5, 1.0)
            await asyncio.sleep(back_off if found.wait_s is None else min(found.wait_s, LONGEST_RETRY_AFTER_S))
        if not row.failed_before and await self._silent():
            self._failed_in_a_row += 1
            # No more than are in flight, which takes long enough; at least two, so that every run ends a row.
            most = min(FAILED_IN_A_ROW if self._answers else FAILED_AT_FIRST, max(2, self._in_flight))
            if self._failed_in_a_row >= most:
                raise EndpointDown(
                    f"endpoint {address.name}: {replica.root}{PATHS[address.dialect]} keeps failing",
                    got=found.problem,
                    fix="start it or pass another --endpoint; the same command then goes on where it stopped",
                )
        raise RowFailed(found.problem, row.attempts)

    async def _silent(self) -> bool:
        """Whether no answer comes before all requests that are in the air now have come back: failures can be quick."""
        answers, last = self._answers, self._sent
        while self._answers == answers and next(iter(self._open), last + 1) <= last:
            await asyncio.sleep(LOOK_AGAIN_S)
        return self._answers == answers

    def _reworded(self, refused: EndpointRefused, without: frozenset[str]) -> bool:
        """Whether the refusal is of a parameter that can be left out, and was not; it is left out from now on."""
        name = dialects.unsupported(refused.got)
        if refused.status != 400 or self.address.dialect != "chat" or not name or name in without:
            return False
        if name not in self._without:
            self._without.add(name)
            instead = "sent as max_completion_tokens" if name == "max_tokens" else "left out"
            self.notes.append(f"does not take {name}: {instead}. It says: {refused.got}")
        return True

    async def _afforded(
        self, request: Request, data: bytes, before: Replica | None
    ) -> tuple[Replica, Completion | Trouble, float]:
        """One attempt, within the budget."""
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
        """One attempt, when there is a place, and its seconds; what failed at one replica goes to another."""
        entered = await self.pace.enter()
        replica = self.replicas.pick(but=before)
        self._sent += 1
        sent = self._sent
        self._open[sent] = None
        found: Completion | Trouble = Trouble("cancelled")
        try:
            started = time.monotonic()
            found = await self._ask(replica.root + PATHS[self.address.dialect], data, n)
            return replica, found, time.monotonic() - started
        finally:
            del self._open[sent]
            trouble = found if isinstance(found, Trouble) else None
            self.replicas.leave(replica, failed=trouble is not None and trouble.broken)
            refused = trouble is not None and trouble.too_much
            # One turn of the loop later: the answer is then in the ledger before the next request goes out, and a kill
            # costs no more requests than there are places, where a row takes one.
            asyncio.get_running_loop().call_soon(lambda: self.pace.leave(entered, refused=refused))

    async def _ask(self, url: str, data: bytes, n: int) -> Completion | Trouble:
        """Send a request to a URL and read what comes back."""
        assert self._session is not None
        answered = False
        try:
            async with self._session.post(url, data=data, allow_redirects=False) as response:
                answered = response.status == 200
                body = await _read(response)
                if response.status != 200:
                    if response.status in RETRY_STATUS:
                        return Trouble(
                            f"{response.status} {self.address.words(_message(body))}",
                            _retry_after(response.headers),
                            too_much=response.status in TOO_MUCH_STATUS,
                            broken=response.status >= 500,
                        )
                    raise self._refused(response.status, url, body)
            completion = dialects.read(self.address.dialect, orjson.loads(body))
            if len(completion.texts) > n:
                return Trouble(f"asked for {n} answers, got {len(completion.texts)}", answered=True)
            return completion
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            words = self.address.words(f"{type(error).__name__}: {error}")
            silent, unreadable = isinstance(error, TimeoutError), isinstance(error, ValueError)
            return Trouble(words, too_much=silent, broken=not unreadable, answered=answered)

    def _refused(self, status: int, url: str, body: bytes) -> EndpointRefused:
        """What a final status means, in words that name the fix."""
        name, model = self.address.name, self.address.model
        variable = f"HUB_SPEED_{name.upper()}_KEY"
        fix = {
            401: f"set {variable} to a valid key",
            403: f"the key in {variable} may not use {model}",
            404: f"check the URL and the model's name: {model}" + self._other_models(),
        }.get(status, "")
        if 300 <= status < 400:
            fix = "pass the address it redirects to: a key is not carried elsewhere"
        refused = EndpointRefused(
            f"endpoint {name}: {url} answers {status}", got=self.address.words(_message(body)), fix=fix
        )
        refused.status = status
        return refused

    def _other_models(self) -> str:
        """What the server lists instead of the model that was named, for a message."""
        if not self._listed or self.model in self._listed:
            return ""
        near = did_you_mean(self.model, self._listed)
        return f"; {near}" if near else f"; it serves {', '.join(list(self._listed)[:5])}"


def _one_of(request: Request, i: int) -> Request:
    """The request for the i-th answer alone, with a seed of its own where seeds are given."""
    s = request.sampling
    return replace(request, sampling=replace(s, n=1, seed=None if s.seed is None else s.seed + i))


def _has(text: str, names: list[str]) -> bool:
    """Whether a text is one JSON object with these names. A schema does not keep raw line breaks out of strings."""
    try:
        value = json.loads(text, strict=False)
        return isinstance(value, dict) and value.keys() >= set(names)
    except (ValueError, RecursionError):
        return False


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, but not more of it than an answer can have."""
    chunks, size = [], 0
    async for chunk in response.content.iter_chunked(1 << 16):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            response.close()
            raise TooLong(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return b"".join(chunks)


def _message(body: bytes) -> str:
    """The server's own words about an error, as one line."""
    try:
        error = orjson.loads(body)
        error = error.get("error", error) if isinstance(error, dict) else error
        text = error.get("message", error) if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        text = body.decode("utf-8", "replace")
    return " ".join(str(text).split())


def _models(listing: bytes) -> dict[str, int | None]:
    """The models of a /v1/models answer, each with the tokens it takes where the server says so (vLLM does)."""
    try:
        return {
            str(model["id"]): int(model.get("max_model_len") or 0) or None for model in orjson.loads(listing)["data"]
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks to wait, from a number or an HTTP date."""
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
