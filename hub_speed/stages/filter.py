"""Questions about documents → those that a search can answer, and only with their passage.

In: speed-questions, speed-corpus, the generator, the model that searches. Out: speed-filtered-questions.
Source: round-trip filter of Promptagator (arXiv 2209.11755). Asking without the passage first: Assumption; a question
that everybody can answer says little about a passage.
Each question is asked of the generator without its passage. What is left is searched for among all passages, by BM25
and by the embedder. What is found is shown to the judge, if the recipe wants one.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from hub_speed.generation import dataset, estimate, prompts, writers
from hub_speed.generation.asking import ask
from hub_speed.generation.jobs import Job, Outcome, Todo
from hub_speed.generation.ledger import Ledger
from hub_speed.grounded import asking, reading
from hub_speed.grounded import prompts as wording
from hub_speed.grounded.asking import JUDGED
from hub_speed.grounded.planning import TASK_TYPE
from hub_speed.llm.dialects import Completion
from hub_speed.parquet import count_parquet, read_parquet, write_parquet
from hub_speed.recipe import Recipe, usual_prompts
from hub_speed.record import TEACHER, Json
from hub_speed.retrieval.settings import RoundTripSettings
from hub_speed.rows import QuestionRow
from hub_speed.stage import SURPLUS, Context, Estimate, FromHub, FromStage, Source, Stage, pick
from hub_speed.training.process.launch import launch


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the questions that pass every filter."""
    recipe, questions = ctx.recipe, ctx.inputs["questions"] / "data"
    who = asking.generator(recipe, ctx.inputs.get("generator"))

    def jobs(todo: Todo) -> Iterator[Job]:
        for row in read_parquet(questions, wanted=todo):
            yield asking.recall_job(recipe, row)

    def read(job: Job, completion: Completion) -> Outcome:
        return reading.read_recalled(job.source, completion, recipe.filter.answer_overlap)

    with Ledger(ctx.work, ctx.record.identity) as ledger:
        ask(ctx, ledger, jobs, read, total=count_parquet(questions), writers=who)
        _search(ctx, ledger)
        if recipe.filter.judge == TEACHER:
            judge = writers.judge(recipe)
            _ask_judge(ctx, ledger, judge)
            who = asking.Both((*who.everyone, *judge.everyone), who.rng_seed, who.stage)
        dataset.finish(ctx, ledger, None, writers=who, row=QuestionRow, task_types=(TASK_TYPE,))


def _search(ctx: Context, ledger: Ledger) -> None:
    """Reject the accepted questions whose passage the search does not find."""
    settings, asked = ctx.recipe.filter, ctx.work / "asked"
    shutil.rmtree(asked, ignore_errors=True)
    rows = (row for name, row in ledger.accepted() if not name.endswith(JUDGED))
    if not write_parquet(rows, QuestionRow, asked):
        return
    round_trip = RoundTripSettings(
        work=ctx.work / "round_trip",
        questions=asked,
        passages=ctx.inputs["corpus"] / "data",
        embedder=ctx.inputs["embedder"],
        prompts=usual_prompts(settings.embedder),
        top_k=settings.top_k,
        out=ctx.work / "ranks.json",
    )
    found = launch(ctx, "retrieval.round_trip", round_trip)
    details = {
        name: f"rank {rank}, wanted among the first {settings.top_k}" if rank else "not found at all"
        for name, rank in found["not_found"].items()
    }
    ledger.drop(details, "not_found", details)


def _ask_judge(ctx: Context, ledger: Ledger, judge: writers.Writers) -> None:
    """Ask the judge about the questions that are left, and reject those that it finds unfit, or says nothing of."""
    recipe = ctx.recipe
    left = {row["id"]: row for name, row in ledger.accepted() if not name.endswith(JUDGED)}
    texts = _passages(ctx.inputs["corpus"], {name for row in left.values() for name in row["positive_ids"]})

    def jobs(todo: Todo) -> Iterator[Job]:
        for name, row in left.items():
            if todo(name + JUDGED):
                yield asking.judge_job(recipe, row, [texts[each] for each in row["positive_ids"]])

    def read(job: Job, completion: Completion) -> Outcome:
        return reading.read_fitness(job.source, completion)

    ask(ctx, ledger, jobs, read, total=ledger.counts().total() + len(left), writers=judge)
    verdicts = {name: ledger.entry(name + JUDGED) for name in left}
    fit = {name for name, entry in verdicts.items() if not entry["reason"] or entry["reason"] == SURPLUS}
    ledger.drop((name + JUDGED for name in fit), SURPLUS)  # the question itself is the row
    details = {name: entry["detail"] for name, entry in verdicts.items() if name not in fit}
    ledger.drop(details, "unfit_question", details)


def _passages(corpus: Path, names: set[str]) -> dict[str, Json]:
    """The passages with these names."""
    return {row["id"]: row for row in read_parquet(corpus / "data", ["id", "title", "text"], names.__contains__)}


def _inputs(recipe: Recipe) -> dict[str, Source]:
    made: dict[str, Source] = {"questions": FromStage("questions"), "corpus": FromStage("corpus")}
    return made | asking.generator_input(recipe) | {"embedder": FromHub("model", recipe.filter.embedder)}


def _fields(recipe: Recipe) -> Json:
    judged = recipe.filter.judge == TEACHER
    found = pick(recipe, "questions.generator", "filter.top_k", "filter.answer_overlap", "filter.judge")
    found |= asking.generator_fields(recipe)
    if judged:
        found |= writers.judge_fields(recipe) | pick(recipe, "rng_seed")
    return found


def _prompts(recipe: Recipe) -> Json:
    judged = recipe.filter.judge == TEACHER
    taught = judged or recipe.questions.generator == TEACHER
    return (
        prompts.system_text(recipe, teacher=taught) | wording.recall_texts() | (wording.judge_texts() if judged else {})
    )


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    model, rows = recipe.questions.generator, recipe.questions.rows
    mix = recipe.teacher.model if model == TEACHER else None
    return estimate.asks(recipe, model, rows, wording.RECALL_WORDS, wording.ANSWER_WORDS, mix=mix)


STAGE = Stage(
    name="filter",
    version=1,
    kind="dataset",
    noun="filtered-questions",
    purpose="Questions are left out that can be answered without their passage, or that a search does not find.",
    build=build,
    inputs=_inputs,
    fields=_fields,
    prompts=_prompts,
    estimate=_estimate,
    row=QuestionRow,
)
