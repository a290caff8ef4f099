"""From an HTTP request to a handler and back.

A handler is a plain function `(call) -> answer` that runs in a worker thread, so it may block on the disk. It returns a
dict or list (sent as JSON) or a response, and raises `HttpRefusal` to refuse.

Every change needs the token, and the token is checked before the body is read. The body is read before the handler gets
a thread, so an unfinished one does not block other requests. Only long uploads are read by their handlers, piece by
piece, in separate threads.
"""

import contextlib
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, unquote

import anyio
import anyio.lowlevel
from anyio import from_thread, to_thread
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hub_speed.localhub import auth
from hub_speed.localhub.errors import HttpRefusal, Moved, bad_request, disk_full, repo_not_found
from hub_speed.localhub.store import Repo, Store

BODY_LIMIT = 32 << 20  # bytes. Assumption: a preupload of 256 files takes 0.2 MB
ANONYMOUS_LIMIT = 2 << 20  # bytes without a token. Assumption: a card takes a few kB
UPLOAD_THREADS = 250  # Assumption: they mostly wait for the network
BEGIN_AGAIN = 3  # times. Assumption: so many repos are hardly deleted or moved while one listing is made
IDLE_S = 60.0  # Assumption: a client that sends nothing for a minute is gone
PIECE = 1 << 20
LIMIT = re.compile(r"[0-9]{1,9}", re.ASCII)
log = logging.getLogger("hub_speed.localhub")


class Json(JSONResponse):
    """A JSON answer in ASCII: half a surrogate pair that older versions stored comes back as its escape."""

    def render(self, content: Any) -> bytes:
        """The bytes of the answer."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


class Call:
    """One request.

    Attributes:
        hub: The store.
        request: Starlette's request; handlers need it for headers only.
        params: The variable parts of the path, each decoded once.
        caller: Who calls.
        writes: Whether the route changes something.
        body: The whole body; empty for a route that reads it in `pieces`.
    """

    def __init__(self, hub: Store, request: Request, fixed: dict[str, str]):
        self.hub = hub
        self.request = request
        self.params = {name: unquote(value) for name, value in request.path_params.items()} | fixed
        self.caller = auth.Caller(None)
        self.writes = False
        self.body = b""
        self._stream = _pieces(request)

    @property
    def user(self) -> str | None:
        """`local` when a right token was sent, None for anonymous."""
        return self.caller.user

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
        """The body of a long upload, in pieces of about a megabyte.

        Raises:
            HttpRefusal: 413 when it is longer than `limit` bytes, 408 when the client stops sending.
        """
        received = 0
        while piece := from_thread.run(anext, self._stream, b""):
            received += len(piece)
            if received > limit:
                raise _too_large(limit)
            yield piece

    async def read_body(self) -> None:
        """Read the whole body, at most 2 MB of it from a caller without the token.

        Raises:
            HttpRefusal: 413 when it is too long, 408 when the client stops sending.
        """
        limit = BODY_LIMIT if self.user else ANONYMOUS_LIMIT
        pieces, received = [], 0
        async for piece in self._stream:
            pieces.append(piece)
            received += len(piece)
            if received > limit:
                raise _too_large(limit)
        self.body = b"".join(pieces)

    @cached_property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object, `{}` when it is empty.

        Raises:
            HttpRefusal: 400 when it is not one. 415 when a caller without the token does not call it JSON: pages of
                other sites may send forms and plain text without asking, but not JSON.
        """
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self.user is None and kind != "application/json" and not kind.endswith("+json"):
            raise HttpRefusal(415, f"Invalid request: expected Content-Type application/json, got {kind!r}")
        body = parse_json(self.body or b"{}")
        if not isinstance(body, dict):
            raise bad_request("Invalid request body: expected a JSON object")
        return body

    @property
    def limit(self) -> int | None:
        """How many items of a list are wanted; None for all.

        Raises:
            HttpRefusal: 400 when it is not a number of up to 9 digits.
        """
        limit = self.query.get("limit")
        if limit is not None and not LIMIT.fullmatch(limit):
            raise bad_request(f"Invalid limit: expected a number of up to 9 digits, got {limit[:20]!r}")
        return None if limit is None else int(limit)

    def form(self) -> dict[str, list[str]]:
        """The body as a web form: name → values."""
        return parse_qs(self.body.decode("utf-8", "replace"), keep_blank_values=True)

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

    def require_namespace(self, namespace: str) -> None:
        """Let only callers pass who may change what is in a namespace.

        Raises:
            HttpRefusal: 401 for anonymous, 403 for a token of another organisation.
        """
        self.require_user()
        if not self.caller.may(namespace):
            raise HttpRefusal(403, f"This token is for {self.caller.only} only, it may not change {namespace}")

    def find(self, kind: str, repo_id: str) -> Repo:
        """A repo that the caller may see; also by a name it had before.

        Raises:
            HttpRefusal: 404 when it is missing, or private and the caller may not see it.
        """
        repo = self.hub.find(kind, repo_id)
        if repo.private and not self.caller.may(repo.namespace):
            raise repo_not_found(repo_id)
        return repo

    def repo(self, *, for_git: bool = False, to_read: bool = False) -> Repo:
        """The repo named by the path.

        Args:
            for_git: Whether git asks, which sends the token only after a 401.
            to_read: Whether the route reads this repo, although it changes something.

        Raises:
            HttpRefusal: 404 when it is missing, or private and the caller sent no token.
                403 when the route changes it and the token is for another organisation.
            Moved: It has another name now, or is spelled in other letters.
        """
        repo_id = f"{self.params['namespace']}/{self.params['name']}"
        try:
            repo = self.find(self.params["kind"], repo_id)
            if self.writes and not to_read:
                self.require_namespace(repo.namespace)
            if repo.id != repo_id:
                raise Moved(repo.id)
        except HttpRefusal as error:
            if for_git and self.user is None:
                ask = {"WWW-Authenticate": 'Basic realm="local hub: any name, the token as password"'}
                raise HttpRefusal(401, error.message, headers=ask) from None
            raise
        return repo

    async def drain(self) -> None:
        """Read the rest and drop it: a client that is still sending does not read the answer."""
        # The client is gone or silent, or everything is read.
        with contextlib.suppress(ClientDisconnect, HttpRefusal, RuntimeError):
            async for _ in _pieces(self.request):
                pass


def parse_json(text: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        HttpRefusal: 400 for what is not JSON, NaN, infinities and half surrogate pairs among it: no answer of ours
            could hold them.
    """
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:  # also bytes that are not UTF-8, and integers of thousands of digits
        raise bad_request("Invalid request body: expected JSON") from None
    except RecursionError:
        raise bad_request("Invalid request body: JSON nested too deeply") from None
    return value


def _too_large(limit: int) -> HttpRefusal:
    return HttpRefusal(413, f"Request body too large: expected at most {limit} bytes")


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces of at least PIECE bytes (the last may be shorter): fewer trips between threads."""
    held, size = [], 0
    stream = request.stream()
    while chunk := await _next(stream):
        held.append(chunk)
        size += len(chunk)
        if size >= PIECE:
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)


async def _next(stream: AsyncGenerator[bytes, None]) -> bytes:
    try:
        with anyio.fail_after(IDLE_S):
            return await anext(stream, b"")
    except TimeoutError:
        message = f"Request body unfinished: nothing came for {IDLE_S:.0f} s; send it again"
        raise HttpRefusal(408, message, headers={"Connection": "close"}) from None


Handler = Callable[[Call], Any]


def route(
    method: str, path: str, handler: Handler, *, anonymous: bool = False, streams: bool = False, **fixed: str
) -> Route:
    """A route.

    Args:
        method: What is not GET needs the token. Several methods have spaces between them.
        path: `{x}` is one segment, `{x:path}` the rest.
        handler: Answers the request.
        anonymous: Whether a method that is not GET needs no token.
        streams: Whether the handler reads the body in `pieces`.
        fixed: Parameters that the path does not have.
    """
    needs_token = method != "GET" and not anonymous
    answer = _listing(handler) if method == "GET" and "{name}" not in path else handler

    async def endpoint(request: Request) -> Response:
        call = Call(request.app.state.store, request, fixed)
        try:
            call.caller = auth.caller_of(request.headers.get("authorization"), call.hub.root, call.hub.token)
            call.writes = needs_token
            if needs_token:
                call.require_user()
            if not streams:
                await call.read_body()
            result = await to_thread.run_sync(answer, call, limiter=_uploads() if streams else None)
        except ClientDisconnect:
            return Response(status_code=400)  # the client is gone
        except Moved as moved:
            await call.drain()
            return _redirect(request, moved.repo_id)
        except Exception as error:
            refusal = _refusal(error, request)
            if refusal.status != 408:
                await call.drain()
            return Json(refusal.body, refusal.status, refusal.headers)
        return result if isinstance(result, Response) else Json(result)

    return Route(path, endpoint, methods=method.split())


def _listing(handler: Handler) -> Handler:
    """The same for what is not about one repo: it begins again when one that it meets is gone before it is read."""

    def answer(call: Call) -> Any:
        for _ in range(BEGIN_AGAIN):
            try:
                return handler(call)
            except (FileNotFoundError, KeyError):  # KeyError: another repo has come to its place
                continue
            except HttpRefusal as refusal:
                if refusal.status != 404:
                    raise
        return handler(call)

    return answer


class _Owner(StringConvertor):
    """Who owns a model: not the first part of an address of another kind."""

    regex = "(?!(?:datasets|spaces)/)[^/]+"


register_url_convertor("owner", _Owner())


def routes_of_repos(method: str, path: str, handler: Handler, *, anonymous: bool = False) -> list[Route]:
    """The same route for the three kinds outside of /api; `path` starts with the name of the repo."""
    return [
        route(method, f"{prefix}/{{namespace:{convertor}}}/{path}", handler, anonymous=anonymous, kind=kind)
        for prefix, kind, convertor in (
            ("/datasets", "datasets", "str"),
            ("/spaces", "spaces", "str"),
            ("", "models", "owner"),
        )
    ]


def _redirect(request: Request, repo_id: str) -> Response:
    """The same address with the other name of the repo; 307 keeps the method and the body."""
    path, asked = request.scope["path"], "/{namespace}/{name}".format(**request.path_params)
    query = request.scope["query_string"].decode("ascii", "replace")
    location = path.replace(asked, f"/{repo_id}", 1) + (f"?{query}" if query else "")
    return Response(status_code=307, headers={"Location": location})


UPLOADS = anyio.lowlevel.RunVar[anyio.CapacityLimiter]("uploads")


def _uploads() -> anyio.CapacityLimiter:
    """The threads for uploads; all other requests share anyio's 40."""
    try:
        return UPLOADS.get()
    except LookupError:
        UPLOADS.set(limiter := anyio.CapacityLimiter(UPLOAD_THREADS))
        return limiter


def _refusal(error: Exception, request: Request) -> HttpRefusal:
    if isinstance(error, HttpRefusal):
        return error
    if isinstance(error, OSError) and (full := disk_full(error)):
        return full
    if isinstance(error, FileNotFoundError) and "name" in request.path_params:
        # The repo was deleted or moved meanwhile.
        return repo_not_found(unquote(request.path_params["name"]))
    # Only method and path: headers hold the token, query strings hold signatures.
    log.error("%s %s failed (%s)", request.method, request.scope["path"], request.scope["request_id"], exc_info=error)
    return HttpRefusal(
        500,
        f"local hub: {type(error).__name__} while answering; its log has the traceback, under the id of the request",
    )
