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


@dataclass(frozen=True)
class Local:
    """Starts all ranks at once, each with its part of the cores and GPUs."""

    options: Options

    def run(self, ranks: list[int], stop: threading.Event) -> dict[int, int]:
        """Start these ranks and wait until all have ended; returns their exit codes."""
        self.options.logs.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            started = {rank: stack.enter_context(self._start(rank, i, len(ranks))) for i, rank in enumerate(ranks)}
            while any(process.poll() is None for process in started.values()) and not stop.wait(LOOK_EVERY_S):
                pass
            for process in started.values():
                if process.poll() is None:  # they finish no more rows, and ship what they have
                    process.send_signal(signal.SIGTERM)
            return {rank: process.wait() for rank, process in started.items()}

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
