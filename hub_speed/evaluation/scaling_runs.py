"""Trains and scores one embedder per size and seed.

Every seed has its own order of the rows, and every size takes the first rows of each task type, in proportion: seeds
differ in the training and in which rows come first.
"""

import json
import random
import shutil
from functools import partial
from pathlib import Path

from hub_speed.errors import StageError
from hub_speed.evaluation import benchmarks, scoring
from hub_speed.evaluation.scaling_law import shared
from hub_speed.evaluation.settings import ScalingSettings
from hub_speed.mix import subset
from hub_speed.parquet import read_parquet
from hub_speed.record import Json
from hub_speed.training.embedder import contrastive
from hub_speed.training.process import child


def run(settings: ScalingSettings) -> Json:
    """Train and score every size with every seed; finished embedders are kept in `work` and not trained again.

    Returns:
        runs: one row per size, seed and measure; failed: subject, benchmark and reason of every task that failed.

    Raises:
        StageError: no benchmark is left that every run so far was scored on.
    """
    scoring.quiet()
    rows = sorted(read_parquet(settings.data, contrastive.columns(settings.recipe)), key=lambda row: row["id"])
    work, tasks = settings.work, benchmarks.tasks(settings.benchmarks)
    plan = [(size, seed) for size in settings.sizes for seed in settings.rng_seeds]
    child.say(total=len(plan))
    runs: list[Json] = []
    failed: list[Json] = []
    for i, (size, seed) in enumerate(plan):
        name = f"{size}-{seed}"
        path, model = work / "scores" / f"{name}.json", work / f"model-{name}"
        if not path.exists():
            if not model.exists():
                _train(settings, rows, size, seed, model)
            load = partial(scoring.Instructed, model, settings.recipe.max_length, settings.recipe.instructions)
            subject = f"{size:,} rows, seed {seed}"
            files, reasons = scoring.score(subject, load, tasks, work / "scores" / name, work / "predictions")
            mine = [
                {"rows": size, "rng_seed": seed} | {key: row[key] for key in ("measure", "benchmark", "value")}
                for row in scoring.rows(files)
            ]
            if not mine or not shared(runs + mine):
                raise StageError(
                    f"{subject}: no benchmark was scored",
                    expected="one that the embedders before it were scored on as well" if runs else "",
                    got="; ".join(f"{row['benchmark']}: {row['reason']}" for row in reasons),
                    fix="fix that and run the same command again; the embedder and its other scores are kept",
                )
            scoring.keep(path, {"runs": mine, "failed": reasons})
        shutil.rmtree(model, ignore_errors=True)
        found = json.loads(path.read_text("utf-8"))
        runs += found["runs"]
        failed += found["failed"]
        child.say(step=i + 1, note=f"{size} rows: {runs[-1]['value']:.3f}")
    return {"runs": runs, "failed": failed}


def _train(settings: ScalingSettings, rows: list[Json], size: int, seed: int, folder: Path) -> None:
    """Train one embedder and write it to a folder, whole or not at all."""
    order = random.Random(seed).sample(rows, len(rows))
    seeded = settings.recipe.model_copy(update={"rng_seed": seed})
    model, _ = contrastive.fit(settings.model_copy(update={"recipe": seeded}), subset(order, size))
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(str(part), safe_serialization=True)
    part.rename(folder)


if __name__ == "__main__":
    child.run(ScalingSettings, run)
