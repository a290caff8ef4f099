"""Root data → the best and the worst candidate of every prompt, by the teacher or by an embedder.

In: speed-root; the embedder, where it chooses. Out: speed-preference, with `prompt`/`chosen`/`rejected` for DPO.
Source: SPEED §3.2.4 and App. C.2 (10K, temperature 0).
Root rows are judged by id until there are as many pairs of every task type as the recipe wants.
Differs: the judge sees the candidates in an order of each row's own, and the row keeps it. `chosen` is always an answer
that the check accepts: a prompt without such an answer is not judged, and a verdict for another answer is dropped.
How a verdict or a margin becomes a pair: `generation/preferences.py`.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from hub_speed.generation import dataset, estimate, examples, preferences, prompts, writers
from hub_speed.generation.dedup import exact_duplicates
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo, not_asked
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.parsing import Rejected
from hub_speed.generation.quota import Quota
from hub_speed.generation.stock_phrases import phrases_of, stock_phrases
from hub_speed.llm.dialects import Completion, Request
from hub_speed.mix import firsts
from hub_speed.recipe import Recipe
from hub_speed.record import Json
from hub_speed.rows import LedgerRow, PreferenceRow
from hub_speed.stage import Context, Estimate, FromHub, FromStage, Source, Stage, pick
from hub_speed.task_types import TASK_TYPES
from hub_speed.training.embedder.settings import MarginSettings
from hub_speed.training.process.launch import launch


def build(ctx: Context) -> None:
    """Fill `ctx.out` with preference pairs."""
    settings, root = ctx.recipe.preference, examples.root_rows(ctx.inputs["root"])
    quota = Quota.of_signals(ctx.recipe.mixture, settings.rows, root)
    phrases = stock_phrases(root, settings.stock_share) if settings.stock_share else set()

    def sift(ledger: Ledger) -> None:
        if requests(ctx.recipe) == 2:
            preferences.compare_orders(ledger)
        ledger.reject(exact_duplicates(ledger.rows(), "task_type", "prompt", "chosen", "rejected"), "duplicate")
        if phrases:
            found = (pair for pair in ledger.rows() if phrases & phrases_of(pair["task_type"], pair["chosen"]))
            ledger.drop((pair["id"] for pair in found), "stock_phrase")

    (_by_margin if settings.signal == "retrieval" else _by_judge)(ctx, root, quota, sift)


def _by_judge(ctx: Context, root: list[Json], quota: Quota, sift: Callable[[Ledger], None]) -> None:
    """Ask the teacher about the candidates of root rows, once or in both orders."""
    recipe = ctx.recipe
    sampling = writers.judge_sampling(recipe)
    quota.requests = requests(recipe)

    def shown() -> Iterator[tuple[str, Json, list[int]]]:
        for row in firsts(root, quota.asked):
            for name, order in preferences.orders_shown(recipe.rng_seed, row, quota.requests):
                yield name, row, order

    def jobs(todo: Todo) -> Iterator[Job]:
        for name, row, order in shown():
            if todo(name) and not all(row["reasons"]):
                prompt = prompts.judge(row["prompt"], [row["candidates"][i] for i in order])
                request = Request(prompt, sampling, prompts.verdict_schema(len(order)), "verdict")
                yield Job(name, row["task_type"], request, (row, order))

    def read(job: Job, completion: Completion) -> Outcome:
        row, order = job.source
        return preferences.read_verdict(row, order, completion)

    def skipped() -> Iterator[LedgerRow]:
        for name, row, _ in shown():
            if all(row["reasons"]):
                why = Rejected("unfit_candidates", ", ".join(row["reasons"]))
                yield not_asked(name, row["task_type"], row["prompt"], why)

    who = writers.judge(recipe)
    dataset.make(ctx, jobs, read, rows=quota, writers=who, row=PreferenceRow, sift=sift, skipped=skipped)


def requests(recipe: Recipe) -> int:
    """How often the judge is asked about a row, where there is a judge."""
    settings = recipe.preference
    return 2 if settings.signal == "judge" and settings.judge == "both_orders" else 1


def _by_margin(ctx: Context, root: list[Json], quota: Quota, sift: Callable[[Ledger], None]) -> None:
    """Let an embedder choose among the candidates of every root row, by `training.embedder.margins`."""
    fit = [(row, i, answer) for row in root for i, answer in preferences.fit_answers(row)]
    texts = [
        {"task_type": row["task_type"], "prompt": row["id"]} | TASK_TYPES[row["task_type"]].columns(answer)
        for row, _, answer in fit
    ]
    ctx.work.mkdir(parents=True, exist_ok=True)
    path = ctx.work / "candidates.json"
    path.write_text(json.dumps(texts), "utf-8")
    settings = MarginSettings(work=ctx.work, model=ctx.inputs["embedder"], candidates=path)
    measured = launch(ctx, "training.embedder.margins", settings)
    ranks: dict[str, dict[int, preferences.Rank]] = {row["id"]: {} for row in root}
    for (row, i, _), margin, hard in zip(fit, measured["margins"], measured["hard"], strict=True):
        ranks[row["id"]][i] = (hard, margin)
    quota.asked = dict(quota.most)
    with Ledger(ctx.work, ctx.record.identity) as ledger:
        ledger.add(_entry(row, preferences.choose(row, ranks[row["id"]])) for row in root)
        sift(ledger)
        dataset.finish(ctx, ledger, quota, writers=None, row=PreferenceRow)


def _entry(row: Json, outcome: Outcome) -> tuple[LedgerRow, Json | None]:
    entry = not_asked(row["id"], row["task_type"], row["prompt"], outcome)
    return entry, outcome.row if isinstance(outcome, Accepted) else None


def _inputs(recipe: Recipe) -> dict[str, Source]:
    root: dict[str, Source] = {"root": FromStage("root")}
    by_margin = recipe.preference.signal == "retrieval"
    return root | ({"embedder": FromHub("model", recipe.preference.embedder)} if by_margin else {})


def _fields(recipe: Recipe) -> Json:
    by_judge = recipe.preference.signal == "judge"
    fields = writers.judge_fields(recipe) | pick(recipe, "rng_seed") if by_judge else {}
    fields |= {"preference": recipe.preference.deciding()}
    return fields | (pick(recipe, "mixture") if recipe.preference.rows else {})


def _prompts(recipe: Recipe) -> dict[str, Any]:
    if recipe.preference.signal == "retrieval":
        return prompts.answer_schemas(recipe)
    return prompts.system_text(recipe, teacher=True) | prompts.judge_texts()


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    settings, words = recipe.preference, estimate.words(recipe)
    if settings.signal == "retrieval":
        return estimate.trains(settings.embedder, recipe.root.rows, recipe.root.candidates * words.answer, 1, passes=1)
    calls = requests(recipe) * estimate.signals(recipe, settings.rows)
    read = words.prompt + words.judge + recipe.root.candidates * words.answer
    how_many = (calls, read, estimate.REASON_WORDS, estimate.TEACHER_YIELD)
    return estimate.asks(recipe, "teacher", *how_many, recipe.teacher.judge)


STAGE = Stage(
    name="preference",
    version=3,
    kind="dataset",
    noun="preference",
    purpose="The teacher or an embedder names the best and the worst answer to each prompt.",
    build=build,
    inputs=_inputs,
    fields=_fields,
    prompts=_prompts,
    estimate=_estimate,
    row=PreferenceRow,
)
