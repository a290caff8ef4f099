"""One process at a time works in a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from hub_speed.errors import Busy


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder, which need not exist: the lock is a file beside it while it is held.

    Raises:
        Busy: another process holds the lock.
    """
    path = folder.with_name(f"{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, blocking=False)
    try:
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
    try:
        path.write_text(str(os.getpid()), "utf-8")
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()
