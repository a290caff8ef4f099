"""Seconds to train an embedder with one process and with two (torchrun), each on one thread; and whether they agree.

    python scripts/bench_processes.py [--rows N] [--rounds N]

The base model the package ships, on the rows of bench_training.py, in turns; the best round counts. "steps" is the time
from the end of the first step to that of the last; "processor" is what the busiest process used of a processor in that
time: on a busy machine, what "steps" would be on a quiet one; "whole" is all, with the start of the processes.
"""

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from bench_training import BASE, COMMON, mixed_rows

from hub_speed.recipe import Embedder
from hub_speed.training.embedder.settings import EmbedderSettings
from hub_speed.training.process.launch import launch
from hub_speed.training.process.settings import PinnedModel

LAUNCHERS = {1: (), 2: ("torchrun", "--standalone", "--nproc-per-node", "2")}


class Steps:
    """Progress that knows when steps ended."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.used: list[dict[int, float]] = []

    def start(self, total: int, unit: str, done: int = 0) -> None:
        """Nothing: the number of steps is known."""

    def advance(self, n: int) -> None:
        """A step has ended."""
        self.times.append(time.perf_counter())
        self.used.append(used())

    def note(self, text: str) -> None:
        """Nothing: the losses are in the result."""


def used() -> dict[int, float]:
    """Processor seconds of each process that this one, or a launcher, has started."""
    return {each.pid: sum(each.cpu_times()[:2]) for each in psutil.Process().children(recursive=True)}


def train(rows: Path, folder: Path, processes: int) -> tuple[list[float], list]:
    """Seconds of the steps, of the busiest processor and of all, and the losses."""
    settings = EmbedderSettings(
        work=folder / "trainer",
        base=PinnedModel(folder=BASE, repo="tiny-base", commit="main"),
        gradient_checkpointing=False,
        recipe=Embedder(**COMMON | {"lora_r": 0}, batch_size=128),
        mini_batch_size=32,
        data=rows,
        out=folder / "out",
        default_instruction="",
        checkpoint_s=3600,
    )
    progress, started = Steps(), time.perf_counter()
    ctx = SimpleNamespace(work=folder, progress=progress, stop=threading.Event(), threads=1, devices=())
    found = launch(ctx, "training.embedder.contrastive", settings, LAUNCHERS[processes])
    whole, times, (first, *_, last) = time.perf_counter() - started, progress.times, progress.used
    busiest = max(last[pid] - first[pid] for pid in first.keys() & last.keys())
    return [times[-1] - times[0], busiest, whole], found["loss_curve"]


def said(seconds: list[float]) -> str:
    """The seconds of a training, for people."""
    return ", ".join(f"{what} {s:.1f} s" for what, s in zip(("steps", "processor", "whole"), seconds, strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    found: dict[int, list[tuple[list[float], list]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows"
        rows.mkdir()
        pq.write_table(pa.Table.from_pylist(mixed_rows(asked.rows)), rows / "train-00000.parquet")
        for i in range(asked.rounds):
            for processes in LAUNCHERS:
                found[processes].append(train(rows, Path(folder) / f"{i}-{processes}", processes))
                print(f"round {i + 1}, {processes}: {said(found[processes][-1][0])}", flush=True)
    for processes, runs in found.items():
        print(
            f"best of {processes}: {said([min(each) for each in zip(*(seconds for seconds, _ in runs), strict=True)])}"
        )
    one, two = ([loss for _, loss in runs[0][1]] for runs in found.values())
    print(f"largest difference of the losses: {max(abs(a - b) for a, b in zip(one, two, strict=True)):.1e}")


if __name__ == "__main__":
    main()
