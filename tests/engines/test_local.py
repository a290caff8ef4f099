"""Ranks as processes of this machine: each has its part of the GPUs, and whoever starts them may be killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from fake_openai import Asked, FakeOpenAI, Reply
from running import HANG_S
from toy_stages import FIXED, TASKS, Toy, answer

from hub_speed.engines import Options
from hub_speed.engines.local import RANKS_A_CORE, Local
from hub_speed.errors import Stopped
from hub_speed.hub import Hub
from hub_speed.localhub import LocalHub
from hub_speed.rows import TaskRow

ROWS = {"seed": {"rows": 40}}


def test_ranks_share_the_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that writes down what it sees stands for Python."""
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\nfor last; do :; done\necho "rank $last sees $CUDA_VISIBLE_DEVICES"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,GPU-a,GPU-b")
    engine = Local(Options(("run", "toy"), tmp_path / "logs", 3))
    assert engine.run([0, 2], threading.Event()) == {0: 0, 2: 0}
    words = [engine.last_words(rank).partition(" (")[0] for rank in (0, 2)]
    assert words == ["rank 0 sees 0,1", "rank 2 sees GPU-a,GPU-b"]


def test_of_many_ranks_few_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that counts those at work beside it stands for Python."""
    program, at_work = tmp_path / "python", tmp_path / "at work"
    at_work.mkdir()
    program.write_text(
        '#!/bin/sh\nfor last; do :; done\ncd "$AT_WORK" && touch "$last" && sleep 0.2 && ls | wc -l && rm "$last"\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("AT_WORK", str(at_work))
    monkeypatch.setattr("hub_speed.engines.local.cores", lambda: 1)
    engine = Local(Options(("run", "toy"), tmp_path / "logs", 10))
    assert engine.run(list(range(10)), threading.Event()) == dict.fromkeys(range(10), 0)
    assert all(1 <= int(engine.last_words(rank).partition(" (")[0]) <= RANKS_A_CORE for rank in range(10))


def children(pid: int) -> list[int]:
    """The processes that a process has started and that have not ended."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process is there, and not only waits to be forgotten."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends what a killed process has started")
def test_whoever_starts_ranks_is_killed_and_stopped(tmp_path: Path, server: FakeOpenAI, local: LocalHub) -> None:
    """The ranks of one that is killed ship what they have; another that is started at once waits for that."""
    toy, recipe = Toy(tmp_path, server, Hub(str(local.endpoint))), tmp_path / "toy.yaml"
    recipe.write_text(yaml.safe_dump(FIXED | ROWS))
    for org in ("org", "one"):
        toy.begin(org)
        toy.put_rows(toy.recipe(), "brainstorm", TaskRow, TASKS, org)
    one = toy.run(toy.recipe(**ROWS), "seed", "one")
    before, quick, late = len(server.asked), 12, list[Asked]()

    def slow(asked: Asked) -> Reply:
        """After some answers, only such as are very late."""
        late.extend([asked] * (len(server.asked) > before + quick))
        return Reply(answer(asked).body, wait_s=HANG_S if asked in late else 0)

    def start() -> "subprocess.Popen[str]":
        flags = ["--hub", toy.hub.endpoint, "--org", "org", "--endpoint", f"teacher={server.url}", "--ranks", "2"]
        command = [sys.executable, "-m", "hub_speed", "run", str(recipe), "--only", "seed", *flags]
        env = os.environ | {"HUB_SPEED_HOME": str(tmp_path / "home")}
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def wait_until_late(process: "subprocess.Popen[str]") -> list[int]:
        """Wait for one more late answer; returns the ranks that the process has started."""
        lost = len(late)
        while len(late) == lost:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        return children(process.pid)

    server.answer = slow
    killed = start()
    ranks = wait_until_late(killed)
    killed.kill()
    killed.communicate()
    quick += len(late) + 8
    stopped = start()
    while any(map(alive, ranks)):  # one may have asked once more
        time.sleep(0.01)
    more_ranks = wait_until_late(stopped)
    assert len(ranks) == len(more_ranks) == 2 and not any(map(alive, ranks))
    stopped.send_signal(signal.SIGTERM)
    out, _ = stopped.communicate(timeout=HANG_S)
    assert stopped.returncode == Stopped.exit_code and "the same command goes on" in out, out
    assert not any(map(alive, more_ranks))
    server.answer = answer
    many = toy.run_ranks(toy.recipe(**ROWS), "seed", 2)
    assert toy.files(many) == toy.files(one)
    repeated = len(server.asked) - before - many.record.rows_in
    assert len(late) <= repeated <= 2 * toy.recipe().runtime.in_flight  # of two stops: nothing but what was on its way
