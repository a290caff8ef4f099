"""Ranks as tasks of a Ray cluster.

A task runs `hub-speed` in a process of its own on the node that Ray chooses, which needs hub_speed, of the same
version, and the keys in its environment. A task whose node dies is started again by Ray, and goes on from its shards.
"""

import platform
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

from hub_speed.engines import Options
from hub_speed.errors import RecipeError
from hub_speed.llm.servers import end_with_parent

LOOK_EVERY_S = 0.5
CONNECT_S = 10.0
RETRIES = 10  # of a task whose node or process is gone. Assumption


def work(arguments: tuple[str, ...], rank: int) -> tuple[int, str]:
    """Run one rank on a node of the cluster; returns its exit code and its last words.

    When the program that has asked for it is gone, Ray kills this process, and the rank is told to stop.
    """
    command = [sys.executable, "-m", "hub_speed", *arguments, "--rank", str(rank)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=end_with_parent() if sys.platform == "linux" else None,
    )
    try:
        out, _ = process.communicate()
    except BaseException:  # Ray cancels a task by an exception in it; the rank ships what it has
        process.terminate()
        process.communicate()
        raise
    return process.returncode, f"{' | '.join(out.strip().splitlines()[-4:])[-1000:]} ({platform.node()})"


def _connect(address: str) -> None:
    """Raise OSError where nobody answers at host:port."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), CONNECT_S).close()


@dataclass
class Ray:
    """A connection to a cluster.

    Raises:
        RecipeError: Ray is not installed, the cluster does not answer, or has another version of Python or Ray.
    """

    options: Options
    _words: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            import ray
        except ImportError as error:
            fix = "pip install 'hub-speed[ray]', in the version of the cluster"
            raise RecipeError("--on ray: Ray is not installed here", got=str(error), fix=fix) from error
        if not self.options.address:
            raise RecipeError("--on ray: at which address?", expected="--address ray://HOST:10001, or HOST:6379")
        self._ray: Any = ray
        try:
            _connect(self.options.address)  # Ray itself waits for minutes
            ray.init(address=self.options.address, log_to_driver=False, ignore_reinit_error=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise RecipeError(
                f"--on ray: the cluster at {self.options.address} cannot be used",
                expected=f"one that answers, with Python {platform.python_version()} and Ray {ray.__version__}",
                got=" ".join(str(error).split())[:300],
                fix="start it (ray start --head), or install its versions of Python and Ray here",
            ) from error

    def run(self, ranks: list[int], stop: threading.Event) -> dict[int, int]:
        """Start these ranks and wait until all have ended; returns their exit codes."""
        ray, given = self._ray, self.options
        settings = {"num_gpus": given.gpus_per_rank, "max_retries": RETRIES, "scheduling_strategy": "SPREAD"}
        task = ray.remote(work).options(**settings)
        started = {task.remote(given.arguments, rank): rank for rank in ranks}
        waiting, codes = list(started), dict[int, int]()
        while waiting:
            done, waiting = ray.wait(waiting, timeout=LOOK_EVERY_S)
            codes |= {started[each]: self._code(each, started[each]) for each in done}
            if stop.is_set():
                for each in waiting:
                    ray.cancel(each, force=False)
                stop = threading.Event()  # they are told once
        return codes

    def _code(self, task: Any, rank: int) -> int:
        try:
            code, self._words[rank] = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            code, self._words[rank] = 1, str(error).strip().splitlines()[-1][:300]
        return int(code)

    def last_words(self, rank: int) -> str:
        """How the messages of a rank end, and on which node."""
        return self._words.get(rank, "")
