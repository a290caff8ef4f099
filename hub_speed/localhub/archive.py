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
from pathlib import Path
from typing import Any

from hub_speed.errors import HubError
from hub_speed.localhub import maintenance
from hub_speed.localhub.disk import Scratch, fsync_dir, make_dirs, read_json
from hub_speed.localhub.errors import HttpRefusal
from hub_speed.localhub.git import GitRepo, is_ref_name
from hub_speed.localhub.lfs import LargeFiles
from hub_speed.localhub.store import DISCUSSIONS, KINDS, Repo, Store

OBJECT = re.compile(r"[0-9a-f]{2}/[0-9a-f]{38}|pack/pack-[0-9a-f]{40}\.(?:pack|idx)")
COLLECTION = re.compile(r"[0-9a-f]{24}\.json")
COPIED, THERE = "copied", "there already"
Report = tuple[str, str, str]  # kind, id, what was done


def export(store: Store, org: str, folder: Path) -> Iterator[Report]:
    """Write an organisation's repos and collections to a folder, which may hold an older export.

    A repo that has changed since replaces the older copy; one that was deleted since stays in the folder. Secrets of
    Spaces are left out.

    Raises:
        HubError: there is no such organisation, or a repo is damaged.
    """
    repos = [repo for repo in store.every() if repo.id.partition("/")[0] == org]
    if not repos:
        known = ", ".join(store.namespaces()) or "none"
        raise HubError(f"hub export {org}: this hub has no repositories of {org}", expected=f"one of: {known}")
    scratch = Scratch(folder / "tmp")
    try:
        large = LargeFiles(folder / "lfs", scratch)
        for repo in repos:
            copy = Repo(repo.kind, repo.id, folder / "repos" / repo.kind / repo.id, scratch)
            if _state(copy) == _state(repo):
                yield repo.kind, repo.id, THERE
                continue
            draft = _draft(repo, copy.id, scratch, store.large_files, large)
            if copy.path.exists():
                scratch.discard(copy.path)
            make_dirs(copy.path.parent)
            draft.path.rename(copy.path)
            fsync_dir(copy.path.parent)
            yield repo.kind, repo.id, COPIED
        for path in sorted((store.root / "collections").glob("*.json")):
            if read_json(path)["owner"]["name"] == org:
                scratch.write(folder / "collections" / path.name, path.read_bytes())
    finally:
        scratch.close()


def import_(store: Store, org: str, folder: Path, name: str) -> Iterator[Report]:
    """Bring the repos and collections of an organisation back from a folder, under the same or another name.

    A repo that is here with the same branches and tags is left alone.

    Raises:
        HubError: the folder has no such organisation, a repo in it is damaged, or another repo of that name is here.
    """
    paths = [path for kind in KINDS for path in sorted((folder / "repos" / kind / org).glob("*"))]
    if not paths:
        known = {path.name for path in folder.glob("repos/*/*")}
        expected = f"one of: {', '.join(sorted(known))}" if known else "a folder that hub-speed hub export has written"
        raise HubError(f"hub import {org}: {folder} has no repositories of {org}", expected=expected)
    large = LargeFiles(folder / "lfs", store.scratch)
    for path in paths:
        source = Repo(path.parent.parent.name, f"{org}/{path.name}", path, store.scratch)
        yield source.kind, f"{name}/{path.name}", _import_repo(store, source, f"{name}/{path.name}", large)
    for path in sorted((folder / "collections").glob("*.json")):
        target = store.root / "collections" / path.name
        if COLLECTION.fullmatch(path.name) and not target.exists():
            try:
                collection = _renamed(read_json(path), org, name)
            except (ValueError, KeyError, TypeError) as error:
                raise HubError(f"hub import: {path} is not a collection", got=str(error)) from error
            if collection:
                store.scratch.write(target, json.dumps(collection, indent=1).encode())


def _import_repo(store: Store, source: Repo, repo_id: str, large: LargeFiles) -> str:
    there = next((repo for repo in store.every() if (repo.kind, repo.id) == (source.kind, repo_id)), None)
    if there and there.git.all_refs() == source.git.all_refs():
        return THERE
    if there:
        fix = "delete or move it first, or import under another name (--as NAME)"
        raise HubError(f"hub import: {source.kind} {repo_id} is here with other branches or tags", fix=fix)
    store.adopt(_draft(source, repo_id, store.scratch, large, store.large_files))
    return COPIED


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


def _draft(source: Repo, repo_id: str, scratch: Scratch, large_from: LargeFiles, large_to: LargeFiles) -> Repo:
    """A checked copy of a repo in the scratch folder, whose large files are where they belong.

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
            if is_ref_name(ref) and re.fullmatch(r"[0-9a-f]{40}", oid):
                git.set_ref(ref, oid)
        for path in (source.path / "objects").glob("*/*"):
            if OBJECT.fullmatch(f"{path.parent.name}/{path.name}") and not path.is_symlink():
                _copy(path, draft.path / "objects" / path.parent.name / path.name, scratch)
        draft.write_settings(_settings(source))
        checked = maintenance.check(draft)
        for sha256, size in {} if checked.damage else checked.large.items():
            _copy_large(sha256, size, large_from, large_to, checked.damage)
        if checked.damage:
            fix = "hub-speed hub fsck shows the damage of a hub; make the export again"
            raise HubError(f"{source.kind} {source.id} is damaged", got=checked.damage[0], fix=fix)
    except BaseException:
        shutil.rmtree(draft.path, ignore_errors=True)
        raise
    return draft


def _copy(path: Path, target: Path, scratch: Scratch) -> None:
    with open(path, "rb") as source, scratch.replacing(target, flush_dir=False) as file:
        shutil.copyfileobj(source, file)


def _copy_large(sha256: str, size: int, source: LargeFiles, target: LargeFiles, damage: list[str]) -> None:
    """Copy a large file that is not there yet. One without content, deleted for good, has none in the copy either."""
    if target.keep(sha256) == size or source.size(sha256) is None:
        return
    try:
        with open(source.path(sha256), "rb") as file:
            target.receive(sha256, size, iter(lambda: file.read(maintenance.PIECE), b""))
    except HttpRefusal as error:
        damage.append(error.message)
