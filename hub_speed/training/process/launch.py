"""Starts a training module in its own process, follows it, and ends it when the run is stopped.

The child reads a JSON file of settings and writes events to standard output as lines that start with `@`; everything
else it prints goes to a log. Its memory is given back when it ends, and a crash of it is an error message here.
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
from typing import Any

from hub_speed.errors import NoSpace, RecipeError, StageError, Stopped
from hub_speed.parquet import count_parquet
from hub_speed.stage import Context, Progress

UNKNOWN = 3
"""Exit code of `training.benchmarks` when mteb does not know a name."""


def check_benchmarks(names: Sequence[str]) -> None:
    """Ask mteb (in a process of its own, some five seconds) whether it knows these benchmarks and tasks.

    Raises:
        RecipeError: it does not know one; says which is near.
    """
    command = [sys.executable, "-m", "hub_speed.evaluation.benchmarks", *names]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == UNKNOWN:
        raise RecipeError(
            f"evaluate.benchmarks: {done.stdout}",
            expected="mteb:fast, a benchmark or a task of mteb, or a Hub dataset: docs/evaluation.md",
        )


def train_generator(ctx: Context, module: str, *, base: str, data: str) -> None:
    """Fine-tune a generator or revisor into `ctx.out`, and put what was measured into the record.

    Args:
        ctx: the stage at work; the recipe's section of the same name holds the settings.
        module: "sft" or "dpo".
        base: the input that is the model to start from.
        data: the input that holds the rows.

    Raises:
        StageError, NoSpace, Stopped: see `launch`.
    """
    section, runtime = ctx.record.stage, ctx.recipe.runtime
    rows = ctx.inputs[data] / "data"
    settings = getattr(ctx.recipe, section).model_dump() | {
        "section": section,
        "base": str(ctx.inputs[base]),
        "base_name": ctx.refs[base].repo,
        "base_revision": ctx.refs[base].commit,
        "data": str(rows),
        "out": str(ctx.out),
        "prompt_format": ctx.recipe.generator.prompt_format,
        "rng_seed": ctx.recipe.rng_seed,
        "micro_batch_size": runtime.micro_batch_size,
        "gradient_checkpointing": runtime.gradient_checkpointing,
        "checkpoint_s": runtime.checkpoint_s,
    }
    ctx.record.rows_in = count_parquet(rows)
    measures = launch(ctx, module, settings, runtime.launcher)
    ctx.record.accepted = measures.pop("rows")
    ctx.record.measures |= measures


def launch(ctx: Context, module: str, settings: dict[str, Any], launcher: Sequence[str] = ()) -> dict[str, Any]:
    """Run `hub_speed.<module>` with these settings; returns what it measured.

    Args:
        ctx: the stage at work.
        module: one that calls `child.run`.
        settings: handed on in a file.
        launcher: the program that starts it, several times over where it is to run on several devices; it is given
            `-m hub_speed.<module> FILE`. Nothing: this Python.

    Raises:
        StageError: it failed and says why, or its last words are in the message; or there is no such launcher.
        NoSpace: the disk is full.
        Stopped: the user wants to stop.
    """
    work, progress, stop = ctx.work, ctx.progress, ctx.stop
    work.mkdir(parents=True, exist_ok=True)
    settings = settings | {"work": str(work / "trainer")}
    name = module.rpartition(".")[2]
    path, log = work / f"{name}.json", work / f"{name}.log"
    path.write_text(json.dumps(settings, indent=1), "utf-8")
    with log.open("ab") as messages:
        process = subprocess.Popen(
            [*_program(launcher), "-m", f"hub_speed.{module}", str(path)],
            env=environment(ctx.threads, launcher),
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


def environment(threads: int, launcher: Sequence[str] = ()) -> dict[str, str]:
    """What a training process finds in its environment; without a launcher it sees one GPU, the first of those here.

    One process that sees several would spread every batch over them, which neither trainer is made for.
    """
    # oneDNN keeps code for so many shapes of matrices. Its own 1,024 take a third of a gigabyte more of an embedder's
    # training on a CPU, and no less time.
    found = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"} | os.environ
    found |= {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    if not launcher:
        found["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return found


def _program(launcher: Sequence[str]) -> list[str]:
    """The command that starts a module; a launcher is looked for beside this Python, then on the PATH."""
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


def _follow(process: "subprocess.Popen[str]", log: int, progress: Progress) -> dict[str, Any] | None:
    """Hand on the child's events; its result, or None when it ended without one. Raises the error it tells of."""
    assert process.stdout is not None
    done = 0
    for line in process.stdout:
        if not line.startswith("@"):
            os.write(log, line.encode())
            continue
        event = json.loads(line[1:])
        if "result" in event:
            return event["result"]
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
