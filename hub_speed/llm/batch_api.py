"""OpenAI's Batch API, as far as it is needed: submit requests as a file, look after it, fetch the answers.

Source: the Batch API reference (/v1/files, /v1/batches): at most 50,000 requests a file, answered within 24 hours at
half the price, in any order; what is not answered by then comes back as expired.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from hub_speed.errors import EndpointDown, EndpointRefused
from hub_speed.llm import dialects
from hub_speed.llm.address import Address
from hub_speed.llm.dialects import PATHS, Completion, Request, SchemaForm
from hub_speed.llm.transport import RETRY_STATUS

TRIES, WAIT_S = 6, 1.0  # Assumption: a call is made again for about a minute; the wait doubles
WORKING = ("validating", "in_progress", "finalizing", "cancelling")
"""States of a batch that will still change."""


@dataclass(frozen=True)
class Batch:
    """One submitted file of requests.

    Attributes:
        answers, errors: files too, None where there are none (yet).
        problem: why it failed as a whole, in the provider's words.
        no_room: whether that is because it did not fit beside what the provider has to answer already.
    """

    id: str
    state: str
    requests: str
    answers: str | None
    errors: str | None
    problem: str = ""
    no_room: bool = False


@dataclass(frozen=True)
class Answer:
    """What became of one request: a completion, or the status and message of its refusal."""

    custom_id: str
    completion: Completion | None
    status: int = 200
    problem: str = ""


def line(custom_id: str, address: Address, request: Request, form: SchemaForm) -> bytes:
    """A request as a line of a batch file; `vllm run-batch` reads the same."""
    body = dialects.body(address.dialect, request, address.model, address.prompt_format, form)
    whole = {"custom_id": custom_id, "method": "POST", "url": PATHS[address.dialect], "body": body}
    return orjson.dumps(whole) + b"\n"


def read_answers(address: Address, content: bytes) -> Iterator[Answer]:
    """The answers in a file; a line that cannot be read is no answer."""
    for text in content.splitlines():
        try:
            found = orjson.loads(text)
            response, error = found.get("response") or {}, found.get("error") or {}
            status, name = int(response.get("status_code") or 0), str(found["custom_id"])
            if status == 200:
                yield Answer(name, dialects.read(address.dialect, response["body"]))
            else:
                inner = (response.get("body") or {}).get("error") or {}
                words = str(error.get("message") or inner.get("message") or error.get("code") or "no answer")
                yield Answer(name, None, status, address.words(words))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue


class Batches:
    """The batches of one purpose at one provider; use as an async context manager.

    Args:
        address: the model.
        purpose: a name that the batches carry, so that any machine finds them again: the stage and its fingerprint.
    """

    look_every_s = 20.0  # Assumption: a batch takes minutes to hours

    def __init__(self, address: Address, purpose: str) -> None:
        self.address, self._purpose = address, purpose
        self._root = address.urls[0].rstrip("/").removesuffix("/v1") + "/v1"

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self.address.key}"} if self.address.key else {}
        self._session = aiohttp.ClientSession(headers=headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def submit(self, lines: Iterable[bytes]) -> Batch:
        """Upload requests and have them answered."""
        content = b"".join(lines)

        def form() -> aiohttp.FormData:
            data = aiohttp.FormData({"purpose": "batch"})
            data.add_field("file", content, filename="requests.jsonl", content_type="application/jsonl")
            return data

        file = orjson.loads(await self._call("POST", "/files", form=form))
        body = {"input_file_id": file["id"], "endpoint": PATHS[self.address.dialect], "completion_window": "24h"}
        return await self._start(body | {"metadata": {"hub_speed": self._purpose}})

    async def _start(self, asked: dict[str, Any]) -> Batch:
        """Have a file answered, once: where no answer came, the batch may be there all the same."""
        for attempt in range(TRIES):
            try:
                return self._batch(orjson.loads(await self._call("POST", "/batches", json=asked, tries=1)))
            except EndpointDown as error:
                down = error
            await asyncio.sleep(WAIT_S * 2**attempt)
            for batch in await self.mine():
                if batch.requests == asked["input_file_id"]:
                    return batch
        raise down

    async def mine(self) -> list[Batch]:
        """Every batch of this purpose, the newest first, whoever submitted it."""
        found, after = [], ""
        while True:
            page = orjson.loads(await self._call("GET", f"/batches?limit=100{after}"))
            data = page.get("data") or []
            found += [self._batch(b) for b in data if (b.get("metadata") or {}).get("hub_speed") == self._purpose]
            if not page.get("has_more") or not data:
                return found
            after = f"&after={data[-1]['id']}"

    async def content(self, file: str) -> bytes:
        """What is in a file."""
        return await self._call("GET", f"/files/{file}/content")

    async def _call(self, method: str, path: str, *, json: Any = None, form: Any = None, tries: int = TRIES) -> bytes:
        """The body of an answer of 200.

        Raises:
            EndpointRefused: any other answer that asking again would not change.
            EndpointDown: no answer after all tries.
        """
        name, problem = self.address.name, ""
        for attempt in range(tries):
            if attempt:
                await asyncio.sleep(WAIT_S * 2 ** (attempt - 1))
            try:
                url, data = self._root + path, form() if form else None
                async with self._session.request(method, url, json=json, data=data, allow_redirects=False) as response:
                    body = await response.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                problem = self.address.words(f"{type(error).__name__}: {error}")
                continue
            if response.status == 200:
                return body
            problem = self.address.words(f"{response.status} {' '.join(body.decode('utf-8', 'replace').split())}")
            if response.status not in RETRY_STATUS:
                refused = f"endpoint {name}: {self._root}{path} answers {response.status}"
                raise EndpointRefused(refused, got=problem, fix="does this server have a Batch API?")
        raise EndpointDown(
            f"endpoint {name}: {self._root}{path} keeps failing",
            got=problem,
            fix="run the same command again later: what was submitted is found again",
        )

    def _batch(self, found: dict[str, Any]) -> Batch:
        problems = (found.get("errors") or {}).get("data") or []
        return Batch(
            str(found["id"]),
            str(found["status"]),
            str(found["input_file_id"]),
            found.get("output_file_id"),
            found.get("error_file_id"),
            self.address.words("; ".join(str(problem.get("message")) for problem in problems)),
            any(problem.get("code") == "token_limit_exceeded" for problem in problems),
        )
