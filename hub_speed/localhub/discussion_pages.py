"""The web view of discussions and pull requests: the list of a repo, and one with its events and its changes."""

from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from hub_speed.localhub import discussions, pulls
from hub_speed.localhub.discussions import STATUSES, Discussion
from hub_speed.localhub.git import HEADS
from hub_speed.localhub.pages import for_people, paged
from hub_speed.localhub.repo_pages import repo_page
from hub_speed.localhub.store import Repo
from hub_speed.localhub.web import Call, routes_of_repos

TYPES = {"all": "discussions and pull requests", "discussion": "discussions", "pull_request": "pull requests"}
SHOWN_LINES = 1_000  # of a diff. Assumption: nobody reads more of it in a browser


def list_page(call: Call) -> Response:
    """GET the discussions of a repo, newest first."""
    repo = call.repo()
    status, kind = call.query.get("status", "all"), call.query.get("type", "all")
    found = discussions.matching(discussions.read_all(repo), status, kind)
    part, pager = paged(call, found, discussions.PAGE)
    return repo_page(
        "discussions",
        call,
        repo,
        "Discussions",
        "discussions",
        items=[{**discussions.summary(repo, item), "when": _when(item["createdAt"])} for item in part],
        pager=pager,
        only=status,
        statuses=list(STATUSES),
        type=kind,
        types=TYPES,
    )


def discussion_page(call: Call) -> Response:
    """GET a discussion: its events; of a pull request also what it changes."""
    repo = call.repo()
    item = discussions.read(repo, call.params["num"])
    events = [
        {**discussions.shown(repo, event), "when": _when(event["createdAt"])} for event in pulls.events(repo, item)
    ]
    lines = pulls.diff(repo, item).split("\n")[:-1] if item["isPullRequest"] else []
    return repo_page(
        "discussion",
        call,
        repo,
        "Discussions",
        f"#{item['num']} {item['title']}",
        item={**item, "when": _when(item["createdAt"])},
        pull=_pull(repo, item) if item["isPullRequest"] else None,
        events=events,
        lines=[(_sign(line), line) for line in lines[:SHOWN_LINES]],
        left_out=max(len(lines) - SHOWN_LINES, 0),
    )


def _pull(repo: Repo, item: Discussion) -> dict[str, Any]:
    conflicts, ref = pulls.conflicts(repo, item), pulls.ref_of(item)
    return {
        "branch": item["changes"]["base"].removeprefix(HEADS),
        "ref": ref,
        "compare": f"{repo.url_path}/compare?{urlencode({'from': item['changes']['from'], 'to': ref})}",
        "merged": item["changes"].get("mergeCommitId"),
        "conflicts": "the branch is gone" if conflicts is True else ", ".join(conflicts or []),
    }


def _sign(line: str) -> str:
    """`+` or `-` for a line that was added or removed; the names of the files are neither."""
    return "" if line.startswith(("+++ ", "--- ")) else line[:1]


def _when(time: str) -> str:
    return time[:16].replace("T", " ")


ROUTES: list[Route] = [
    *routes_of_repos("GET", "{name}/discussions", for_people(list_page)),
    *routes_of_repos("GET", "{name}/discussions/{num}", for_people(discussion_page)),
]
