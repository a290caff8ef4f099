"""One process at a time works in a folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from hub_speed.errors import Busy


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder, which need not be there: the lock is a file beside it while it is held.

    Raises:
        Busy: another process holds it.
    """
    path = folder.with_name(f"{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _held(path, folder) as file:
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _held(path: Path, folder: Path) -> TextIO:
    """The lock file, open and locked; closing it gives the lock back."""
    while True:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - whoever gets it closes it
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise Busy(
                f"{folder}: another process works on this stage",
                got=f"process {holder}",
                fix="wait for it, or stop it; the rows it has finished are kept",
            ) from error
        # Who held it before may have removed it between the two steps: then others lock another file by now.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()
