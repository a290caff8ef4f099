"""Discussions of a repo: one JSON file each, named by its number, in the folder of the repo.

A pull request is a discussion with commits (pulls.py); the two share one row of numbers and all that is here.
"""

import json
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.routing import Route

from hub_speed.localhub import markdown
from hub_speed.localhub.disk import make_dirs, read_json
from hub_speed.localhub.errors import HttpRefusal, bad_request, conflict, not_here
from hub_speed.localhub.git import PULLS
from hub_speed.localhub.store import DISCUSSIONS, Repo, iso
from hub_speed.localhub.web import Call, route

TITLE_MAX = 200  # characters. Source: docstring of huggingface_hub's create_discussion
COMMENT_MAX = 65_536  # characters. Assumption
DISCUSSIONS_MAX = 5_000  # of a repo: a listing reads all. Assumption
FILE_MAX = 4 << 20  # bytes of a discussion with all its comments. Assumption
PAGE = 50  # discussions in one answer to a listing. Assumption
# What one filters by → what is stored.
STATUSES = {"all": ("open", "draft", "closed", "merged"), "open": ("open", "draft"), "closed": ("closed", "merged")}
TYPES = {"all": (False, True), "discussion": (False,), "pull_request": (True,)}
NUMBER = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
HIDDEN = "This comment is hidden"
Discussion = dict[str, Any]
Event = dict[str, Any]


# The files


def _path(repo: Repo, number: int) -> Path:
    return repo.path / DISCUSSIONS / f"{number}.json"


def numbers(repo: Repo) -> list[int]:
    """The numbers of all discussions of a repo, newest first."""
    return sorted((int(path.stem) for path in (repo.path / DISCUSSIONS).glob("*.json")), reverse=True)


def read(repo: Repo, number: str) -> Discussion:
    """The discussion with this number.

    Raises:
        HttpRefusal: 404.
    """
    try:
        if NUMBER.fullmatch(number):
            discussion: Discussion = read_json(_path(repo, int(number)))
            return discussion
    except FileNotFoundError:
        pass
    raise HttpRefusal(404, f"{repo.id} has no discussion or pull request {number[:20]!r}")


def write(repo: Repo, discussion: Discussion) -> None:
    """Write a discussion. The caller holds the lock of the repo."""
    path = _path(repo, discussion["num"])
    make_dirs(path.parent, within=repo.path)
    repo.scratch.write(path, json.dumps(discussion, indent=1).encode())


def change(call: Call, edit: Callable[[Discussion], Event]) -> Event:
    """Read the discussion that the path names, let `edit` change it, write it, all under the lock of the repo.

    Returns the event that `edit` made, as clients get it.
    """
    repo = call.repo()
    with repo.lock():
        discussion = read(repo, call.params["num"])
        event = edit(discussion)
        write(repo, discussion)
    return shown(repo, event)


def read_all(repo: Repo) -> list[Discussion]:
    """All discussions of a repo, newest first."""
    return [read(repo, str(number)) for number in numbers(repo)]


def matching(items: list[Discussion], status: str, kind: str, author: str | None = None) -> list[Discussion]:
    """Those with this status and kind (see STATUSES and TYPES), and of this author if one is given.

    Raises:
        HttpRefusal: 400 when there is no such status or kind.
    """
    if status not in STATUSES or kind not in TYPES:
        raise bad_request(f"Invalid filter: expected a status of {', '.join(STATUSES)}, a type of {', '.join(TYPES)}")
    return [
        item
        for item in items
        if item["status"] in STATUSES[status]
        and item["isPullRequest"] in TYPES[kind]
        and author in (None, item["author"]["name"])
    ]


def start(repo: Repo, user: str, title: str, text: str) -> Discussion:
    """A new discussion with its first comment, not written yet. The caller holds the lock of the repo.

    Raises:
        HttpRefusal: 403 when the repo has too many.
    """
    if len(taken := numbers(repo)) >= DISCUSSIONS_MAX:
        raise HttpRefusal(403, f"{repo.id} has {DISCUSSIONS_MAX} discussions and pull requests, and takes no more")
    # A kill may have left the ref of a pull request that has no file.
    refs = [int(name) for name in repo.git.refs(PULLS) if NUMBER.fullmatch(name)]
    return {
        "num": 1 + max([0, *taken, *refs]),
        "title": title,
        "status": "open",
        "author": {"name": user},
        "createdAt": iso(time.time()),
        "isPullRequest": False,
        "events": [new_comment(user, text)],
    }


def summary(repo: Repo, discussion: Discussion) -> dict[str, Any]:
    """What clients parse into Discussion."""
    return {
        **{key: value for key, value in discussion.items() if key not in ("events", "changes")},
        "repo": {"name": repo.id, "type": repo.kind.removesuffix("s")},
        "numComments": sum(event["type"] == "comment" for event in discussion["events"]),
        "pinned": False,
    }


# What the clients send


def text_of(call: Call, name: str, longest: int, discussion: Discussion | None = None) -> str:
    """A text of the body: not empty, not longer than `longest` characters, and the discussion has room for it.

    Raises:
        HttpRefusal: 400, or 413 when there is no room.
    """
    text = call.text(name).strip()
    if not 0 < len(text) <= longest:
        raise bad_request(f"Invalid {name!r}: expected 1 to {longest} characters, got {len(text)}")
    if discussion is not None and len(json.dumps([discussion, text])) > FILE_MAX:
        raise HttpRefusal(413, f"Discussion {discussion['num']} has no room left ({FILE_MAX} bytes): start another one")
    return text


def title_of(call: Call, discussion: Discussion | None = None) -> str:
    """The title in the body: one line.

    Raises:
        HttpRefusal: 400.
    """
    title = text_of(call, "title", TITLE_MAX, discussion)
    if re.search(r"[\x00-\x1f\x7f]", title):
        raise bad_request("Invalid 'title': expected one line without control characters")
    return title


# Events


def new_event(kind: str, user: str, data: dict[str, Any]) -> Event:
    """What happened just now."""
    now = iso(time.time())
    return {"id": secrets.token_hex(12), "type": kind, "createdAt": now, "author": {"name": user}, "data": data}


def new_comment(user: str, text: str) -> Event:
    """A comment."""
    latest = _version(user, text)
    return new_event("comment", user, {"edited": False, "hidden": False, "latest": latest, "history": []})


def _version(user: str, text: str) -> dict[str, Any]:
    """A text of a comment."""
    return {"raw": text, "updatedAt": iso(time.time()), "author": {"name": user}}


def shown(repo: Repo, event: Event) -> Event:
    """An event as clients get it: a comment also as HTML."""
    if event["type"] != "comment":
        return event
    data, latest = event["data"], event["data"]["latest"]
    html = markdown.render(latest["raw"], f"{repo.url_path}/resolve/main", anchors=False)
    return {**event, "data": {**data, "latest": {**latest, "html": html}}}


def new_status(call: Call, discussion: Discussion, status: str) -> Event:
    """Give a discussion another status, after a comment if the client sent one."""
    user = call.require_user()
    if call.json.get("comment"):
        discussion["events"].append(new_comment(user, text_of(call, "comment", COMMENT_MAX, discussion)))
    event = new_event("status-change", user, {"status": status})
    discussion["status"] = status
    discussion["events"].append(event)
    return event


# The routes


def list_discussions(call: Call) -> dict[str, Any]:
    """GET discussions and pull requests, newest first, by `author`, `type` and `status`, in pages (`p`, from 0)."""
    repo, query = call.repo(), call.query
    if not re.fullmatch(r"[0-9]{1,6}", page := query.get("p", "0"), re.ASCII):
        raise bad_request(f"Invalid page 'p': expected a number, got {page[:20]!r}")
    everything = read_all(repo)
    found = matching(everything, query.get("status", "all"), query.get("type", "all"), query.get("author"))
    first = int(page) * PAGE
    return {
        "discussions": [summary(repo, item) for item in found[first : first + PAGE]],
        "count": len(found),
        "start": first,
        "numClosedDiscussions": len(matching(everything, "closed", "all")),
    }


def comment(call: Call) -> dict[str, Any]:
    """POST a comment."""

    def edit(discussion: Discussion) -> Event:
        event = new_comment(call.require_user(), text_of(call, "comment", COMMENT_MAX, discussion))
        discussion["events"].append(event)
        return event

    return {"newMessage": change(call, edit)}


def edit_comment(call: Call) -> dict[str, Any]:
    """POST another text for a comment; the old one stays in its history."""

    def edit(discussion: Discussion) -> Event:
        event, text = _find_comment(call, discussion), text_of(call, "content", COMMENT_MAX, discussion)
        event["data"]["history"].append(event["data"]["latest"])
        event["data"] |= {"latest": _version(call.require_user(), text), "edited": True}
        return event

    return {"updatedComment": change(call, edit)}


def hide_comment(call: Call) -> dict[str, Any]:
    """POST hide: all texts of a comment are gone for good."""

    def edit(discussion: Discussion) -> Event:
        event = _find_comment(call, discussion)
        event["data"] |= {"latest": _version(call.require_user(), HIDDEN), "history": [], "hidden": True}
        return event

    return {"updatedComment": change(call, edit)}


def _find_comment(call: Call, discussion: Discussion) -> Event:
    wanted = call.params["comment"].lower()
    for event in discussion["events"]:
        if event["type"] == "comment" and event["id"] == wanted:
            if event["data"]["hidden"]:
                raise conflict(f"Comment {wanted} is hidden, and stays as it is")
            found: Event = event
            return found
    raise HttpRefusal(404, f"Discussion {discussion['num']} has no comment {wanted[:30]!r}")


def rename(call: Call) -> dict[str, Any]:
    """POST another title."""

    def edit(discussion: Discussion) -> Event:
        title = title_of(call, discussion)
        event = new_event("title-change", call.require_user(), {"from": discussion["title"], "to": title})
        discussion["title"] = title
        discussion["events"].append(event)
        return event

    return {"newTitle": change(call, edit)}


def set_status(call: Call) -> dict[str, Any]:
    """POST `open` (also for a draft) or `closed`, with a comment if one is sent."""

    def edit(discussion: Discussion) -> Event:
        status = call.json.get("status")
        if status not in ("open", "closed"):
            raise bad_request(f"Invalid 'status': expected open or closed, got {str(status)[:20]!r}")
        if discussion["status"] == "merged":
            raise conflict(f"Pull request {discussion['num']} is merged, and stays so")
        return new_status(call, discussion, status)

    return {"newStatus": change(call, edit)}


def attach(_call: Call) -> None:
    """POST an image or video for a comment.

    Raises:
        HttpRefusal: 501.
    """
    raise not_here("The local hub keeps no attachments: commit the file, and link to it in the comment")


REPO = "/api/{kind}/{namespace}/{name}/discussions"
ROUTES: list[Route] = [
    route("GET", REPO, list_discussions),
    route("POST", REPO + "/{num}/comment", comment),
    route("POST", REPO + "/{num}/comment/{comment}/edit", edit_comment),
    route("POST", REPO + "/{num}/comment/{comment}/hide", hide_comment),
    route("POST", REPO + "/{num}/title", rename),
    route("POST", REPO + "/{num}/status", set_status),
    route("POST", "/uploads", attach),
]
