"""What every training process does: read its settings, report its progress, end when its parent has ended.

Of several processes that train together (`runtime.launcher`), only the first one reports, and any that fails.

A module whose work consists of jobs can be a worker on one of several GPUs as well (`workers.spread`).
"""

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hub_speed.errors import HubSpeedError
from hub_speed.record import Json
from hub_speed.training.process.settings import Settings
from hub_speed.training.process.workers import WORKER


def say(**event: Any) -> None:
    """Write one event for the parent."""
    if os.environ.get("RANK", "0") == "0" or "failed" in event:
        sys.stdout.write("@" + json.dumps(event) + "\n")
        sys.stdout.flush()


class Reporter(TrainerCallback):
    """Reports steps and losses to the parent, and keeps the loss curve."""

    def __init__(self) -> None:
        self.curve: list[tuple[int, float]] = []
        self.last: dict[str, float] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report how many steps there will be, and how many an earlier run did."""
        say(total=state.max_steps, done=state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report which step has just ended."""
        say(step=state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Json | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep and report the loss."""
        logs = logs or {}
        if "loss" in logs:
            self.curve.append((state.global_step, float(logs["loss"])))
            say(note=f"loss {float(logs['loss']):.3f}")
        self.last |= {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}


S = TypeVar("S", bound=Settings)


def run(kind: type[S], train: Callable[[S], Json], worker: Callable[[S], Callable[[str], Json]] | None = None) -> None:
    """Run a training module: read settings of this kind from the file argv[1], write the result or the error.

    Args:
        kind: of the settings.
        train: does all the work; returns what it measured.
        worker: makes what does one job, by its name. Used where argv[2] says so: then each line of standard input
            names a job, and each job has a result.
    """
    settings = kind.model_validate_json(Path(sys.argv[1]).read_bytes())
    asked: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    try:
        if worker is None or sys.argv[2:] != [WORKER]:
            say(result=train(settings))
            return
        do = worker(settings)
        while True:
            say(result=do(asked.get()))
    except HubSpeedError as error:
        say(failed={"where": error.where, "expected": error.expected, "got": error.got, "fix": error.fix})
        sys.exit(error.exit_code)


def _listen(asked: "queue.Queue[str]") -> None:
    """Pass on the lines of standard input; end this process when its parent, which holds that pipe open, has ended."""
    text = b""
    while more := os.read(0, 4096):  # unbuffered: a buffered reader would hold a lock that the interpreter needs to end
        *lines, text = (text + more).split(b"\n")
        for line in lines:
            asked.put(line.decode())
    os._exit(1)


def use_gpu() -> bool:
    """Whether there is a GPU to train on."""
    return torch.cuda.is_available()
