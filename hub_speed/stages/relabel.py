"""Mined rows → the same rows, with each mined text looked at again.

In: the mined rows; the reranker, where it works on this machine. Out: speed-relabelled.
Source: RLHN (arXiv 2505.16967): 56% of MS MARCO's rows have a hard negative that answers the query, and relabelling
these is better than dropping them, or their rows. Its labels come from a strong model; a reranker's: Assumption.
How scores or words become labels, and labels a row: `generation/relabelling.py`.
"""

import json
from collections.abc import Iterator
from dataclasses import replace

from hub_speed.generation import dataset, estimate, relabelling, writers
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo, not_asked
from hub_speed.generation.ledger import Ledger
from hub_speed.llm.addresses import RERANKER
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.parquet import read_parquet
from hub_speed.recipe import Recipe
from hub_speed.record import Json
from hub_speed.rows import LedgerRow, RelabelledRow
from hub_speed.stage import Context, Estimate, FromHub, FromStage, Source, Stage, pick
from hub_speed.training.embedder.settings import RerankSettings, scores_in
from hub_speed.training.process.launch import launch

NOTHING_DRAWN = Sampling(0.0, 1.0, 0)
"""Of a reranker, which writes no text."""

KINDS = ("retrieval",)
"""The task types of the rows, whatever the mixture of the recipe."""

MINED_TEXTS = 15  # of a question, for `plan`. Assumption
PASSAGE_WORDS = 150  # for `plan`. Assumption


def build(ctx: Context) -> None:
    """Fill `ctx.out` with relabelled rows."""
    by = {"reranker": _by_reranker, "endpoint": _by_endpoint, "judge": _by_judge}
    mined = sorted(read_parquet(ctx.inputs["mine"] / "data"), key=lambda row: row["id"])
    by[ctx.recipe.relabel.by](ctx, mined)
    rows = list(read_parquet(ctx.out / "data"))
    ctx.record.measures.relabelled = {
        "moved": sum(len(row["moved_ids"]) for row in rows),
        "dropped": sum(len(row["ambiguous_ids"]) for row in rows),
        "negatives": sum(len(row["negatives"]) for row in rows),
        "without_negatives": sum(not row["negatives"] for row in rows),
    }


def _by_reranker(ctx: Context, mined: list[Json]) -> None:
    """Let a cross-encoder score the texts on this machine, in a process of its own."""
    settings, model = ctx.recipe.relabel, str(ctx.refs["reranker"])
    how = RerankSettings(
        work=ctx.work / "reranker",
        model=ctx.inputs["reranker"],
        data=ctx.inputs["mine"] / "data",
        batch_size=ctx.recipe.runtime.mini_batch_size,
    )
    launch(ctx, "training.embedder.reranking", how)
    scores = scores_in(how.work)

    def entry(row: Json) -> tuple[LedgerRow, Json | None]:
        found = Completion((json.dumps(scores[row["id"]]),), ("stop",), model, 0, 0)
        outcome = relabelling.read_scores(row, found, settings)
        line = not_asked(row["id"], row["task_type"], "", outcome)
        line = line.model_copy(update={"completions": list(found.texts), "finish_reasons": ["stop"], "model": model})
        return line, outcome.row if isinstance(outcome, Accepted) else None

    with Ledger(ctx.work, ctx.record.identity) as ledger:
        ledger.add(map(entry, mined))
        dataset.finish(ctx, ledger, None, writers=None, row=RelabelledRow, task_types=KINDS)


def _by_endpoint(ctx: Context, mined: list[Json]) -> None:
    """Ask the server of a cross-encoder, a row at a time."""
    settings = ctx.recipe.relabel

    def jobs(todo: Todo) -> Iterator[Job]:
        for row in mined:
            if todo(row["id"]):
                yield Job(row["id"], row["task_type"], Request(relabelling.query(row), NOTHING_DRAWN), row)

    def read(job: Job, completion: Completion) -> Outcome:
        return relabelling.read_scores(job.source, completion, settings)

    dataset.make(
        ctx, jobs, read, rows=len(mined), writers=writers.one(RERANKER, None), row=RelabelledRow, task_types=KINDS
    )


def _by_judge(ctx: Context, mined: list[Json]) -> None:
    """Ask the teacher about all texts of a row at once."""
    recipe = ctx.recipe
    sampling = writers.judge_sampling(recipe)

    def jobs(todo: Todo) -> Iterator[Job]:
        for row in mined:
            if todo(row["id"]):
                shown = relabelling.order(recipe.rng_seed, row)
                schema = relabelling.labels_schema(len(shown))
                request = Request(relabelling.judge(row, shown), sampling, schema, "labels")
                yield Job(row["id"], row["task_type"], request, (row, shown))

    def read(job: Job, completion: Completion) -> Outcome:
        row, shown = job.source
        return relabelling.read_labels(row, shown, completion, recipe.relabel)

    dataset.make(ctx, jobs, read, rows=len(mined), writers=writers.judge(recipe), row=RelabelledRow, task_types=KINDS)


def _inputs(recipe: Recipe) -> dict[str, Source]:
    found: dict[str, Source] = {"mine": FromStage("mine")}
    own = recipe.relabel.by == "reranker"
    return found | ({"reranker": FromHub("model", recipe.relabel.reranker)} if own else {})


def _fields(recipe: Recipe) -> Json:
    fields = {"relabel": recipe.relabel.deciding()}
    by_judge = recipe.relabel.by == "judge"
    return fields | (writers.judge_fields(recipe) | pick(recipe, "rng_seed") if by_judge else {})


def _prompts(recipe: Recipe) -> Json:
    return {"judge": relabelling.JUDGE, "labels": relabelling.labels_schema(1)} if recipe.relabel.by == "judge" else {}


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    rows, read = recipe.questions.rows, (MINED_TEXTS + 1) * PASSAGE_WORDS
    if recipe.relabel.by == "judge":
        how_many = (rows, read, MINED_TEXTS, estimate.TEACHER_YIELD)
        return estimate.asks(recipe, "teacher", *how_many, recipe.teacher.judge)
    found = estimate.trains(recipe.relabel.reranker, rows, read, 1, passes=1)
    return replace(found, model=RERANKER, calls=rows, seconds=0.0) if recipe.relabel.by == "endpoint" else found


STAGE = Stage(
    name="relabel",
    version=1,
    kind="dataset",
    noun="relabelled",
    purpose="A reranker or the teacher looks at each mined text again.",
    build=build,
    inputs=_inputs,
    fields=_fields,
    prompts=_prompts,
    estimate=_estimate,
    row=RelabelledRow,
)
