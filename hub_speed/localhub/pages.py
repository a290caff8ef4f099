"""The web view: what is in this hub, for people with a browser. Public repos only, read-only, no JavaScript.

Here are the pages about many repos, and what all pages share; repo_pages.py has those of one repo.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from hub_speed.localhub import cards, collections
from hub_speed.localhub.errors import HttpRefusal
from hub_speed.localhub.git import TAGS, commit_info
from hub_speed.localhub.store import KINDS, Repo, iso
from hub_speed.localhub.style import STYLE
from hub_speed.localhub.templates import TEMPLATES
from hub_speed.localhub.web import Call, route

# Control characters and those that reverse the writing direction: with them, text looks like something else.
INVISIBLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202d\u202e\ud800-\udfff]")
PAGE_REPOS, SHOWN_REPOS, SHOWN_TAGS, SHOWN_FILTERS = 30, 30, 5, 200
EXCERPT = 160  # characters of a card around what was searched for
CSP = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'"
)


@cache
def _jinja() -> jinja2.Environment:
    env = jinja2.Environment(loader=jinja2.DictLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined)
    env.filters["urlencode_all"] = lambda text: quote(text, safe="")
    env.filters["cut"] = _cut
    return env


def _cut(text: str, most: int) -> str:
    """A text, or the first part of it and how much is missing."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def page(template: str, title: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page of the view."""
    html = _jinja().get_template(template).render(title=f"{title} · local hub", style=STYLE, **values)
    headers = {"Content-Security-Policy": CSP, "Cache-Control": "no-cache"}
    return HTMLResponse(INVISIBLE.sub("\ufffd", html), status, headers)


def for_people(handler: Callable[[Call], Response]) -> Callable[[Call], Response]:
    """A handler whose refusals are pages, not JSON."""

    def answer(call: Call) -> Response:
        try:
            return handler(call)
        except HttpRefusal as error:
            return not_there(error.message, error.status)

    return answer


def not_there(message: str, status: int = 404) -> HTMLResponse:
    """The page of a refusal."""
    return page("error", "Not found", status, message=message)


def number(call: Call, name: str) -> int:
    """A number from 0 in the query string; 0 for anything else."""
    text = call.query.get(name, "")
    return int(text) if re.fullmatch(r"[0-9]{1,12}", text, re.ASCII) else 0


def url_with(call: Call, **changes: object) -> str:
    """The address of the same page with another query string, in which empty fields are left out."""
    query = {name: value for name, value in {**call.query, **changes}.items() if value not in ("", None)}
    return f"?{urlencode(query)}"


def paged(call: Call, items: Sequence[Any], size: int) -> tuple[Sequence[Any], dict[str, Any]]:
    """(the items of the page that `p` names, its links); a page after the last one is the last one."""
    last = max(len(items) - 1, 0) // size
    p = min(number(call, "p"), last)
    first, end = p * size, min((p + 1) * size, len(items))
    pager = {
        "previous": url_with(call, p=p - 1 or None) if p else None,
        "next": url_with(call, p=p + 1) if p < last else None,
        "shown": f"{first + 1}-{end} of {len(items):,}" if items else "",
    }
    return items[first:end], pager


def when(seconds: int) -> str:
    """A time to the minute, UTC."""
    return iso(seconds)[:16].replace("T", " ")


def index(call: Call) -> Response:
    """GET /: the newest repos of each kind, and all collections."""
    kinds = {}
    for kind in KINDS:
        found = _newest_first(call.hub.visible(kind, private=False))
        kinds[kind] = {"total": len(found), "items": [_row(*item) for item in found[:SHOWN_REPOS]]}
    return page("index", "Repos", kinds=kinds, collections=collections.all_collections(call.hub, private=False))


def _newest_first(repos: Iterable[tuple[Repo, str]]) -> list[tuple[Repo, str]]:
    return sorted(repos, key=lambda item: commit_info(item[0].git, item[1]).time, reverse=True)


def _row(repo: Repo, head: str, excerpt: str = "") -> dict[str, Any]:
    tags = list(repo.git.refs(TAGS))[-SHOWN_TAGS:]
    return {
        "kind": repo.kind,
        "id": repo.id,
        "url": repo.url_path,
        "sha": head,
        "when": when(commit_info(repo.git, head).time),
        "tags": tags,
        "excerpt": excerpt,
    }


def list_page(call: Call) -> Response:
    """GET /models, /datasets, /spaces: those that match the filter."""
    kind = call.params["kind"]
    query = {name: call.query.get(name, "") for name in ("search", "author", "filter", "sort")}
    every = _newest_first(call.hub.visible(kind, private=False))
    if query["sort"] == "name":
        every.sort(key=lambda item: item[0].id.lower())
    tags = {repo: cards.hub_tags(cards.of_commit(repo.git, head)[0]) for repo, head in every}
    found = [
        (repo, head)
        for repo, head in every
        if query["search"].lower() in repo.id.lower()
        and query["author"] in ("", _owner(repo.id))
        and (not query["filter"] or query["filter"] in tags[repo])
    ]
    part, pager = paged(call, found, PAGE_REPOS)
    return page(
        "list",
        kind.capitalize(),
        kind=kind,
        query=query,
        owners=sorted({_owner(repo.id) for repo, _ in every}),
        tags=sorted({tag for its in tags.values() for tag in its})[:SHOWN_FILTERS],
        repos=[_row(*item) for item in part],
        pager=pager,
    )


def search_page(call: Call) -> Response:
    """GET /search: repos with all the words in name and card."""
    q = call.query.get("q", "")
    words = q.lower().split()
    found = []
    for repo, head in (item for kind in KINDS for item in call.hub.visible(kind, private=False)) if words else ():
        text = cards.of_commit(repo.git, head)[1]
        lower = f"{repo.id}\n{text}".lower()
        if all(word in lower for word in words):
            found.append((repo, head, _excerpt(text, words)))
    part, pager = paged(call, found, PAGE_REPOS)
    return page("search", "Search", q=q, repos=[_row(*item) for item in part], pager=pager)


def _excerpt(text: str, words: list[str]) -> str:
    """What stands around the first of the words in a card, or how the card begins."""
    places = [place for word in words if (place := text.lower().find(word)) >= 0]
    start = max(min(places, default=0) - EXCERPT // 3, 0)
    part = " ".join(text[start : start + EXCERPT].split())
    return f"… {part.partition(' ')[2]} …" if start else f"{part} …"


def owner_page(call: Call) -> Response:
    """GET /{namespace}: the repos and collections of an organisation or user."""
    name = call.params["namespace"].lower()
    found = {
        kind: [item for item in call.hub.visible(kind, private=False) if _owner(item[0].id).lower() == name]
        for kind in KINDS
    }
    every = collections.all_collections(call.hub, private=False)
    its = [item for item in every if item["owner"]["name"].lower() == name]
    names = [_owner(repo.id) for part in found.values() for repo, _ in part] + [item["owner"]["name"] for item in its]
    if not names:
        raise HttpRefusal(404, f"Organisation or user not found: {call.params['namespace']}")
    kinds = {kind: [_row(*item) for item in _newest_first(part)] for kind, part in found.items()}
    return page("owner", names[0], name=names[0], kinds=kinds, collections=its)


def _owner(repo_id: str) -> str:
    return repo_id.partition("/")[0]


def collection_page(call: Call) -> Response:
    """GET a collection."""
    item = collections.read(call)
    for entry in item["items"]:
        path = quote(entry["id"])
        entry["url"] = {"model": f"/{path}", "paper": f"https://huggingface.co/papers/{path}"}.get(
            entry["type"], f"/{entry['type']}s/{path}"
        )
        entry.setdefault("note", None)
    return page("collection", item["title"], item=item)


ROUTES: list[Route] = [
    route("GET", "/", for_people(index)),
    *(route("GET", f"/{kind}", for_people(list_page), kind=kind) for kind in KINDS),
    route("GET", "/search", for_people(search_page)),
    route("GET", "/collections/{namespace}/{slug}", for_people(collection_page)),
    route("GET", "/{namespace:owner}", for_people(owner_page)),
]
