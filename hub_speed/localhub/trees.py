"""The files of a commit: listing them, finding one, and making the next tree from a list of changes."""

import re
import stat
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from dulwich.objects import ObjectID, ShaFile, Tree

from hub_speed.localhub.errors import bad_path, bad_request, entry_not_found
from hub_speed.localhub.git import CommitInfo, GitRepo, commit_info

FILE_MODE = 0o100644
DIR_MODE = stat.S_IFDIR
POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d+)\n", re.ASCII
)
# What Windows takes for .git or for the list of submodules (short names; dots, spaces or a stream at the end), and the
# characters that do not count in names on a Mac. Source: git, is_ntfs_dotgit in path.c and is_hfs_dotgit in utf8.c.
GIT_OWN = re.compile(r"(?:\.git|git~1|\.gitmodules|gitmod~[1-4]|gi7eba~[1-9])[. ]*(?::.*)?", re.I | re.A)
UNSEEN = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])
MAX_DEPTH = 100  # folders; also keeps the recursion below far from Python's limit
POINTER_MAX = 200  # bytes; a longer blob cannot be a pointer


class Pointer(NamedTuple):
    """What git keeps of a large file: `sha256` names the content in the LFS store, `size` is its length in bytes."""

    sha256: str
    size: int
    pointer_size: int


class Entry(NamedTuple):
    """A file or folder of a commit. `oid` is the git id; `size` counts the real content in bytes, 0 for folders."""

    path: str
    oid: str
    is_dir: bool
    size: int
    lfs: Pointer | None

    @property
    def etag(self) -> str:
        """What identifies the content: sha256 for a large file, the git blob id otherwise."""
        return self.lfs.sha256 if self.lfs else self.oid


def pointer_text(sha256: str, size: int) -> bytes:
    """The content of the blob that stands for a large file in git."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


@lru_cache(maxsize=512)
def children(repo: GitRepo, tree: str) -> dict[str, tuple[int, str]]:
    """Name → (mode, object id) in one folder. Callers must not change the dict: it is shared."""
    obj = repo.read(tree)
    assert isinstance(obj, Tree)
    return {entry.path.decode("utf-8", "replace"): (entry.mode, entry.sha.decode()) for entry in obj.iteritems()}


@lru_cache(maxsize=65536)
def _blob(repo: GitRepo, oid: str) -> tuple[int, Pointer | None]:
    """(size, pointer or None) of a blob."""
    size, start = repo.peek_blob(oid, POINTER_MAX)
    match = POINTER.fullmatch(start) if size <= POINTER_MAX else None
    return size, Pointer(match[1].decode(), int(match[2]), size) if match else None


def _entry(repo: GitRepo, path: str, mode: int, oid: str) -> Entry:
    if stat.S_ISDIR(mode):
        return Entry(path, oid, True, 0, None)
    size, lfs = _blob(repo, oid)
    return Entry(path, oid, False, lfs.size if lfs else size, lfs)


def find(repo: GitRepo, commit: str, path: str) -> Entry | None:
    """The file or folder at `path`, None when there is none. `""` is the root folder."""
    mode, oid = DIR_MODE, commit_info(repo, commit).tree
    for name in path.split("/") if path else []:
        if not stat.S_ISDIR(mode) or name not in (names := children(repo, oid)):
            return None
        mode, oid = names[name]
    return _entry(repo, path, mode, oid)


def walk(repo: GitRepo, tree: str, prefix: str = "", *, recursive: bool = True) -> Iterator[Entry]:
    """The entries of a folder; with `recursive` also those of its folders, each after its folder."""
    for name, (mode, oid) in children(repo, tree).items():
        entry = _entry(repo, f"{prefix}{name}", mode, oid)
        yield entry
        if recursive and entry.is_dir:
            yield from walk(repo, oid, entry.path + "/")


def last_commits(repo: GitRepo, commit: str, paths: list[str]) -> dict[str, CommitInfo]:
    """For each path the newest commit, from `commit` backwards, that changed it."""
    waiting: dict[str, set[str]] = {}  # folder → names in it whose commit is not known yet
    for path in paths:
        folder, _, name = path.rpartition("/")
        waiting.setdefault(folder, set()).add(name)
    found: dict[str, CommitInfo] = {}
    for info in repo.log(commit):
        for folder in list(waiting):
            now = find(repo, info.oid, folder)
            before = find(repo, info.parents[0], folder) if info.parents else None
            if now is None or (before is not None and before.oid == now.oid):
                continue
            old = children(repo, before.oid) if before is not None and before.is_dir else {}
            new = children(repo, now.oid)
            for name in [name for name in waiting[folder] if old.get(name) != new.get(name)]:
                found[f"{folder}/{name}" if folder else name] = info
                waiting[folder].remove(name)
            if not waiting[folder]:
                del waiting[folder]
        if not waiting:
            break
    return found


def check_path(path: object) -> str:
    """`path` if it can name a file in a repo.

    Raises:
        HttpRefusal: 422; the path leads out of the repo, or git would not check it out.
    """
    if not isinstance(path, str) or not path:
        raise bad_request("Invalid path in repo: expected a non-empty string")
    names = path.split("/")
    if len(names) > MAX_DEPTH:
        raise bad_path(f"Invalid path in repo: {path[:80]!r}... is deeper than {MAX_DEPTH} folders")
    for name in names:
        if name in ("", ".", "..") or re.search(r"[\\\x00-\x1f\x7f\ud800-\udfff]", name):
            raise bad_path(f"Invalid path in repo: {path!r} (empty, '.', '..', backslash or control character)")
        if GIT_OWN.fullmatch(name) or name.translate(UNSEEN).lower() in (".git", ".gitmodules"):
            raise bad_path(
                f"Invalid path in repo: {path!r} ({name!r} is .git or .gitmodules on some systems: git refuses to "
                "check it out)"
            )
        if len(name.encode()) > 255:
            raise bad_path(f"Invalid path in repo: a name in {path[:80]!r}... is longer than 255 bytes")
    return path


class _Folder:
    """A folder being edited. Sub-folders are only read when a change reaches into them."""

    def __init__(self, repo: GitRepo, tree: str | None):
        self.repo = repo
        self.names: dict[str, tuple[int, str] | _Folder] = dict(children(repo, tree)) if tree else {}

    def enter(self, name: str) -> "_Folder | None":
        """The sub-folder `name`, None when there is none."""
        item = self.names.get(name)
        if isinstance(item, tuple):
            if not stat.S_ISDIR(item[0]):
                return None
            item = self.names[name] = _Folder(self.repo, item[1])
        return item

    def write(self, objects: list[ShaFile]) -> str | None:
        """Append the git trees of this folder to `objects`; return its id, None when it is empty."""
        tree = Tree()
        for name, item in self.names.items():
            mode, oid = (DIR_MODE, item.write(objects)) if isinstance(item, _Folder) else item
            if oid is not None:  # git has no empty folders
                tree.add(name.encode(), mode, ObjectID(oid.encode()))
        if not len(tree):
            return None
        objects.append(tree)
        return tree.id.decode()


class TreeEditor:
    """The files of a commit, to be changed one by one and then written as the tree of the next commit."""

    def __init__(self, repo: GitRepo, tree: str | None):
        self.repo = repo
        self.root = _Folder(repo, tree)

    def _parent(self, path: str, *, create: bool) -> tuple[_Folder | None, str]:
        """(folder that holds `path`, last name of `path`)."""
        folder: _Folder | None = self.root
        *parents, name = check_path(path).split("/")
        for parent in parents:
            if folder is None:
                break
            inner = folder.enter(parent)
            if inner is None and create:
                if parent in folder.names:
                    raise bad_request(f"Cannot write {path!r}: {parent!r} is a file, not a folder")
                inner = folder.names[parent] = _Folder(self.repo, None)
            folder = inner
        return folder, name

    def put(self, path: str, blob: str) -> None:
        """Add or replace a file."""
        folder, name = self._parent(path, create=True)
        assert folder is not None
        inner = folder.enter(name)
        if inner is not None and inner.write([]) is not None:
            raise bad_request(f"Cannot write {path!r}: a folder of this name is there")
        folder.names[name] = (FILE_MODE, blob)

    def remove(self, path: str, *, is_folder: bool) -> None:
        """Delete a file, or a folder with all that is in it; a folder may also be named as a file is, as on the Hub.

        Raises:
            HttpRefusal: 404 EntryNotFound, in the words huggingface_hub looks for.
        """
        folder, name = self._parent(path, create=False)
        if folder is None or name not in folder.names or (is_folder and folder.enter(name) is None):
            error = entry_not_found(path)
            error.body["error"] = f"A {'folder' if is_folder else 'file'} with this name doesn't exist: {path}"
            raise error
        del folder.names[name]

    def write(self) -> str:
        """Write the changed trees to disk and return the id of the root."""
        objects: list[ShaFile] = []
        root = self.root.write(objects)
        if root is None:
            empty = Tree()
            objects, root = [empty], empty.id.decode()
        self.repo.add(objects)
        return root
