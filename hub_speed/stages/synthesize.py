"""Tasks → drafts at scale, written by the aligned generator.

In: speed-tasks, speed-senior (or speed-junior). Out: speed-drafts.
Source: SPEED §3.3 and App. A (1.15M raw rows, temperature 1).
Differs: exact duplicates are dropped before the revisor is asked.
"""

from collections.abc import Iterator

from hub_speed.generation import dataset, estimate, examples, planning, prompts
from hub_speed.generation.dedup import exact_duplicates
from hub_speed.generation.jobs import Job, Outcome, Todo
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.planning import plan_rows
from hub_speed.generation.quota import Quota
from hub_speed.llm.dialects import Completion, Sampling
from hub_speed.recipe import Recipe
from hub_speed.rows import DraftRow
from hub_speed.stage import Context, Estimate, FromHub, FromStage, Source, Stage, pick


def build(ctx: Context) -> None:
    """Fill `ctx.out` with drafts."""
    recipe, generator, settings = ctx.recipe, ctx.recipe.generator, ctx.recipe.synthesize
    sampling = Sampling(generator.sampling_temperature, generator.top_p, generator.max_tokens)
    pool = examples.task_pool(ctx.inputs["brainstorm"])
    quota = Quota.of(recipe.mixture, recipe.synthesize.rows)

    def jobs(todo: Todo) -> Iterator[Job]:
        for row in plan_rows(recipe, "synthesize", quota.asked, pool, todo):
            yield Job(row.id, row.task_type, examples.request(row, sampling), source=row)

    def read(job: Job, completion: Completion) -> Outcome:
        return examples.read_example(job.source, completion, settings.generator, recipe.checks)

    def sift(ledger: Ledger) -> None:
        ledger.reject(exact_duplicates(ledger.rows(), *examples.TEXTS), "duplicate")

    dataset.make(
        ctx,
        jobs,
        read,
        rows=quota,
        model=settings.generator,
        weights=ctx.inputs["generator"],
        row=DraftRow,
        sift=sift,
    )


def _inputs(recipe: Recipe) -> dict[str, Source]:
    writer = recipe.synthesize.generator
    base = FromHub("model", recipe.generator.base_model)
    return {"brainstorm": FromStage("brainstorm"), "generator": base if writer == "base" else FromStage(writer)}


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    words, settings = estimate.words(recipe), recipe.synthesize
    how_many = (settings.rows, words.prompt, words.answer, estimate.DRAFT_YIELD)
    return estimate.asks(recipe, settings.generator, *how_many)


STAGE = Stage(
    name="synthesize",
    version=3,
    kind="dataset",
    noun="drafts",
    purpose="The generator writes drafts at scale.",
    build=build,
    inputs=_inputs,
    fields=lambda recipe: planning.fields(recipe) | pick(recipe, "checks", *examples.SAMPLING_FIELDS, "synthesize"),
    prompts=lambda recipe: prompts.system_text(recipe, teacher=False) | prompts.synthesis_texts(recipe),
    estimate=_estimate,
    row=DraftRow,
)
