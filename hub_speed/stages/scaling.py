"""Rows → embedders on nested subsets, and the curve through their scores.

In: the embedder's data, its base model, benchmarks. Out: speed-scaling.
Source: SPEED §4.4 claims log-linear growth but fits nothing and repeats no run.
Differs: several seeds per size; a saturating power law is fitted as well, and both curves must predict the held-out
largest size. A benchmark that fails is reported; a benchmark that some run lacks is in no fit.
"""

from dataclasses import replace
from pathlib import Path

from hub_speed.errors import StageError
from hub_speed.evaluation.scaling_law import LEAST_GAIN, by_measure, shared
from hub_speed.evaluation.scaling_sentences import describe
from hub_speed.evaluation.settings import Benchmark, ScalingSettings
from hub_speed.generation import estimate
from hub_speed.parquet import count_parquet, read_parquet, write_parquet
from hub_speed.recipe import MINING, PUBLISHING, Recipe
from hub_speed.record import Json
from hub_speed.rows import ScalingRow
from hub_speed.stage import (
    Context,
    Estimate,
    FromHub,
    FromStage,
    Stage,
    benchmark_fields,
    benchmark_inputs,
    pick,
    teacher_input,
)
from hub_speed.training.embedder import training_rows
from hub_speed.training.process.launch import launch
from hub_speed.training.process.settings import PinnedModel


def build(ctx: Context) -> None:
    """Fill `ctx.out` with one score per size, seed and measure."""
    settings, runtime, data = ctx.recipe.scaling, ctx.recipe.runtime, training_rows.folder(ctx)
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
            teacher=ctx.inputs.get("teacher"),
            data=data,
            benchmarks=tuple(Benchmark.model_validate(one) for one in ctx.benchmarks()),
            sizes=tuple(sizes),
            rng_seeds=settings.rng_seeds,
            devices=ctx.devices,
        ),
    )
    rows = found["runs"]
    write_parquet(rows, ScalingRow, ctx.out / "data")
    ctx.record.rows_in, ctx.record.accepted = available, len(rows)
    measures, fits = ctx.record.measures, by_measure(rows, LEAST_GAIN)
    measures.runs, measures.failed, measures.fits = rows, found["failed"], fits
    measures.skipped_sizes = [size for size in settings.sizes if size > available]
    measures.sentences = [text for measure, fit in fits.items() for text in describe(measure, fit)]


def _fields(recipe: Recipe) -> Json:
    """The embedder's fields, without those that a scaling law sets itself or does not use."""
    unused = ("rows", "rng_seed", "labelled", *MINING, *PUBLISHING)
    embedder = {name: value for name, value in recipe.embedder.deciding().items() if name not in unused}
    return {"embedder": embedder} | benchmark_fields(recipe) | pick(recipe, "scaling") | training_rows.fields(recipe)


def _figures(ctx: Context, folder: Path) -> dict[str, Path]:
    from hub_speed.cards import figures  # matplotlib takes half a second to import

    rows = shared(list(read_parquet(ctx.out / "data")))
    return {"scaling": figures.scaling(rows, ctx.record.measures.fits, folder / "scaling.png")}


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    sizes = [size for size in recipe.scaling.sizes if size <= estimate.embedder_rows(recipe)]
    seeds, words = len(recipe.scaling.rng_seeds), estimate.words(recipe).answer
    takes = estimate.trains(recipe.embedder.base_model, sum(sizes) * seeds, words, recipe.embedder.epochs)
    return replace(takes, seconds=takes.seconds + estimate.scores(recipe, len(sizes) * seeds))


STAGE = Stage(
    name="scaling",
    version=5,
    kind="dataset",
    noun="scaling",
    purpose="Embedders trained on nested subsets show how the score grows with the number of rows.",
    build=build,
    inputs=lambda recipe: {
        "data": FromStage(recipe.embedder.data),
        "base": FromHub("model", recipe.embedder.base_model),
        **teacher_input(recipe),
        **benchmark_inputs(recipe),
    },
    fields=_fields,
    estimate=_estimate,
    row=ScalingRow,
    figures=_figures,
)
