"""Jobs spread over GPUs: one worker process on each, which is given one job after another.

A worker reads the names of jobs from standard input, one a line, and answers each with the event `{"result": …}` as
`child.run` does; standard input ends when this process does, however that ends. The next job goes to whoever is free.
The job of a worker that dies is taken up once more, on another GPU where there is one.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hub_speed.cores import cores
from hub_speed.errors import StageError
from hub_speed.record import Json
from hub_speed.training.process.settings import Settings

WORKER = "worker"
"""The last argument of a worker's command."""
LOST = "lost"
"""The key of the result of a job that two workers died at; the value says how the last one ended."""


def command(module: str, settings: Settings) -> list[str]:
    """What starts a worker of `hub_speed.<module>`, which calls `child.run`, with these settings."""
    path = settings.work / "worker.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(settings.model_dump_json(indent=1), "utf-8")
    return [sys.executable, "-m", f"hub_speed.{module}", str(path), WORKER]


def spread(command: Sequence[str], devices: Sequence[str], jobs: Sequence[str]) -> Iterator[tuple[str, Json]]:
    """Have every job done by a worker on one of the GPUs; yields each job with its result, in the order they end.

    Args:
        command: what starts a worker.
        devices: GPUs as CUDA_VISIBLE_DEVICES names them; each worker sees one.
        jobs: names, those that take longest first.

    Raises:
        StageError: the one that a worker reports.
    """
    if not jobs:
        return
    given = _Jobs(tuple(devices[: len(jobs)]), list(jobs))
    threads = max(1, int(os.environ.get("OMP_NUM_THREADS") or cores()) // len(given.devices))
    workers = [_Worker(command, device, threads, given) for device in given.devices]
    for worker in workers:
        threading.Thread(target=worker.work, daemon=True).start()
    try:
        for _ in jobs:
            job, result = given.done.get()
            if "failed" in result:
                raise StageError(**result["failed"])
            yield job, result["result"]
    finally:
        given.close()
        for worker in workers:
            worker.end()


@dataclass
class _Jobs:
    """The jobs that wait, those that a worker died at, and what is done."""

    devices: tuple[str, ...]
    waiting: list[str]
    done: "queue.Queue[tuple[str, Json]]" = field(default_factory=queue.Queue)
    _died_on: dict[str, str] = field(default_factory=dict)  # job → GPU
    _open: bool = True
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, device: str) -> str | None:
        """The next job for a GPU, once there is one; None after the last."""
        with self._changed:
            while self._open:
                for job in self.waiting:
                    if self._died_on.get(job) != device or len(self.devices) == 1:
                        self.waiting.remove(job)
                        return job
                self._changed.wait()
            return None

    def lose(self, job: str, device: str, code: int) -> None:
        """A worker died at this job: another one takes it up, but only once."""
        with self._changed:
            if job in self._died_on:
                self.done.put((job, {"result": {LOST: f"two workers ended at it, the last one with exit code {code}"}}))
            else:
                self._died_on[job] = device
                self.waiting.insert(0, job)
            self._changed.notify_all()

    def close(self) -> None:
        """There are no more jobs."""
        with self._changed:
            self._open = False
            self._changed.notify_all()


@dataclass
class _Worker:
    """The worker process of one GPU, started again after it died."""

    command: Sequence[str]
    device: str
    threads: int
    jobs: _Jobs
    _process: "subprocess.Popen[str] | None" = None

    def work(self) -> None:
        """Do jobs until there are none."""
        while (job := self.jobs.take(self.device)) is not None:
            process = self._process or self._started()
            if result := _answer(process, job):
                self.jobs.done.put((job, result))
            else:
                self._process = None
                self.jobs.lose(job, self.device, process.wait())
        self.end()

    def end(self) -> None:
        """End the process, whatever it does."""
        if process := self._process:
            process.kill()
            process.wait()

    def _started(self) -> "subprocess.Popen[str]":
        own = {"CUDA_VISIBLE_DEVICES": self.device, "OMP_NUM_THREADS": str(self.threads)}
        self._process = subprocess.Popen(
            self.command, env=os.environ | own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self._process


def _answer(process: "subprocess.Popen[str]", job: str) -> Json | None:
    """What a worker says of a job; None when it died."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(f"{job}\n")
        process.stdin.flush()
    except BrokenPipeError:
        return None
    for line in process.stdout:
        if not line.startswith("@"):
            sys.stderr.write(line)
            continue
        event = dict(json.loads(line[1:]))
        if "result" in event or "failed" in event:
            return event
    return None
