"""Checkpoints at regular times: what a killed training resumes from.

    work/checkpoint-<step>/     weights or adapter, optimizer, schedule and random states, as the Trainer writes them
    work/checkpoint-<step>/complete.json     written last; a checkpoint without it is thrown away

They lie in the stage's own work folder; nobody else writes there. Weights are safetensors; the rest is read by
torch with `weights_only=True`, which builds tensors and numbers and runs no code.
"""

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

COMPLETE = "complete.json"


def last(work: Path) -> tuple[Path | None, float]:
    """The newest complete checkpoint and the seconds trained until then; incomplete ones are removed."""
    with PartialState().main_process_first():
        found = {
            int(path.name[11:]): path for path in work.glob("checkpoint-*") if re.fullmatch(r"\d+", path.name[11:])
        }
        complete = {step: path for step, path in found.items() if (path / COMPLETE).is_file()}
        if PartialState().is_main_process:
            for path in set(found.values()) - set(complete.values()):
                shutil.rmtree(path)
    if not complete:
        return None, 0.0
    path = complete[max(complete)]
    return path, float(json.loads((path / COMPLETE).read_text("utf-8"))["seconds"])


def _is_finite(model: nn.Module) -> bool:
    """Whether no trained weight is NaN or infinite, of those that this process holds."""
    trained = (parameter for parameter in model.parameters() if parameter.requires_grad)
    return all(bool(torch.isfinite(_held_here(parameter)).all()) for parameter in trained)


def _held_here(weight: Tensor) -> Tensor:
    """The part of a weight that this process holds, where FSDP or DeepSpeed has spread it over several."""
    if isinstance(weight, DTensor):
        return weight.to_local()
    found: Tensor = getattr(weight, "ds_tensor", weight)
    return found


class Keeper(TrainerCallback):
    """Saves a checkpoint every `every_s` seconds, and counts the seconds of all runs together."""

    def __init__(self, every_s: float, seconds: float) -> None:
        self._every_s, self._before = every_s, seconds
        self._started = self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds trained so far, including those before a kill."""
        return self._before + time.monotonic() - self._started

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock."""
        self._started = self._saved = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a checkpoint when one is due, unless some weight is NaN or infinite."""
        due = [time.monotonic() - self._saved >= self._every_s and state.global_step < state.max_steps]
        broadcast_object_list(due)  # the clocks of several processes differ; the first one's counts
        control.should_save = due[0] and all(gather_object([_is_finite(kwargs["model"])]))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Mark the checkpoint as complete once every process has written its part."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            mark = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / COMPLETE
            mark.write_text(json.dumps({"seconds": round(self.seconds, 1)}), "utf-8")
        self._saved = time.monotonic()
