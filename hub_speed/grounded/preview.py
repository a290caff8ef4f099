"""The first few questions of a recipe, and what the filters say of them, before the rest is paid for.

The rows are those that the run asks for first. The filters are those of the wording and the question without its
passage; the search and the judge come with the run.
"""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from hub_speed.generation.jobs import Job, Outcome, Todo
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.online import generate
from hub_speed.generation.parsing import load_object
from hub_speed.generation.writers import Writers
from hub_speed.grounded import asking, planning, reading
from hub_speed.grounded.planning import Passages, PlannedQuestion
from hub_speed.llm.address import Address, Limits
from hub_speed.llm.budget import BudgetMeter
from hub_speed.llm.dialects import Completion
from hub_speed.recipe import Recipe
from hub_speed.record import Json
from hub_speed.text import in_script_of

NAMED, LOOKED_AT = 3, 200
"""Skipped documents that are named, and passages whose script is looked at. Assumption."""


@dataclass(frozen=True)
class Shown:
    """One question, kept or not.

    Attributes:
        reason: why it would be left out; empty where it is kept.
    """

    planned: PlannedQuestion
    query: str
    answer: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Preview:
    """The first questions, those that would be left out first, and what the whole run would take.

    Attributes:
        passages: how many there are.
        wanted: how many questions the recipe wants of them.
        calls, read, written: requests and tokens for all of these, at the yield of the preview.
        cost_usd: None without prices, or where nobody charges.
        notes: what the user should know of the documents, a sentence each.
    """

    shown: list[Shown]
    passages: int
    wanted: int
    calls: int
    read: int
    written: int
    cost_usd: float | None
    notes: list[str] = field(default_factory=list)


def notes(recipe: Recipe, passages: Passages, skipped: Iterable[Json]) -> Iterator[str]:
    """What the user should know before more is paid for: what was skipped, and whether the language fits.

    Args:
        recipe: says in which languages questions are asked for.
        passages: those of the corpus.
        skipped: `rows.SkippedRow`s of the corpus.
    """
    left_out = [f"{row['source']} ({row['reason']}: {row['detail']})" for row in skipped]
    if left_out:
        more = f", and {len(left_out) - NAMED:,} more: the corpus's config skipped" if len(left_out) > NAMED else ""
        yield f"skipped {', '.join(left_out[:NAMED])}{more}"
    if recipe.scripted and recipe.questions.generator == "teacher":
        yield (
            "a script wrote these questions and answers (the offline teacher), no language model: of other documents"
            " than the demo's it knows nothing. A real model asks with hub-speed preview domain, or with"
            " --endpoint teacher=URL --set teacher.model=NAME"
        )
    some = list(islice(passages, LOOKED_AT))
    if sum(not any(in_script_of(row["text"], each) for each in recipe.languages) for row in some) > len(some) / 2:
        yield (
            f"most passages are not in the script of {' or '.join(recipe.languages)}, in which the questions will be:"
            " --set languages='{NAME: 1}' has them in another language"
        )


def look(
    recipe: Recipe,
    passages: Passages,
    count: int,
    who: Writers,
    address: Address,
    work: Path,
    stop: threading.Event,
    budget: BudgetMeter | None = None,
) -> Preview:
    """Ask for the first `count` questions of a recipe, and then for their answers without a passage.

    Args:
        recipe: what decides the questions.
        passages: those of the corpus.
        count: how many questions are asked for.
        who: the one model that writes.
        address: where it is.
        work: a folder for two ledgers.
        stop: set by the user to stop.
        budget: what may be spent, None for a model that costs nothing.
    """
    runtime = recipe.runtime
    limits = Limits(runtime.in_flight, runtime.timeout_s, runtime.retries, runtime.reask)
    planned = {row.id: row for row in planning.plan(recipe, passages, count)}
    with Ledger(work / "questions") as asked, Ledger(work / "recalled") as recalled:
        jobs, read = asking.question_jobs(recipe, passages, lambda: count), asking.question_reader(recipe, who)
        generate(jobs, read, address, asked, limits, lambda rows, in_flight: None, stop, budget)

        def again(todo: Todo) -> Iterator[Job]:
            return (asking.recall_job(recipe, row) for row in asked.rows() if todo(row["id"]))

        def judge(job: Job, completion: Completion) -> Outcome:
            return reading.read_recalled(job.source, completion, recipe.filter.answer_overlap)

        generate(again, judge, address, recalled, limits, lambda rows, in_flight: None, stop, budget)
        later = {entry["id"]: entry for entry in recalled.entries()}
        shown = [_shown(planned[each["id"]], later.get(each["id"], each), each) for each in asked.entries()]
        return _preview(recipe, len(passages), shown, asked, recalled)


def _shown(planned: PlannedQuestion, last: dict[str, str], asked: dict[str, list[str]]) -> Shown:
    """A question with the last word on it, as far as its answer can be read."""
    said, _ = load_object(asked["completions"][0], ("query", "answer")) if asked["completions"] else (None, False)
    query, answer = ((said or {}).get(name, "") for name in ("query", "answer"))
    return Shown(planned, str(query), str(answer), last["reason"], last["detail"] if last["reason"] else "")


def _preview(recipe: Recipe, passages: int, shown: list[Shown], asked: Ledger, recalled: Ledger) -> Preview:
    """The questions in order, and what all of them would take."""
    wanted = planning.wanted(recipe.questions, passages)
    accepted = asked.accepted_by_type().total()
    times = (wanted / max(1, accepted), wanted / max(1, recalled.counts().total()))
    used = (asked.usage(), recalled.usage())
    calls, read, written = (round(sum(t * u[i] for t, u in zip(times, used, strict=True))) for i in range(3))
    cost = recipe.effective_budget.cost_usd(read, written) if recipe.questions.generator == "teacher" else None
    return Preview(sorted(shown, key=lambda one: not one.reason), passages, wanted, calls, read, written, cost)
