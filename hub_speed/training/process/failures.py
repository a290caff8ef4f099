"""What goes wrong while a model is trained, and what to do: a loss that is not a number, memory that runs out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from hub_speed.errors import StageError
from hub_speed.training.process.checkpoints import last


class Watched(Trainer):
    """A trainer that stops at the first loss that is not a number.

    Raises:
        StageError: the loss is NaN or infinite; says at which step, and which checkpoint is kept.
    """

    section = ""  # of the recipe, to say in messages where the learning rate is set

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Train on one micro batch, forward and backward; returns its loss."""
        loss = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            step, rate = self.state.global_step + 1, self.args.learning_rate
            before = [entry["loss"] for entry in self.state.log_history if "loss" in entry]
            kept, _ = last(Path(str(self.args.output_dir)))
            raise StageError(
                f"the loss is {loss.item()} at step {step} of {self.state.max_steps}",
                expected="a number",
                got=f"{f'{before[-1]:.3f} when last logged' if before else 'no loss before'}"
                + (f"; the last good checkpoint is {kept}" if kept else ""),
                fix=f"lower the learning rate, which is {rate:g}: --set {self.section}.learning_rate={rate / 2:g}",
            )
        return loss


@contextmanager
def memory(
    section: str, unit: str, count: int, field: str, *, recomputes: bool, can_quantise: bool = False
) -> Iterator[None]:
    """Explain what to do when memory runs out.

    Args:
        section: of the recipe, whose fields the message names.
        unit: the unit in memory, plural ("rows"), for the message.
        count: how many of them are in memory at once.
        field: the field of the recipe's runtime that sets this number.
        recomputes: whether gradient checkpointing is on already.
        can_quantise: whether the section has `load_in_4bit`.

    Raises:
        StageError: memory ran out; the message names the next smaller number.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        ways = [f"--set runtime.{field}={count // 2} (the same result, up to rounding and what dropout draws)"]
        if count == 1:
            smaller = [f"{section}.max_length", *([f"{section}.load_in_4bit"] if can_quantise else [])]
            ways = [f"a smaller {', '.join(smaller)}", "a larger GPU"]
        if not recomputes:
            ways.append("--set runtime.gradient_checkpointing=true")
        raise StageError(
            f"the memory does not suffice for {count} {unit if count > 1 else unit.removesuffix('s')} at once",
            got=str(error).splitlines()[0][:300],
            fix=", or ".join(ways),
        ) from error
