"""Direct preference optimisation against the frozen start (SPEED Eq. 2: the standard sigmoid loss).

Settings: as in `sft`, with data that has prompt, chosen and rejected; base is the junior; the fields of
`recipe.Senior`.
"""

from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset, load_from_disk
from trl import DPOConfig, DPOTrainer

from hub_speed.record import Json
from hub_speed.training.generator import common, tokens
from hub_speed.training.process import child, failures


class Dpo(failures.Watched, DPOTrainer):
    """TRL's trainer, watched; it takes rows as tokens, as its SFT does by itself."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset


def train(settings: Json) -> Json:
    """Train and save; returns losses, reward margins and counts.

    Raises:
        StageError: rows, base or machine are not fit for it, or the loss is no number.
    """
    rows = tokens.read(Path(settings["data"]), ["chosen", "rejected"])
    model, tokenizer = common.load(settings)
    examples, counts = tokens.sift(
        tokens.encode(tokenizer, rows, ["chosen", "rejected"], settings["prompt_format"]),
        common.limit(settings, model),
        settings["too_long"],
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
                beta=settings["dpo_beta"],
                loss_type=["sigmoid"],
                precompute_ref_log_probs=True,
                max_length=None,
            ),
            train_dataset=_on_disk(data, Path(settings["work"]) / "rows"),
            processing_class=tokenizer,
            peft_config=common.lora(settings),
        )
        measures = common.train(trainer, [example.length for example in examples], settings)
    common.save(trainer, tokenizer, settings)
    logged = next(entry for entry in reversed(trainer.state.log_history) if "rewards/margins" in entry)
    rewards = {name.removeprefix("rewards/"): logged[name] for name in logged if name.startswith("rewards/")}
    seen = round(settings["epochs"] * sum(example.tokens for example in examples))
    return counts | measures | {"tokens": seen, "rewards": rewards}


def _on_disk(data: list[Json], folder: Path) -> Dataset:
    """The rows in a folder, beside which TRL keeps the reference's log-probabilities for all processes to read."""
    with PartialState().main_process_first():
        if PartialState().is_main_process:
            Dataset.from_list(data).save_to_disk(folder)
        return load_from_disk(folder)


if __name__ == "__main__":
    child.run(train)
