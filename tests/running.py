"""How tests run things: the command line as a user runs it, and Hub clients in a process of their own."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from hub_speed.localhub import LocalHub

# The limit on a process, in seconds: there to end one that hangs, about ten times what the longest takes.
HANG_S = 1000

# Counts so small that all thirteen stages together take a minute or two.
TINY = {
    "brainstorm.topics": "quickstart-topics",
    "seed.rows": 64,
    "junior.epochs": 2,
    "root.rows": 24,
    "preference.rows": 24,
    "root.candidates": 4,
    "senior.epochs": 1,
    "revisor.epochs": 1,
    "synthesize.rows": 40,
    "embedder.epochs": 1,
    "audit.rows": 8,
    "scaling.sizes": "[6, 12]",
    "scaling.rng_seeds": "[0]",
    "runtime.replicas": 1,  # each model server takes seconds to start
    "runtime.max_reject_rate": 1.0,
}

SEVERAL = """
import contextlib, io, json, sys
from hub_speed.cli import main
found = []
for args in json.loads(sys.argv[1]):
    words, sys.argv = io.StringIO(), ["hub-speed", *args]
    with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
        try:
            main()
        except SystemExit as ended:
            found.append([ended.code, words.getvalue()])
print(json.dumps(found))
"""


def ended(out: str, stage: str) -> int:
    """The rows of a finished stage that are published, as a run prints them."""
    found = re.search(rf"✓ {stage} +([\d,]+) rows", out)
    assert found, out
    return int(found[1].replace(",", ""))


class Cli:
    """`hub-speed` as a user runs it: a process, an environment, a home folder, a working folder."""

    def __init__(self, folder: Path) -> None:
        self.home, self.cwd = folder / "home", folder / "cwd"
        self.cwd.mkdir(parents=True, exist_ok=True)
        self.env = {
            name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUB_SPEED_", "OPENAI_"))
        } | {"HUB_SPEED_HOME": str(self.home), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}

    def start(self, *args: str, **env: str) -> "subprocess.Popen[str]":
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "hub_speed", *args],
            cwd=self.cwd,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __call__(self, *args: str, code: int = 0, **env: str) -> str:
        """Run a command to its end; returns what it printed and asserts its exit code."""
        process = self.start(*args, **env)
        out, err = process.communicate(timeout=HANG_S)
        assert process.returncode == code, f"exit code {process.returncode}\n{out[-3000:]}\n{err[-3000:]}"
        return out + err

    def mistakes(self, *commands: list[str]) -> list[tuple[int, str]]:
        """The exit code and the words of commands that cannot work: one after the other, in a process they share."""
        return [tuple(each) for each in json.loads(self.alone(SEVERAL, json.dumps(commands)))]

    def python(self, code: str) -> str:
        """Run Python in a process that knows nothing but the embedded Hub's environment."""
        with LocalHub(self.home) as hub:
            return self.alone(code, env=hub.env())

    def alone(self, code: str, *args: str, env: Mapping[str, str] = {}) -> str:
        """Run Python in a process of its own, with `env` in its environment as well; returns what it has printed."""
        done = subprocess.run(
            [sys.executable, "-c", code, *args],
            cwd=self.cwd,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=HANG_S,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def show(self, recipe: str = "quickstart", *args: str) -> dict:
        """The finished stages of a recipe: name → {repo, commit, record}."""
        out = self("show", recipe, "--json", *args)
        return {stage["stage"]: stage for stage in json.loads(out)}


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[["Cli"], object]) -> "Cli":
    """A copy of the folders that `make` fills: once, for all test processes."""
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(f"{shared}.lock"):
        if not (shared / "done").exists():
            shutil.rmtree(shared, ignore_errors=True)
            make(Cli(shared))
            (shared / "done").touch()
    folder = factory.mktemp(name)
    shutil.copytree(shared, folder, symlinks=True, dirs_exist_ok=True)
    return Cli(folder)


def tiny(**changes: object) -> list[str]:
    """`--set` flags that make the quickstart tiny; keywords like seed__rows=10 change some of them."""
    values = TINY | {name.replace("__", "."): value for name, value in changes.items()}
    return [part for name, value in values.items() for part in ("--set", f"{name}={value}")]


SEEDED = tiny(license="cc0-1.0")


def kill(process: "subprocess.Popen[str]") -> None:
    """SIGKILL the process and all it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.communicate()


KEPT: list[socket.socket] = []
"""Sockets of ports that the system is to give to nobody else."""


def free_port() -> int:
    """A port at which nobody listens, kept for who is told its number until this process ends.

    Whoever sets SO_REUSEADDR, as servers do, may listen at it; until then, a connection is refused.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    KEPT.append(kept)
    return int(kept.getsockname()[1])


def set_env(env: dict[str, str]) -> None:
    """First thing in a client's process: Hugging Face libraries read their settings when they are imported."""
    os.environ.update(env)


def call(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[bool, Any]:
    """(True, result), or (False, traceback): some exceptions of clients do not survive pickling."""
    try:
        return True, function(*args)
    except BaseException:
        return False, traceback.format_exc()
