"""Ranks as processes on this machine."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hub_speed.cores import cores, gpu_part, gpus, thread_settings
from hub_speed.engines import Options, last_words
from hub_speed.llm.servers import end_with_parent

LOOK_EVERY_S = 0.1
RANKS_A_CORE = 4  # Assumption: a rank waits for a model most of the time; its process takes some 150 MB


@dataclass(frozen=True)
class Local:
    """Starts ranks, at most `RANKS_A_CORE` for each core at once, each with its part of the cores and GPUs."""

    options: Options

    def run(self, ranks: list[int], stop: threading.Event) -> dict[int, int]:
        """Start these ranks and wait until all have ended; returns their exit codes, without those stopped before."""
        self.options.logs.mkdir(parents=True, exist_ok=True)
        together = min(len(ranks), RANKS_A_CORE * cores())
        waiting, places, ended = list(ranks), list(range(together)), dict[int, int]()
        running: dict[int, tuple[int, subprocess.Popen[bytes]]] = {}  # rank → its place and process
        with ExitStack() as stack:
            while running or waiting:
                while waiting and places:
                    rank, place = waiting.pop(0), places.pop(0)
                    running[rank] = place, stack.enter_context(self._start(rank, place, together))
                if stop.wait(LOOK_EVERY_S):
                    break
                for rank, (place, process) in list(running.items()):
                    if (code := process.poll()) is not None:
                        ended[rank] = code
                        places.append(place)
                        del running[rank]
            for _, process in running.values():
                if process.poll() is None:  # they finish no more rows, and ship what they have
                    process.send_signal(signal.SIGTERM)
            return ended | {rank: process.wait() for rank, (_, process) in running.items()}

    def _start(self, rank: int, which: int, together: int) -> "subprocess.Popen[bytes]":
        """A process in a session of its own: Ctrl-C is meant for us, and we pass it on."""
        seen = gpu_part(gpus(), which, together)
        with self._log(rank).open("ab") as messages:
            return subprocess.Popen(
                [sys.executable, "-m", "hub_speed", *self.options.arguments, "--rank", str(rank)],
                env=os.environ
                | thread_settings(max(1, cores() // together))
                | ({"CUDA_VISIBLE_DEVICES": ",".join(seen)} if seen else {}),
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                start_new_session=True,
                preexec_fn=end_with_parent() if sys.platform == "linux" else None,
            )

    def last_words(self, rank: int) -> str:
        """Where the messages of a rank are, and how they end."""
        return last_words(self._log(rank))

    def _log(self, rank: int) -> Path:
        return self.options.logs / f"rank-{rank}.log"
