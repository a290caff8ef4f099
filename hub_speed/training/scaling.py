"""Trains and scores one embedder per size and seed.

Every seed has an order of the rows of its own, of which every size is a prefix: what differs between seeds is the
training and which rows come first. Settings: those of `contrastive`, and sizes, rng_seeds, benchmarks.
"""

import json
import random
from pathlib import Path

from hub_speed.rows import read_parquet
from hub_speed.training import child, contrastive, score


def run(settings: child.Json) -> child.Json:
    """One row per size, seed and measure. What is finished is kept in `work` and not done again."""
    score.quiet()
    rows = sorted(read_parquet(Path(settings["data"])), key=lambda row: row["id"])
    work = Path(settings["work"])
    plan = [(size, seed) for size in settings["sizes"] for seed in settings["rng_seeds"]]
    child.say(total=len(plan))
    runs: list[child.Json] = []
    (work / "runs").mkdir(parents=True, exist_ok=True)
    for i, (size, seed) in enumerate(plan):
        path = work / "runs" / f"{size}-{seed}.json"
        if not path.exists():
            score.keep(path, _one(settings, rows, size, seed, work))
        runs += json.loads(path.read_text("utf-8"))
        child.say(step=i + 1, note=f"{size} rows: {runs[-1]['value']:.3f}")
    return {"runs": runs}


def _one(settings: child.Json, rows: list[child.Json], size: int, seed: int, work: Path) -> list[child.Json]:
    """One embedder's scores."""
    order = random.Random(seed).sample(rows, len(rows))
    model, _ = contrastive.fit(settings | {"rng_seed": seed}, order[:size])
    model.save_pretrained(str(work / "model"), safe_serialization=True)
    asked = score.instructed(str(work / "model"), settings["max_length"])
    return [
        {"rows": size, "rng_seed": seed} | {name: found[name] for name in ("measure", "benchmark", "value")}
        for found in score.score(asked, "embedder", settings["benchmarks"], work / "predictions")
    ]


if __name__ == "__main__":
    child.run(run)
