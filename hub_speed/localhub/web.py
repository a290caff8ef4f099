"""From an HTTP request to a handler and back.

A handler is a plain function `(call) -> answer` that runs in a worker thread, so it may block on the disk. It returns a
dict or list (sent as JSON) or a response, and raises `HttpRefusal` to refuse. Its body comes piece by piece.
"""

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, unquote

from anyio import from_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hub_speed.localhub import auth
from hub_speed.localhub.errors import HttpRefusal, bad_request, disk_full, repo_not_found
from hub_speed.localhub.store import Repo, Store

JSON_LIMIT = 32 << 20  # bytes; a preupload of 256 files takes 0.2 MB, a card a few kB
PIECE = 1 << 20
log = logging.getLogger("hub_speed.localhub")


class Call:
    """One request.

    Attributes:
        hub: The store.
        request: Starlette's request; handlers need it for headers only.
        params: The variable parts of the path, each decoded once.
        user: `local` when the right token was sent, None for anonymous.
    """

    def __init__(self, hub: Store, request: Request, fixed: dict[str, str]):
        self.hub = hub
        self.request = request
        self.params = {name: unquote(value) for name, value in request.path_params.items()} | fixed
        self.user: str | None = None
        self._stream = _pieces(request)

    @cached_property
    def query(self) -> dict[str, str]:
        """The query string; of a repeated name, the last value."""
        return dict(self.request.query_params)

    @property
    def endpoint(self) -> str:
        """The URL of this hub as the client wrote it."""
        return str(self.request.base_url).rstrip("/")

    def flag(self, name: str) -> bool:
        """A boolean of the query string."""
        return self.query.get(name, "").lower() in ("1", "true")

    def pieces(self, limit: int) -> Iterator[bytes]:
        """The body, in pieces of about a megabyte.

        Raises:
            HttpRefusal: 413 when it is longer than `limit` bytes.
        """
        received = 0
        while piece := from_thread.run(anext, self._stream, b""):
            received += len(piece)
            if received > limit:
                raise HttpRefusal(413, f"Request body too large: expected at most {limit} bytes")
            yield piece

    def read(self, limit: int = JSON_LIMIT) -> bytes:
        """The whole body."""
        return b"".join(self.pieces(limit))

    @cached_property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object, `{}` when it is empty."""
        try:
            body = json.loads(self.read() or b"{}")
        except ValueError:  # also bytes that are no UTF-8
            raise bad_request("Invalid request body: expected JSON") from None
        except RecursionError:
            raise bad_request("Invalid request body: JSON nested too deeply") from None
        if not isinstance(body, dict):
            raise bad_request("Invalid request body: expected a JSON object")
        return body

    def form(self) -> dict[str, list[str]]:
        """The body as a web form: name → values."""
        return parse_qs(self.read().decode("utf-8", "replace"), keep_blank_values=True)

    def text(self, name: str) -> str:
        """A field of the JSON body that must be a non-empty string."""
        value = self.json.get(name)
        if not isinstance(value, str) or not value:
            raise bad_request(f"Invalid request body: expected {name!r} to be a non-empty string")
        return value

    def list_of_dicts(self, name: str) -> list[dict[str, Any]]:
        """A field of the JSON body that must be a list of objects."""
        value = self.json.get(name)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise bad_request(f"Invalid request body: expected {name!r} to be a list of objects")
        return value

    def require_user(self) -> str:
        """The caller's name.

        Raises:
            HttpRefusal: 401 for anonymous.
        """
        if self.user is None:
            raise HttpRefusal(401, "This needs the token of the local hub: set the variables of `hub-speed hub env`")
        return self.user

    def repo(self, *, write: bool = False) -> Repo:
        """The repo named by the path.

        Raises:
            HttpRefusal: 404 when it is missing or private to others, 401 to write without the token.
        """
        repo_id = f"{self.params['namespace']}/{self.params['name']}"
        repo = self.hub.find(self.params["kind"], repo_id)
        if repo.private and self.user is None:
            raise repo_not_found(repo_id)
        if write:
            self.require_user()
        return repo

    async def drain(self) -> None:
        """Read on and throw away: a client that is still sending does not look at the answer."""
        try:
            async for _ in self.request.stream():
                pass
        except (ClientDisconnect, RuntimeError):
            pass  # it is gone, or we have read to the end


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces of at least PIECE bytes (the last may be shorter): fewer trips between threads."""
    held, size = [], 0
    async for chunk in request.stream():
        held.append(chunk)
        size += len(chunk)
        if size >= PIECE:
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)


Handler = Callable[[Call], Any]


def route(method: str, path: str, handler: Handler, **fixed: str) -> Route:
    """A route. `{x}` in `path` is one segment, `{x:path}` the rest; `fixed` adds parameters the path does not have."""

    async def endpoint(request: Request) -> Response:
        return await _answer(handler, request, fixed)

    return Route(path, endpoint, methods=[method])


def routes_of_repos(method: str, path: str, handler: Handler) -> list[Route]:
    """The same route for the three kinds outside of /api; `path` starts with the name of the repo. Models come last."""
    return [
        route(method, f"/datasets/{{namespace}}/{path}", handler, kind="datasets"),
        route(method, f"/spaces/{{namespace}}/{path}", handler, kind="spaces"),
        route(method, f"/{{namespace}}/{path}", handler, kind="models"),
    ]


async def _answer(handler: Handler, request: Request, fixed: dict[str, str]) -> Response:
    call = Call(request.app.state.store, request, fixed)
    try:
        call.user = auth.user_of(request.headers.get("authorization"), call.hub.token)
        result = await run_in_threadpool(handler, call)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody is listening
    except Exception as error:
        refusal = _refusal(error, request)
        await call.drain()
        return JSONResponse(refusal.body, refusal.status, refusal.headers)
    return result if isinstance(result, Response) else JSONResponse(result)


def _refusal(error: Exception, request: Request) -> HttpRefusal:
    if isinstance(error, HttpRefusal):
        return error
    if isinstance(error, OSError) and (full := disk_full(error)):
        return full
    if isinstance(error, FileNotFoundError) and "name" in request.path_params:
        # The repo was deleted or moved while we were at work in it.
        return repo_not_found(unquote(request.path_params["name"]))
    # Only method and path: headers hold the token, query strings hold signatures.
    log.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
    return HttpRefusal(500, f"local hub: {type(error).__name__} while answering; its log has the traceback")
