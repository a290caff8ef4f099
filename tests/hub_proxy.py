"""Somebody between a client and the embedded Hub: drops requests, or answers them in the Hub's place."""

import http.client
import http.server
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from running import HANG_S

LOSE = -1
"""The Hub gets the request, and the client no answer."""


class Proxy(http.server.BaseHTTPRequestHandler):
    """Passes everything on to the Hub, but for what `meddle` does with a request first.

    `meddle` returns True to drop the connection, LOSE to drop the answer, or a status to answer with.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is two writes, and the second would wait 40 ms for the first
    target = ("127.0.0.1", 0)
    meddle: Callable[["Proxy"], bool | int]
    body: bytes

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.body = body
        told = type(self).meddle(self)
        self.close_connection = bool(told)
        if told and told != LOSE:
            if told is not True:
                self.send_error(told)
            return
        there = http.client.HTTPConnection(*self.target, timeout=HANG_S)
        own = {"transfer-encoding", "content-length", "connection"}
        there.request(self.command, self.path, body, {k: v for k, v in self.headers.items() if k.lower() not in own})
        answer = there.getresponse()
        content = answer.read()
        if told == LOSE:
            there.close()
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in own:
                self.send_header(name, value)
        self.send_header("Content-Length", answer.headers.get("Content-Length") or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        there.close()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _pass

    def log_message(self, *_: object) -> None: ...


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None: ...


@contextmanager
def proxied(endpoint: str, meddle: Callable[[Proxy], bool | int]) -> Iterator[str]:
    """The address of a Hub with somebody in between; see `Proxy.meddle`."""
    host, port = endpoint.removeprefix("http://").split(":")
    handler = type("Handler", (Proxy,), {"target": (host, int(port)), "meddle": staticmethod(meddle)})
    server = _Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()  # how soon it sees the end
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def account(role: str, *orgs: str, create: int = 0) -> Callable[[Proxy], bool | int]:
    """Answers in the Hub's place who the token belongs to, and with a status whoever creates a repository."""
    found = {"name": "ada", "orgs": [{"name": org, "roleInOrg": "write"} for org in orgs]}
    text = json.dumps(found | {"auth": {"accessToken": {"role": role}}}).encode()

    def meddle(request: Proxy) -> bool | int:
        if request.path != "/api/whoami-v2":
            return create if request.path == "/api/repos/create" else False
        request.send_response(200)
        request.send_header("Content-Length", str(len(text)))
        request.send_header("Connection", "close")  # or the client may send its next request into it
        request.end_headers()
        request.wfile.write(text)
        return True

    return meddle
