"""A whole organisation in a folder, and back: every repo with its history, branches, tags, discussions and settings.

    FOLDER/repos/<kind>/<namespace>/<name>/   a bare git repository, plus hub.json and discussions/
    FOLDER/lfs/ab/cd/<sha256>                 large files
    FOLDER/collections/<id>.json

Commits keep their ids this way, and other repos name commits: a copy of each tag's files would lose what lineage and
`revision=` need. Each repo appears in one rename, after its large files, so a kill leaves whole repos only; the next
call goes on. A folder may come from anybody: only objects, refs, known settings and discussions are taken from it, and
all of it is checked first.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dulwich.refs import PackedRefsException

from hub_speed.errors import HubError, RecipeError
from hub_speed.localhub import maintenance
from hub_speed.localhub.disk import Scratch, fsync_dir, make_dirs, read_json
from hub_speed.localhub.errors import HttpRefusal
from hub_speed.localhub.git import GitRepo, is_ref_name
from hub_speed.localhub.lfs import LargeFiles
from hub_speed.localhub.store import DISCUSSIONS, KINDS, Repo, Store

OBJECT = re.compile(r"[0-9a-f]{2}/[0-9a-f]{38}|pack/pack-[0-9a-f]{40}\.(?:pack|idx)")
COLLECTION = re.compile(r"[0-9a-f]{24}\.json")
COPIED, THERE, NEWER = "copied", "there already", "newer here, stays"
Report = tuple[str, str, str]  # kind, id, what was done


def export(store: Store, org: str, folder: Path) -> Iterator[Report]:
    """Write an organisation's repos and collections to a folder, which may hold an older export.

    A repo that has changed since, or whose copy is damaged, replaces the older copy; one that was deleted since stays
    in the folder. Secrets of Spaces are left out.

    Raises:
        RecipeError: `folder` is a file, or would be in one.
        HubError: there is no such organisation, or repos are damaged; the others are copied all the same.
    """
    repos = [repo for repo in store.every() if repo.id.partition("/")[0] == org]
    if not repos:
        known = ", ".join(store.namespaces()) or "none"
        raise HubError(f"hub export {org}: this hub has no repositories of {org}", expected=f"one of: {known}")
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        expected = "a folder, new or of an older export, or the address of a Hub"
        raise RecipeError(f"hub export {org} {folder}", expected=expected, got=f"the file {there}", fix="name a folder")
    scratch = Scratch(folder / "tmp")
    problems: list[str] = []
    try:
        large = _LargeCopies(store.large_files, LargeFiles(folder / "lfs", scratch))
        for repo in repos:
            with _noting(problems, f"{repo.kind} {repo.id}"):
                copy = Repo(repo.kind, repo.id, folder / "repos" / repo.kind / repo.id, scratch)
                yield repo.kind, repo.id, _export_repo(repo, copy, large)
        for path in sorted((store.root / "collections").glob("*.json")):
            with _noting(problems, f"collections/{path.name}"):
                if read_json(path)["owner"]["name"] == org:
                    scratch.write(folder / "collections" / path.name, path.read_bytes())
    finally:
        scratch.close()
    if problems:
        fix = (
            f"hub-speed hub import {org} FOLDER, with an export from before the damage, repairs them; then export again"
        )
        raise HubError(f"hub export {org}: all are copied but {len(problems)}", got="; ".join(problems), fix=fix)


def import_(store: Store, org: str, folder: Path, name: str) -> Iterator[Report]:
    """Bring the repos and collections of an organisation back from a folder, under the same or another name.

    A repo that is here with the same branches and tags, or newer ones, stays; what is missing or damaged in it is
    copied from the folder.

    Raises:
        HubError: the folder has no such organisation, repos are damaged in it, or other repos of their names are
            here; the others are copied all the same.
    """
    paths = [path for kind in KINDS for path in sorted((folder / "repos" / kind / org).glob("*"))]
    if not paths:
        known = {path.name for path in folder.glob("repos/*/*")}
        expected = f"one of: {', '.join(sorted(known))}" if known else "a folder that hub-speed hub export has written"
        raise HubError(f"hub import {org}: {folder} has no repositories of {org}", expected=expected)
    large = _LargeCopies(LargeFiles(folder / "lfs", store.scratch), store.large_files)
    problems: list[str] = []
    for path in paths:
        source = Repo(path.parent.parent.name, f"{org}/{path.name}", path, store.scratch)
        with _noting(problems, f"{source.kind} {source.id}"):
            yield source.kind, f"{name}/{path.name}", _import_repo(store, source, f"{name}/{path.name}", large)
    for path in sorted((folder / "collections").glob("*.json")):
        target = store.root / "collections" / path.name
        if COLLECTION.fullmatch(path.name) and not target.exists():
            with _noting(problems, f"collections/{path.name}"):
                if collection := _renamed(read_json(path), org, name):
                    store.scratch.write(target, json.dumps(collection, indent=1).encode())
    if problems:
        fix = "delete or move what is here under these names, or import under another one (--as NAME); "
        fix += "of what is damaged in the folder, make the export again"
        raise HubError(f"hub import {org}: all are here but {len(problems)}", got="; ".join(problems), fix=fix)


@contextmanager
def _noting(problems: list[str], what: str) -> Iterator[None]:
    """Note that something is damaged, and go on with what comes after the block."""
    try:
        yield
    except HubError as error:
        problems.append(f"{error.where}: {error.got}" if error.got else error.where)
    except HttpRefusal as error:
        problems.append(f"{what}: {error.message}")
    except (ValueError, KeyError, TypeError, PackedRefsException) as error:
        problems.append(f"{what} is damaged: {type(error).__name__} {error}")


def _export_repo(repo: Repo, copy: Repo, large: "_LargeCopies") -> str:
    if (copy.path / "hub.json").exists():
        checked = maintenance.check(copy)
        if not checked.damage and _state(copy) == _state(repo):
            return THERE + _copied_again(copy, checked, large)
    draft, lacking = _draft(repo, copy.id, copy.scratch, large)
    if copy.path.exists():
        copy.scratch.discard(copy.path)
    make_dirs(copy.path.parent)
    draft.path.rename(copy.path)
    fsync_dir(copy.path.parent)
    return COPIED + lacking


def _import_repo(store: Store, source: Repo, repo_id: str, large: "_LargeCopies") -> str:
    there = next((repo for repo in store.every() if (repo.kind, repo.id) == (source.kind, repo_id)), None)
    if there is None:
        draft, lacking = _draft(source, repo_id, store.scratch, large)
        store.adopt(draft)
        return COPIED + lacking
    again = _copied_again(there, maintenance.check(there, spare=source), large)
    theirs, ours = source.git.all_refs(), there.git.all_refs()
    if theirs == ours:
        return THERE + again
    if theirs.keys() <= ours.keys() and {*theirs.values()} <= {*ours.values(), *maintenance.history(there.git)}:
        return NEWER + again
    raise HubError(f"{source.kind} {repo_id} is here with other branches or tags")


def _copied_again(repo: Repo, checked: maintenance.Checked, large: "_LargeCopies") -> str:
    """Copy the large files that a repo lacks; returns what was missing or damaged in words, nothing where all is whole.

    Raises:
        HubError: the repo is still damaged.
    """
    brought, again = large.copy(checked), ""
    if checked.damage:
        raise HubError(f"{repo.kind} {repo.id} is damaged", got=checked.damage[0])
    counts = ((brought, "large files"), (checked.mended, "git objects or settings"))
    if notes := [f"{what} ({number})" for number, what in counts if number]:
        again = f"; missing or damaged, so copied again: {', '.join(notes)}"
    return again + _lacking(checked)


def _lacking(checked: maintenance.Checked) -> str:
    """How many large files have no content anywhere, in words; nothing where all have."""
    return f"; on neither side: large files ({len(checked.missing)})" if checked.missing else ""


def _state(repo: Repo) -> Any:
    """What differs when a copy is out of date: refs, settings, discussions; None where there is no repo."""
    if not (repo.path / "hub.json").exists():
        return None
    discussions = {path.name: path.read_bytes() for path in (repo.path / DISCUSSIONS).glob("*.json")}
    return repo.git.all_refs(), _settings(repo), discussions


def _settings(repo: Repo) -> dict[str, Any]:
    """The settings of a repo without secrets."""
    return repo.settings | ({"secrets": {}} if "secrets" in repo.settings else {})


def _renamed(collection: dict[str, Any], org: str, name: str) -> dict[str, Any] | None:
    """A collection as one of another organisation; None when it is not one of `org`."""
    if collection["owner"]["name"] != org:
        return None
    collection["owner"]["name"] = name
    for item in [collection, *collection["items"]]:
        key = "slug" if item is collection else "id"
        item[key] = re.sub(rf"^{re.escape(org)}/", f"{name}/", item[key])
    return collection


def _draft(source: Repo, repo_id: str, scratch: Scratch, large: "_LargeCopies") -> tuple[Repo, str]:
    """A checked copy of a repo in the scratch folder, whose large files are where they belong, and which it lacks.

    Raises:
        HubError: the repo or one of its large files is damaged. Nothing is left of the copy.
    """
    draft = Repo(source.kind, repo_id, scratch.new_path(), scratch)
    try:
        git = GitRepo.init(draft.path, scratch)
        # Discussions are read before the refs, and refs before the objects: what comes meanwhile does no harm.
        for path in (source.path / DISCUSSIONS).glob("[1-9]*.json"):
            _copy(path, draft.path / DISCUSSIONS / path.name, scratch)
        for ref, oid in source.git.all_refs().items():
            if not re.fullmatch(r"[0-9a-f]{40}", oid):
                raise HubError(f"{source.kind} {source.id} is damaged", got=f"{ref}: {oid!r} is not an object id")
            if is_ref_name(ref):
                git.set_ref(ref, oid)
        for path in (source.path / "objects").glob("*/*"):
            if OBJECT.fullmatch(f"{path.parent.name}/{path.name}") and not path.is_symlink():
                _copy(path, draft.path / "objects" / path.parent.name / path.name, scratch)
        draft.write_settings(_settings(source))
        checked = maintenance.check(draft)
        if not checked.damage:
            large.copy(checked)
        if checked.damage:
            raise HubError(f"{source.kind} {source.id} is damaged", got=checked.damage[0])
    except BaseException:
        shutil.rmtree(draft.path, ignore_errors=True)
        raise
    return draft, _lacking(checked)


def _copy(path: Path, target: Path, scratch: Scratch) -> None:
    with open(path, "rb") as source, scratch.replacing(target, flush_dir=False) as file:
        shutil.copyfileobj(source, file)


class _LargeCopies:
    """Copies large files from one folder to another; each is read once, however many repos have it."""

    def __init__(self, source: LargeFiles, target: LargeFiles):
        self.source, self.target = source, target
        self.whole: set[tuple[str, int]] = set()

    def copy(self, checked: maintenance.Checked) -> int:
        """Copy the large files of a repo that are missing or damaged in the target; returns how many.

        One that is on neither side, deleted for good, is noted as missing; one that cannot be copied, as damage.
        """
        copied = 0
        for sha256, size in checked.large.items() - self.whole:
            self.target.keep(sha256)
            if problem := maintenance.large_damage(self.target, sha256, size):
                if self.source.size(sha256) is None:
                    found = checked.missing if problem == maintenance.MISSING else checked.damage
                    found.append(f"large file {sha256}: {problem}")
                    continue
                try:
                    with open(self.source.path(sha256), "rb") as file:
                        self.target.receive(sha256, size, iter(partial(file.read, maintenance.PIECE), b""))
                except HttpRefusal:
                    checked.damage.append(f"large file {sha256}: damaged in {self.source.root}")
                    continue
                copied += 1
            self.whole.add((sha256, size))
        return copied
