"""The form of a discussion's file, for those that may come from anybody."""

import re
from typing import Any

from hub_speed.localhub.discussions import NUMBER, STATUSES, Discussion
from hub_speed.localhub.git import HEADS, PULLS
from hub_speed.localhub.store import Repo

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
AUTHOR = {"name": str}
FIELDS = {
    "num": int,
    "title": str,
    "status": str,
    "author": AUTHOR,
    "createdAt": TIME,
    "isPullRequest": bool,
    "events": list,
}
CHANGES = {"base": re.compile(f"{HEADS}.+"), "from": COMMIT}
MERGED = CHANGES | {"mergeCommitId": COMMIT}
EVENT = {"id": str, "type": str, "author": AUTHOR, "createdAt": TIME, "data": dict}
VERSION = {"raw": str, "updatedAt": TIME, "author": AUTHOR}
DATA: dict[str, dict[str, Any]] = {
    "comment": {"edited": bool, "hidden": bool, "latest": dict, "history": list},
    "commit": {"subject": str, "oid": COMMIT},
    "status-change": {"status": str},
    "title-change": {"from": str, "to": str},
}


def is_sound(repo: Repo, discussion: Any, number: str) -> bool:
    """Whether a discussion has its number and all fields that are read elsewhere, and a pull request its commits."""
    if not NUMBER.fullmatch(number) or not _has(discussion, FIELDS) or discussion["num"] != int(number):
        return False
    if discussion["status"] not in STATUSES["all"]:
        return False
    if discussion["isPullRequest"] and not _has_commits(repo, discussion):
        return False
    for event in discussion["events"]:
        if not _has(event, EVENT) or not _has(event["data"], DATA.get(event["type"], {"": str})):
            return False
        texts = (event["data"]["latest"], *event["data"]["history"]) if event["type"] == "comment" else ()
        if not all(_has(text, VERSION) for text in texts):
            return False
    return True


def _has_commits(repo: Repo, pull: Discussion) -> bool:
    head = repo.git.ref(f"{PULLS}{pull['num']}")
    if head is None or not _has(pull.get("changes"), MERGED if pull["status"] == "merged" else CHANGES):
        return False
    return any(info.oid == pull["changes"]["from"] for info in repo.git.log(head))


def _has(value: Any, fields: dict[str, Any]) -> bool:
    """Whether a value is an object with these fields: a type, a pattern of a text, or the fields of an object."""
    if not isinstance(value, dict):
        return False
    for name, wanted in fields.items():
        inner = value.get(name)
        if isinstance(wanted, dict):
            fits = _has(inner, wanted)
        elif isinstance(wanted, type):
            fits = type(inner) is wanted
        else:
            fits = isinstance(inner, str) and wanted.fullmatch(inner) is not None
        if not fits:
            return False
    return True
