"""A model endpoint that costs next to no processor time, for measuring what asks it.

    python scripts/fake_endpoint.py --answer FILE [--mean-ms 200] [--sigma 0.5] [--port 0]

Prints `ready PORT`. Speaks just enough HTTP/1.1 and OpenAI for a client to be measured: every completion is the text of
FILE, after a lognormal wait. GET /stats says what was asked; POST /settings changes any field of `Settings` and
forgets what was counted. Which request a fault meets is drawn by a seeded generator, in order of arrival.
"""

import argparse
import asyncio
import dataclasses
import json
import math
import random
import re
import sys
import time
from collections import Counter, deque
from functools import lru_cache
from typing import cast

import uvloop

CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
COUNT = re.compile(rb'"n": ?(\d+)')


@dataclasses.dataclass
class Settings:
    """How the endpoint behaves; shares are of all requests, `slots` 0 means that all are worked on at once."""

    mean_ms: float = 200.0
    sigma: float = 0.5
    slots: int = 0
    share_429: float = 0.0
    share_500: float = 0.0
    share_dropped: float = 0.0
    share_malformed: float = 0.0


class Server:
    """Settings, counts, and the queue in front of the slots."""

    def __init__(self, answer: str, settings: Settings) -> None:
        self.answer, self.settings = answer, settings
        self.loop = asyncio.get_running_loop()
        self.forget()

    def forget(self) -> None:
        """Count from zero."""
        self.draws = random.Random(0)
        self.bodies: Counter[int] = Counter()
        self.statuses: Counter[str] = Counter()
        self.open = self.most_open = self.busy = 0
        self.waiting: deque[tuple[Connection, int, bool]] = deque()
        self.first = self.last = 0.0

    def stats(self) -> dict[str, object]:
        """What has been counted; times are seconds since the epoch."""
        asked = sum(self.bodies.values())
        return {
            "asked": asked,
            "asked_again": asked - len(self.bodies),
            "open": self.open,
            "most_open": self.most_open,
            "statuses": self.statuses,
            "first": self.first,
            "last": self.last,
        }

    def take(self, connection: "Connection", body: bytes) -> None:
        """A request for a completion."""
        self.first = self.first or time.time()
        self.bodies[hash(body)] += 1
        s, draw = self.settings, self.draws.random()
        for share, status in ((s.share_429, "429 Too Many Requests"), (s.share_500, "500 Internal Server Error")):
            if draw < share:
                self.statuses[status[:3]] += 1
                return connection.send(status, b'{"error": {"message": "drawn by lot"}}')
            draw -= share
        if draw < s.share_dropped:
            self.statuses["dropped"] += 1
            return connection.transport.abort()
        found = COUNT.search(body)
        job = (connection, int(found[1]) if found else 1, draw < s.share_dropped + s.share_malformed)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        if s.slots and self.busy >= s.slots:
            self.waiting.append(job)
        else:
            self.work(job)

    def work(self, job: "tuple[Connection, int, bool]") -> None:
        """Answer after a while. A lognormal with this location has the mean that was asked for."""
        self.busy += 1
        s = self.settings
        wait_s = s.mean_ms / 1000 * math.exp(self.draws.gauss(0, s.sigma) - s.sigma**2 / 2) if s.mean_ms else 0.0
        self.loop.call_later(wait_s, self.finish, job)

    def finish(self, job: "tuple[Connection, int, bool]") -> None:
        """Send the answer, and start on the next request that waits."""
        connection, count, malformed = job
        self.open -= 1
        self.busy -= 1
        self.statuses["200"] += 1
        self.last = time.time()
        connection.send("200 OK", completion(count, self.answer[:-9] if malformed else self.answer))
        if self.waiting:
            self.work(self.waiting.popleft())


@lru_cache
def completion(count: int, text: str) -> bytes:
    """An answer that both dialects can read."""
    choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": text}, "text": text}
    usage = {"prompt_tokens": 50, "completion_tokens": 120 * count, "total_tokens": 50 + 120 * count}
    return json.dumps({"model": "fake", "choices": [choice] * count, "usage": usage}).encode()


class Connection(asyncio.Protocol):
    """One client's connection: requests one after the other."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self.server, self.buffer, self.last = server, b"", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has connected."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Part of a request, or several."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            found = LENGTH.search(self.buffer, 0, end)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(self.buffer) < size:
                return
            self.last = CLOSE.search(self.buffer, 0, end) is not None
            head, body, self.buffer = self.buffer[:end], self.buffer[end + 4 : size], self.buffer[size:]
            self.answer(head.split(b" ", 2)[1].decode(), body)

    def answer(self, path: str, body: bytes) -> None:
        """Answer one request."""
        if path.endswith("/completions"):
            self.server.take(self, body)
        elif path == "/stats":
            self.send("200 OK", json.dumps(self.server.stats()).encode())
        elif path == "/settings":
            self.server.settings = Settings(**json.loads(body))
            self.server.forget()
            self.send("200 OK", b"{}")
        else:
            self.send("200 OK", b'{"object": "list", "data": [{"id": "fake", "object": "model"}]}')

    def send(self, status: str, body: bytes) -> None:
        """Send one answer, if anybody is still there."""
        if not self.transport.is_closing():
            head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self.transport.write(head.encode() + body)
            if self.last:
                self.transport.close()


async def serve(answer: str, settings: Settings, port: int) -> None:
    """Serve until standard input is closed."""
    server = Server(answer, settings)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", port, backlog=4096)
    print(f"ready {listening.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answer", required=True)
    parser.add_argument("--mean-ms", type=float, default=Settings.mean_ms)
    parser.add_argument("--sigma", type=float, default=Settings.sigma)
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    with open(args.answer, encoding="utf-8") as file:
        answer = file.read()
    uvloop.run(serve(answer, Settings(mean_ms=args.mean_ms, sigma=args.sigma), args.port))


if __name__ == "__main__":
    main()
