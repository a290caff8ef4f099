"""Direct preference optimisation against the frozen start (SPEED Eq. 2: the standard sigmoid loss).

Settings: base (the junior), data (folder of parquet with prompt, chosen and rejected), out, work, prompt_format, and
the fields of `recipe.Senior`.
"""

from pathlib import Path

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from hub_speed.rows import read_parquet
from hub_speed.training import child, generator


def train(settings: child.Json) -> child.Json:
    """Train and save; returns losses, reward margins and counts."""
    generator.seed_everything(settings["rng_seed"])
    model, tokenizer = generator.load(settings["base"])
    rows = sorted(read_parquet(Path(settings["data"])), key=lambda row: row["id"])
    examples = [
        {
            "prompt": settings["prompt_format"].replace("{prompt}", row["prompt"]),
            "chosen": " " + row["chosen"],
            "rejected": " " + row["rejected"],
        }
        for row in rows
    ]
    steps = settings["epochs"] * len(rows) / settings["batch_size"]
    reporter = child.Reporter()
    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(
            **generator.arguments(settings, steps),
            beta=settings["dpo_beta"],
            loss_type=["sigmoid"],
            precompute_ref_log_probs=True,
        ),
        train_dataset=Dataset.from_list(examples),
        processing_class=tokenizer,
        peft_config=generator.lora(settings),
        callbacks=[reporter],
    )
    trainer.train()
    generator.save(trainer, tokenizer, Path(settings["out"]))
    kept = {name.removeprefix("rewards/"): reporter.last[name] for name in reporter.last if name.startswith("rewards/")}
    return {"rows": len(rows), "steps": trainer.state.global_step, "loss_curve": reporter.curve, "rewards": kept}


if __name__ == "__main__":
    child.run(train)
