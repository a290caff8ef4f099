"""The store: the repos, their settings, and the large files they share.

hub/version              layout of the store
hub/token                the token, owner-only
hub/tokens/<namespace>   a token for this organisation only, put there by hand
hub/tmp/                 unfinished files, one folder per running server (disk.Scratch)
hub/lfs/ab/cd/<sha256>   large files, shared by all repos (lfs.py)
hub/lfs.lock             held while it is settled whether a large file stays
hub/repos/<kind>/<namespace>/<name>/   a bare git repository, plus hub.json (settings), hub.lock,
                                       and discussions/<number>.json
hub/moved/<kind>/<namespace>/<name>    the new id of a repo that had this one, in small letters
hub/collections/<id>.json
"""

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from hub_speed.localhub import auth
from hub_speed.localhub.disk import Scratch, fsync_dir, locked, make_dirs, read_json
from hub_speed.localhub.errors import HttpRefusal, bad_request, conflict, repo_not_found
from hub_speed.localhub.git import MAIN, PULLS, GitRepo
from hub_speed.localhub.lfs import LargeFiles
from hub_speed.localhub.trees import TreeEditor

VERSION = b"1"
KINDS = ("models", "datasets", "spaces")
DISCUSSIONS = "discussions"  # the folder in that of a repo
NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
MAX_MOVES = 20  # of one repo that an old id of it is followed through. Assumption
# First segments of the URLs of the Hub; as a namespace they would hide these pages.
RESERVED = frozenset({"api", "collections", "datasets", "models", "spaces"})


def check_repo_id(repo_id: str) -> str:
    """`repo_id` if it is `namespace/name` in the letters the Hub allows; so it is also safe as two folder names.

    Raises:
        HttpRefusal: 400.
    """
    namespace, _, name = repo_id.partition("/")
    safe = NAME.fullmatch(namespace) and NAME.fullmatch(name) and not re.search(r"--|\.\.|\.git$|\.git/", repo_id)
    if not safe or namespace.lower() in RESERVED:
        raise bad_request(f"Invalid repo id {repo_id!r}: expected namespace/name of letters, digits, '-', '_' and '.'")
    return repo_id


def iso(seconds: float) -> str:
    """A time as the Hub writes it: UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(seconds * 1000) % 1000:03d}Z"


@dataclass(frozen=True)
class Repo:
    """One repo of the Hub. `kind` is `models`, `datasets` or `spaces`."""

    kind: str
    id: str
    path: Path
    scratch: Scratch

    @property
    def git(self) -> GitRepo:
        """Its git repository."""
        return GitRepo(self.path, self.scratch)

    @property
    def namespace(self) -> str:
        """The user or organisation that owns it."""
        return self.id.partition("/")[0]

    @property
    def url_path(self) -> str:
        """Its place in URLs outside of the API: `/org/model`, `/datasets/org/data`."""
        return f"/{self.id}" if self.kind == "models" else f"/{self.kind}/{self.id}"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings of the repo, read once (a `Repo` lives as long as one request)."""
        return self._read_settings()

    @property
    def private(self) -> bool:
        """Whether only the owner of the token may see it."""
        return bool(self.settings["private"])

    def lock(self) -> AbstractContextManager[None]:
        """Hold the repo alone, to change a ref or the settings. FileNotFoundError when it was deleted meanwhile."""
        return locked(self.path / "hub.lock")

    def change_settings(self, change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Read the settings, let `change` edit them, write them back, all under the lock; returns the new ones."""
        with self.lock():
            settings = self._read_settings()
            change(settings)
            self.write_settings(settings)
        return settings

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Replace the settings; outside of a new repo use `change_settings`."""
        self.scratch.write(self.path / "hub.json", json.dumps(settings, indent=1).encode())

    def _read_settings(self) -> dict[str, Any]:
        try:
            settings: dict[str, Any] = read_json(self.path / "hub.json")
        except FileNotFoundError:
            raise repo_not_found(self.id) from None
        return settings


class Store:
    """All repos under one folder. Several servers, in several processes, may work on the same store."""

    def __init__(self, root: Path):
        make_dirs(root)
        root.chmod(0o700)
        version = root / "version"
        if version.exists() and version.read_bytes() != VERSION:
            raise HttpRefusal(
                500, f"{version}: expected {VERSION!r}, got {version.read_bytes()!r}; use a newer hub_speed"
            )
        self.root = root
        self.scratch = Scratch(root / "tmp")
        self.scratch.write(version, VERSION)
        self.token = auth.load_token(root, self.scratch)
        self.large_files = LargeFiles(root / "lfs", self.scratch)

    def close(self) -> None:
        """Stop using the store."""
        self.scratch.close()

    def _repo(self, kind: str, repo_id: str) -> Repo:
        return Repo(kind, repo_id, self.root / "repos" / kind / repo_id, self.scratch)

    def find(self, kind: str, repo_id: str) -> Repo:
        """The repo of this kind and id; capital and small letters are the same. An id it had before a move works too.

        Raises:
            HttpRefusal: 404 RepoNotFound, also for an id that cannot exist.
        """
        try:
            wanted = check_repo_id(repo_id)
        except HttpRefusal:
            raise repo_not_found(repo_id) from None
        for _ in range(MAX_MOVES if kind in KINDS else 0):
            if (spelled := self._spelled(kind, wanted)) is not None:
                return self._repo(kind, spelled)
            try:
                wanted = self._moved(kind, wanted).read_text()
            except FileNotFoundError:
                break
        raise repo_not_found(repo_id)

    def _spelled(self, kind: str, repo_id: str) -> str | None:
        """The id of a repo in the letters it was created with, None when there is none."""
        if (self._repo(kind, repo_id).path / "hub.json").exists():
            return repo_id
        for path in (self.root / "repos" / kind).glob("*/*/hub.json"):
            spelled = f"{path.parent.parent.name}/{path.parent.name}"
            if spelled.lower() == repo_id.lower():
                return spelled
        return None

    def _moved(self, kind: str, repo_id: str) -> Path:
        """The file that says where the repo with this id has gone."""
        return self.root / "moved" / kind / repo_id.lower()

    def _in_known_letters(self, repo_id: str) -> str:
        """`repo_id` with its namespace in the letters it has here already: capital and small ones are the same."""
        namespace, name = check_repo_id(repo_id).split("/")
        known = {other.lower(): other for other in (auth.USER, *self.namespaces())}
        return f"{known.get(namespace.lower(), namespace)}/{name}"

    def visible(self, kind: str, *, private: bool) -> Iterator[tuple[Repo, str]]:
        """(repo, head of main) for all repos of a kind, by name.

        Args:
            kind: `models`, `datasets` or `spaces`.
            private: Whether to include private ones.
        """
        for path in sorted((self.root / "repos" / kind).glob("*/*/hub.json")):
            repo = self._repo(kind, f"{path.parent.parent.name}/{path.parent.name}")
            with contextlib.suppress(HttpRefusal, FileNotFoundError):  # deleted meanwhile
                head = repo.git.ref(MAIN)
                if head is not None and (private or not repo.private):
                    yield repo, head

    def every(self) -> Iterator[Repo]:
        """Each repo folder, whatever is in it, by kind and name."""
        for kind in KINDS:
            for path in sorted((self.root / "repos" / kind).glob("*/*")):
                yield self._repo(kind, f"{path.parent.name}/{path.name}")

    def adopt(self, draft: Repo) -> None:
        """Put a repo that was made in the scratch folder in the place of its id.

        Raises:
            HttpRefusal: 409 when the id is taken, 400 for a bad one.
        """
        self._finish(draft.path, draft.kind, draft.id)

    def namespaces(self) -> list[str]:
        """The user and organisation names that have repos."""
        return sorted({repo.id.partition("/")[0] for repo in self.every()} - {auth.USER})

    def create(self, kind: str, repo_id: str, settings: dict[str, Any], files: dict[str, bytes]) -> Repo:
        """Make a repo whose first commit has `files`. It appears complete, in one rename.

        Raises:
            HttpRefusal: 409 when it exists, 400 for a bad id.
        """
        if kind not in KINDS:
            raise bad_request(f"Repos of type {kind.removesuffix('s')!r} are not supported by the local hub")
        repo_id = self._free(kind, repo_id)
        draft = self.scratch.new_path()
        try:
            git = GitRepo.init(draft, self.scratch)
            repo = Repo(kind, repo_id, draft, self.scratch)
            repo.write_settings({"createdAt": iso(time.time()), **settings})
            editor = TreeEditor(git, None)
            for path, content in files.items():
                editor.put(path, git.add_blob(content))
            git.set_ref(MAIN, git.commit(editor.write(), [], "initial commit"))
            self._finish(draft, kind, repo_id)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return self._repo(kind, repo_id)

    def duplicate(self, repo: Repo, new_id: str, settings: dict[str, Any]) -> Repo:
        """Make a repo with the history, branches and tags of another one, without its discussions and pull requests.

        The two share their files on the disk by hard links: nothing in a repo is ever changed in place.

        Raises:
            HttpRefusal: 409 when the new repo exists, 400 for a bad id.
        """
        new_id = self._free(repo.kind, new_id)
        draft = self.scratch.new_path()
        try:
            with repo.lock():
                shutil.copytree(repo.path, draft, copy_function=os.link, ignore=_not_copied)
            copy = Repo(repo.kind, new_id, draft, self.scratch)
            copy.write_settings({**settings, "createdAt": iso(time.time())})
            for number in copy.git.refs(PULLS):
                copy.git.delete_ref(PULLS + number)
            self._finish(draft, repo.kind, new_id)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return self._repo(repo.kind, new_id)

    def _free(self, kind: str, repo_id: str, but: str | None = None) -> str:
        """The id that a new repo gets; `but` is the id of one that may have it already.

        Raises:
            HttpRefusal: 409 when another repo has it, in any letters, 400 for a bad id.
        """
        repo_id = self._in_known_letters(repo_id)
        if (taken := self._spelled(kind, repo_id)) not in (None, but):
            # Clients match this sentence.
            raise conflict(f"A {kind.removesuffix('s')} repository called {taken} already exists")
        return repo_id

    def _finish(self, draft: Path, kind: str, repo_id: str) -> None:
        """Flush the folders of a new repo and put it in its place."""
        for folder in [path for path in draft.rglob("*") if path.is_dir()]:
            fsync_dir(folder)
        with locked(self.root / "lock"):
            self._place(draft, kind, self._free(kind, repo_id))

    def _place(self, source: Path, kind: str, repo_id: str) -> None:
        """Rename a repo folder to its place, where a repo that went away may have left its new address."""
        target = self._repo(kind, repo_id).path
        make_dirs(target.parent)
        source.rename(target)
        fsync_dir(target.parent)
        self._moved(kind, repo_id).unlink(missing_ok=True)

    def move(self, repo: Repo, new_id: str) -> None:
        """Rename a repo. The old id leads to the new one until another repo gets it.

        Raises:
            HttpRefusal: 409 when the new id is taken, 400 for a bad id.
        """
        with repo.lock(), locked(self.root / "lock"):
            new_id = self._free(repo.kind, new_id, but=None if new_id == repo.id else repo.id)
            self._place(repo.path, repo.kind, new_id)
            fsync_dir(repo.path.parent)
            if new_id.lower() != repo.id.lower():
                self.scratch.write(self._moved(repo.kind, repo.id), new_id.encode())

    def delete(self, repo: Repo) -> None:
        """Remove a repo. Large files stay in the store: other repos may have them too."""
        with repo.lock():
            self.scratch.discard(repo.path)


def _not_copied(folder: str, names: list[str]) -> set[str]:
    """What stays behind when a repo is duplicated, of the names in one of its folders."""
    return {"hub.lock", DISCUSSIONS} & set(names) if "hub.json" in names else set()
