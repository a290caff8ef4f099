"""Writing to disk so that a killed process or a power cut leaves the old state or the new one, never half of one.

Everything is first written under a temporary name, flushed to the disk, and then renamed to its real name.
"""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


def fsync_dir(path: Path) -> None:
    """Flush a directory: a rename is only safe against a power cut once its directory is on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_dirs(path: Path, within: Path | None = None) -> None:
    """Create `path` and its parents, and flush every directory that got a new entry.

    Raises:
        FileNotFoundError: `within`, a parent that is not to be created, is gone (its repo was deleted meanwhile).
    """
    if path.is_dir():
        return
    if path == within:
        raise FileNotFoundError(path)
    make_dirs(path.parent, within)
    path.mkdir(exist_ok=True)
    fsync_dir(path.parent)


def read_json(path: Path) -> Any:
    """What a JSON file holds; NaN and infinities, which older versions took and no answer can hold, are None."""
    return json.loads(path.read_bytes(), parse_constant=lambda _: None)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, exclusively among all threads and processes; waits until it is free.

    The operating system releases the lock when a process dies, so a kill never leaves one behind.

    Raises:
        FileNotFoundError: The folder of the lock file is gone (its repo was deleted or moved meanwhile).
    """
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            # While we waited, the repo may have been moved: then we hold the lock of another file.
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                break
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    try:
        yield
    finally:
        # Closing is not enough: a process forked meanwhile would share the lock and keep it.
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


class Scratch:
    """The private folder of one running server for files that are not finished yet, on the same disk as the store.

    A folder is in use as long as its server holds the lock of `alive` in it; the next server to start removes the
    folders of servers that died.
    """

    def __init__(self, root: Path):
        make_dirs(root)
        with locked(root / "lock"):
            for folder in root.iterdir():
                if folder.is_dir() and not _in_use(folder):
                    shutil.rmtree(folder, ignore_errors=True)
            self.path = Path(tempfile.mkdtemp(dir=root))
            self._alive = os.open(self.path / "alive", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._alive, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._alive)

    def new_path(self) -> Path:
        """An unused path in the folder."""
        return self.path / uuid.uuid4().hex

    @contextlib.contextmanager
    def replacing(self, target: Path, *, flush_dir: bool = True, within: Path | None = None) -> Iterator[IO[bytes]]:
        """Write a file that appears at `target` when the block ends, whole and flushed, or not at all.

        Args:
            target: Where the file goes; an older one is replaced.
            flush_dir: False when the caller writes many files and flushes their folders itself.
            within: A parent of `target` that is not created again when it is gone.
        """
        temp = self.new_path()
        try:
            with open(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            make_dirs(target.parent, within)
            os.replace(temp, target)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
        if flush_dir:
            fsync_dir(target.parent)

    def write(self, target: Path, data: bytes) -> None:
        """Replace the content of `target` by `data`."""
        with self.replacing(target) as file:
            file.write(data)

    def discard(self, path: Path) -> None:
        """Delete a folder of the store: it disappears in one step, and its files are removed after that."""
        trash = self.new_path()
        path.rename(trash)
        fsync_dir(path.parent)
        shutil.rmtree(trash, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    """Whether the server that made this scratch folder is still running."""
    try:
        fd = os.open(folder / "alive", os.O_RDWR)
    except FileNotFoundError:
        return False  # it died before it could lock
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
