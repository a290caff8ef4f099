"""Tasks → the teacher's own examples.

In: speed-tasks. Out: speed-seed, with `prompt`/`completion` for the junior and the columns an embedder is trained on.
Source: SPEED §3.2.2 (25K, GPT-4o). E5 §3.1 trains an embedder on such rows directly (500K) and drops exact duplicates.
Differs: exact duplicates are always dropped (SPEED does not say).
"""

from collections.abc import Iterator

from hub_speed.generation import dataset, estimate, examples, planning, prompts, writers
from hub_speed.generation.dedup import exact_duplicates
from hub_speed.generation.jobs import Job, Outcome, Todo
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.planning import plan_rows
from hub_speed.generation.quota import Quota
from hub_speed.llm.dialects import Completion
from hub_speed.recipe import Recipe
from hub_speed.rows import SeedRow
from hub_speed.stage import Context, Estimate, Stage, from_stages, pick


def build(ctx: Context) -> None:
    """Fill `ctx.out` with seed rows."""
    recipe = ctx.recipe
    sampling = writers.teacher_sampling(recipe)
    pool, who = examples.task_pool(ctx.inputs["brainstorm"]), writers.teachers(recipe, "seed")
    quota = Quota.of(recipe.mixture, recipe.seed.rows)

    def jobs(todo: Todo) -> Iterator[Job]:
        for row in plan_rows(recipe, "seed", quota.asked, pool, todo):
            yield Job(row.id, row.task_type, examples.request(row, sampling), source=row)

    def read(job: Job, completion: Completion) -> Outcome:
        return examples.read_example(job.source, completion, who.of(job.id).name, recipe.checks)

    def sift(ledger: Ledger) -> None:
        ledger.reject(exact_duplicates(ledger.rows(), *examples.TEXTS), "duplicate")

    dataset.make(ctx, jobs, read, rows=quota, writers=who, row=SeedRow, sift=sift)


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    words = estimate.words(recipe)
    how_many = (recipe.seed.rows, words.prompt, words.answer, estimate.TEACHER_YIELD)
    return estimate.asks(recipe, "teacher", *how_many, recipe.teacher.model)


STAGE = Stage(
    name="seed",
    version=3,
    kind="dataset",
    noun="seed",
    purpose="The teacher writes examples for some of the tasks.",
    build=build,
    inputs=from_stages("brainstorm"),
    fields=lambda recipe: planning.fields(recipe) | pick(recipe, "checks", *writers.TEACHER_FIELDS, "seed"),
    prompts=lambda recipe: prompts.system_text(recipe, teacher=True) | prompts.synthesis_texts(recipe),
    estimate=_estimate,
    row=SeedRow,
)
