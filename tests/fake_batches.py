"""A small Batch API on a real socket: files and batches in memory; a test says what becomes of each request."""

import asyncio
import itertools
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from running import HANG_S


def answered(custom_id: str, text: str) -> dict[str, Any]:
    """A line of an output file."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    body = {"id": "x", "model": "fake-1", "choices": [choice], "usage": usage}
    return {"custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": None}


def refused(custom_id: str, status: int, message: str) -> dict[str, Any]:
    """A line of an error file."""
    body = {"error": {"message": message}}
    return {"custom_id": custom_id, "response": {"status_code": status, "body": body}, "error": None}


def expired(custom_id: str) -> dict[str, Any]:
    """A line of an error file: not answered in time."""
    return {"custom_id": custom_id, "response": None, "error": {"code": "batch_expired", "message": "too late"}}


class FakeBatches:
    """Use as a context manager.

    Attributes:
        work: (batch, its requests) → the answers, once it is looked at for the `looks`-th time.
        looks: how often a batch is listed as under way.
        state: what a batch ends as.
        fail: answers a call with this status, when it is not 0; set back to 0 by the call.
        words: its message then; {key} is what it was authorised with.
        odd: (how often, path, answer) of calls that are answered otherwise.
        late: how many times a batch is left out of the listing.
        hang: whether a batch is taken and its start never answered.
        drop: how many batches are taken and the connection dropped before the answer.
        busy: how many batches are not taken: 503.
        room: how many requests may be under way; a batch that is one too many fails.
        problem: the message of a batch that ends as failed.
        submitted: the requests of every batch, in order.
        downloads: how often each file was fetched.
    """

    def __init__(self, work: Callable[[int, list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
        self.work, self.looks, self.state, self.fail = work, 1, "completed", 0
        self.words, self.problem = "no, {key}", "no such model"
        self.drop, self.busy, self.room = 0, 0, 10**9
        self.odd: tuple[int, str, Callable[[web.Request], Awaitable[web.StreamResponse]]] | None = None
        self.late, self.hang = 0, False
        self.headers: list[dict[str, str]] = []
        self.calls: Counter[str] = Counter()
        self.files: dict[str, bytes] = {}
        self.batches: list[dict[str, Any]] = []
        self.submitted: list[list[dict[str, Any]]] = []
        self.downloads: Counter[str] = Counter()
        self.keys: set[str] = set()
        self._names = itertools.count()

    def __enter__(self) -> "FakeBatches":
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(HANG_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(HANG_S)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(middlewares=[self._meddle], client_max_size=1 << 26)
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files/{name}/content", self._content)
        app.router.add_post("/v1/batches", self._create)
        app.router.add_get("/v1/batches", self._list)
        app.router.add_get("/v1/batches/{name}", self._retrieve)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await self._end.wait()
        await runner.cleanup()

    @web.middleware
    async def _meddle(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.keys.add(request.headers.get("Authorization", ""))
        self.headers.append(dict(request.headers))
        self.calls[f"{request.method} {request.path}"] += 1
        if self.odd and request.path.startswith(self.odd[1]):
            count, path, answer = self.odd
            self.odd = (count - 1, path, answer) if count > 1 else None
            return await answer(request)
        if self.fail:
            status, self.fail = self.fail, 0
            words = self.words.replace("{key}", request.headers.get("Authorization", ""))
            soon = {"retry-after-ms": "2"}
            return web.json_response({"error": {"message": words}}, status=status, headers=soon)
        return await handler(request)

    def _keep(self, content: bytes) -> str:
        name = f"file-{next(self._names)}"
        self.files[name] = content
        return name

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        return web.json_response({"id": self._keep(form["file"].file.read())})  # type: ignore[union-attr]

    async def _content(self, request: web.Request) -> web.Response:
        self.downloads[request.match_info["name"]] += 1
        return web.Response(body=self.files[request.match_info["name"]])

    async def _create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if self.busy:
            self.busy -= 1
            return web.json_response({"error": {"message": "busy"}}, status=503)
        underway = sum(batch["size"] for batch in self.batches if batch["status"] == "validating")
        self.submitted.append([json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()])
        batch = {"id": f"batch-{len(self.batches)}", "status": "validating", "looks": 0, **asked}
        batch["size"] = len(self.submitted[-1])
        if underway + batch["size"] > self.room:
            batch["status"] = "failed"
            problem = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}
            batch["errors"] = {"data": [problem]}
        self.batches.append(batch)
        if self.hang:
            await self._end.wait()
        if self.drop:
            self.drop -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(batch)

    async def _retrieve(self, request: web.Request) -> web.Response:
        self._work()
        found = [batch for batch in self.batches if batch["id"] == request.match_info["name"]]
        return web.json_response(found[0] if found else {"error": {"message": "none"}}, status=200 if found else 404)

    async def _list(self, request: web.Request) -> web.Response:
        self._work()
        found = [batch for batch in self.batches[::-1] if batch["looks"] > self.late]
        after = request.query.get("after")
        start = next((i + 1 for i, batch in enumerate(found) if batch["id"] == after), 0)
        return web.json_response({"data": found[start : start + 2], "has_more": start + 2 < len(found)})

    def _work(self) -> None:
        """Another look at the batches, which may be done by it."""
        for i, batch in enumerate(self.batches):
            batch["looks"] += 1
            if batch["looks"] > self.looks and batch["status"] == "validating":
                lines = self.work(i, self.submitted[i])
                good = [line for line in lines if line["response"] and line["response"]["status_code"] == 200]
                bad = [line for line in lines if line not in good]
                batch["status"] = self.state
                for name, found in (("output_file_id", good), ("error_file_id", bad)):
                    if found:
                        batch[name] = self._keep("\n".join(map(json.dumps, reversed(found))).encode())
                if self.state == "failed":
                    batch["errors"] = {"data": [{"code": "model_not_found", "message": self.problem}]}
