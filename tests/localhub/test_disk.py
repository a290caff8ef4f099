"""Locks, scratch folders, and files that are replaced whole or not at all."""

import os
import subprocess
import sys
import threading

import pytest
from running import HANG_S

from hub_speed.localhub.disk import Scratch, locked


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    scratch = Scratch(tmp_path_factory.mktemp("scratch"))
    yield scratch
    scratch.close()


def test_a_lock_makes_other_threads_wait(tmp_path):
    order = []

    def second():
        with locked(tmp_path / "lock"):
            order.append("second")

    with locked(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join(HANG_S)
    assert order == ["first", "second"]


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    """Worker processes are forked from programs that serve a hub; one must not hold up the repo until it ends."""
    code = """
import os, sys
from pathlib import Path
from hub_speed.localhub.disk import locked
lock = Path(sys.argv[1])
with locked(lock):
    child = os.fork()
    if not child:
        sys.stdin.read()
        os._exit(0)
with locked(lock):
    print("free", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        answer = []
        reader = threading.Thread(target=lambda: answer.append(parent.stdout.readline()))
        reader.start()
        reader.join(HANG_S)
        in_time = list(answer)
        parent.stdin.close()
    assert in_time == ["free\n"]


def test_a_lock_notices_that_its_folder_moved(tmp_path):
    folder, done = tmp_path / "repo", []
    folder.mkdir()
    with locked(folder / "lock"):
        thread = threading.Thread(target=lambda: done.append(wait_for(folder / "lock")))
        thread.start()
        thread.join(0.05)
        folder.rename(tmp_path / "moved")
    thread.join(HANG_S)
    assert done == ["gone"]


def wait_for(path):
    try:
        with locked(path):
            return "locked"
    except FileNotFoundError:
        return "gone"


def test_scratch_of_a_dead_server_is_removed_and_of_a_living_one_kept(tmp_path):
    alive = Scratch(tmp_path)
    alive.new_path().write_bytes(b"unfinished")
    for name in ("never-locked", "dead"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_bytes(b"half")
    (tmp_path / "dead" / "alive").touch()
    second = Scratch(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {alive.path.name, second.path.name, "lock"}
    alive.close()
    second.close()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_replacing_is_all_or_nothing(tmp_path, scratch):
    target = tmp_path / "file"
    scratch.write(target, b"old")
    with pytest.raises(RuntimeError), scratch.replacing(target) as file:
        file.write(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert os.listdir(scratch.path) == ["alive"]
