"""Starts a training module in its own process, follows it, and ends it when the run is stopped.

The child reads a JSON file of settings and writes events to standard output as lines that start with `@`; everything
else it prints goes to a log. Its memory is given back when it ends, and a crash of it is an error message here.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hub_speed.errors import NoSpace, StageError, Stopped
from hub_speed.rows import count_parquet
from hub_speed.stage import Context, Progress


def train_generator(ctx: Context, module: str, *, base: Path, data: Path, settings: BaseModel) -> None:
    """Fine-tune a generator or revisor into `ctx.out`, and put what was measured into the record."""
    fields = settings.model_dump() | {
        "base": str(base),
        "data": str(data / "data"),
        "out": str(ctx.out),
        "prompt_format": ctx.recipe.generator.prompt_format,
        "rng_seed": ctx.recipe.rng_seed,
    }
    ctx.record.rows_in = count_parquet(data / "data")
    measures = launch(ctx, module, fields)
    ctx.record.accepted = measures.pop("rows")
    ctx.record.measures |= measures


def launch(ctx: Context, module: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Run `hub_speed.training.<module>` with these settings; returns what it measured.

    Raises:
        StageError: it failed; its last words are in the message.
        Stopped: the user wants to stop.
    """
    work, progress, stop = ctx.work, ctx.progress, ctx.stop
    work.mkdir(parents=True, exist_ok=True)
    settings = settings | {"work": str(work / "trainer")}
    path, log = work / f"{module}.json", work / f"{module}.log"
    path.write_text(json.dumps(settings, indent=1), "utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": str(ctx.threads), "TOKENIZERS_PARALLELISM": "false"}
    with log.open("ab") as messages:
        process = subprocess.Popen(
            [sys.executable, "-m", f"hub_speed.training.{module}", str(path)],
            env=environment,
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
                f"training {module}: {error.where}", expected=error.expected, got=error.got, fix=error.fix
            ) from None
        finally:
            process.kill()
            code = process.wait()
    if result is not None:
        return result
    if stop.is_set():
        raise Stopped("stopped", fix="finished stages are safe; run the same command to go on")
    words = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
    last = words[0][:400] if words else ""
    if "No space left" in last:
        raise NoSpace(f"training {module}: the disk is full", got=last, fix="free some space and run again")
    raise StageError(f"training {module} failed (exit code {code})", got=last, fix=f"the whole log: {log}")


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
