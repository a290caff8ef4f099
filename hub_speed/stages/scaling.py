"""Rows → embedders on nested subsets, and the line through their scores.

In: the embedder's data, its base model, benchmarks. Out: speed-scaling.
Source: SPEED §4.4 claims log-linear growth but fits nothing and repeats no run.
Differs: every size is trained with several seeds; the fit has an interval.
"""

from dataclasses import asdict

import numpy as np

from hub_speed.errors import StageError
from hub_speed.rows import ScalingRow, count_parquet, write_parquet
from hub_speed.stage import Context
from hub_speed.stats import log_linear
from hub_speed.training.launch import launch


def build(ctx: Context) -> None:
    """Fill `ctx.out` with one score per size, seed and measure."""
    settings, data = ctx.recipe.scaling, ctx.inputs["data"] / "data"
    available = count_parquet(data)
    sizes = [size for size in settings.sizes if size <= available]
    if len(sizes) < 2:
        raise StageError(
            f"scaling: only {available} rows are there",
            expected=f"at least two of the sizes {', '.join(map(str, settings.sizes))}",
            fix="set scaling.sizes to smaller ones",
        )
    found = launch(
        ctx,
        "scaling",
        ctx.recipe.embedder.model_dump()
        | {"base": str(ctx.inputs["base"]), "data": str(data), "benchmarks": ctx.benchmarks()}
        | {"sizes": sizes, "rng_seeds": list(settings.rng_seeds)},
    )
    rows = found["runs"]
    write_parquet(rows, ScalingRow, ctx.out / "data")
    ctx.record.rows_in, ctx.record.accepted = available, len(rows)
    ctx.record.measures["skipped_sizes"] = [size for size in settings.sizes if size > available]
    ctx.record.measures["fits"] = {}
    for measure in dict.fromkeys(row["measure"] for row in rows):
        mine = [row for row in rows if row["measure"] == measure]
        fit = log_linear(np.array([row["rows"] for row in mine]), np.array([row["value"] for row in mine]))
        ctx.record.measures["fits"][measure] = asdict(fit)
