"""Supervised fine-tuning: prompt → completion, the loss on the completion only (SPEED Eq. 1 and 3).

Settings: base, data (folder of parquet with prompt and completion), out, work, prompt_format, and the fields of
`recipe.Sft`.
"""

from pathlib import Path

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from hub_speed.rows import read_parquet
from hub_speed.training import child, generator


def train(settings: child.Json) -> child.Json:
    """Train and save; returns losses and counts."""
    generator.seed_everything(settings["rng_seed"])
    model, tokenizer = generator.load(settings["base"])
    rows = sorted(read_parquet(Path(settings["data"])), key=lambda row: row["id"])
    examples = [
        # The completion begins with a space: without one, "]{" could become a token that no prompt ends with.
        {"prompt": settings["prompt_format"].replace("{prompt}", row["prompt"]), "completion": " " + row["completion"]}
        for row in rows
    ]
    steps = settings["epochs"] * len(rows) / settings["batch_size"]
    reporter = child.Reporter()
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            **generator.arguments(settings, steps),
            weight_decay=settings["weight_decay"],
            completion_only_loss=True,
            train_sampling_strategy="group_by_length",
        ),
        train_dataset=Dataset.from_list(examples),
        processing_class=tokenizer,
        peft_config=generator.lora(settings),
        callbacks=[reporter],
    )
    trainer.train()
    generator.save(trainer, tokenizer, Path(settings["out"]))
    return {"rows": len(rows), "steps": trainer.state.global_step, "loss_curve": reporter.curve} | {
        "tokens": int(reporter.last.get("num_tokens", 0))
    }


if __name__ == "__main__":
    child.run(train)
