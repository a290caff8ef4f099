"""Embedder → scores, beside its baselines.

In: speed-embedder, its base model, benchmarks. Out: speed-results; its config `items` has one row per query, pair or
text of a benchmark that is a Hub dataset.
Source: mteb for the scores; E5 Table 15 and its evaluation code for what is asked (`evaluation/scoring.py`).
Differs: baselines are scored on Hub datasets only; a base that is an embedder with its own prompts, or none, as well.
A task that fails is reported; the stage fails when all do.
"""

from datetime import UTC, datetime
from pathlib import Path

from hub_speed.errors import StageError
from hub_speed.evaluation import published_scores
from hub_speed.evaluation.settings import Benchmark, ScoringSettings, Subject
from hub_speed.generation import estimate
from hub_speed.parquet import read_parquet, write_parquet
from hub_speed.recipe import Recipe
from hub_speed.record import Json
from hub_speed.rows import ScoreRow
from hub_speed.stage import Context, Estimate, FromHub, FromStage, Stage, benchmark_fields, benchmark_inputs, pick
from hub_speed.training.older_readers import MODULES
from hub_speed.training.process.launch import launch


def build(ctx: Context) -> None:
    """Fill `ctx.out` with scores."""
    settings = ScoringSettings(
        work=ctx.work / "trainer",
        subjects=(
            Subject(name="embedder", kind="embedder", folder=ctx.inputs["embedder"]),
            *_bases(ctx.inputs["base"]),
            Subject(name="BM25", kind="bm25"),
        ),
        benchmarks=tuple(Benchmark.model_validate(one) for one in ctx.benchmarks()),
        items=ctx.out / "items",
        max_length=ctx.recipe.embedder.max_length,
        pooling=ctx.recipe.embedder.pooling,
        instructions=ctx.recipe.embedder.instructions,
    )
    scored = launch(ctx, "evaluation.scoring", settings)
    scores, failed = scored["scores"], scored["failed"]
    if failed and not any(score["subject"] == "embedder" for score in scores):
        raise StageError(
            "evaluate: no benchmark could be scored",
            got=f"{failed[0]['benchmark']}: {failed[0]['reason']}",
            fix="fix that and run the same command again",
        )
    ctx.record.rows_in = ctx.record.accepted = write_parquet(scores, ScoreRow, ctx.out / "data")
    ctx.record.measures.scores, ctx.record.measures.failed = scores, failed
    ctx.record.measures.subsets = scored["subsets"]
    ctx.record.measures.scored_on = datetime.now(UTC).date().isoformat()
    ctx.record.notes += scored["notes"]


def _bases(folder: Path) -> tuple[Subject, ...]:
    """The base: an embedder is scored as it was published, and with the instructions that it may never have seen."""
    if not (folder / MODULES).is_file():
        return (Subject(name="untrained base", kind="base", folder=folder),)
    return (
        Subject(name="base with its own prompts", kind="published", folder=folder),
        Subject(name="base with our instructions", kind="base", folder=folder),
    )


def _fields(recipe: Recipe) -> Json:
    """What the scores depend on; the form of instructions only where it is not the usual one."""
    used = ["embedder.max_length", "embedder.pooling"]
    if recipe.embedder.instructions != "natural":
        used.append("embedder.instructions")
    return benchmark_fields(recipe) | pick(recipe, *used)


def _facts(ctx: Context) -> Json:
    return {"averages": published_scores.averages(ctx.record.measures.scores)}


def _figures(ctx: Context, folder: Path) -> dict[str, Path]:
    from hub_speed.cards import figures  # matplotlib takes half a second to import

    return {"scores": figures.scores(list(read_parquet(ctx.out / "data")), folder / "scores.png")}


STAGE = Stage(
    name="evaluate",
    version=6,
    kind="dataset",
    noun="results",
    purpose="The embedder and its baselines are scored.",
    build=build,
    inputs=lambda recipe: {
        "embedder": FromStage("embedder"),
        "base": FromHub("model", recipe.embedder.base_model),
        **benchmark_inputs(recipe),
    },
    fields=_fields,
    estimate=lambda recipe, topics: Estimate(None, 0, 0, 0, 0, None, estimate.scores(recipe, 1)),
    row=ScoreRow,
    facts=_facts,
    figures=_figures,
)
