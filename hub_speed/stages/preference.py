"""Root data → the best and the worst candidate of every prompt, by the teacher or by an embedder.

In: speed-root; the embedder, where it chooses. Out: speed-preference, with `prompt`/`chosen`/`rejected` for DPO.
Source: SPEED §3.2.4 and App. C.2 (10K, temperature 0).
Root rows are judged by id until there are as many pairs of every task type as the recipe wants.
Differs: the judge sees the candidates in an order of each row's own, because judges favour some places over others
(arXiv 2306.05685); the row keeps the order. An index that does not exist, or a tie, drops the row. `chosen` is always
an answer that the check accepts: the judge is not asked where no candidate is, and a verdict for another is dropped.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hub_speed.generation import dataset, estimate, examples, prompts, writers
from hub_speed.generation.dedup import exact_duplicates, shingles
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo, not_asked
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.parsing import Parsed, Rejected, parse
from hub_speed.generation.planning import row_rng
from hub_speed.generation.quota import Quota
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.mix import firsts
from hub_speed.recipe import Recipe
from hub_speed.record import Json
from hub_speed.rows import LedgerRow, PreferenceRow
from hub_speed.stage import SURPLUS, Context, Estimate, FromHub, FromStage, Source, Stage, pick
from hub_speed.task_types import TASK_TYPES, Answer
from hub_speed.training.embedder.settings import MarginSettings
from hub_speed.training.process.launch import launch

REVERSED = "-reversed"
"""The end of a row's name in the ledger where the judge saw the candidates in reverse order."""

Rank = tuple[bool, float]

STOCK_WORDS = 6
"""Words of a phrase. Assumption: runs of 8 find no stock sentence of a quickstart, because each names its subject."""


def build(ctx: Context) -> None:
    """Fill `ctx.out` with preference pairs."""
    settings, root = ctx.recipe.preference, examples.root_rows(ctx.inputs["root"])
    quota = examples.signals(ctx.recipe, root, settings.rows)
    phrases = stock_phrases(root, settings.stock_share) if settings.stock_share else set()

    def sift(ledger: Ledger) -> None:
        if settings.judge == "both_orders":
            compare_orders(ledger)
        ledger.reject(exact_duplicates(ledger.rows(), "task_type", "prompt", "chosen", "rejected"), "duplicate")
        if phrases:
            found = (pair for pair in ledger.rows() if phrases & phrases_of(pair["task_type"], pair["chosen"]))
            ledger.reject([(pair["id"], "", None) for pair in found], "stock_phrase")

    (_by_margin if settings.signal == "retrieval" else _by_judge)(ctx, root, quota, sift)


def _by_judge(ctx: Context, root: list[Json], quota: Quota, sift: Callable[[Ledger], None]) -> None:
    """Ask the teacher about the candidates of root rows, once or in both orders."""
    recipe, teacher = ctx.recipe, ctx.recipe.teacher
    sampling = Sampling(teacher.judge_temperature, 1.0, teacher.max_tokens)
    quota.requests = requests(recipe)

    def shown() -> Iterator[tuple[str, Json, list[int]]]:
        for row in firsts(root, quota.asked):
            order = order_shown(recipe.rng_seed, row)
            yield from [(row["id"], row, order), (row["id"] + REVERSED, row, order[::-1])][: quota.requests]

    def jobs(todo: Todo) -> Iterator[Job]:
        for name, row, order in shown():
            if todo(name) and not all(row["reasons"]):
                prompt = prompts.judge(row["prompt"], [row["candidates"][i] for i in order])
                request = Request(prompt, sampling, prompts.verdict_schema(len(order)), "verdict")
                yield Job(name, row["task_type"], request, (row, order))

    def read(job: Job, completion: Completion) -> Outcome:
        row, order = job.source
        return read_verdict(row, order, completion)

    def skipped() -> Iterator[LedgerRow]:
        for name, row, _ in shown():
            if all(row["reasons"]):
                why = Rejected("unfit_candidates", ", ".join(row["reasons"]))
                yield not_asked(name, row["task_type"], row["prompt"], why)

    who = writers.judge(recipe)
    dataset.make(ctx, jobs, read, rows=quota, writers=who, row=PreferenceRow, sift=sift, skipped=skipped)


def requests(recipe: Recipe) -> int:
    """How often the judge is asked about a row."""
    return 2 if recipe.preference.judge == "both_orders" else 1


def order_shown(rng_seed: int, row: Json) -> list[int]:
    """The numbers of a root row's candidates, in the order in which the judge sees them first."""
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
    return Accepted(_pair(row, order[best], order[worst], parsed.answer.reason, order), parsed.repaired)


def _pair(row: Json, best: int, worst: int, reason: str, order: list[int]) -> Json:
    pair = {"chosen": row["candidates"][best], "rejected": row["candidates"][worst], "reason": reason, "order": order}
    return {name: row[name] for name in ("id", "task_type", "prompt")} | pair


def compare_orders(ledger: Ledger) -> None:
    """Reject the verdicts on rows whose two verdicts differ; where they agree, the second one is surplus."""
    verdicts: dict[str, list[tuple[str, str, str]]] = {}
    for name, row in ledger.accepted():
        verdicts.setdefault(row["id"], []).append((name, row["chosen"], row["rejected"]))
    alike: list[str] = []
    apart: list[str] = []
    for row_id, found in verdicts.items():
        names = [name for name, *_ in found]
        if len(found) == 2 and found[0][1:] == found[1][1:]:
            alike.append(row_id + REVERSED)
        elif names != [row_id] or ledger.entry(row_id + REVERSED)["reason"] != SURPLUS:  # else compared before
            apart += names
    ledger.reject(((name, "", None) for name in alike), SURPLUS)
    ledger.reject(((name, "", None) for name in apart), "orders_differ")


# --- stock phrases ----------------------------------------------------------------------------------------------------


def stock_phrases(rows: Sequence[Json], share: float) -> set[str]:
    """The phrases that candidates of more than this share of a task type's other prompts have."""
    found: set[str] = set()
    for kind in {row["task_type"] for row in rows}:
        own = [row["candidates"] for row in rows if row["task_type"] == kind]
        counts = Counter(phrase for texts in own for phrase in set().union(*(phrases_of(kind, one) for one in texts)))
        found |= {phrase for phrase, count in counts.items() if count - 1 > share * (len(own) - 1)}
    return found


def phrases_of(task_type: str, candidate: str) -> set[str]:
    """The runs of `STOCK_WORDS` words in the values of a candidate; of one that cannot be read, none."""
    parsed = parse(candidate, TASK_TYPES[task_type].answer)
    values = parsed.answer.model_dump().values() if isinstance(parsed, Parsed) else ()
    return {run for value in values for run in shingles(value, STOCK_WORDS) if run.count(" ") == STOCK_WORDS - 1}


# --- an embedder's margin ---------------------------------------------------------------------------------------------


def _by_margin(ctx: Context, root: list[Json], quota: Quota, sift: Callable[[Ledger], None]) -> None:
    """Let an embedder choose among the candidates of every root row, by `training.embedder.margins`."""
    fit = [(row, i, answer) for row in root for i, answer in _fit_answers(row)]
    texts = [
        {"task_type": row["task_type"], "prompt": row["id"]} | TASK_TYPES[row["task_type"]].columns(answer)
        for row, _, answer in fit
    ]
    ctx.work.mkdir(parents=True, exist_ok=True)
    path = ctx.work / "candidates.json"
    path.write_text(json.dumps(texts), "utf-8")
    settings = MarginSettings(work=ctx.work, model=ctx.inputs["embedder"], candidates=path)
    measured = launch(ctx, "training.embedder.margins", settings)
    ranks: dict[str, dict[int, Rank]] = {row["id"]: {} for row in root}
    for (row, i, _), margin, hard in zip(fit, measured["margins"], measured["hard"], strict=True):
        ranks[row["id"]][i] = (hard, margin)
    quota.asked = dict(quota.most)
    with Ledger(ctx.work, ctx.record.identity) as ledger:
        ledger.add(_entry(row, choose(row, ranks[row["id"]])) for row in root)
        sift(ledger)
        dataset.finish(ctx, ledger, quota, writers=None, row=PreferenceRow)


def _entry(row: Json, outcome: Outcome) -> tuple[LedgerRow, Json | None]:
    entry = not_asked(row["id"], row["task_type"], row["prompt"], outcome)
    return entry, outcome.row if isinstance(outcome, Accepted) else None


def _fit_answers(row: Json) -> Iterator[tuple[int, Answer]]:
    """The candidates that the check accepts, each with its place."""
    for i, text in enumerate(row["candidates"]):
        answer = parse(text, TASK_TYPES[row["task_type"]].answer)
        if not row["reasons"][i] and isinstance(answer, Parsed):
            yield i, answer.answer


def choose(row: Json, ranks: dict[int, Rank]) -> Outcome:
    """The candidate with the largest margin over a hard negative and the last one, as a preference row; or why not.

    Last is a candidate that the check rejects, else one whose negative is not hard, else the one with the smallest
    margin.

    Args:
        row: of the root data.
        ranks: place → (whether the negative is hard, margin), of the candidates that the check accepts.
    """
    if not ranks:
        return Rejected("unfit_candidates", ", ".join(row["reasons"]))
    places = range(len(row["candidates"]))
    by_rank = sorted(places, key=lambda i: (i in ranks, *ranks.get(i, (False, 0.0))))
    worst, best = by_rank[0], by_rank[-1]
    hard, margin = ranks[best]
    if not hard or margin <= 0:
        return Rejected("no_margin", f"candidate {best}: margin {margin:.3f}" + ("" if hard else ", negative not hard"))
    if worst == best or ranks.get(worst) == ranks[best]:
        return Rejected("tie", f"margin {margin:.3f}")
    against = f"{ranks[worst][1]:.3f}" if worst in ranks else row["reasons"][worst]
    return Accepted(_pair(row, best, worst, f"margin {margin:.3f} against {against}", []))


# --- the stage --------------------------------------------------------------------------------------------------------


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
    purpose="The best and the worst answer are named, by the teacher or by an embedder.",
    build=build,
    inputs=_inputs,
    fields=_fields,
    prompts=_prompts,
    estimate=_estimate,
    row=PreferenceRow,
)
