"""Supervised fine-tuning: prompt → completion, the loss on the completion only (SPEED Eq. 1 and 3)."""

from datasets import Dataset
from transformers.utils import is_flash_attn_2_available
from trl import SFTConfig, SFTTrainer

from hub_speed.errors import StageError
from hub_speed.record import Json
from hub_speed.training.generator import common, tokens
from hub_speed.training.generator.settings import SftSettings
from hub_speed.training.process import child, failures


class Sft(failures.Watched, SFTTrainer):
    """TRL's trainer, watched."""


def train(settings: SftSettings) -> Json:
    """Train and save; returns losses and counts.

    Raises:
        StageError: the rows, the base model or the machine do not fit, or the loss is not a number.
    """
    recipe = settings.recipe
    packed = recipe.batching == "packed"
    if packed and not is_flash_attn_2_available():
        raise StageError(
            f"{settings.section}.batching: packed needs FlashAttention 2, which is not here",
            expected="a CUDA GPU and the package flash-attn: other kernels would let rows of a pack see each other",
            fix=f"--set {settings.section}.batching=by_length",
        )
    rows = tokens.read(settings.data, ["completion"])
    model, tokenizer = common.load(settings)
    longest = common.limit(settings, model)
    examples, counts = tokens.sift(
        tokens.encode(tokenizer, rows, ["completion"], settings.prompt_format), longest, recipe.too_long
    )
    data = [
        {
            "input_ids": example.prompt + example.answers[0],
            "labels": [-100] * len(example.prompt) + example.answers[0],  # -100: no loss on it
        }
        for example in examples
    ]
    with common.explained(settings):
        trainer = Sft(
            model=model,
            args=SFTConfig(
                **common.arguments(settings),
                weight_decay=recipe.weight_decay,
                packing=packed,
                max_length=longest if packed else None,
            ),
            train_dataset=Dataset.from_list(data),
            processing_class=tokenizer,
            peft_config=common.lora(settings, model),
        )
        # Packed rows are fewer than examples, and all about as long.
        packs = len(trainer.train_dataset)  # type: ignore[arg-type]
        lengths = [longest] * packs if packed else [example.length for example in examples]
        measures = common.train(trainer, lengths, settings)
    common.save(trainer, tokenizer, settings)
    return counts | measures | {"tokens": round(recipe.epochs * sum(example.tokens for example in examples))}


if __name__ == "__main__":
    child.run(SftSettings, train)
