"""Starts a model server for the time it is needed, and ends it however that time ends."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hub_speed.errors import EndpointDown


@contextmanager
def embedded(folder: Path, name: str, *, replicas: int, threads: int, log: Path) -> Iterator[tuple[str, ...]]:
    """Serve a model folder with `replicas` embedded servers; yields their URLs.

    Args:
        folder: the model's files.
        name: the name the servers know it by.
        replicas: how many servers, each with its own copy of the weights.
        threads: processor threads of all of them together.
        log: where the servers' messages go.

    Raises:
        EndpointDown: a server did not start; its last words are in the message.
    """
    each = max(1, threads // replicas)
    arguments = ["hub_speed.llm.embedded", str(folder), "--name", name, "--threads", str(each)]
    # No Hub is asked: everything is in the folder.
    environment = {"OMP_NUM_THREADS": str(each), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    with ExitStack() as stack:
        servers = [stack.enter_context(_process(arguments, environment, log)) for _ in range(replicas)]
        yield tuple(_wait_until_ready(server, name, log) for server in servers)


@contextmanager
def module(arguments: list[str], name: str, log: Path) -> Iterator[str]:
    """Run a Python module that serves until its standard input is closed and first prints `ready PORT`; yields its URL.

    Raises:
        EndpointDown: it did not start; its last words are in the message.
    """
    with _process(arguments, {}, log) as server:
        yield _wait_until_ready(server, name, log)


@contextmanager
def _process(arguments: list[str], environment: dict[str, str], log: Path) -> Iterator["subprocess.Popen[str]"]:
    """A server that ends with this block, or with this process: it watches its standard input."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as messages:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _wait_until_ready(server: "subprocess.Popen[str]", name: str, log: Path) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        if line.startswith("ready "):
            return f"http://127.0.0.1:{line.split()[1]}"
    last_words = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
    raise EndpointDown(f"endpoint {name}: the model server did not start", got=" ".join(last_words)[:300])
