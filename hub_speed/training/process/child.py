"""What every training process does: read its settings, report its progress, end when its parent has ended.

Of several processes that train together (`runtime.launcher`), only the first one reports, and any that fails.
"""

import json
import os
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


def run(kind: type[S], train: Callable[[S], Json]) -> None:
    """Run a training module: read settings of this kind from the file argv[1], write the result or the error."""
    settings = kind.model_validate_json(Path(sys.argv[1]).read_bytes())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        say(result=train(settings))
    except HubSpeedError as error:
        say(failed={"where": error.where, "expected": error.expected, "got": error.got, "fix": error.fix})
        sys.exit(error.exit_code)


def _end_with_parent() -> None:
    """End this process when its parent has ended: only the parent holds the pipe of standard input open."""
    while os.read(0, 1):  # unbuffered: a buffered reader would hold a lock that the interpreter needs to end
        pass
    os._exit(1)


def use_gpu() -> bool:
    """Whether there is a GPU to train on."""
    return torch.cuda.is_available()
