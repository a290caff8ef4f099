"""The disk that a repo takes: its size, its large files, and deleting these for good."""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

from dulwich.objects import Commit, ObjectID
from starlette.routing import Route

from hub_speed.localhub import pulls, trees
from hub_speed.localhub.errors import bad_request
from hub_speed.localhub.git import HEADS, MAIN, GitRepo, commit_info
from hub_speed.localhub.lfs import SHA256
from hub_speed.localhub.store import KINDS, Repo, Store, iso
from hub_speed.localhub.trees import Entry, TreeEditor
from hub_speed.localhub.web import Call, route


class Content(NamedTuple):
    """A file content that some commit has: where it is found first, and the branch or tag that leads there."""

    entry: Entry
    ref: str


def contents(git: GitRepo) -> tuple[Content, ...]:
    """Every file content in the history of a repo, once; main comes first, and newer commits come before older ones."""
    refs = sorted(git.refs("refs/").items(), key=lambda item: (f"refs/{item[0]}" != MAIN, item))
    return _contents(git, tuple((f"refs/{name}", oid) for name, oid in refs))


@lru_cache(maxsize=256)
def _contents(git: GitRepo, refs: tuple[tuple[str, str], ...]) -> tuple[Content, ...]:
    seen: set[str] = set()
    return tuple(
        Content(entry, ref)
        for ref, head in refs
        for commit in git.log(head)
        for entry in _unseen(git, commit.tree, "", seen)
    )


def _unseen(git: GitRepo, tree: str, prefix: str, seen: set[str]) -> Iterator[Entry]:
    if tree in seen:
        return
    seen.add(tree)
    for entry in trees.walk(git, tree, prefix, recursive=False):
        if entry.is_dir:
            yield from _unseen(git, entry.oid, f"{entry.path}/", seen)
        elif entry.oid not in seen:
            seen.add(entry.oid)
            yield entry


def large_files(store: Store, git: GitRepo) -> dict[str, Content]:
    """sha256 → the large file with that content, for those that are on the disk."""
    found = {item.entry.lfs.sha256: item for item in contents(git) if item.entry.lfs}
    return {sha256: item for sha256, item in found.items() if store.large_files.size(sha256) is not None}


def used(store: Store, git: GitRepo) -> int:
    """The bytes of all files in all commits of a repo, each content once, without those that were deleted for good."""
    small = sum(item.entry.size for item in contents(git) if not item.entry.lfs)
    return small + sum(item.entry.size for item in large_files(store, git).values())


def list_large_files(call: Call) -> list[dict[str, Any]]:
    """GET lfs-files: the large files that any commit has."""
    repo = call.repo()
    call.require_namespace(repo.namespace)
    found = large_files(call.hub, repo.git)
    return [
        {
            "fileOid": sha256,
            "oid": sha256,
            "filename": item.entry.path,
            "size": item.entry.size,
            "ref": item.ref.removeprefix(HEADS),
            "pushedAt": iso(call.hub.large_files.path(sha256).stat().st_mtime),
        }
        for sha256, item in found.items()
    ]


def delete_large_files(call: Call) -> dict[str, Any]:
    """POST lfs-files/batch: delete large files for good, and with `rewriteHistory` from all commits too.

    The space is free at once, unless another repo has the same file. Commits that named it get new ids.
    """
    repo, deletions = call.repo(), call.json.get("deletions")
    if not isinstance(deletions, dict):
        deletions = {}
    wanted = deletions.get("sha")
    if not isinstance(wanted, list) or not all(isinstance(item, str) and SHA256.fullmatch(item) for item in wanted):
        raise bad_request("Invalid deletions: expected {sha: [sha256 of a large file, ...], rewriteHistory}")
    with repo.lock():
        mine = set(wanted) & large_files(call.hub, repo.git).keys()
        if deletions.get("rewriteHistory", True) is not False:
            pulls.follow(repo, _rewrite_history(repo.git, mine))
    others: set[str] = set()
    for other in _all_repos(call.hub):
        with suppress(FileNotFoundError):  # deleted meanwhile
            others |= large_files(call.hub, other.git).keys() if other != repo else set()
    for sha256 in mine - others:
        call.hub.large_files.delete(sha256)
    return {}


def _all_repos(store: Store) -> Iterator[Repo]:
    return (repo for kind in KINDS for repo, _ in store.visible(kind, private=True))


def _rewrite_history(git: GitRepo, unwanted: set[str]) -> dict[str, str]:
    """Point every ref at the same history without these large files; old → new ids. The caller holds the lock."""
    done: dict[str, str] = {}
    for name, head in git.refs("refs/").items():
        for oid in _oldest_first(git, head, done):
            done[oid] = _without(git, oid, unwanted, done)
        if done[head] != head:
            git.move_ref(f"refs/{name}", done[head])
    return done


def _oldest_first(git: GitRepo, head: str, done: dict[str, str]) -> list[str]:
    """The commits that lead to `head` and are not done yet, parents before children."""
    order: list[str] = []
    waiting, seen = [(head, False)], set(done)
    while waiting:
        oid, parents_done = waiting.pop()
        if parents_done:
            order.append(oid)
        elif oid not in seen:
            seen.add(oid)
            waiting += [(oid, True), *((parent, False) for parent in commit_info(git, oid).parents)]
    return order


def _without(git: GitRepo, oid: str, unwanted: set[str], done: dict[str, str]) -> str:
    """The id of a commit like `oid` that has none of the unwanted files and whose parents are the new ones."""
    info = commit_info(git, oid)
    paths = [entry.path for entry in trees.walk(git, info.tree) if entry.lfs and entry.lfs.sha256 in unwanted]
    parents = [done[parent] for parent in info.parents]
    if not paths and parents == list(info.parents):
        return oid
    editor = TreeEditor(git, info.tree)
    for path in paths:
        editor.remove(path, is_folder=False)
    commit = git.read(oid).copy()
    assert isinstance(commit, Commit)
    commit.tree, commit.parents = editor.write().encode(), [ObjectID(parent.encode()) for parent in parents]
    git.add([commit])
    return commit.id.decode()


def list_mine(call: Call) -> list[dict[str, Any]]:
    """GET settings/repositories: all repos, or those of one organisation, with the disk they take."""
    call.require_user()
    wanted = call.params.get("namespace", "").lower()
    repos = [repo for repo in _all_repos(call.hub) if wanted in ("", repo.namespace.lower())]
    repos = [repo for repo in repos if call.caller.may(repo.namespace)]
    sizes = [used(call.hub, repo.git) for repo in repos]
    return [
        {
            "id": repo.id,
            "type": repo.kind.removesuffix("s"),
            "updatedAt": iso(commit_info(repo.git, repo.git.resolve(MAIN)).time),
            "visibility": "private" if repo.private else "public",
            "storage": size,
            "storagePercent": 100 * size / max(sum(sizes), 1),
        }
        for repo, size in zip(repos, sizes, strict=True)
    ]


_REPO = "/api/{kind}/{namespace}/{name}"
ROUTES: list[Route] = [
    route("GET", "/api/settings/repositories", list_mine),
    route("GET", "/api/organizations/{namespace}/settings/repositories", list_mine),
    route("GET", _REPO + "/lfs-files", list_large_files),
    route("POST", _REPO + "/lfs-files/batch", delete_large_files),
]
