"""Starts a training module in its own process, follows it, and ends it when the run is stopped.

The child reads its settings from a JSON file and writes events to standard output as lines that start with `@`;
everything else it prints goes to a log. When the child ends, its memory is free; when it crashes, that is an error
message here.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from hub_speed.cores import thread_settings
from hub_speed.errors import NoSpace, StageError, Stopped
from hub_speed.record import Json
from hub_speed.stage import Context, Progress
from hub_speed.training.process.settings import Settings


def launch(ctx: Context, module: str, settings: Settings, launcher: Sequence[str] = ()) -> Json:
    """Run `hub_speed.<module>` with these settings; returns what it measured.

    Args:
        ctx: the stage at work.
        module: one that calls `child.run` with the class of these settings.
        settings: written to a file, which the child reads.
        launcher: the program that starts the module, several times for several devices; it is given
            `-m hub_speed.<module> FILE`. Empty: this Python.

    Raises:
        StageError: the module failed (the message holds its reason or its last words), or there is no such launcher.
        NoSpace: the disk is full.
        Stopped: the user wants to stop.
    """
    work, progress, stop = ctx.work, ctx.progress, ctx.stop
    work.mkdir(parents=True, exist_ok=True)
    name = module.rpartition(".")[2]
    path, log = work / f"{name}.json", work / f"{name}.log"
    path.write_text(settings.model_dump_json(indent=1), "utf-8")
    with log.open("ab") as messages:
        process = subprocess.Popen(
            [*_program(launcher), "-m", f"hub_speed.{module}", str(path)],
            env=environment(ctx.threads, launcher, ctx.devices),
            stdin=subprocess.PIPE,  # closed when this process ends, however it ends: the child then ends too
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
        )
        watcher = threading.Thread(target=_end_on_stop, args=(process, stop), daemon=True)
        watcher.start()
        try:
            result = _follow(process, messages.fileno(), progress)
        except StageError as error:
            raise StageError(
                f"training {name}: {error.where}", expected=error.expected, got=error.got, fix=error.fix
            ) from None
        finally:
            process.kill()
            code = process.wait()
            assert process.stdin is not None
            process.stdin.close()  # what a launcher has started ends with it
    if result is not None:
        return result
    if stop.is_set():
        raise Stopped("stopped", fix="finished stages are safe; run the same command to go on")
    words = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
    last = words[0][:400] if words else ""
    if "No space left" in last:
        raise NoSpace(f"training {name}: the disk is full", got=last, fix="free some space and run again")
    if code == -signal.SIGKILL:
        last = f"killed by the system, most likely because the memory was used up; {last}"
    raise StageError(f"training {name} failed (exit code {code})", got=last, fix=f"the whole log: {log}")


def environment(threads: int, launcher: Sequence[str] = (), devices: Sequence[str] = ()) -> dict[str, str]:
    """The environment of a training process; without a launcher the process sees one GPU, the first of `devices`.

    One process that sees several GPUs would spread every batch over them, which neither trainer is made for. What a
    launcher starts sees all GPUs: the launcher says who uses which, and how many threads each process has.
    """
    # oneDNN keeps code for this many shapes of matrices. Its default of 1,024 takes a third of a gigabyte more when an
    # embedder is trained on a CPU, and saves no time.
    found = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"} | os.environ | thread_settings(threads)
    if not launcher:
        found["CUDA_VISIBLE_DEVICES"] = (devices or os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(","))[0]
    elif "OMP_NUM_THREADS" not in os.environ:
        del found["OMP_NUM_THREADS"]
    return found


def _program(launcher: Sequence[str]) -> list[str]:
    """The command that starts a module; a launcher is looked up beside this Python, then on the PATH."""
    if not launcher:
        return [sys.executable]
    found = shutil.which(launcher[0], path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise StageError(
            f"runtime.launcher: {launcher[0]} is not installed here",
            expected='a program that runs a Python module with -m, such as ["accelerate", "launch"] or ["torchrun"]',
        )
    return [found, *launcher[1:]]


def _end_on_stop(process: "subprocess.Popen[str]", stop: threading.Event) -> None:
    while process.poll() is None:
        if stop.wait(0.2):
            process.kill()
            return


def _follow(process: "subprocess.Popen[str]", log: int, progress: Progress) -> Json | None:
    """Pass the child's events on to `progress`; returns its result, or None when it ended without one.

    Raises:
        StageError: the one the child reports.
    """
    assert process.stdout is not None
    done = 0
    for line in process.stdout:
        if not line.startswith("@"):
            os.write(log, line.encode())
            continue
        event = json.loads(line[1:])
        if "result" in event:
            return dict(event["result"])
        if "failed" in event:
            raise StageError(**event["failed"])
        if "total" in event:
            done = event.get("done", 0)
            progress.start(event["total"], "steps", done=done)
        if "step" in event:
            progress.advance(event["step"] - done)
            done = event["step"]
        if "note" in event:
            progress.note(event["note"])
    return None
