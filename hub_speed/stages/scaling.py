"""Rows → embedders on nested subsets, and the curve through their scores.

In: the embedder's data, its base model, benchmarks. Out: speed-scaling.
Source: SPEED §4.4 claims log-linear growth but fits nothing and repeats no run.
Differs: several seeds per size; a saturating power law is fitted as well, and both curves must predict the held-out
largest size. A benchmark that fails is reported; one that some run lacks is in no fit.
"""

from hub_speed.errors import StageError
from hub_speed.evaluation.scaling_law import by_measure, in_words
from hub_speed.evaluation.settings import Benchmark, ScalingSettings
from hub_speed.parquet import count_parquet, write_parquet
from hub_speed.rows import ScalingRow
from hub_speed.stage import Context
from hub_speed.training.process.launch import launch
from hub_speed.training.process.settings import PinnedModel


def build(ctx: Context) -> None:
    """Fill `ctx.out` with one score per size, seed and measure."""
    settings, runtime, data = ctx.recipe.scaling, ctx.recipe.runtime, ctx.inputs["data"] / "data"
    available = count_parquet(data)
    sizes = [size for size in settings.sizes if size <= available]
    if len(sizes) < 2:
        raise StageError(
            f"scaling: only {available} rows are there",
            expected=f"at least two of the sizes {', '.join(map(str, settings.sizes))}",
            fix="set scaling.sizes to smaller ones",
        )
    base = ctx.refs["base"]
    found = launch(
        ctx,
        "evaluation.scaling_runs",
        ScalingSettings(
            work=ctx.work / "trainer",
            base=PinnedModel(folder=ctx.inputs["base"], repo=base.repo, commit=base.commit),
            gradient_checkpointing=runtime.gradient_checkpointing,
            recipe=ctx.recipe.embedder,
            mini_batch_size=runtime.mini_batch_size,
            data=data,
            benchmarks=tuple(Benchmark.model_validate(one) for one in ctx.benchmarks()),
            sizes=tuple(sizes),
            rng_seeds=settings.rng_seeds,
        ),
    )
    rows = found["runs"]
    write_parquet(rows, ScalingRow, ctx.out / "data")
    ctx.record.rows_in, ctx.record.accepted = available, len(rows)
    ctx.record.measures["skipped_sizes"] = [size for size in settings.sizes if size > available]
    ctx.record.measures |= {"runs": rows, "failed": found["failed"]}
    fits = ctx.record.measures["fits"] = by_measure(rows, settings.least_gain)
    ctx.record.measures["sentences"] = [text for measure, fit in fits.items() for text in in_words(measure, fit)]
