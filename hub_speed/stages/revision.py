"""Root data → the teacher's revision of one candidate per prompt.

In: speed-root; speed-preference, where the candidates that were judged best are to be revised. Out: speed-revision,
with `prompt`/`completion` for the revisor.
Source: SPEED §3.2.4 and App. C.2 (10K). The completion holds reason and revision, as the released scripts parse both.
Root rows are revised by id until there are as many revisions of every task type as the recipe wants.
Differs: which candidate is revised is not stated; here the row's own generator draws it, unless `revision.candidate` is
"best" and the teacher named one. With `revision.may_keep` a draft without a flaw may be repeated. A revision that fails
the check of its task type is not kept.
"""

from collections.abc import Iterator

from hub_speed.generation import dataset, estimate, examples, prompts, writers
from hub_speed.generation.dedup import exact_duplicates
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.parsing import Rejected
from hub_speed.generation.planning import row_rng
from hub_speed.generation.quota import Quota
from hub_speed.llm.dialects import Completion
from hub_speed.mix import firsts
from hub_speed.parquet import read_parquet
from hub_speed.recipe import Checks, Recipe
from hub_speed.record import Json
from hub_speed.rows import RevisionRow
from hub_speed.stage import Context, Estimate, Source, Stage, from_stages, pick


def read_revised_candidate(row: Json, prompt: str, draft: str, completion: Completion, checks: Checks) -> Outcome:
    """The teacher's revision of one candidate, as a row for the revisor; or why there is none."""
    text, finish_reason = completion.texts[0], completion.finish_reasons[0]
    revised = examples.read_revision(text, finish_reason, row, draft, checks)
    if isinstance(revised, Rejected):
        return revised
    answer = examples.compact({"reason": revised.reason, "revision": revised.answer.model_dump()})
    columns = {"prompt": prompt, "completion": answer, "changed": examples.compact(revised.answer) != draft}
    return Accepted({"id": row["id"], "task_type": row["task_type"], "flaw": revised.flaw} | columns, revised.repaired)


def build(ctx: Context) -> None:
    """Fill `ctx.out` with revisions."""
    recipe = ctx.recipe
    sampling = writers.teacher_sampling(recipe)
    root = examples.root_rows(ctx.inputs["root"])
    quota = Quota.of_signals(recipe.mixture, recipe.revision.rows, root)
    who = writers.teachers(recipe, "revision")
    best: dict[str, str] = {}
    if recipe.revision.candidate == "best":
        judged = read_parquet(ctx.inputs["preference"] / "data", ["id", "chosen"])
        best = {row["id"]: row["chosen"] for row in judged}

    def jobs(todo: Todo) -> Iterator[Job]:
        for row in firsts(root, quota.asked):
            if not todo(row["id"]):
                continue
            drawn = row_rng(recipe.rng_seed, "revision", row["id"]).choice(row["candidates"])
            draft = best.get(row["id"], drawn)
            prompt = prompts.revision(row["prompt"], draft, may_keep=recipe.revision.may_keep)
            request = examples.revision_request(row["task_type"], prompt, sampling)
            yield Job(row["id"], row["task_type"], request, (row, prompt, draft))

    def read(job: Job, completion: Completion) -> Outcome:
        row, prompt, draft = job.source
        return read_revised_candidate(row, prompt, draft, completion, recipe.checks)

    def sift(ledger: Ledger) -> None:
        ledger.reject(exact_duplicates(ledger.rows(), "task_type", "prompt", "completion"), "duplicate")

    dataset.make(ctx, jobs, read, rows=quota, writers=who, row=RevisionRow, sift=sift)


def _inputs(recipe: Recipe) -> dict[str, Source]:
    judged = ("preference",) if recipe.revision.candidate == "best" else ()
    return from_stages("root", *judged)(recipe)


def _fields(recipe: Recipe) -> Json:
    fields = pick(recipe, "rng_seed", "checks", *writers.TEACHER_FIELDS, "revision")
    return fields | (pick(recipe, "mixture") if recipe.revision.rows else {})


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    words, calls = estimate.words(recipe), estimate.signals(recipe, recipe.revision.rows)
    written = words.answer + estimate.REASON_WORDS
    how_many = (calls, words.revise, written, estimate.TEACHER_YIELD)
    return estimate.asks(recipe, "teacher", *how_many, recipe.teacher.model)


STAGE = Stage(
    name="revision",
    version=3,
    kind="dataset",
    noun="revision",
    purpose="The teacher revises answers of the junior.",
    build=build,
    inputs=_inputs,
    fields=_fields,
    prompts=lambda recipe: (
        prompts.system_text(recipe, teacher=True) | prompts.revision_texts(recipe, may_keep=recipe.revision.may_keep)
    ),
    estimate=_estimate,
    row=RevisionRow,
)
