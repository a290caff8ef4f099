"""One answer of a model, as it is written: word by word where the server streams, in one piece where it does not."""

import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson

from hub_speed.errors import EndpointDown, EndpointRefused
from hub_speed.llm import dialects, proxies, transport
from hub_speed.llm.address import Address, base_url, below, request_url
from hub_speed.llm.dialects import Completion, Request

MAX_BYTES = 2_000_000  # of an answer. Assumption: the longest prompt here asks for some 10,000 characters
CONNECT_S = 10.0  # Assumption: until a connection stands


class Asking:
    """Requests to one model's server.

    Args:
        address: where it is.
        timeout_s: seconds one answer may take.
        connector: for a visitor's endpoint, what it may connect to; the environment's proxies do not count then.
    """

    def __init__(self, address: Address, timeout_s: float, connector: aiohttp.TCPConnector | None = None) -> None:
        self.address, self.model = address, address.model
        self._base = base_url(address.urls[0], address.dialect)
        self._headers = {"Content-Type": "application/json"}
        if address.key:
            self._headers["Authorization"] = f"Bearer {address.key}"
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
        self._connector = connector

    async def answer(self, request: Request) -> AsyncIterator[str | Completion]:
        """What is written so far, again and again, and at last the completion.

        Raises:
            EndpointDown: nobody answers, in time, or in words that can be read.
            EndpointRefused: the server refuses the request.
        """
        try:
            async with aiohttp.ClientSession(timeout=self._timeout, connector=self._connector) as session:
                self.model = self.model or await self._first_model(session)
                async for step in self._answer(session, request):
                    yield step
        except aiohttp.ClientConnectorError as error:
            raise self._down("cannot be reached", error.os_error) from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise self._down("does not answer as it should", error) from error

    async def _answer(self, session: aiohttp.ClientSession, request: Request) -> AsyncIterator[str | Completion]:
        """The same, after as many changes of the request as the server asks for."""
        dialect, without, started = self.address.dialect, set[str](), time.monotonic()
        url = request_url(self._base, dialect)
        while True:
            body = dialects.body(dialect, request, self.model, self.address.prompt_format, without=without)
            if dialect != "tgi":
                body |= {"stream": True}
            async with session.post(url, data=orjson.dumps(body), allow_redirects=False, **self._to(url)) as response:
                if response.status == 200:
                    async for step in self._read(response, started):
                        yield step
                    return
                words = transport.message(await _bounded(response))
            name = dialects.unsupported(words, without) if response.status in (400, 422) else ""
            if not name:
                raise self._refused(response.status, words)
            without.add(name)

    async def _read(self, response: aiohttp.ClientResponse, started: float) -> AsyncIterator[str | Completion]:
        if response.content_type != "text/event-stream":
            answer = dialects.load(await _bounded(response), response.charset)
        else:
            written = _Written(self.address.dialect)
            async for line in _lines(response):
                if written.add(line):
                    yield written.text
            answer = written.answer()
        if (status := transport.inner_status(answer)) != 200:
            raise self._refused(status, transport.message(orjson.dumps(answer)))
        seconds = time.monotonic() - started
        yield self.address.without_secrets(dialects.read(self.address.dialect, answer, self.model, seconds))

    async def _first_model(self, session: aiohttp.ClientSession) -> str:
        """The first model that the server lists; empty where it lists none."""
        url = below(self._base, "/models")
        async with session.get(url, allow_redirects=False, **self._to(url)) as response:
            listed = transport.models(await _bounded(response))
        return next(iter(listed), "")

    def _to(self, url: str) -> dict[str, Any]:
        if self._connector is not None:
            return {"headers": self._headers}
        return proxies.request_options(url, self._headers)

    def _down(self, what: str, error: BaseException) -> EndpointDown:
        got = self.address.words(f"{type(error).__name__}: {error}".removesuffix(": "))
        fix = "check the address, or try again in a minute"
        return EndpointDown(f"The {self.address.name} {what}", got=got, fix=fix)

    def _refused(self, status: int, words: str) -> EndpointRefused:
        fix = {401: "check the key", 403: "check the key", 404: "check the address and the model's name"}
        fix |= {400: "shorten the document or the task, or take another model", 429: "try again in a minute"}
        if 300 <= status < 400:
            fix[status] = "give the address it redirects to"
        got = self.address.words(words)
        return EndpointRefused(f"The {self.address.name} answers {status}", got=got, fix=fix.get(status, "try again"))


class _Written:
    """An answer as its events arrive."""

    def __init__(self, dialect: dialects.Dialect) -> None:
        self._chat, self.text, self._reason = dialect == "chat", "", ""
        self._error: Any = None
        self._more: dict[str, Any] = {}

    def add(self, line: bytes) -> bool:
        """Take a line of the stream in; whether there is more text now."""
        data = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or data == b"[DONE]":
            return False
        event = orjson.loads(data)
        if transport.inner_status(event) != 200:
            self._error = event
            return False
        self._more |= {name: event[name] for name in ("usage", "model") if event.get(name)}
        choice: dict[str, Any] = next(iter(event.get("choices") or []), {})
        self._reason = choice.get("finish_reason") or self._reason
        more = (choice.get("delta") or {}).get("content") if self._chat else choice.get("text")
        self.text += more if isinstance(more, str) else ""
        return bool(more)

    def answer(self) -> Any:
        """The answer as a server that does not stream would send it."""
        if self._error:
            return self._error
        content = {"message": {"content": self.text}} if self._chat else {"text": self.text}
        return self._more | {"choices": [content | {"finish_reason": self._reason}]}


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body of a response.

    Raises:
        ValueError: it is too long.
    """
    return b"".join([chunk async for chunk in _chunks(response)])


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_BYTES:
            raise ValueError(f"the answer is longer than {MAX_BYTES:,} bytes")
        yield chunk


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in _chunks(response):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
    yield rest
