"""The embedded Hub as an ASGI app: the account routes, and the routes of all other modules."""

import secrets
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub_speed.localhub import (
    absent,
    auth,
    card_rules,
    clone,
    collections,
    commits,
    discussion_pages,
    discussions,
    files,
    infos,
    pages,
    pulls,
    refs,
    repo_pages,
    repos,
    spaces,
    storage,
    uploads,
)
from hub_speed.localhub.errors import HttpRefusal
from hub_speed.localhub.store import Store
from hub_speed.localhub.web import Call, Json, route

# For every answer: no guessing of types, and no use by web pages of other sites. An id comes with them.
HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin"))


def whoami(call: Call) -> dict[str, Any]:
    """GET whoami-v2: the only user, who is admin of every namespace that the token is for."""
    user, only = call.require_user(), call.caller.only
    names = call.hub.namespaces() if only is None else [only]
    orgs = [{"type": "org", "name": name, "fullname": name, "roleInOrg": "admin"} for name in names]
    return {
        "type": "user",
        "id": user,
        "name": user,
        "fullname": "Local hub",
        "isPro": False,
        "orgs": orgs,
        "auth": {"type": "access_token", "accessToken": {"displayName": only or user, "role": "write"}},
    }


def validate_yaml(call: Call) -> Response:
    """POST validate-yaml: checks a card before it is committed. Needs no token, as clients send none."""
    content, repo_type = call.json.get("content"), str(call.json.get("repoType"))
    verdict = card_rules.check(content if isinstance(content, str) else "", repo_type)
    status = 400 if verdict.errors else 200
    if call.request.headers.get("accept") == "text/plain":  # `RepoCard.validate` shows the text to a person
        lines = [*(f"- Error: {error}" for error in verdict.errors), *(f"- Warning: {w}" for w in verdict.warnings)]
        return PlainTextResponse("\n".join(lines), status)
    found = {name: [{"message": message} for message in messages] for name, messages in verdict._asdict().items()}
    return Json(found, status)


ROUTES = [
    *storage.ROUTES,
    *absent.ROUTES,
    route("GET", "/api/whoami-v2", whoami),
    route("POST", "/api/validate-yaml", validate_yaml, anonymous=True),
    *collections.ROUTES,
    *spaces.ROUTES,
    *repos.ROUTES,
    *infos.ROUTES,
    *refs.ROUTES,
    *commits.ROUTES,
    *discussions.ROUTES,
    *pulls.ROUTES,
    *uploads.ROUTES,
    *files.ROUTES,
    *clone.ROUTES,
    *pages.ROUTES,
    *repo_pages.ROUTES,
    *discussion_pages.ROUTES,
]
ROUTES += [nameless for found in ROUTES if (nameless := absent.without_namespace(found))]


async def _no_route(request: Request, _error: Exception) -> Response:
    message = f"The local hub has no {request.method} {request.scope['path']}"
    if "text/html" in request.headers.get("accept", ""):  # a person with a browser
        return pages.not_there(message)
    return Json({"error": message}, status_code=404)


def make_app(store: Store) -> ASGIApp:
    """The app that serves a store."""
    app = Starlette(routes=ROUTES, exception_handlers={404: _no_route, 405: _no_route})
    app.state.store = store
    return _Front(app)


class _Front:
    """What happens to every request before routing."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["request_id"] = secrets.token_hex(8)
        headers = (*HEADERS, (b"x-request-id", scope["request_id"].encode()))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        try:
            auth.check_sender(scope["method"], Request(scope).headers)
        except HttpRefusal as error:
            await Json(error.body, error.status, error.headers)(scope, receive, send_with_headers)
            return
        # Route on the path as it was sent: the branch `feat/a` comes as `feat%2Fa` and must stay one segment.
        # web.Call decodes each segment once.
        scope["path"] = scope["raw_path"].decode("ascii", "replace")
        await self.app(scope, receive, send_with_headers)
