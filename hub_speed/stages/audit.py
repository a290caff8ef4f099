"""The generators' rows → how good they are, in the teacher's eyes.

In: the sets of rows on the way to the embedder's data (speed-root, speed-drafts, speed-synthetic). Out: speed-audit.
The papers do not measure the generators' rows. *Yield* is the share of answers the check accepts; *pass rate* is the
share of answers the teacher leaves unchanged when asked to revise them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hub_speed.evaluation.intervals import wilson
from hub_speed.generation import dataset, estimate, examples, prompts, writers
from hub_speed.generation.asking import ask
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.parsing import Rejected
from hub_speed.llm.dialects import Completion
from hub_speed.mix import joined, subset
from hub_speed.parquet import count_parquet, read_parquet, write_parquet
from hub_speed.recipe import Checks, Recipe
from hub_speed.record import Json
from hub_speed.rows import ACCEPTED, AuditRow
from hub_speed.stage import Context, Estimate, FromStage, Source, Stage, pick

SETS = {"revise": ("root", "synthesize", "revise"), "synthesize": ("synthesize",)}
"""`embedder.data` → the sets of rows on the way to it that are audited."""


@dataclass(frozen=True)
class Audited:
    """The first rows of one set.

    Attributes:
        asked: how many prompts were answered; exact duplicates are left out.
        rows: id → the accepted row.
    """

    asked: int
    rows: dict[str, Json]


def _audited(recipe: Recipe) -> tuple[str, ...]:
    """The sets of rows that are audited; questions about documents have their own filters."""
    return SETS.get(recipe.embedder.data, ())


def build(ctx: Context) -> None:
    """Fill `ctx.out` with yields and pass rates."""
    sets, who = _sets(ctx), writers.judge(ctx.recipe)
    sampling = writers.judge_sampling(ctx.recipe)

    def jobs(todo: Todo) -> Iterator[Job]:
        for name, audited in sets.items():
            for row in audited.rows.values():
                if not todo(f"{name}/{row['id']}"):
                    continue
                prompt = prompts.revision(row["prompt"], row["completion"], may_keep=True)
                request = examples.revision_request(row["task_type"], prompt, sampling)
                yield Job(f"{name}/{row['id']}", row["task_type"], request, source=row)

    def read(job: Job, completion: Completion) -> Outcome:
        return read_opinion(job.source, completion, ctx.recipe.checks)

    with Ledger(ctx.work, ctx.record.identity) as ledger:
        total = sum(len(audited.rows) for audited in sets.values())
        ask(ctx, ledger, jobs, read, total=total, writers=who)
        dataset.tally(ctx, ledger, who)
        passed = {row_id for row_id, row in ledger.accepted() if row["unchanged"]}
    shares = [_share("yield", name, len(each.rows), each.asked) for name, each in sets.items()]
    for name, each in sets.items():
        left_alone = sum(f"{name}/{row_id}" in passed for row_id in each.rows)
        shares.append(_share("pass rate", name, left_alone, each.asked))
    write_parquet(shares, AuditRow, ctx.out / "data")
    ctx.record.measures.shares = shares


def read_opinion(row: Json, completion: Completion, checks: Checks) -> Outcome:
    """Whether the teacher leaves a row unchanged."""
    text, finish_reason = completion.texts[0], completion.finish_reasons[0]
    revised = examples.read_revision(text, finish_reason, row, row["completion"], checks)
    if isinstance(revised, Rejected):
        return revised
    return Accepted({"unchanged": examples.compact(revised.answer) == row["completion"]}, note=revised.reason)


def _share(measure: str, subject: str, count: int, n: int) -> Json:
    low, high = wilson(count, n)
    value = count / n if n else 0.0
    return {"subject": subject, "measure": measure, "value": value, "low": low, "high": high, "n": n}


def _sets(ctx: Context) -> dict[str, Audited]:
    """The first `audit.rows` prompts of every set among the inputs, by who answered them."""
    limit, found = ctx.recipe.audit.rows, {}
    if "root" in ctx.inputs:
        found["junior"] = _first_candidates(ctx.inputs["root"], limit, ctx.recipe.checks)
    found[joined(ctx.recipe.synthesize.generator)] = drafts = _drafts(ctx.inputs["synthesize"], limit)
    if "revise" in ctx.inputs:
        found["revised"] = _revised(ctx.inputs["revise"], drafts)
    return found


def _first_candidates(folder: Path, limit: int, checks: Checks) -> Audited:
    """Of a root dataset: the first candidate of every prompt."""
    asked, rows = 0, {}
    for row in subset(examples.root_rows(folder), limit):
        asked += 1
        answer = examples.read_answer(row["candidates"][0], "stop", row, checks)
        if not row["reasons"][0] and not isinstance(answer, Rejected):
            rows[row["id"]] = row | {"completion": examples.compact(answer.answer)}
    return Audited(asked, rows)


def _drafts(folder: Path, limit: int) -> Audited:
    """Of a drafts dataset: the rows of the first prompts, without exact duplicates, which are not revised."""
    entries = sorted(read_parquet(folder / "ledger", ["id", "state", "reason"]), key=lambda entry: entry["id"])
    entries = entries[: min(limit, count_parquet(folder / "data"))]  # the first wave, which holds the recipe's mix
    entries = [entry for entry in entries if entry["reason"] != "duplicate"]
    used = {entry["id"] for entry in entries if entry["state"] in ACCEPTED}
    rows = {row["id"]: row for row in read_parquet(folder / "data") if row["id"] in used}
    return Audited(len(entries), rows)


def _revised(folder: Path, drafts: Audited) -> Audited:
    """The same prompts after revision; near-duplicates, which are not published, are read from the ledger."""
    rows = {row["id"]: row for row in read_parquet(folder / "data") if row["id"] in drafts.rows}
    for entry in read_parquet(folder / "ledger", ["id", "dropped_row"]):
        if entry["dropped_row"] and entry["id"] in drafts.rows:
            rows[entry["id"]] = json.loads(entry["dropped_row"])
    return Audited(drafts.asked, rows)


def _figures(ctx: Context, folder: Path) -> dict[str, Path]:
    from hub_speed.cards import figures  # matplotlib takes half a second to import

    return {"shares": figures.shares(list(read_parquet(ctx.out / "data")), folder / "shares.png")}


def _inputs(recipe: Recipe) -> dict[str, Source]:
    return {name: FromStage(name) for name in _audited(recipe)}


def _fields(recipe: Recipe) -> Json:
    return pick(recipe, "checks") | writers.judge_fields(recipe) | pick(recipe, "synthesize.generator", "audit")


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    words, there = estimate.words(recipe), {"root": recipe.root.rows}
    calls = sum(
        min(recipe.audit.rows, there.get(name, recipe.synthesize.rows)) for name in SETS.get(recipe.embedder.data, ())
    )
    written = words.answer + estimate.REASON_WORDS
    return estimate.asks(recipe, "teacher", calls, words.revise, written, mix=recipe.teacher.judge)


STAGE = Stage(
    name="audit",
    version=3,
    kind="dataset",
    noun="audit",
    purpose="The teacher judges a sample of the rows of each generator.",
    build=build,
    inputs=_inputs,
    fields=_fields,
    prompts=lambda recipe: prompts.system_text(recipe, teacher=True) | prompts.revision_texts(recipe, may_keep=True),
    estimate=_estimate,
    row=AuditRow,
    figures=_figures,
)
