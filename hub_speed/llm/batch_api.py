"""OpenAI's Batch API through its SDK: submit requests as a file, list the batches, fetch the answers.

Source: the Batch API reference (/v1/files, /v1/batches): at most 50,000 requests per file, answered within 24 hours at
half the price, in any order. Requests that are not answered by then come back as expired.
The SDK is imported when a provider is first asked: most runs never need it.
"""

import asyncio
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl

import orjson

from hub_speed.errors import EndpointDown, EndpointRefused
from hub_speed.llm import dialects, proxies
from hub_speed.llm.address import Address, base_url
from hub_speed.llm.dialects import PATHS, Completion, Request, SchemaForm
from hub_speed.llm.transport import RETRY_STATUS

if TYPE_CHECKING:
    from openai.types import Batch as Found

TRIES, WAIT_S = 6, 1.0  # Assumption: what the SDK cannot repeat is repeated for about a minute; the wait doubles
SDK_RETRIES = 7  # Assumption: about half a minute; the SDK's own waits double from 0.5 to 8 s
MAX_FILE_BYTES = 1 << 30  # Assumption: a batch has at most 10,000 answers; 100 kB each
WORKING = ("validating", "in_progress", "finalizing", "cancelling")
"""States of a batch that will still change."""


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
    """What became of one request: a completion, or the status and message of its refusal."""

    custom_id: str
    completion: Completion | None
    status: int = 200
    problem: str = ""


def line(custom_id: str, address: Address, request: Request, form: SchemaForm, without: Collection[str] = ()) -> bytes:
    """A request as a line of a batch file, `without` what is not taken; `vllm run-batch` reads the same."""
    body = dialects.body(address.dialect, request, address.model, address.prompt_format, form, without)
    whole = {"custom_id": custom_id, "method": "POST", "url": PATHS[address.dialect], "body": body}
    return orjson.dumps(whole) + b"\n"


def read_answers(address: Address, lines: Iterable[bytes]) -> Iterator[BatchAnswer]:
    """The answers in the lines of a file; a line that cannot be read is left out."""
    for text in lines:
        try:
            found = dialects.load(text)
            response, error = found.get("response") or {}, found.get("error") or {}
            status, name = int(response.get("status_code") or 0), str(found["custom_id"])
            if status == 200:
                completion = dialects.read(address.dialect, response["body"])
                yield BatchAnswer(name, address.without_secrets(completion))
            else:
                inner = (response.get("body") or {}).get("error") or {}
                words = str(error.get("message") or inner.get("message") or error.get("code") or "no answer")
                yield BatchAnswer(name, None, status, address.words(words))
        except (ValueError, KeyError, TypeError, AttributeError):
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

    def __init__(self, address: Address, purpose: str) -> None:
        self.address, self._purpose = address, purpose
        self._root, _, self._query = base_url(address.urls[0]).partition("?")

    async def __aenter__(self) -> Self:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient, omit

        # The SDK would add what the environment holds for OpenAI; another provider must not get it.
        not_sent: dict[str, Any] = {"OpenAI-Organization": omit, "OpenAI-Project": omit}
        self._client = AsyncOpenAI(
            base_url=self._root,
            api_key=self.address.key or "none",  # the SDK wants one; a server without keys does not look at it
            default_headers=not_sent,
            default_query=dict(parse_qsl(self._query)),
            max_retries=SDK_RETRIES,
            http_client=DefaultAsyncHttpxClient(
                follow_redirects=False, trust_env=False, proxy=proxies.proxy_for(self._root)
            ),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def submit(self, lines: Iterable[bytes]) -> Batch:
        """Upload requests and start a batch of them."""
        with self._translated("/files"):
            content = ("requests.jsonl", b"".join(lines), "application/jsonl")
            file = (await self._client.files.create(file=content, purpose="batch")).id
        return await self._start(file)

    async def _start(self, file: str) -> Batch:
        """Start a batch of a file, once: where no answer came, the batch may exist all the same."""
        batches, endpoint = self._client.with_options(max_retries=0).batches, PATHS[self.address.dialect]
        for attempt in range(TRIES):
            try:
                with self._translated("/batches"):
                    started = await batches.create(
                        input_file_id=file,
                        endpoint=endpoint,  # type: ignore[arg-type]
                        completion_window="24h",
                        metadata={"hub_speed": self._purpose},
                    )
                    return self._batch(started)
            except EndpointDown as error:
                down = error
            await asyncio.sleep(WAIT_S * 2**attempt)
            for batch in await self.mine():
                if batch.requests == file:
                    return batch
        raise down

    async def mine(self) -> list[Batch]:
        """Every batch of this purpose, the newest first, whoever submitted it."""
        with self._translated("/batches"):
            listed = self._client.batches.list(limit=100)
            return [self._batch(b) async for b in listed if (b.metadata or {}).get("hub_speed") == self._purpose]

    async def content(self, file: str) -> IO[bytes]:
        """The lines of a file, from the disk. The SDK does not repeat a download that breaks off; this does."""
        for attempt in range(TRIES):
            try:
                with self._translated(f"/files/{file}/content"):
                    return await self._download(file)
            except EndpointDown as error:
                down = error
            await asyncio.sleep(WAIT_S * 2**attempt)
        raise down

    async def _download(self, file: str) -> IO[bytes]:
        lines = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
        async with self._client.with_options(max_retries=0).files.with_streaming_response.content(file) as response:
            if "html" in response.headers.get("Content-Type", ""):
                raise ValueError("a web page instead of a file")
            async for chunk in response.iter_bytes():
                if lines.tell() + len(chunk) > MAX_FILE_BYTES:
                    raise ValueError(f"the file is longer than {MAX_FILE_BYTES} bytes")
                lines.write(chunk)
        lines.seek(0)
        return lines

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        """Raises what the SDK raises as errors of this package; no message holds the key."""
        import httpx2
        from openai import APIConnectionError, APIStatusError, OpenAIError

        url, problem = f"endpoint {self.address.name}: {self._root}{path}", ""
        fix = "does this server have a Batch API?"
        try:
            yield
            return
        except APIStatusError as error:
            problem = self.address.words(f"{error.status_code} {' '.join(error.response.text.split())}")
            if error.status_code not in RETRY_STATUS:
                raise EndpointRefused(f"{url} answers {error.status_code}", got=problem, fix=fix) from None
        except (APIConnectionError, httpx2.TransportError) as error:
            cause = error.__cause__ or error
            problem = self.address.words(f"{type(cause).__name__}: {cause}")
        except (OpenAIError, ValueError, AttributeError, TypeError) as error:
            got = self.address.words(f"{type(error).__name__}: {error}")
            wanted = "an answer of the Batch API"
            raise EndpointRefused(f"{url} cannot be read", expected=wanted, got=got, fix=fix) from None
        fix = "run the same command again later: what was submitted is found again"
        raise EndpointDown(f"{url} keeps failing", got=problem, fix=fix)

    def _batch(self, found: "Found") -> Batch:
        problems = (found.errors and found.errors.data) or []
        return Batch(
            found.id,
            found.status,
            found.input_file_id,
            found.output_file_id,
            found.error_file_id,
            self.address.words("; ".join(str(problem.message) for problem in problems)),
            any(problem.code == "token_limit_exceeded" for problem in problems),
        )
