"""What the owner of a store runs now and then: `gc` frees space, `fsck` checks that everything is there and whole.

Both work beside running servers. Commits are written under the lock of their repo, and large files that a commit is
about to name count as new (`LargeFiles.keep`), so nothing that a server is working on is taken away.
"""

import hashlib
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dulwich.objects import Blob, Commit, ShaFile, Tag, Tree
from dulwich.refs import PackedRefsException

from hub_speed.errors import HubError
from hub_speed.localhub import discussion_form, trees
from hub_speed.localhub.disk import read_json
from hub_speed.localhub.errors import HttpRefusal
from hub_speed.localhub.git import GitRepo, commit_info
from hub_speed.localhub.lfs import LargeFiles
from hub_speed.localhub.store import DISCUSSIONS, Repo, Store
from hub_speed.localhub.trees import POINTER, POINTER_MAX, check_path

PIECE = 1 << 20
DRAFT_WAIT_S, DRAFT_WAITS = 0.2, 50


class Freed(NamedTuple):
    """What `gc` removed, or would remove: large files and their bytes, and commits that no ref leads to.

    `young` counts what is not needed either, but was used too recently.
    """

    files: int
    size: int
    commits: int
    young: int


def gc(store: Store, *, unused_s: float, dry_run: bool = False) -> Freed:
    """Remove commits that no branch, tag or pull request leads to, then large files that no commit has.

    Args:
        store: the store.
        unused_s: only what was written, or asked for by an upload, at least so many seconds ago.
        dry_run: only count.

    Raises:
        HubError: a repo is damaged, so that it is not known what it needs; or repos are being made all the time. No
            large file was removed.
    """
    before = time.time() - unused_s
    needed: set[str] = set()
    commits = files = size = young = 0

    def look(repo: Repo) -> None:
        nonlocal commits, needed
        kept, gone = _commits(repo, before, dry_run)
        needed |= large_files(repo.git, kept)
        commits += gone

    _each_settled(store, look)
    for path in sorted(store.large_files.root.glob("??/??/*")):
        with suppress(FileNotFoundError):  # deleted meanwhile
            stat = path.stat()
            if path.name in needed:
                continue
            if stat.st_mtime >= before or not (dry_run or store.large_files.drop(path.name, before)):
                young += 1
                continue
            files, size = files + 1, size + stat.st_size
    return Freed(files, size, commits, young)


def _each_settled(store: Store, look: Callable[[Repo], None]) -> None:
    """Look at every repo, also at those that are made, moved or duplicated in the meantime.

    Raises:
        HubError: a repo is damaged, or there is no end of new ones.
    """
    seen: set[int] = set()
    for _ in range(DRAFT_WAITS):
        # A draft, looked for before the list is made: in the list it may be missing, and its original be gone by then.
        drafts, new = list((store.root / "tmp").glob("*/*/objects")), False
        for repo in store.every():
            with suppress(FileNotFoundError):  # moved or deleted: in its new place it is looked at in the next round
                inode = repo.path.stat().st_ino
                if inode not in seen:
                    new = True
                    _look_at(repo, look)
                    seen.add(inode)
        if not new and not drafts:
            return
        if drafts:
            time.sleep(DRAFT_WAIT_S)
    raise HubError("gc: repositories are being made all the time", fix="run it again when the Hub has less to do")


def _look_at(repo: Repo, look: Callable[[Repo], None]) -> None:
    try:
        look(repo)
    except (KeyError, ValueError, AssertionError, zlib.error, PackedRefsException) as error:
        (repo.path / "hub.json").stat()  # FileNotFoundError when it is gone
        fix = "hub-speed hub fsck shows what is missing"
        raise HubError(f"gc: {repo.kind} {repo.id} is damaged", got=str(error), fix=fix) from error


def _commits(repo: Repo, before: float, dry_run: bool) -> tuple[set[str], int]:
    """(commits that stay, number of those removed) of a repo. Commits in a pack all stay if a ref leads to them."""
    with repo.lock():
        git = repo.git
        kept = set(history(git))
        gone = 0
        for path in list((git.path / "objects").glob("??/*")):
            oid = path.parent.name + path.name
            if oid in kept or not _is_commit_file(path):
                continue
            if path.stat().st_mtime >= before:
                kept |= set(history(git, [oid]))
            else:
                gone += 1
                if not dry_run:
                    path.unlink()
    return kept, gone


def _is_commit_file(path: Path) -> bool:
    with open(path, "rb") as file:
        return zlib.decompressobj().decompress(file.read(64), 7) == b"commit "


def history(git: GitRepo, heads: list[str] | None = None) -> Iterator[str]:
    """All commits that lead to `heads`, or to any ref."""
    waiting, seen = list(git.refs("refs/").values()) if heads is None else heads, set()
    while waiting:
        if (oid := waiting.pop()) not in seen:
            seen.add(oid)
            yield oid
            waiting += commit_info(git, oid).parents


def large_files(git: GitRepo, commits: set[str]) -> set[str]:
    """The sha256 of all large files in the trees of some commits."""
    found: set[str] = set()
    waiting, seen = [commit_info(git, oid).tree for oid in commits], set()
    while waiting:
        if (tree := waiting.pop()) not in seen:
            seen.add(tree)
            for entry in trees.walk(git, tree, recursive=False):
                if entry.is_dir:
                    waiting.append(entry.oid)
                elif entry.lfs:
                    found.add(entry.lfs.sha256)
    return found


class Checked(NamedTuple):
    """What was found in a repo: how much there is, and what is wrong.

    `large` maps the sha256 of each large file to its size. `missing` are those whose content is not there; this may be
    on purpose: `permanently_delete_lfs_files` can leave the commits as they are. `mended` counts the objects and files
    that were damaged and have been written again.
    """

    kind: str
    id: str
    refs: int
    commits: int
    files: int
    large: dict[str, int]
    damage: list[str]
    missing: list[str]
    mended: int = 0


def fsck(store: Store) -> Iterator[Checked]:
    """Check every repo of a store: what each ref leads to, the hash of each object, the sha256 of each large file."""
    verified: dict[tuple[str, int], str] = {}
    for repo in store.every():
        checked = check(repo)
        for item in checked.large.items():
            if item not in verified:
                verified[item] = large_damage(store.large_files, *item)
            if verified[item]:
                found = checked.missing if verified[item] == MISSING else checked.damage
                found.append(f"large file {item[0]}: {verified[item]}")
        yield checked


def check(repo: Repo, spare: Repo | None = None) -> Checked:
    """Check one repo, without the content of its large files.

    Args:
        repo: the repo.
        spare: a copy of it; what is damaged in the repo and whole in the copy is written again.
    """
    damage: list[str] = []
    mended = 0
    counts: dict[type[ShaFile], int] = {Commit: 0, Tree: 0, Blob: 0, Tag: 0}
    large: dict[str, int] = {}
    try:
        refs = repo.git.all_refs()
    except (ValueError, PackedRefsException) as error:
        refs = {}
        damage.append(f"branches and tags cannot be read: {error}")
    waiting, seen = [(oid, ref) for ref, oid in refs.items()], set()
    while waiting:
        oid, where = waiting.pop()
        if oid in seen:
            continue
        seen.add(oid)
        obj = _checked_object(repo.git, oid, where, damage)
        if obj is None and spare and (obj := _checked_object(spare.git, oid, where, [])):
            _object_path(repo.git, oid).unlink(missing_ok=True)
            repo.git.add([obj])
            damage.pop()
            mended += 1
        if obj is None:
            continue
        counts[type(obj)] += 1
        if isinstance(obj, Blob):
            raw = obj.as_raw_string()
            if len(raw) <= POINTER_MAX and (match := POINTER.fullmatch(raw)):
                large[match[1].decode()] = int(match[2])
        else:
            waiting += _next(obj, oid, where, damage)
    for name, problem in list(_unsound_files(repo)):
        if spare and (spare.path / name).is_file() and name not in dict(_unsound_files(spare)):
            repo.scratch.write(repo.path / name, (spare.path / name).read_bytes())
            mended += 1
        else:
            damage.append(f"{name}: {problem}")
    return Checked(repo.kind, repo.id, len(refs), counts[Commit], counts[Blob], large, damage, [], mended)


def _unsound_files(repo: Repo) -> Iterator[tuple[str, str]]:
    """(name, what is wrong) of settings and discussions that no server could have written."""
    try:
        if not isinstance(repo.settings["private"], bool):
            yield "hub.json", "'private' is neither true nor false"
    except (HttpRefusal, ValueError, KeyError, TypeError) as error:
        yield "hub.json", f"{type(error).__name__} {error}"
    for path in sorted((repo.path / DISCUSSIONS).glob("*")):
        try:
            if discussion_form.is_sound(repo, read_json(path), path.stem):
                continue
        except (ValueError, RecursionError, KeyError, AssertionError):
            pass
        yield f"{DISCUSSIONS}/{path.name}", "not a discussion with this number and all its fields"


def _object_path(git: GitRepo, oid: str) -> Path:
    return git.path / "objects" / oid[:2] / oid[2:]


def _checked_object(git: GitRepo, oid: str, where: str, damage: list[str]) -> ShaFile | None:
    """An object whose content has the hash that its name says; None for another, which is noted."""
    file = _object_path(git, oid)
    try:
        if file.exists():
            zlib.decompress(file.read_bytes())  # dulwich reads a file that is cut as far as it goes
        obj = git.read(oid)
        obj.check()
        if obj.sha().hexdigest() == oid:
            return obj
        damage.append(f"{where}: object {oid} has other content than its name says")
    except KeyError:
        damage.append(f"{where}: object {oid} is not there")
    except Exception as error:  # dulwich has many for damaged bytes
        damage.append(f"{where}: object {oid} cannot be read ({type(error).__name__})")
    return None


def _next(obj: ShaFile, oid: str, where: str, damage: list[str]) -> list[tuple[str, str]]:
    """What an object names, with where it is named."""
    if isinstance(obj, Tag):
        return [(obj.object[1].decode(), where)]
    if isinstance(obj, Commit):
        return [(parent.decode(), f"commit {oid[:12]}") for parent in [obj.tree, *obj.parents]]
    assert isinstance(obj, Tree)
    found = []
    for entry in obj.iteritems():
        name = entry.path.decode("utf-8", "replace")
        try:
            check_path(name)
        except HttpRefusal as error:
            damage.append(str(error))
        found.append((entry.sha.decode(), f"{name} in tree {oid[:12]}"))
    return found


MISSING = "its content is not there"


def large_damage(large: LargeFiles, sha256: str, size: int) -> str:
    """What is wrong with a large file; nothing when it is whole."""
    digest, length = hashlib.sha256(), 0
    try:
        with open(large.path(sha256), "rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
                length += len(piece)
    except FileNotFoundError:
        return MISSING
    return "" if (digest.hexdigest(), length) == (sha256, size) else f"expected {size} bytes, got {length} other ones"
