"""A small OpenAI-like server on a real socket. What it answers, and how badly, is decided per request by a function."""

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from running import HANG_S


@dataclass(frozen=True)
class Asked:
    """One request: `nth` counts how often this very body has come, from 1."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    nth: int

    @property
    def prompt(self) -> str:
        """The user's (first) message, in any dialect."""
        if "messages" in self.body:
            return next(each["content"] for each in self.body["messages"] if each["role"] == "user")
        return self.body["prompt"] if "prompt" in self.body else self.body["inputs"]

    @property
    def objection(self) -> str:
        """What the user says about an earlier answer, empty at the first time of asking."""
        return self.body["messages"][-1]["content"] if len(self.body.get("messages", ())) > 2 else ""

    @property
    def n(self) -> int:
        return self.body.get("n", 1)


PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True)
class Reply:
    """An answer as bytes. `cut`: only so many of its bytes are sent, then the connection is dropped."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    cut: int | None = None
    wait_s: float = 0.0

    def raw(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {PHRASES.get(self.status, 'Odd')}"]
        lines += [f"{name}: {value}" for name, value in (*self.headers, ("Content-Length", str(len(self.body))))]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


def as_json(value: Any, status: int = 200, **headers: str) -> Reply:
    """Any JSON; header names are written with underscores: Retry_After="1"."""
    named = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return Reply(json.dumps(value).encode(), status, (("Content-Type", "application/json"), *named))


def error(status: int, message: str = "injected", **headers: str) -> Reply:
    """An error as OpenAI words it."""
    return as_json({"error": {"message": message, "type": "x", "param": None, "code": status}}, status, **headers)


def choices(asked: Asked, texts: list[str], finish_reason: str = "stop") -> dict[str, Any]:
    """A well-formed answer to either dialect."""
    chat = "chat" in asked.path
    found = [
        {"index": i, "finish_reason": finish_reason}
        | ({"message": {"role": "assistant", "content": text}} if chat else {"text": text})
        for i, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 11, "completion_tokens": 7 * len(texts), "total_tokens": 11 + 7 * len(texts)}
    return {"id": "x", "model": "fake-1", "choices": found, "usage": usage}


def text(asked: Asked, answer: str, finish_reason: str = "stop") -> Reply:
    """`n` times the same text."""
    return as_json(choices(asked, [answer] * asked.n, finish_reason))


def tgi(answer: str, finish_reason: str = "eos_token") -> Reply:
    """An answer as TGI's /generate gives it."""
    details = {"finish_reason": finish_reason, "generated_tokens": 7, "prefill": [], "seed": 1, "tokens": []}
    return as_json({"generated_text": answer, "details": details})


DROP = Reply(cut=0)
"""The connection ends before a byte of the answer."""


class FakeOpenAI:
    """Use as a context manager. `answer` may be changed at any time.

    Attributes:
        answer: what a completion request gets: a text, or a whole Reply.
        models: what GET /v1/models gets.
        asked: the completion requests so far, in order of arrival.
        now_open: the completion requests that are open now.
        most_open: the most completion requests that were open at once.
    """

    def __init__(self, answer: Callable[[Asked], Reply | str] = lambda asked: "{}") -> None:
        self.answer = answer
        self.models = as_json({"object": "list", "data": [{"id": "fake-1", "object": "model"}]})
        self.asked: list[Asked] = []
        self.probes: list[Asked] = []
        self.most_open = self.now_open = 0
        self._bodies: Counter[bytes] = Counter()
        self._connections: set[asyncio.Task[None]] = set()

    def __enter__(self) -> "FakeOpenAI":
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(HANG_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(HANG_S)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def prompts(self) -> list[str]:
        """The prompts that were asked, in order of arrival."""
        return [asked.prompt for asked in self.asked]

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._end.wait()
        server.close()
        for task in self._connections:
            task.cancel()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            with contextlib.suppress(RuntimeError):
                writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False when the connection is to be dropped."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if method == "GET":
            self.probes.append(Asked(method, path, headers, None, 1))
            reply = self.models
        else:
            self._bodies[body] += 1
            asked = Asked(method, path, headers, json.loads(body or b"null"), self._bodies[body])
            self.asked.append(asked)
            self.now_open += 1
            self.most_open = max(self.most_open, self.now_open)
            found = self.answer(asked)
            reply = found if isinstance(found, Reply) else text(asked, found)
        try:
            await asyncio.sleep(reply.wait_s)
        finally:
            self.now_open -= method != "GET"
        writer.write(reply.raw() if reply.cut is None else reply.raw()[: reply.cut])
        await writer.drain()
        return reply.cut is None
