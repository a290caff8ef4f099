"""Direct preference optimisation against the frozen start (SPEED Eq. 2: the standard sigmoid loss; see `dpo_loss`)."""

import os
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset, load_from_disk
from trl import DPOConfig, DPOTrainer

from hub_speed.record import Json
from hub_speed.training.generator import common, tokens
from hub_speed.training.generator.settings import DpoSettings
from hub_speed.training.process import child, failures


class Dpo(failures.Watched, DPOTrainer):
    """TRL's trainer, watched; it takes rows that are tokens already, as TRL's SFT trainer does by itself."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset


def train(settings: DpoSettings) -> Json:
    """Train and save; returns losses, reward margins and counts.

    Raises:
        StageError: the rows, the base model or the machine do not fit, or the loss is not a number.
    """
    recipe = settings.recipe
    rows = tokens.read(settings.data, ["chosen", "rejected"])
    model, tokenizer = common.load(settings)
    examples, counts = tokens.sift(
        tokens.encode(tokenizer, rows, ["chosen", "rejected"], settings.prompt_format),
        common.limit(settings, model),
        recipe.too_long,
    )
    data = [
        {"prompt_ids": example.prompt, "chosen_ids": example.answers[0], "rejected_ids": example.answers[1]}
        for example in examples
    ]
    with common.explained(settings):
        trainer = Dpo(
            model=model,
            args=DPOConfig(
                **common.arguments(settings),
                beta=recipe.dpo_beta,
                loss_type=[recipe.dpo_loss],
                precompute_ref_log_probs=not (recipe.lora_r and _uses_fsdp()),
                max_length=None,
            ),
            train_dataset=_on_disk(data, settings.work / "rows"),
            processing_class=tokenizer,
            peft_config=common.lora(settings, model),
        )
        measures = common.train(trainer, [example.length for example in examples], settings)
    common.save(trainer, tokenizer, settings)
    logged = [entry for entry in trainer.state.log_history if "rewards/margins" in entry]
    rewards = {key.removeprefix("rewards/"): logged[-1][key] for key in logged[-1] if key.startswith("rewards/")}
    curves = {key: [(entry["step"], entry[f"rewards/{key}"]) for entry in logged] for key in ("accuracies", "margins")}
    seen = round(recipe.epochs * sum(example.tokens for example in examples))
    return counts | measures | {"tokens": seen, "rewards": rewards, "reward_curves": curves}


def _uses_fsdp() -> bool:
    """Whether FSDP spreads the weights. It leaves them on the CPU until the training begins.

    TRL then has a reference of its own to compute with before, but for an adapter: that is switched off instead.
    """
    return os.environ.get("ACCELERATE_USE_FSDP") == "true"


def _on_disk(data: list[Json], folder: Path) -> Dataset:
    """The rows as a dataset in a folder, where TRL keeps the reference's log-probabilities for all processes."""
    with PartialState().main_process_first():
        if PartialState().is_main_process:
            Dataset.from_list(data).save_to_disk(folder)
        return load_from_disk(folder)


if __name__ == "__main__":
    child.run(DpoSettings, train)
