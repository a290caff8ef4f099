"""One process at a time works in a folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub_speed.errors import Busy


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder, which need not be there: the lock is a file beside it, and stays.

    Raises:
        Busy: another process holds it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f"{folder.name}.lock"), "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise Busy(
                f"{folder}: another process works on this stage",
                got=f"process {file.read().strip() or 'unknown'}",
                fix="wait for it, or stop it; the rows it has finished are kept",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
