"""One process at a time works in a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from hub_speed.errors import Busy, NoSpace


def lock_file(folder: Path) -> Path:
    """The file that stands beside a folder while a process works in it."""
    return folder.with_name(f"{folder.name}.lock")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder, which need not exist: the lock is a file beside it while it is held.

    Raises:
        Busy: another process holds the lock.
        NoSpace: the lock cannot be written, or the file system has no locks (some mounts of Lustre and NFS).
    """
    path = lock_file(folder)
    # A soft lock, which filelock would take instead where there is no flock, outlives a process that is killed.
    lock = FileLock(path, blocking=False, fallback_to_soft=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        holder = ""
        with suppress(FileNotFoundError):  # the lock was given back in the meantime
            holder = path.read_text("utf-8")
        raise Busy(
            f"{folder}: another process works on this stage",
            got=f"process {holder or 'unknown'}",
            fix="wait for that process, or stop it; the rows it has finished are kept",
        ) from error
    except OSError as error:
        raise NoSpace(
            f"{folder}: the folder cannot be locked",
            got=str(error),
            fix="free some space, or set HUB_SPEED_HOME to a folder on a local disk that you may write to",
        ) from error
    try:
        path.write_text(str(os.getpid()), "utf-8")
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()
