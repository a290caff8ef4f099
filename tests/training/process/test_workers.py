"""Jobs over several GPUs: real processes that tell which GPU they see, and some that die."""

import sys
import textwrap
from pathlib import Path

import pytest

from hub_speed.errors import StageError
from hub_speed.training.process.workers import LOST, spread

SCRIPT = """
    import json, os, pathlib, signal, sys
    device, folder = os.environ["CUDA_VISIBLE_DEVICES"], pathlib.Path(sys.argv[1])
    print("loading", flush=True)  # goes to the log
    for line in sys.stdin:
        job, *more = line.split()
        with (folder / "begun").open("a") as begun:
            begun.write(f"{job} {device}\\n")
        if "dies" in more or "dies-once" in more and not (folder / job).exists() or f"dies-on-{device}" in more:
            (folder / job).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if "fails" in more:
            print("@" + json.dumps({"failed": {"where": f"{job} is wrong", "fix": "mend it"}}), flush=True)
            sys.exit(1)
        print("@" + json.dumps({"note": "at work"}), flush=True)
        print("@" + json.dumps({"result": {"device": device, "threads": os.environ["OMP_NUM_THREADS"]}}), flush=True)
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    (tmp_path / "worker.py").write_text(textwrap.dedent(SCRIPT))
    return [sys.executable, str(tmp_path / "worker.py"), str(tmp_path)]


def begun(tmp_path: Path) -> list[list[str]]:
    return [line.split() for line in (tmp_path / "begun").read_text().splitlines()]


def test_every_gpu_has_one_worker_and_every_job_is_done_once(command: list[str], tmp_path: Path) -> None:
    jobs = [f"job{i}" for i in range(20)]
    found = dict(spread(command, ["GPU-a", "3"], jobs))
    assert sorted(found) == sorted(jobs) and sorted(job for job, _ in begun(tmp_path)) == sorted(jobs)
    assert {result["device"] for result in found.values()} <= {"GPU-a", "3"}
    assert {result["threads"] for result in found.values()} == {"3"}  # half of the six
    assert not list(spread(command, ["0"], []))


def test_the_job_of_a_worker_that_dies_is_taken_up_by_another_gpu(command: list[str], tmp_path: Path) -> None:
    found = dict(spread(command, ["0", "1"], ["a dies-once", "b", "c dies", "d", "e dies-on-0", "f"]))
    assert {job for job, result in found.items() if LOST in result} == {"c dies"} and len(found) == 6
    assert found["c dies"] == {LOST: "two workers ended at it, the last one with exit code -9"}
    assert found["e dies-on-0"]["device"] == "1"
    for job in "ac":
        assert sorted(device for name, device in begun(tmp_path) if name == job) == ["0", "1"]


def test_on_one_gpu_a_job_is_taken_up_by_a_new_worker(command: list[str], tmp_path: Path) -> None:
    found = dict(spread(command, ["0"], ["a dies-once", "b"]))
    assert [found[job]["device"] for job in ("a dies-once", "b")] == ["0", "0"]
    assert [job for job, _ in begun(tmp_path)] == ["a", "a", "b"]  # in the order given


def test_what_a_worker_reports_as_wrong_ends_the_work(command: list[str]) -> None:
    with pytest.raises(StageError, match="a is wrong") as caught:
        list(spread(command, ["0", "1"], ["a fails", "b"]))
    assert caught.value.fix == "mend it"
