"""Branches, tags and the history of a repo."""

from html import escape
from typing import Any

from starlette.routing import Route

from hub_speed.localhub import discussions
from hub_speed.localhub.errors import HttpRefusal, bad_request
from hub_speed.localhub.git import HEADS, MAIN, PULLS, TAGS
from hub_speed.localhub.store import iso
from hub_speed.localhub.web import Call, route


def list_refs(call: Call) -> dict[str, Any]:
    """GET refs; with `include_prs=1` those of pull requests as well."""
    repo = call.repo()

    def listed(prefix: str) -> list[dict[str, str]]:
        found = repo.git.refs(prefix).items()
        return [{"name": name, "ref": prefix + name, "targetCommit": oid} for name, oid in found]

    refs = {"branches": listed(HEADS), "tags": listed(TAGS), "converts": []}
    if call.flag("include_prs"):
        there = {str(number) for number in discussions.numbers(repo)}  # a kill may have left a ref without its file
        refs["pullRequests"] = [item for item in listed(PULLS) if item["name"] in there]
    return refs


def list_commits(call: Call) -> list[dict[str, Any]]:
    """GET commits: the history of a revision, newest first; with `expand[]=formatted` also as HTML."""
    git = call.repo().git
    formatted = "formatted" in call.request.query_params.getlist("expand[]")
    return [
        {
            "id": info.oid,
            "title": info.title,
            "message": info.message,
            "authors": [{"user": "local"}],
            "date": iso(info.time),
            **({"formatted": {"title": escape(info.title), "message": escape(info.message)}} if formatted else {}),
        }
        for info in git.log(git.resolve(call.params["rev"]))
    ]


def create_branch(call: Call) -> dict[str, Any]:
    """POST branch: at `startingPoint`, or at the head of main."""
    repo = call.repo()
    name = _plain(call.params["rev"])
    with repo.lock():
        start = repo.git.resolve(str(call.json.get("startingPoint") or "main"))
        repo.git.create_ref(HEADS + name, start)
    return {}


def delete_branch(call: Call) -> dict[str, Any]:
    """DELETE branch; main stays."""
    repo = call.repo()
    ref = HEADS + _plain(call.params["rev"])
    if ref == MAIN:
        raise HttpRefusal(403, f"Cannot delete {ref}")  # clients match this sentence
    with repo.lock():
        repo.git.delete_ref(ref)
    return {}


def create_tag(call: Call) -> dict[str, Any]:
    """POST tag: names the commit of the revision in the path; with a message it is an annotated tag."""
    repo = call.repo()
    name, message = _plain(call.text("tag")), call.json.get("message")
    with repo.lock():
        target = repo.git.resolve(call.params["rev"])
        if isinstance(message, str) and message:
            target = repo.git.annotate(name, target, message)
        repo.git.create_ref(TAGS + name, target)
    return {}


def delete_tag(call: Call) -> dict[str, Any]:
    """DELETE tag."""
    repo = call.repo()
    with repo.lock():
        repo.git.delete_ref(TAGS + _plain(call.params["rev"]))
    return {}


def _plain(name: str) -> str:
    """A branch or tag name without `refs/` in front, which would be a second name for something else."""
    if name.startswith("refs/"):
        raise bad_request(f"Invalid reference name: {name!r} (leave out refs/...)")
    return name


_REPO = "/api/{kind}/{namespace}/{name}"
ROUTES: list[Route] = [
    route("GET", _REPO + "/refs", list_refs),
    route("GET", _REPO + "/commits/{rev}", list_commits),
    route("POST", _REPO + "/branch/{rev}", create_branch),
    route("DELETE", _REPO + "/branch/{rev}", delete_branch),
    route("POST", _REPO + "/tag/{rev}", create_tag),
    route("DELETE", _REPO + "/tag/{rev}", delete_tag),
]
