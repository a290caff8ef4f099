"""Tasks → drafts at scale, written by the aligned generator, or by several generators.

In: speed-tasks, speed-senior (or speed-junior, the base model, or several of them). Out: speed-drafts.
Source: SPEED §3.3 and App. A (1.15M raw rows, temperature 1).
Differs: exact duplicates are dropped before the revisor is asked.
"""

from collections.abc import Iterator

from hub_speed.generation import dataset, estimate, examples, planning, prompts, writers
from hub_speed.generation.dedup import exact_duplicates
from hub_speed.generation.jobs import Job, Outcome, Todo
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.planning import plan_rows
from hub_speed.generation.quota import Quota
from hub_speed.llm.dialects import Completion, Sampling
from hub_speed.mix import as_mix, joined
from hub_speed.recipe import Recipe
from hub_speed.rows import DraftRow
from hub_speed.stage import Context, Estimate, FromHub, FromStage, Source, Stage, pick


def build(ctx: Context) -> None:
    """Fill `ctx.out` with drafts."""
    recipe, generator = ctx.recipe, ctx.recipe.generator
    sampling = Sampling(generator.sampling_temperature, generator.top_p, generator.max_tokens)
    pool, who = examples.task_pool(ctx.inputs["brainstorm"]), _writers(ctx)
    quota = Quota.of(recipe.mixture, recipe.synthesize.rows)

    def jobs(todo: Todo) -> Iterator[Job]:
        for row in plan_rows(recipe, "synthesize", quota.asked, pool, todo):
            yield Job(row.id, row.task_type, examples.request(row, sampling), source=row)

    def read(job: Job, completion: Completion) -> Outcome:
        return examples.read_example(job.source, completion, who.of(job.id).name, recipe.checks)

    def sift(ledger: Ledger) -> None:
        ledger.reject(exact_duplicates(ledger.rows(), *examples.TEXTS), "duplicate")

    dataset.make(
        ctx,
        jobs,
        read,
        rows=quota,
        writers=who,
        row=DraftRow,
        sift=sift,
    )


def _writers(ctx: Context) -> writers.Writers:
    """The generators, each with its files; each of several is served in turn."""
    mix, inputs = as_mix(ctx.recipe.synthesize.generator), ctx.inputs
    found = (
        writers.Writer(name, name, inputs[name if len(mix) > 1 else "generator"], weight)
        for name, weight in mix.items()
    )
    return writers.Writers(tuple(found), ctx.recipe.rng_seed, "synthesize")


def _inputs(recipe: Recipe) -> dict[str, Source]:
    """The tasks and the generator; each of several generators is an input by its name."""
    mix, base = as_mix(recipe.synthesize.generator), FromHub("model", recipe.generator.base_model)
    found: dict[str, Source] = {name: base if name == "base" else FromStage(name) for name in mix}
    return {"brainstorm": FromStage("brainstorm")} | (found if len(mix) > 1 else {"generator": found.popitem()[1]})


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    words, settings = estimate.words(recipe), recipe.synthesize
    how_many = (settings.rows, words.prompt, words.answer, estimate.DRAFT_YIELD)
    return estimate.asks(recipe, joined(settings.generator), *how_many, settings.generator)


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
