"""Pull requests: discussions whose commits are at `refs/pr/<number>`.

A pull request starts at a commit of the branch that it is for. Merging adds one commit with all its changes to that
branch, as on the Hub, so the history of a branch stays one line; `refs/pr/<number>` stays as it was.

A kill at any moment loses nothing: the file of a new pull request is written after its ref; a commit is in the file
before the ref moves, and is shown once the ref has it; and merging a second time finds that nothing is left to add.
"""

from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from starlette.routing import Route

from hub_speed.localhub import discussions, patches
from hub_speed.localhub.discussions import Discussion, Event
from hub_speed.localhub.errors import bad_request, conflict, revision_not_found
from hub_speed.localhub.git import HEADS, MAIN, PULLS, CommitInfo, commit_info
from hub_speed.localhub.store import Repo
from hub_speed.localhub.web import Call, route

NO_TEXT = "Opened with a commit that has no description."
COMMIT_IDS = ("oid", "from", "mergeCommitId")  # fields of an event or of `changes`
NAMED_CONFLICTS = 5  # files that the message of a conflict names


def open_pull(repo: Repo, user: str, title: str, text: str, *, target: str, base: str, head: str) -> int:
    """Open a pull request and return its number. The caller holds the lock of the repo.

    Args:
        repo: The repo.
        user: Who opens it.
        title: One line; of a longer text, what fits.
        text: The first comment; of a longer text, what fits.
        target: The full name of the branch that it is for.
        base: The commit that it starts from.
        head: Its newest commit. `base` for none: then it is a draft.
    """
    title = title.strip().partition("\n")[0][: discussions.TITLE_MAX]
    pull = discussions.start(repo, user, title, text.strip()[: discussions.COMMENT_MAX] or NO_TEXT)
    pull |= {"isPullRequest": True, "changes": {"base": target, "from": base}}
    if head == base:
        pull["status"] = "draft"
    else:
        pull["events"].append(_commit_event(repo, user, head))
    repo.git.set_ref(ref_of(pull), head)
    discussions.write(repo, pull)
    return int(pull["num"])


def note_commit(repo: Repo, user: str, ref: str, oid: str) -> None:
    """Add a commit to the pull request at `ref`, before the ref moves. The caller holds the lock of the repo.

    Raises:
        HttpRefusal: 409 when it is closed or merged.
    """
    pull = discussions.read(repo, ref.removeprefix(PULLS))
    if pull["status"] not in discussions.STATUSES["open"]:
        raise conflict(f"Pull request {pull['num']} is {pull['status']} and takes no commits: open a new one")
    pull["events"].append(_commit_event(repo, user, oid))
    discussions.write(repo, pull)


def _commit_event(repo: Repo, user: str, oid: str) -> Event:
    return discussions.new_event("commit", user, {"subject": commit_info(repo.git, oid).title, "oid": oid})


def follow(repo: Repo, new_ids: dict[str, str]) -> None:
    """Give the commits of all pull requests the ids that rewriting history gave them. The caller holds the lock."""
    for pull in discussions.read_all(repo):
        named = [event["data"] for event in pull["events"]] + [pull.get("changes", {})]
        stale = [(data, key) for data in named for key in COMMIT_IDS if data.get(key) in new_ids]
        for data, key in stale:
            data[key] = new_ids[data[key]]
        if stale:
            discussions.write(repo, pull)


def ref_of(pull: Discussion) -> str:
    """Where the commits of a pull request are."""
    return f"{PULLS}{pull['num']}"


def commits(repo: Repo, pull: Discussion) -> Iterator[CommitInfo]:
    """The commits of a pull request, newest first."""
    history = repo.git.log(repo.git.resolve(ref_of(pull)))
    return takewhile(lambda info: info.oid != pull["changes"]["from"], history)


def events(repo: Repo, discussion: Discussion) -> list[Event]:
    """What happened in a discussion, without commits that the ref of a pull request never came to."""
    there = {None, *(info.oid for info in commits(repo, discussion))} if discussion["isPullRequest"] else {None}
    return [event for event in discussion["events"] if event["data"].get("oid") in there]


def _trees(repo: Repo, pull: Discussion) -> tuple[str, str]:
    """The trees that a pull request starts from and ends with."""
    start, end = pull["changes"]["from"], repo.git.resolve(ref_of(pull))
    return commit_info(repo.git, start).tree, commit_info(repo.git, end).tree


def diff(repo: Repo, pull: Discussion) -> str:
    """What a pull request changes, as text."""
    return patches.as_text(repo.git, *_trees(repo, pull))


def conflicts(repo: Repo, pull: Discussion) -> list[str] | bool:
    """The files that keep a pull request from being merged; True when its branch is gone."""
    if pull["status"] == "merged":
        return []
    target = repo.git.ref(pull["changes"]["base"])
    if target is None:
        return True
    start, end = _trees(repo, pull)
    return patches.merge(repo.git, start, commit_info(repo.git, target).tree, end).conflicts


def _merge(repo: Repo, pull: Discussion) -> str:
    """Add a commit with the changes of a pull request to its branch, and return it."""
    git, target = repo.git, pull["changes"]["base"]
    head = git.ref(target)
    if head is None:
        raise revision_not_found(target)
    start, end = _trees(repo, pull)
    tree = commit_info(git, head).tree
    merged = patches.merge(git, start, tree, end)
    if merged.conflicts:
        raise conflict(_explain(pull, merged.conflicts))
    git.add(merged.blobs)
    new = merged.editor.write()
    if new == tree:  # nothing is left to add
        return head
    titles = [f"- {info.title} ({info.oid})" for info in commits(repo, pull)]
    oid = git.commit(new, [head], f"{pull['title']} (#{pull['num']})\n\n" + "\n".join(reversed(titles)))
    git.set_ref(target, oid)
    return oid


def _explain(pull: Discussion, paths: list[str]) -> str:
    branch = pull["changes"]["base"].removeprefix(HEADS)
    named = ", ".join(paths[:NAMED_CONFLICTS]) + (", ..." if len(paths) > NAMED_CONFLICTS else "")
    return (
        f"Pull request {pull['num']} conflicts with {branch}: both changed the same part of {named}. "
        f"Open a new pull request with the changes made to {branch} as it is now"
    )


def details(call: Call) -> dict[str, Any]:
    """GET a discussion with its events; of a pull request also its branch, conflicts, and with `diff=1` its changes."""
    repo = call.repo()
    discussion = discussions.read(repo, call.params["num"])
    answer = {**discussions.summary(repo, discussion), "locked": False, "events": []}
    answer["events"] = [discussions.shown(repo, event) for event in events(repo, discussion)]
    if discussion["isPullRequest"]:
        answer |= {"changes": discussion["changes"], "filesWithConflicts": conflicts(repo, discussion)}
        if call.flag("diff"):
            answer["diff"] = diff(repo, discussion)
    return answer


def create(call: Call) -> dict[str, Any]:
    """POST discussions. A pull request starts as a draft without commits, at the head of main."""
    repo, user, is_pull = call.repo(), call.require_user(), call.json.get("pullRequest") is True
    title, text = discussions.title_of(call), discussions.text_of(call, "description", discussions.COMMENT_MAX)
    with repo.lock():
        if is_pull:
            head = repo.git.resolve(MAIN)
            number = open_pull(repo, user, title, text, target=MAIN, base=head, head=head)
        else:
            discussion = discussions.start(repo, user, title, text)
            discussions.write(repo, discussion)
            number = discussion["num"]
    return {"num": number, "url": url(call, repo, number), "pullRequest": is_pull}


def url(call: Call, repo: Repo, number: int) -> str:
    """Where a discussion is; clients read the number from it."""
    return f"{call.endpoint}{repo.url_path}/discussions/{number}"


def merge(call: Call) -> dict[str, Any]:
    """POST merge: of an open pull request, with a comment if one is sent."""
    repo = call.repo()

    def edit(pull: Discussion) -> Event:
        number, status = pull["num"], pull["status"]
        if not pull["isPullRequest"]:
            raise bad_request(f"Discussion {number} is not a pull request: it has nothing to merge")
        if status == "merged":
            raise conflict(f"Pull request {number} is merged already")
        if status != "open":
            raise conflict(f"Pull request {number} is {status}: set its status to open, then merge it")
        event = discussions.new_status(call, pull, "merged")
        pull["changes"]["mergeCommitId"] = _merge(repo, pull)
        return event

    return {"newStatus": discussions.change(call, edit)}


ROUTES: list[Route] = [
    route("POST", discussions.REPO, create),
    route("GET", discussions.REPO + "/{num}", details),
    route("POST", discussions.REPO + "/{num}/merge", merge),
]
