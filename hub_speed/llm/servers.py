"""Starts a model server for the time it is needed, and ends it however that time ends."""

import ctypes
import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

from hub_speed.cores import thread_settings
from hub_speed.errors import EndpointDown, RecipeError, Stopped

_log = logging.getLogger("hub_speed")


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
    arguments = ["hub_speed.llm.embedded_server", str(folder), "--name", name]
    # No Hub is asked: everything is in the folder.
    environment = {"HF_HUB_OFFLINE": "1"} | thread_settings(max(1, threads // replicas))
    with ExitStack() as stack:
        servers = [stack.enter_context(_process(arguments, environment, log)) for _ in range(replicas)]
        yield tuple(_wait_until_ready(server, name, log) for server in servers)


COMMANDS = {
    "vllm": ["vllm", "serve", "{folder}", "--served-model-name", "{name}", "--host", "127.0.0.1", "--port", "{port}"],
    "tgi": ["text-generation-launcher", "--model-id", "{folder}", "--hostname", "127.0.0.1", "--port", "{port}"],
    "transformers": ["transformers", "serve", "{folder}", "--host", "127.0.0.1", "--port", "{port}"],
}
"""How each program is started. `transformers serve` knows a model by its folder and by nothing else."""
NO_WHITE_SPACE = ["--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}']
"""For vLLM: under a schema a small model may write white space until its tokens are used up; nine of ten answers were
whole with this flag, none of ten without. vLLM takes it with a named backend only."""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy is asked for this machine
SECONDS_TO_STOP = 30.0  # Assumption: enough for a server to free its GPUs; it is killed afterwards
SECONDS_BETWEEN_LOOKS = 0.5


@contextmanager
def programs(
    which: str,
    folder: Path,
    name: str,
    *,
    flags: tuple[str, ...],
    start_s: float,
    log: Path,
    stop: Callable[[], bool],
    gpus: Sequence[tuple[str, ...]] = ((),),
) -> Iterator[tuple[str, ...]]:
    """Serve a model folder with an installed program until the block ends, however it ends; yields the URLs.

    Args:
        which: a key of `COMMANDS`.
        folder: the model's files.
        name: the name the servers know it by, where they take one.
        flags: what is added to their command line.
        start_s: seconds until they must answer.
        log: where messages go; of several servers, each has a file of its own beside it.
        stop: whether the user wants to stop.
        gpus: for each server, the GPUs it sees, as CUDA_VISIBLE_DEVICES names them; (): those this process sees.

    Raises:
        EndpointDown: one is not installed, ended, or did not answer in time; its last words are in the message.
        Stopped: `stop` while they were starting.
    """
    with ExitStack() as stack:
        started = []
        for i, (mine, port) in enumerate(zip(gpus, _free_ports(len(gpus)), strict=True)):
            command = [part.format(folder=folder, name=name, port=port) for part in COMMANDS[which]]
            command += _vllm_flags(flags) if which == "vllm" else flags
            own_log = _log_of(log, i, len(gpus))
            process = stack.enter_context(_started(command, name, own_log, mine))
            started.append((process, f"http://127.0.0.1:{port}", own_log))
        until = time.monotonic() + start_s
        for process, url, own_log in started:
            _wait_until_healthy(process, url, name, start_s, until, own_log, stop)
        yield tuple(url for _, url, _ in started)


def groups(which: str, gpus: tuple[str, ...], replicas: int, flags: tuple[str, ...]) -> list[tuple[str, ...]]:
    """For each replica of a program, the GPUs it sees: as many as can be given to each. Without GPUs, nothing is said.

    Raises:
        RecipeError: there are not enough for so many replicas, each of the size that vLLM's flags ask for; or several
            of this program cannot run on one machine.
    """
    if replicas > 1 and which == "tgi":
        raise RecipeError(
            f"runtime.replicas: {replicas} of TGI",
            expected="1: its launchers share ports and sockets",
            fix="start them yourself and give all their addresses: --endpoint NAME=URL,URL",
        )
    each, size = len(gpus) // replicas, _tensor_parallel(flags)
    if replicas > 1 and gpus and each < size:
        raise RecipeError(
            f"runtime.replicas: {replicas} model servers of {size} GPU{'s' if size > 1 else ''} each",
            expected=f"at most {len(gpus) // size} on the {len(gpus)} GPUs that this stage may use",
            got=f"CUDA_VISIBLE_DEVICES={','.join(gpus)}",
            fix=f"--set runtime.replicas={max(1, len(gpus) // size)}",
        )
    return [gpus] if replicas == 1 else [gpus[i * each : (i + 1) * each] for i in range(replicas)]


def _tensor_parallel(flags: tuple[str, ...]) -> int:
    """Over how many GPUs vLLM's flags spread one copy of a model."""
    parts = [part for flag in flags for part in flag.split("=", 1)]
    sizes = [after for name, after in pairwise(parts) if name in ("--tensor-parallel-size", "-tp")]
    return int(sizes[-1]) if sizes and sizes[-1].isdigit() else 1


def _log_of(log: Path, which: int, count: int) -> Path:
    """The log of one of several programs."""
    return log if count == 1 else log.with_name(f"{log.stem}-{which}{log.suffix}")


def _free_ports(count: int) -> list[int]:
    """So many different ports that nobody uses."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def run_batch(
    folder: Path,
    name: str,
    requests: Path,
    answers: Path,
    *,
    flags: tuple[str, ...],
    log: Path,
    stop: Callable[[], bool],
    gpus: Sequence[tuple[str, ...]] = ((),),
) -> list[tuple[str, ...]]:
    """Have `vllm run-batch` answer a file of requests, several at once; `answers` is there once all have ended.

    Returns the GPUs of those that did not fail.

    Args:
        folder: the model's files.
        name: the name that the requests call it by.
        requests: lines of the Batch API.
        answers: where the answers go; of several programs, those of one that failed are missing.
        flags: what is added to each command line.
        log: where messages go; of several programs, each has a file of its own beside it.
        stop: whether the user wants to stop.
        gpus: for each program, the GPUs it sees, as for `programs`; they share the requests.

    Raises:
        EndpointDown: it is not installed, or all failed; the last words of one are in the message.
        Stopped: `stop` before all had ended.
    """
    lines = requests.read_bytes().splitlines(keepends=True)
    with tempfile.TemporaryDirectory(dir=answers.parent) as parts, ExitStack() as stack:
        started = []
        for i, mine in enumerate(gpus):
            given, out = (Path(parts, f"{i}.{kind}.jsonl") for kind in ("requests", "answers"))
            given.write_bytes(b"".join(lines[i :: len(gpus)]))
            command = ["vllm", "run-batch", "-i", str(given), "-o", str(out), "--model", str(folder)]
            command += ["--served-model-name", name, *_vllm_flags(flags)]
            own_log = _log_of(log, i, len(gpus))
            if lines[i:]:
                started.append((stack.enter_context(_started(command, name, own_log, mine)), out, own_log))
        while any(process.poll() is None for process, _, _ in started):
            if stop():
                raise Stopped("stopped", fix="finished batches are safe; run the same command to go on")
            time.sleep(SECONDS_BETWEEN_LOOKS)
        failed = [i for i, (process, out, _) in enumerate(started) if process.returncode or not out.exists()]
        for i in failed:
            process, _, own_log = started[i]
            problem = f"endpoint {name}: vllm run-batch ended with exit code {process.returncode}"
            down = EndpointDown(problem, got=_last_words(own_log), fix=f"read {own_log}")
            if len(failed) == len(started):
                raise down
            _log.warning("%s: %s; the others go on", problem, down.got)
        _join([out for i, (_, out, _) in enumerate(started) if i not in failed], answers)
    return [mine for i, mine in enumerate(gpus) if i not in failed]


def _join(files: Iterable[Path], whole: Path) -> None:
    """Write the content of all files into one, which is there whole or not at all."""
    unfinished = whole.with_suffix(".part")
    with unfinished.open("wb") as target:
        for file in files:
            with file.open("rb") as source:
                shutil.copyfileobj(source, target)
    unfinished.rename(whole)


def _vllm_flags(flags: tuple[str, ...]) -> list[str]:
    """The user's flags, and ours where the user says nothing about structured output."""
    own = any(flag.startswith(NO_WHITE_SPACE[0]) for flag in flags)
    return [*flags] if own else [*NO_WHITE_SPACE, *flags]


@contextmanager
def _started(
    command: list[str], name: str, log: Path, gpus: tuple[str, ...] = ()
) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that ends with the block, however that ends; it sees these GPUs, or those this process sees.

    It gets a process group of its own, which is stopped as a whole: it may have started others, one for each GPU.
    Should this process be killed, the program is told to stop by the system (on Linux).
    """
    if shutil.which(command[0]) is None:
        raise EndpointDown(
            f"endpoint {name}: {command[0]} is not installed here",
            expected=f"`{command[0]}` on the PATH, because of runtime.server",
            fix=f"install it, or serve the model yourself and pass --endpoint {name.removeprefix('speed-')}=URL",
        )
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as messages:
        messages.write(f"$ {shlex.join(command)}\n".encode())
        messages.flush()
        process = subprocess.Popen(
            command,
            env=os.environ
            | {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
            | ({"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}),
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            start_new_session=True,
            preexec_fn=end_with_parent() if sys.platform == "linux" else None,
        )
    try:
        yield process
    finally:
        _end(process)


def end_with_parent() -> Callable[[], None]:
    """What a new process calls to be ended by the system when the thread that started it is gone."""
    libc = ctypes.CDLL(None)  # loaded here: between fork and exec as little as possible is done
    return lambda: libc.prctl(1, signal.SIGTERM)  # 1: PR_SET_PDEATHSIG


def _wait_until_healthy(
    process: "subprocess.Popen[bytes]",
    url: str,
    name: str,
    start_s: float,
    until: float,
    log: Path,
    stop: Callable[[], bool],
) -> None:
    while not _answers(f"{url}/health"):
        if stop():
            raise Stopped("stopped", fix="finished rows are safe; run the same command to go on")
        problem = ""
        if process.poll() is not None:
            problem = f"it ended with exit code {process.returncode}"
        elif time.monotonic() > until:
            problem = f"no answer after {start_s:.0f} s (runtime.server_start_s)"
        if problem:
            did_not = f"endpoint {name}: the model server did not start: {problem}"
            raise EndpointDown(did_not, got=_last_words(log), fix=f"read {log}")
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _last_words(log: Path) -> str:
    return " | ".join(log.read_text("utf-8", "replace").strip().splitlines()[-3:])[-300:]


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:  # HTTP errors among them
        return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process group: asked first, then killed."""
    for number, seconds in ((signal.SIGTERM, SECONDS_TO_STOP), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


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
