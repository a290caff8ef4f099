"""OpenAI's Batch API through its SDK: submit requests as a file, list the batches, fetch the answers.

Source: the Batch API reference (/v1/files, /v1/batches): at most 50,000 requests per file, answered within 24 hours at
half the price, in any order. Requests that are not answered by then come back as expired.
The SDK is imported when a provider is first asked: most runs never need it.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self, TypeVar
from urllib.parse import parse_qsl

import orjson

from hub_speed.errors import EndpointDown, EndpointRefused
from hub_speed.llm import dialects, proxies
from hub_speed.llm.address import Address, base_url
from hub_speed.llm.dialects import PATHS, Completion, Request, SchemaForm
from hub_speed.llm.pacing import wait_s
from hub_speed.llm.transport import MAX_ANSWER_BYTES, NO_MONEY, RETRY_STATUS, codes, message, retry_after

if TYPE_CHECKING:
    import httpx2
    from openai.types import Batch as Found

TRIES = 8  # Assumption: what fails is repeated for about a minute, or for as long as the provider asks to wait
LOOKS = 14
"""How often a batch is looked for that a run may have started before it was cut off. Assumption: for about six minutes;
a provider that lists a batch later gets the rows a second time."""
MAX_FILE_BYTES = 1 << 30  # Assumption: a batch has at most 10,000 answers; 100 kB each
WORKING = ("validating", "in_progress", "finalizing", "cancelling")
"""States of a batch that will still change."""
OUR_HEADERS = {"host", "accept", "accept-encoding", "connection", "content-length", "content-type", "user-agent"}
"""What is sent beside the key; the SDK would add what OPENAI_CUSTOM_HEADERS and other variables hold for OpenAI."""

WANTED = "an answer of the Batch API"

T = TypeVar("T")


class _Failing(EndpointDown):
    """A call that may be made again; `wait_s` is how long the provider asks to wait, None when it does not say."""

    wait_s: float | None = None


@dataclass(frozen=True)
class Batch:
    """One submitted file of requests.

    Attributes:
        requests: the file that was submitted.
        answers, errors: files as well, None where there are none (yet).
        problem: why the whole batch failed, in the provider's words.
        no_room: whether it failed because the provider has too much to answer already.
    """

    id: str
    state: str
    requests: str
    answers: str | None
    errors: str | None
    problem: str = ""
    no_room: bool = False


@dataclass(frozen=True)
class BatchAnswer:
    """What became of one request: a completion, or the status and message of its refusal.

    Attributes:
        no_money: whether it was refused for an empty account.
    """

    custom_id: str
    completion: Completion | None
    status: int = 200
    problem: str = ""
    no_money: bool = False


def line(custom_id: str, address: Address, request: Request, form: SchemaForm, without: Collection[str] = ()) -> bytes:
    """A request as a line of a batch file, `without` what is not taken; `vllm run-batch` reads the same."""
    body = dialects.body(address.dialect, request, address.model, address.prompt_format, form, without)
    whole = {"custom_id": custom_id, "method": "POST", "url": PATHS[address.dialect], "body": body}
    return orjson.dumps(whole) + b"\n"


def read_answers(address: Address, lines: Iterable[bytes]) -> Iterator[BatchAnswer]:
    """The answers in the lines of a file; a line that cannot be read, or is too long for one answer, is left out."""
    for text in lines:
        if len(text) > MAX_ANSWER_BYTES:
            continue
        try:
            found = dialects.load(text)
            response, name = found.get("response") or {}, str(found["custom_id"])
            status = int(response.get("status_code") or 0)
            if status == 200:
                completion = dialects.read(address.dialect, response["body"])
                yield BatchAnswer(name, address.without_secrets(completion))
            else:
                told = {"error": found["error"]} if found.get("error") else response.get("body")
                error = orjson.dumps(told)
                words = address.words(message(error)) if told else "no answer"
                yield BatchAnswer(name, None, status, words, bool(codes(error) & NO_MONEY))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            continue


class Batches:
    """The batches of one purpose at one provider; use as an async context manager.

    Args:
        address: the model.
        purpose: a name that the batches carry, so that any machine finds them again: the stage and its fingerprint.

    Every method raises EndpointRefused where the provider refuses a call or its answer cannot be read, and EndpointDown
    where it does not answer after all tries.
    """

    look_every_s = 20.0  # Assumption: a batch takes minutes to hours
    sharing = 1  # programs that answer a batch together

    def __init__(self, address: Address, purpose: str) -> None:
        self.address, self._purpose = address, purpose
        self._root, _, self._query = base_url(address.urls[0]).partition("?")

    async def __aenter__(self) -> Self:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        self._client = AsyncOpenAI(
            base_url=self._root,
            api_key=self.address.key or "none",  # the SDK wants one; it is sent by `_prepare` alone
            default_query=dict(parse_qsl(self._query)),
            max_retries=0,  # the SDK does not wait as long as providers ask for, and knows fewer statuses than we do
            http_client=DefaultAsyncHttpxClient(
                follow_redirects=False,
                trust_env=False,
                proxy=proxies.proxy_for(self._root),
                event_hooks={"request": [self._prepare], "response": [_refuse_pages]},
            ),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def _prepare(self, request: "httpx2.Request") -> None:
        """Leaves the headers that are ours, and the key if there is one."""
        for name in {*request.headers} - OUR_HEADERS:
            del request.headers[name]
        if self.address.key:
            request.headers["Authorization"] = f"Bearer {self.address.key}"
        if self.address.key and "api-version=" in self._query:
            request.headers["api-key"] = self.address.key  # as Azure wants it

    async def submit(self, lines: Iterable[bytes], note: Callable[[str, str], None]) -> Batch:
        """Upload requests and start a batch of them.

        Args:
            lines: the requests.
            note: told the file before its batch is started, and then with the batch, so that a run that is cut off in
                between finds the batch even where the provider lists it late.
        """
        content = ("requests.jsonl", b"".join(lines), "application/jsonl")

        async def upload() -> str:
            return _name((await self._client.files.create(file=content, purpose="batch")).id)

        file = await self._asked("/files", upload)
        note(file, "")
        batch = await self._start(file)
        note(file, batch.id)
        return batch

    async def _start(self, file: str) -> Batch:
        """Start a batch of a file, once: where no answer came, the batch may exist all the same."""
        failures = 0
        while True:
            try:
                with self._translated("/batches"):
                    started = await self._client.batches.create(
                        input_file_id=file,
                        endpoint=PATHS[self.address.dialect],  # type: ignore[arg-type]
                        completion_window="24h",
                        metadata={"hub_speed": self._purpose},
                    )
                    return self._batch(started)
            except _Failing as error:
                failures, down = failures + 1, error
            if failures == TRIES:
                raise down
            await asyncio.sleep(wait_s(failures, down.wait_s))
            if batch := await self._of_file(file):
                return batch

    async def find(self, file: str) -> Batch | None:
        """The batch of a file, which a run may have started before it was cut off."""
        for failures in range(1, LOOKS + 1):
            if batch := await self._of_file(file):
                return batch
            await asyncio.sleep(wait_s(failures, None))
        return None

    async def _of_file(self, file: str) -> Batch | None:
        return next((batch for batch in await self.mine({}) if batch.requests == file), None)

    async def mine(self, known: Mapping[str, str]) -> list[Batch]:
        """Every batch of this purpose, the newest first, whoever submitted it.

        Args:
            known: batches by their files, which are looked for by name where they are not listed (yet).
        """

        async def listed() -> list[Batch]:
            found = self._client.batches.list(limit=100)
            return [self._batch(b) async for b in found if (b.metadata or {}).get("hub_speed") == self._purpose]

        batches = await self._asked("/batches", listed)
        there = {batch.id for batch in batches}
        return [batch for name in known.values() if name not in there for batch in await self._named(name)] + batches

    async def _named(self, name: str) -> list[Batch]:
        """The batch of a name, if the provider has it (another provider, or another account, does not)."""

        async def retrieved() -> Batch:
            return self._batch(await self._client.batches.retrieve(name))

        try:
            return [await self._asked(f"/batches/{name}", retrieved)]
        except EndpointRefused as error:
            if error.status not in (400, 404):
                raise
            return []

    async def content(self, file: str) -> IO[bytes]:
        """The lines of a file, from the disk."""
        return await self._asked(f"/files/{file}/content", lambda: self._download(file))

    async def _download(self, file: str) -> IO[bytes]:
        lines = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
        async with self._client.files.with_streaming_response.content(file) as response:
            async for chunk in response.iter_bytes():
                if lines.tell() + len(chunk) > MAX_FILE_BYTES:
                    raise ValueError(f"the file is longer than {MAX_FILE_BYTES} bytes")
                lines.write(chunk)
        lines.seek(0)
        return lines

    async def _asked(self, path: str, call: Callable[[], Awaitable[T]]) -> T:
        """What a call returns, made again while it fails; waits as long as the provider asks for."""
        failures = 0
        while True:
            try:
                with self._translated(path):
                    return await call()
            except _Failing as error:
                failures, down = failures + 1, error
            if failures == TRIES:
                raise down
            await asyncio.sleep(wait_s(failures, down.wait_s))

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        """Raises what the SDK raises as errors of this package; no message holds the key."""
        import httpx2
        from openai import APIConnectionError, APIStatusError, OpenAIError

        url, wait = f"endpoint {self.address.name}: {self._root}{path}", None
        fix = "does this server have a Batch API?"
        try:
            yield
            return
        except APIStatusError as error:
            status, response = error.status_code, error.response
            problem = self.address.words(f"{status} {message(response.content)}")
            if status not in RETRY_STATUS:
                if 300 <= status < 400:
                    fix = "pass the address it redirects to: a key is not carried elsewhere"
                refused = EndpointRefused(f"{url} answers {status}", got=problem, fix=fix)
                refused.status = status
                raise refused from None
            wait = retry_after(response.headers, response.content)
        except (APIConnectionError, httpx2.RequestError) as error:
            cause = error.__cause__ or error
            problem = self.address.words(f"{type(cause).__name__}: {cause}")
            if isinstance(cause, ValueError):
                raise EndpointRefused(f"{url} cannot be read", expected=WANTED, got=problem, fix=fix) from None
        except (OpenAIError, ValueError, AttributeError, TypeError) as error:
            got = self.address.words(f"{type(error).__name__}: {error}")
            raise EndpointRefused(f"{url} cannot be read", expected=WANTED, got=got, fix=fix) from None
        fix = "run the same command again later: what was submitted is found again"
        down = _Failing(f"{url} keeps failing", got=problem, fix=fix)
        down.wait_s = wait
        raise down

    def _batch(self, found: "Found") -> Batch:
        problems = (found.errors and found.errors.data) or []
        return Batch(
            _name(found.id),
            found.status,
            found.input_file_id,
            found.output_file_id,
            found.error_file_id,
            self.address.words("; ".join(str(problem.message) for problem in problems)),
            any(problem.code == "token_limit_exceeded" for problem in problems),
        )


def _name(value: str | None) -> str:
    """The name of a file or a batch; the SDK takes any object for one."""
    if not isinstance(value, str) or not value:
        raise ValueError("there is no id in it")
    return value


async def _refuse_pages(response: "httpx2.Response") -> None:
    """Raises ValueError for a web page in place of an answer."""
    kind = response.headers.get("Content-Type", "")
    if response.status_code == 200 and "html" in kind:
        page = (await response.aread()).decode("utf-8", "replace")
        raise ValueError(f"a web page instead of an answer: {' '.join(page.split())[:200]}")
