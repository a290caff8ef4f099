"""One process at a time in a folder: real processes, kill -9, a folder removed by who holds it."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hub_speed.errors import Busy, NoSpace
from hub_speed.pipeline.lock import locked

HOLD = """
import sys
from pathlib import Path
from hub_speed.pipeline.lock import locked
with locked(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_others_are_told_who_holds_a_folder_until_that_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "er"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    for _ in range(2):  # being refused changes nothing
        with pytest.raises(Busy, match="another process works on this stage") as caught, locked(folder):
            pass
        assert caught.value.got == f"process {holder.pid}"
        assert caught.value.exit_code == 6
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with locked(folder):
        with pytest.raises(Busy) as caught, locked(folder):
            pass
        assert caught.value.got == f"process {os.getpid()}"
    with locked(folder):
        pass


def test_a_folder_may_be_removed_by_who_holds_it_and_is_never_held_twice(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    ended: list[str] = []

    def work() -> None:
        for _ in range(300):
            try:
                with locked(folder):
                    folder.mkdir()  # fails where another one is inside
                    (folder / "inside").touch()
                    shutil.rmtree(folder)
                    ended.append("worked")
            except Busy:
                ended.append("busy")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 4 * 300 and "worked" in ended
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_is_no_other_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As Lustre answers without the mount option `flock`, and NFS without its lock daemon."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(NoSpace, match="cannot be locked") as caught, locked(tmp_path / "work"):
        pass
    assert os.strerror(number) in caught.value.got and "HUB_SPEED_HOME" in caught.value.fix
    assert caught.value.exit_code == 7


def test_a_lock_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder should be", "utf-8")
    with pytest.raises(NoSpace, match="cannot be locked"), locked(tmp_path / "home" / "work"):
        pass
