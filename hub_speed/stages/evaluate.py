"""Embedder → scores, beside its baselines.

In: speed-embedder, its base model, benchmarks; speed-benchmark, where the rows are about documents. Out: speed-results;
its config `items` has one row per query, pair or text of a benchmark that is a Hub dataset, its config `questions` the
scores on speed-benchmark by the style and kind of the questions.
Source: mteb for the scores; E5 Table 15 and its evaluation code for what is asked (`evaluation/scoring.py`).
Differs: baselines are scored on Hub datasets only, and where the rows are about documents, the base on mteb's tasks as
well, so that one sees what is forgotten; a base that is an embedder with its own prompts, or none, as well.
A task that fails is reported; the stage fails when all do.
"""

from datetime import UTC, datetime
from pathlib import Path

from hub_speed.errors import StageError
from hub_speed.evaluation import published_scores, question_groups
from hub_speed.evaluation.settings import Benchmark, ScoringSettings, Subject
from hub_speed.generation import estimate
from hub_speed.parquet import read_parquet, write_parquet
from hub_speed.recipe import Recipe
from hub_speed.record import Json
from hub_speed.rows import QuestionScoreRow, ScoreRow
from hub_speed.stage import (
    OWN_BENCHMARK,
    Context,
    Estimate,
    FromHub,
    FromStage,
    Stage,
    benchmark_fields,
    benchmark_inputs,
    pick,
)
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
        devices=ctx.devices,
        bases_everywhere=ctx.recipe.embedder.of_documents,
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
    if OWN_BENCHMARK in ctx.inputs:
        _score_questions(ctx, settings.subjects[1].name)


def _score_questions(ctx: Context, before: str) -> None:
    """Scores on the run's own benchmark, by style and kind of the questions."""
    name = ctx.refs[OWN_BENCHMARK].repo
    items = (row for row in read_parquet(ctx.out / "items") if row["benchmark"] == name)
    found = question_groups.scores(items, read_parquet(ctx.inputs[OWN_BENCHMARK] / "queries"), before)
    write_parquet(found, QuestionScoreRow, ctx.out / "questions")
    ctx.record.measures.questions = found


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

    drawn = {"scores": figures.scores(list(read_parquet(ctx.out / "data")), folder / "scores.png")}
    if ctx.record.measures.questions:
        drawn["questions"] = figures.questions(ctx.record.measures.questions, folder / "questions.png")
    return drawn


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
    estimate=lambda recipe, topics: Estimate(
        None, 0, 0, 0, 0, None, estimate.scores(recipe, 2 if recipe.embedder.of_documents else 1)
    ),
    row=ScoreRow,
    facts=_facts,
    figures=_figures,
)
