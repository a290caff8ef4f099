"""Embedder → scores, beside its baselines; and how good the rows of each generator are.

In: speed-embedder, its base model, benchmarks, and the rows on the way (speed-root, speed-drafts, speed-synthetic).
Out: speed-results; its config `items` has one row per query, pair or text of a benchmark that is a Hub dataset.
Source: mteb for the scores; E5 Table 15 and its evaluation code for what is asked (`evaluation/scoring.py`).
Differs: baselines are scored on Hub datasets only. A task that fails is reported; the stage fails when all do.
The papers do not measure the generators' rows. *Yield* is the share of answers the check accepts; *pass rate*
the share of answers the teacher leaves unchanged when asked to revise them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hub_speed.errors import StageError
from hub_speed.evaluation.intervals import wilson
from hub_speed.evaluation.settings import Benchmark, ScoringSettings, Subject
from hub_speed.generation import dataset, examples, prompts
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo
from hub_speed.generation.ledger import Journal
from hub_speed.generation.parsing import Rejected
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.parquet import read_parquet, write_parquet
from hub_speed.rows import ACCEPTED, ScoreRow
from hub_speed.stage import Context
from hub_speed.training.process.launch import launch

Rows = dict[str, dict[str, Any]]


def build(ctx: Context) -> None:
    """Fill `ctx.out` with scores."""
    settings = ScoringSettings(
        work=ctx.work / "trainer",
        subjects=(
            Subject(name="embedder", kind="embedder", folder=ctx.inputs["embedder"]),
            Subject(name="untrained base", kind="base", folder=ctx.inputs["base"]),
            Subject(name="BM25", kind="bm25"),
        ),
        benchmarks=tuple(Benchmark.model_validate(one) for one in ctx.benchmarks()),
        items=ctx.out / "items",
        max_length=ctx.recipe.embedder.max_length,
        pooling=ctx.recipe.embedder.pooling,
    )
    with Journal(ctx.work, ctx.record.identity) as journal:
        audited = _audit(ctx, journal)
        dataset.tally(ctx, journal, "teacher")
    scored = launch(ctx, "evaluation.scoring", settings)
    failed = scored["failed"]
    if failed and not any(score["subject"] == "embedder" for score in scored["scores"]):
        raise StageError(
            "evaluate: no benchmark could be scored",
            got=f"{failed[0]['benchmark']}: {failed[0]['reason']}",
            fix="mend that and run the same command again; audited rows are kept",
        )
    scores = [*audited, *scored["scores"]]
    write_parquet(scores, ScoreRow, ctx.out / "data")
    ctx.record.measures |= {"scores": scores, "failed": failed}


# --- rows: yield and pass rate --------------------------------------------------------------------------------------


def _audit(ctx: Context, journal: Journal) -> list[dict[str, Any]]:
    """Yield and pass rate of every set of rows among the inputs."""
    sets: dict[str, tuple[dict[str, bool], Rows]] = {}
    limit = ctx.recipe.evaluate.audit_rows
    if "root" in ctx.inputs:
        sets["junior"] = _first_candidates(ctx.inputs["root"], limit)
    if "synthesize" in ctx.inputs:
        sets[ctx.recipe.synthesize.generator] = drafts = _drafts(ctx.inputs["synthesize"], limit)
        if "revise" in ctx.inputs:
            sets["revised"] = _revised(ctx.inputs["revise"], *drafts)
    sampling = Sampling(ctx.recipe.teacher.judge_temperature, 1.0, ctx.recipe.teacher.max_tokens)
    schema = prompts.Revision.model_json_schema()

    def jobs(todo: Todo) -> Iterator[Job]:
        for name, (_, rows) in sets.items():
            for row in rows.values():
                if not todo(f"{name}/{row['id']}"):
                    continue
                request = Request(prompts.revision(row["prompt"], row["completion"]), sampling, schema, "revision")
                yield Job(f"{name}/{row['id']}", row["task_type"], request, source=row)

    def read(job: Job, completion: Completion) -> Outcome:
        revised = examples.read_revision(completion.texts[0], completion.finish_reasons[0], job.source)
        if isinstance(revised, Rejected):
            return revised
        return Accepted(
            {"unchanged": examples.compact(revised.answer) == job.source["completion"]}, note=revised.reason
        )

    total = sum(len(rows) for _, rows in sets.values())
    if total:
        dataset.ask(ctx, journal, jobs, read, total=total, model="teacher")
    unchanged = {row_id for row_id, row in journal.accepted() if row["unchanged"]}
    scores = []
    for name, (accepted, rows) in sets.items():
        passed = sum(f"{name}/{row_id}" in unchanged for row_id in rows)
        scores.append(_share("yield", name, sum(accepted.values()), len(accepted)))
        scores.append(_share("pass rate", name, passed, len(accepted)))
    return sorted(scores, key=lambda score: score["measure"], reverse=True)


def _share(measure: str, subject: str, count: int, n: int) -> dict[str, Any]:
    low, high = wilson(count, n)
    value = count / n if n else 0.0
    return {
        "subject": subject,
        "task_type": "rows",
        "measure": measure,
        "benchmark": "rows",
        "dataset": "",
        "value": value,
        "low": low,
        "high": high,
        "n": n,
    }


def _first_candidates(folder: Path, limit: int) -> tuple[dict[str, bool], Rows]:
    """Of the first prompts of a root dataset: whether the first candidate was accepted, and the accepted ones."""
    accepted, rows = {}, {}
    for row in examples.root_rows(folder, limit):
        accepted[row["id"]] = not row["reasons"][0]
        if accepted[row["id"]]:
            answer = examples.read_answer(row["candidates"][0], "stop", row["task_type"], examples.check_values(row))
            assert not isinstance(answer, Rejected)
            rows[row["id"]] = row | {"completion": examples.compact(answer.answer)}
    return accepted, rows


def _drafts(folder: Path, limit: int) -> tuple[dict[str, bool], Rows]:
    """Of the first prompts of a drafts dataset: whether the answer was accepted, and the accepted ones."""
    entries = sorted(read_parquet(folder / "ledger", ["id", "state"]), key=lambda entry: entry["id"])[:limit]
    accepted = {entry["id"]: entry["state"] in ACCEPTED for entry in entries}
    rows = {row["id"]: row for row in read_parquet(folder / "data") if row["id"] in accepted}
    return accepted, rows


def _revised(folder: Path, drafted: dict[str, bool], drafts: Rows) -> tuple[dict[str, bool], Rows]:
    """The same prompts after revision; near-duplicates, which are not published, are read from the ledger."""
    rows = {row["id"]: row for row in read_parquet(folder / "data") if row["id"] in drafts}
    for entry in read_parquet(folder / "ledger", ["id", "reason", "completions", "finish_reasons"]):
        if entry["reason"] == "near_duplicate" and entry["id"] in drafts:
            draft = drafts[entry["id"]]
            revised = examples.read_revision(entry["completions"][0], entry["finish_reasons"][0], draft)
            if isinstance(revised, Rejected):
                rows[entry["id"]] = draft
            else:
                rows[entry["id"]] = draft | {"completion": examples.compact(revised.answer)}
    return {row_id: row_id in rows for row_id in drafted}, rows
