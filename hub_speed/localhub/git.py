"""One bare git repository: objects, refs and history. An ordinary `git` can clone, log and fsck it.

dulwich knows the object formats. Writing is done here, because dulwich writes through `*.lock` files, and a lock file
left by a killed process would block that object or ref for ever.

Object ids are 40-hex strings throughout. Every object is flushed to disk before the ref that needs it is moved.
"""

import re
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from dulwich.object_store import DiskObjectStore
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tag
from dulwich.refs import DiskRefsContainer, Ref, check_ref_format

from hub_speed.localhub.disk import Scratch, fsync_dir
from hub_speed.localhub.errors import bad_request, conflict, revision_not_found

AUTHOR = b"local <local@localhost>"
HEADS, TAGS, PULLS = "refs/heads/", "refs/tags/", "refs/pr/"
MAIN = HEADS + "main"


class CommitInfo(NamedTuple):
    """A commit as the routes need it; `parents` are commit ids, `time` is seconds since 1970."""

    oid: str
    tree: str
    parents: tuple[str, ...]
    title: str
    message: str
    time: int


@dataclass(frozen=True)
class GitRepo:
    """The git side of one Hub repo. Equal when the path is equal, so it can key caches of immutable objects."""

    path: Path
    scratch: Scratch = field(compare=False, repr=False)

    @staticmethod
    def init(path: Path, scratch: Scratch) -> "GitRepo":
        """Make an empty bare repository at `path`."""
        for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
            (path / folder).mkdir(parents=True)
        scratch.write(path / "HEAD", b"ref: refs/heads/main\n")
        scratch.write(path / "config", b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n")
        return GitRepo(path, scratch)

    # Objects

    def _object_path(self, oid: str) -> Path:
        return self.path / "objects" / oid[:2] / oid[2:]

    def read(self, oid: str) -> ShaFile:
        """The object `oid`.

        Raises:
            KeyError: There is no such object.
            FileNotFoundError: The repo was deleted or moved meanwhile.
        """
        try:
            with open(self._object_path(oid), "rb") as file:
                return ShaFile.from_file(file)
        except FileNotFoundError as absent:
            try:
                # We never write packs, but somebody may have run `git gc` on the store.
                return DiskObjectStore(str(self.path / "objects"))[ObjectID(oid.encode())]
            except KeyError:
                if self.path.is_dir():
                    raise
                raise absent from None

    def read_blob(self, oid: str) -> bytes:
        """The content of a file kept in git."""
        return self.read(oid).as_raw_string()

    def peek_blob(self, oid: str, enough: int) -> tuple[int, bytes]:
        """(size, first bytes) of a blob, without unpacking all: listings only have to tell pointers from files."""
        try:
            with open(self._object_path(oid), "rb") as file:
                raw = zlib.decompressobj().decompress(file.read(4096), enough + 64)
        except FileNotFoundError:
            content = self.read_blob(oid)
            return len(content), content[:enough]
        header, _, content = raw.partition(b"\0")
        return int(header.split(b" ")[1]), content[:enough]

    def add(self, objects: Sequence[ShaFile]) -> None:
        """Write objects and flush them; those already there are kept."""
        paths = {self._object_path(obj.id.decode()): obj for obj in objects}
        missing = [path for path in paths if not path.exists()]

        def write(path: Path) -> None:
            with self.scratch.replacing(path, flush_dir=False, within=self.path) as file:
                file.write(paths[path].as_legacy_object())

        if len(missing) > 8:  # flushing waits for the disk, and waits overlap
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(write, missing))
        else:
            for path in missing:
                write(path)
        # Also those that were there: whoever wrote them may not have come to this line yet.
        for folder in {path.parent for path in paths if path.exists()}:
            fsync_dir(folder)

    def add_blob(self, content: bytes) -> str:
        """Write a file's content and return its id."""
        blob = Blob.from_string(content)
        self.add([blob])
        return blob.id.decode()

    # Refs

    def _refs(self) -> DiskRefsContainer:
        return DiskRefsContainer(self.path)

    def refs(self, prefix: str) -> dict[str, str]:
        """Name without `prefix` → commit id, for all refs that start with it (HEADS, TAGS or PULLS), sorted."""
        found = self._refs().as_dict(Ref(prefix.rstrip("/").encode()))
        return {name.decode(): self._commit_of(oid.decode()) for name, oid in sorted(found.items())}

    def all_refs(self) -> dict[str, str]:
        """Full name → object id of every ref; annotated tags are not followed, and nothing is read."""
        refs = self._refs().as_dict(Ref(b"refs"))
        return {f"refs/{name.decode()}": oid.decode() for name, oid in sorted(refs.items())}

    def ref(self, ref: str) -> str | None:
        """The commit a full ref name points at, None when there is no such ref."""
        if not is_ref_name(ref):
            return None
        oid = self._refs().read_ref(Ref(ref.encode()))
        return self._commit_of(oid.decode()) if oid else None

    def _commit_of(self, oid: str) -> str:
        """Follow annotated tags to the commit."""
        obj = self.read(oid)
        while isinstance(obj, Tag):
            oid = obj.object[1].decode()
            obj = self.read(oid)
        return oid

    def resolve(self, revision: str) -> str:
        """The commit id of a branch, tag, full ref name, commit id, or at least 7 first digits of one.

        Raises:
            HttpRefusal: 404 RevisionNotFound.
        """
        if re.fullmatch(r"[0-9a-f]{40}", revision) and self._is_commit(revision):
            return revision
        names = [revision] if revision.startswith("refs/") else [HEADS + revision, TAGS + revision]
        for name in names:
            if (oid := self.ref(name)) is not None:
                return oid
        if re.fullmatch(r"[0-9a-f]{7,39}", revision):
            folder = self.path / "objects" / revision[:2]
            matches = [revision[:2] + path.name for path in folder.glob(revision[2:] + "*")]
            matches = [oid for oid in matches if self._is_commit(oid)]
            if len(matches) == 1:
                return matches[0]
        raise revision_not_found(revision)

    def _is_commit(self, oid: str) -> bool:
        try:
            return isinstance(self.read(oid), Commit)
        except KeyError:
            return False

    def set_ref(self, ref: str, oid: str) -> None:
        """Point `ref` at an object that is already on disk. The caller holds the lock of the repo."""
        self.scratch.write(self.path / ref, oid.encode() + b"\n")

    def move_ref(self, ref: str, oid: str) -> None:
        """Point a ref at another commit; an annotated tag keeps its message. The caller holds the lock of the repo."""
        was = self._refs().read_ref(Ref(ref.encode()))
        tag = self.read(was.decode()) if was else None
        if isinstance(tag, Tag):
            oid = self.annotate(tag.name.decode(), oid, tag.message.decode("utf-8", "replace"))
        self.set_ref(ref, oid)

    def create_ref(self, ref: str, oid: str) -> None:
        """Make a branch or tag. The caller holds the lock of the repo.

        Raises:
            HttpRefusal: 409 when the ref exists, 400 when its name is not valid or clashes with another one.
        """
        if not is_ref_name(ref):
            raise bad_request(f"Invalid reference name: {ref}")
        if self.ref(ref) is not None:
            raise conflict(f"Reference {ref} already exists")  # clients match this sentence
        for other in (name.decode() for name in self._refs().allkeys()):
            # git keeps refs as files: `a` and `a/b` cannot both be.
            if other.startswith(ref + "/") or ref.startswith(other + "/"):
                raise bad_request(
                    f"Cannot create {ref}: {other} exists, and one name would have to be inside the other"
                )
        self._remove_empty(self.path / ref)
        self.set_ref(ref, oid)

    def delete_ref(self, ref: str) -> None:
        """Remove a branch or tag. The caller holds the lock of the repo.

        Raises:
            HttpRefusal: 404 when there is no such ref.
        """
        if self.ref(ref) is None:
            raise revision_not_found(ref)
        path = self.path / ref
        if path.exists():
            path.unlink()
            fsync_dir(path.parent)
        refs = self._refs()
        if Ref(ref.encode()) in refs.get_packed_refs():  # after somebody's `git gc`
            refs.add_packed_refs({Ref(ref.encode()): None})
        while (path := path.parent).name not in ("heads", "tags", "pr") and path.is_dir() and not any(path.iterdir()):
            path.rmdir()

    @staticmethod
    def _remove_empty(path: Path) -> None:
        """Remove what deleted refs like `a/b` may have left where the ref `a` has to go."""
        if path.is_dir():
            for folder in [*sorted((p for p in path.rglob("*")), reverse=True), path]:
                folder.rmdir()

    # History

    def commit(self, tree: str, parents: Sequence[str], message: str) -> str:
        """Write a commit object and return its id; no ref is moved."""
        commit = Commit()
        commit.tree, commit.parents = tree.encode(), [ObjectID(parent.encode()) for parent in parents]
        commit.author = commit.committer = AUTHOR
        commit.author_time = commit.commit_time = int(time.time())
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding, commit.message = b"UTF-8", message.encode("utf-8", "replace")
        self.add([commit])
        return commit.id.decode()

    def annotate(self, name: str, oid: str, message: str) -> str:
        """Write an annotated tag object for commit `oid` and return its id; no ref is moved."""
        tag = Tag()
        tag.name, tag.object, tag.tagger = name.encode(), (Commit, oid.encode()), AUTHOR
        tag.tag_time, tag.tag_timezone, tag.message = int(time.time()), 0, message.encode("utf-8", "replace")
        self.add([tag])
        return tag.id.decode()

    def log(self, oid: str) -> Iterator[CommitInfo]:
        """The commit `oid` and its ancestors, newest first. Hub histories have one line."""
        while True:
            info = commit_info(self, oid)
            yield info
            if not info.parents:
                return
            oid = info.parents[0]


@lru_cache(maxsize=8192)
def commit_info(repo: GitRepo, oid: str) -> CommitInfo:
    """The parsed commit object `oid`."""
    commit = repo.read(oid)
    assert isinstance(commit, Commit)
    title, _, message = commit.message.decode("utf-8", "replace").partition("\n")
    parents = tuple(parent.decode() for parent in commit.parents)
    return CommitInfo(oid, commit.tree.decode(), parents, title, message.strip("\n"), commit.commit_time)


def is_ref_name(ref: str) -> bool:
    """Whether git allows `ref` as the full name of a ref, and every file system allows it as a file name."""
    raw = ref.encode("utf-8", "replace")
    return check_ref_format(Ref(raw)) and max(map(len, raw.split(b"/"))) <= 200 and len(raw) <= 1000
