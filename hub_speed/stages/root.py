"""Tasks → several answers of the junior to each prompt: what the teacher then judges and revises.

In: speed-tasks, speed-junior. Out: speed-root.
Source: SPEED §3.2.4: a list of samples per prompt; the same root data serves preference and revision.
Differs: answers that the check rejects stay in the list, because a judge has to see them to call them worst.
"""

from collections.abc import Iterator

from hub_speed.generation import dataset, estimate, examples, planning, prompts
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo
from hub_speed.generation.parsing import Rejected
from hub_speed.generation.planning import PlannedRow, plan_rows
from hub_speed.llm.dialects import Completion, Sampling
from hub_speed.recipe import Recipe
from hub_speed.rows import RootRow
from hub_speed.stage import Context, Estimate, Stage, from_stages, pick


def read_candidates(row: PlannedRow, completion: Completion) -> Outcome:
    """All answers to one prompt, each with the reason why the check rejects it (empty if it does not)."""
    texts = [text.strip() for text in completion.texts]
    if len(set(texts)) < 2:
        return Rejected("same_candidates")
    columns = row.columns()
    answers = [
        examples.read_answer(text, finish_reason, row.task_type, examples.check_values(columns))
        for text, finish_reason in zip(texts, completion.finish_reasons, strict=True)
    ]
    reasons = [answer.reason if isinstance(answer, Rejected) else "" for answer in answers]
    return Accepted(columns | {"candidates": texts, "reasons": reasons})


def build(ctx: Context) -> None:
    """Fill `ctx.out` with root rows."""
    recipe, generator, count = ctx.recipe, ctx.recipe.generator, ctx.recipe.root.rows
    sampling = Sampling(generator.sampling_temperature, generator.top_p, generator.max_tokens, recipe.root.candidates)
    pool = examples.task_pool(ctx.inputs["brainstorm"])

    def jobs(todo: Todo) -> Iterator[Job]:
        for row in plan_rows(recipe, "root", count, pool, todo):
            yield Job(row.id, row.task_type, examples.request(row, sampling), source=row)

    def read(job: Job, completion: Completion) -> Outcome:
        return read_candidates(job.source, completion)

    dataset.make(ctx, jobs, read, total=count, model="junior", weights=ctx.inputs["junior"], row=RootRow)


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    words = estimate.words(recipe)
    return estimate.asks(recipe, "junior", recipe.root.rows, words.prompt, recipe.root.candidates * words.answer)


STAGE = Stage(
    name="root",
    version=1,
    kind="dataset",
    noun="root",
    purpose="The junior answers prompts several times each.",
    build=build,
    inputs=from_stages("brainstorm", "junior"),
    fields=lambda recipe: planning.fields(recipe) | pick(recipe, *examples.SAMPLING_FIELDS, "root"),
    prompts=lambda recipe: prompts.system_text(recipe, teacher=False) | prompts.synthesis_texts(recipe),
    estimate=_estimate,
    row=RootRow,
)
