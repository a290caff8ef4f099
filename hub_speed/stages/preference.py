"""Root data → the best and the worst candidate of every prompt, by the teacher.

In: speed-root. Out: speed-preference, with `prompt`/`chosen`/`rejected` for DPO.
Source: SPEED §3.2.4 and App. C.2 (10K, temperature 0).
Differs: the judge sees the candidates in an order of each row's own, because judges favour some places over others
(arXiv 2306.05685); the row keeps the order. An index that does not exist, or a tie, drops the row. `chosen` is always
an answer that the check accepts: the judge is not asked where no candidate is, and a verdict for another is dropped.
"""

from collections.abc import Iterator

from hub_speed.generation import dataset, estimate, examples, prompts, writers
from hub_speed.generation.dedup import exact_duplicates
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo, not_asked
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.parsing import Rejected, parse
from hub_speed.generation.planning import row_rng
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.mix import firsts
from hub_speed.recipe import Recipe
from hub_speed.record import Json
from hub_speed.rows import LedgerRow, PreferenceRow
from hub_speed.stage import Context, Estimate, Stage, from_stages, pick


def order_shown(rng_seed: int, row: Json) -> list[int]:
    """The numbers of a root row's candidates, in the order in which the judge sees them."""
    places = list(range(len(row["candidates"])))
    row_rng(rng_seed, "preference", row["id"]).shuffle(places)
    return places


def read_verdict(row: Json, order: list[int], completion: Completion) -> Outcome:
    """The candidates that the teacher calls best and worst, as a preference row; or why there is none."""
    parsed = parse(completion.texts[0], prompts.Verdict, completion.finish_reasons[0])
    if isinstance(parsed, Rejected):
        return parsed
    best, worst = parsed.answer.best, parsed.answer.worst
    if not (0 <= best < len(order) and 0 <= worst < len(order)):
        return Rejected("bad_index", f"best={best}, worst={worst} of {len(order)} candidates")
    if best == worst:
        return Rejected("tie", parsed.answer.reason)
    if unfit := row["reasons"][order[best]]:
        return Rejected("unfit_best", f"candidate {order[best]}: {unfit}")
    if flaw := examples.reason_flaw(parsed.answer.reason, prompts.JUDGE, row["prompt"]):
        return Rejected(*flaw)
    chosen, rejected = (row["candidates"][order[place]] for place in (best, worst))
    pair = {"chosen": chosen, "rejected": rejected, "reason": parsed.answer.reason, "order": order}
    return Accepted({name: row[name] for name in ("id", "task_type", "prompt")} | pair, parsed.repaired)


def build(ctx: Context) -> None:
    """Fill `ctx.out` with preference pairs."""
    teacher = ctx.recipe.teacher
    sampling = Sampling(teacher.judge_temperature, 1.0, teacher.max_tokens)
    root = examples.root_rows(ctx.inputs["root"])
    quota = examples.signals(ctx.recipe, root, ctx.recipe.preference.rows)

    def jobs(todo: Todo) -> Iterator[Job]:
        for row in firsts(root, quota.asked):
            if todo(row["id"]) and not all(row["reasons"]):
                order = order_shown(ctx.recipe.rng_seed, row)
                prompt = prompts.judge(row["prompt"], [row["candidates"][i] for i in order])
                request = Request(prompt, sampling, prompts.verdict_schema(len(order)), "verdict")
                yield Job(row["id"], row["task_type"], request, (row, order))

    def read(job: Job, completion: Completion) -> Outcome:
        row, order = job.source
        return read_verdict(row, order, completion)

    def sift(ledger: Ledger) -> None:
        ledger.reject(exact_duplicates(ledger.rows(), "task_type", "prompt", "chosen", "rejected"), "duplicate")

    def skipped() -> Iterator[LedgerRow]:
        for row in firsts(root, quota.asked):
            if all(row["reasons"]):
                why = Rejected("unfit_candidates", ", ".join(row["reasons"]))
                yield not_asked(row["id"], row["task_type"], row["prompt"], why)

    who = writers.judge(ctx.recipe)
    dataset.make(ctx, jobs, read, rows=quota, writers=who, row=PreferenceRow, sift=sift, skipped=skipped)


def _fields(recipe: Recipe) -> Json:
    fields = writers.judge_fields(recipe) | pick(recipe, "rng_seed", "preference")
    return fields | (pick(recipe, "mixture") if recipe.preference.rows else {})


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    words, calls = estimate.words(recipe), estimate.signals(recipe, recipe.preference.rows)
    read = words.prompt + words.judge + recipe.root.candidates * words.answer
    how_many = (calls, read, estimate.REASON_WORDS, estimate.TEACHER_YIELD)
    return estimate.asks(recipe, "teacher", *how_many, recipe.teacher.judge)


STAGE = Stage(
    name="preference",
    version=3,
    kind="dataset",
    noun="preference",
    purpose="The teacher names the best and the worst answer.",
    build=build,
    inputs=from_stages("root"),
    fields=_fields,
    prompts=lambda recipe: prompts.system_text(recipe, teacher=True) | prompts.judge_texts(),
    estimate=_estimate,
    row=PreferenceRow,
)
