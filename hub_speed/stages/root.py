"""Tasks → several answers of the junior to each prompt: what the teacher then judges and revises.

In: speed-tasks, speed-junior. Out: speed-root.
Source: SPEED §3.2.4: a list of samples per prompt; the same root data serves preference and revision.
Differs: answers that the check rejects stay in the list, because a judge has to see them to call them worst. Of several
answers with the same words the first is kept.
"""

from collections.abc import Iterator

from hub_speed.generation import dataset, estimate, examples, planning, prompts, writers
from hub_speed.generation.echo import plain
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo
from hub_speed.generation.parsing import Rejected
from hub_speed.generation.planning import PlannedRow, plan_rows
from hub_speed.generation.quota import Quota
from hub_speed.llm.dialects import Completion, Sampling
from hub_speed.recipe import Checks, Recipe
from hub_speed.rows import RootRow
from hub_speed.stage import Context, Estimate, Stage, from_stages, pick


def read_candidates(row: PlannedRow, completion: Completion, checks: Checks) -> Outcome:
    """The different answers to one prompt, each with the reason why the check rejects it (empty if it does not)."""
    columns, reasons, known = row.columns(), {}, set()
    flaws: dict[str, str] = {}
    for text, finish_reason in zip(completion.texts, completion.finish_reasons, strict=True):
        if plain(text) not in known:
            known.add(plain(text))
            answer = examples.read_answer(text, finish_reason, columns, checks)
            reasons[text.strip()] = answer.reason if isinstance(answer, Rejected) else ""
            flaws[text.strip()] = "" if isinstance(answer, Rejected) else answer.flaw
    if len(reasons) < 2:
        return Rejected("same_candidates", f"{len(completion.texts)} answers, all alike")
    found = {"candidates": list(reasons), "reasons": list(reasons.values()), "flaws": list(flaws.values())}
    return Accepted(columns | found)


def build(ctx: Context) -> None:
    """Fill `ctx.out` with root rows."""
    recipe, generator = ctx.recipe, ctx.recipe.generator
    sampling = Sampling(generator.sampling_temperature, generator.top_p, generator.max_tokens, recipe.root.candidates)
    pool = examples.task_pool(ctx.inputs["brainstorm"])
    quota = Quota.of(recipe.mixture, recipe.root.rows)

    def jobs(todo: Todo) -> Iterator[Job]:
        for row in plan_rows(recipe, "root", quota.asked, pool, todo):
            yield Job(row.id, row.task_type, examples.request(row, sampling), source=row)

    def read(job: Job, completion: Completion) -> Outcome:
        return read_candidates(job.source, completion, recipe.checks)

    dataset.make(ctx, jobs, read, rows=quota, writers=writers.one("junior", ctx.inputs["junior"]), row=RootRow)


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    words, rows = estimate.words(recipe), recipe.root.rows
    written = recipe.root.candidates * words.answer
    return estimate.asks(recipe, "junior", rows, words.prompt, written, estimate.ROOT_YIELD)


STAGE = Stage(
    name="root",
    version=3,
    kind="dataset",
    noun="root",
    purpose="The junior answers prompts several times each.",
    build=build,
    inputs=from_stages("brainstorm", "junior"),
    fields=lambda recipe: planning.fields(recipe) | pick(recipe, "checks", *examples.SAMPLING_FIELDS, "root"),
    prompts=lambda recipe: prompts.system_text(recipe, teacher=False) | prompts.synthesis_texts(recipe),
    estimate=_estimate,
    row=RootRow,
)
