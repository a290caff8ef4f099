"""Trains and scores one embedder per size and seed.

Every seed has its own order of the rows, and every size takes the first rows of each task type, in proportion: seeds
differ in the training and in which rows come first. With several GPUs, the embedders are spread over them.
"""

import json
import random
import shutil
from collections.abc import Callable, Iterator
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
from hub_speed.training.process.workers import LOST, command, spread


def run(settings: ScalingSettings) -> Json:
    """Train and score every size with every seed; finished embedders are kept in `work` and not trained again.

    Returns:
        runs: one row per size, seed and measure; failed: subject, benchmark and reason of every task that failed.

    Raises:
        StageError: no benchmark is left that every run so far was scored on, or two workers ended at one run.
    """
    scoring.quiet()
    work, plan = settings.work, _plan(settings)
    child.say(total=len(plan))
    runs: dict[str, list[Json]] = {}
    failed: dict[str, list[Json]] = {}
    for i, (name, found) in enumerate(_each(settings, plan), 1):
        _check(name, found, [row for others in runs.values() for row in others])
        scoring.keep(work / "scores" / f"{name}.json", found)
        shutil.rmtree(work / f"model-{name}", ignore_errors=True)
        runs[name], failed[name] = found["runs"], found["failed"]
        child.say(step=i, note=f"{plan[name][0]} rows: {runs[name][-1]['value']:.3f}")
    return {
        "runs": [row for name in plan for row in runs[name]],
        "failed": [row for name in plan for row in failed[name]],
    }


def _plan(settings: ScalingSettings) -> dict[str, tuple[int, int]]:
    """Size and seed of every run, by its name."""
    return {f"{size}-{seed}": (size, seed) for size in settings.sizes for seed in settings.rng_seeds}


def _each(settings: ScalingSettings, plan: dict[str, tuple[int, int]]) -> Iterator[tuple[str, Json]]:
    """What was found in every run, here or on several GPUs: there the largest comes first."""
    if len(settings.devices) < 2:
        do = worker(settings)
        return ((name, do(name)) for name in plan)
    return spread(
        command("evaluation.scaling_runs", settings), settings.devices, sorted(plan, key=plan.__getitem__)[::-1]
    )


def worker(settings: ScalingSettings) -> Callable[[str], Json]:
    """What trains and scores one embedder after another, by their names."""
    scoring.quiet()
    rows = sorted(read_parquet(settings.data, contrastive.columns(settings.recipe)), key=lambda row: row["id"])
    work, tasks, plan = settings.work, benchmarks.tasks(settings.benchmarks), _plan(settings)

    def do(name: str) -> Json:
        (size, seed), path, folder = plan[name], work / "scores" / f"{name}.json", work / f"model-{name}"
        if path.exists():
            return dict(json.loads(path.read_text("utf-8")))
        if not folder.exists():
            _train(settings, rows, size, seed, folder)
        load = partial(scoring.Instructed, folder, settings.recipe.max_length, settings.recipe.instructions)
        kept, scratch = work / "scores" / name, work / "predictions" / name
        files, reasons = scoring.score(_subject(size, seed), load, tasks, kept, scratch)
        row = {"rows": size, "rng_seed": seed}
        found = [row | {key: one[key] for key in ("measure", "benchmark", "value")} for one in scoring.rows(files)]
        return {"runs": found, "failed": reasons}

    return do


def _subject(size: int, seed: int) -> str:
    return f"{size:,} rows, seed {seed}"


def _check(name: str, found: Json, before: list[Json]) -> None:
    """Raise StageError where no benchmark is left that all runs were scored on, or nothing was found."""
    size, seed = map(int, name.split("-"))
    if LOST in found:
        raise StageError(
            f"{_subject(size, seed)}: {found[LOST]}",
            fix="see the log for its last words; the same command goes on with what is not finished",
        )
    if not found["runs"] or not shared(before + found["runs"]):
        raise StageError(
            f"{_subject(size, seed)}: no benchmark was scored",
            expected="one that the embedders before it were scored on as well" if before else "",
            got="; ".join(f"{row['benchmark']}: {row['reason']}" for row in found["failed"]),
            fix="fix that and run the same command again; the embedder and its other scores are kept",
        )


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
    child.run(ScalingSettings, run, worker)
