"""What is printed: plans, results, scores and rows."""

import heapq
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hub_speed.cards.render import PAPER
from hub_speed.errors import RecipeError
from hub_speed.evaluation import published_scores
from hub_speed.generation.ledger import Journal
from hub_speed.hub import Hub, Ref
from hub_speed.parquet import read_parquet
from hub_speed.pipeline.plan import Step
from hub_speed.pipeline.run import Result
from hub_speed.pipeline.session import Session
from hub_speed.pipeline.table import STAGES
from hub_speed.recipe import BATCH_PRICE, Recipe
from hub_speed.record import RunRecord
from hub_speed.release import Released
from hub_speed.stage import Estimate

if TYPE_CHECKING:  # they load scipy, which takes a while
    from hub_speed.data_quality.report import Report
    from hub_speed.study.runs import Load, Run, Study

_terminal = Console(highlight=False)
console = _terminal if _terminal.is_terminal else Console(highlight=False, width=160)


def _table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    return table


def print_plan(recipe: Recipe, session: Session, steps: list[Step], estimates: list[Estimate]) -> None:
    """One line a stage: finished, or what it will take and why it will run."""
    console.print(
        f"{recipe.name} → {session.org} on {session.hub.endpoint}"
        f"    teacher {recipe.teacher.model} · generator {recipe.generator.base_model}"
        f" · embedder {recipe.embedder.base_model}\n"
    )
    right = ("calls", "tokens", "cost", "time")
    table = _table("stage", "asks", *right, "state", right=right)
    for step, estimate in zip(steps, estimates, strict=True):
        name, model = step.stage.name, estimate.model or "–"
        if step.ref:
            table.add_row(name, model, "", "", "", "", f"cached      {step.ref}")
            continue
        calls = f"{estimate.calls:,}" if estimate.calls else ""
        tokens = _tokens(estimate.tokens) if estimate.tokens else ""
        cost = "" if estimate.cost_usd is None else f"${estimate.cost_usd:,.2f}"
        time = _time(estimate.seconds) if estimate.seconds else ""
        table.add_row(name, model, calls, tokens, cost, time, f"will run    {escape(step.why)}")
    console.print(table)
    ahead = {step.stage.name: estimate for step, estimate in zip(steps, estimates, strict=True) if not step.ref}
    costs = [estimate.cost_usd for estimate in ahead.values() if estimate.cost_usd is not None]
    if costs:
        price = f", in batches at {BATCH_PRICE:.0%} of the list price" if recipe.runtime.mode == "batch" else ""
        console.print(
            f"\nteacher        about ${sum(costs):,.2f} for what is left to run{price};"
            " a run stops before budget.max_usd, if there is one"
        )
    teacher = Counter({name: estimate.calls for name, estimate in ahead.items() if estimate.model == "teacher"})
    left = " left" if len(ahead) < len(steps) else ""
    counted = sum(teacher[name] for name in ("seed", "preference", "revision"))
    console.print(
        f"\nteacher calls  [bold]{counted:,}[/bold]{left} as SPEED counts them (seed, preference, revision;"
        f" the paper: {PAPER['SPEED']['calls']:,}; E5-mistral: {PAPER['E5-mistral']['calls']:,})"
        f"\n               + {teacher['brainstorm']:,} to brainstorm, which the paper does not count"
        f", + {teacher['audit']:,} to audit rows"
    )
    console.print(f"run it         hub-speed run {recipe.name} --org {session.org}")


def _time(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:,.0f} min" if seconds >= 60 else "< 1 min"


def _tokens(count: int) -> str:
    return f"{count / 1e6:,.1f} M" if count >= 1e6 else f"{count / 1e3:,.0f} k"


def print_study_plan(study: "Study", loads: "list[Load]") -> None:
    """One line a stage: how many versions the runs share, how many of them are there, and what the others will take."""
    console.print(f"{len(study.runs)} runs, {study.seeds} seeds each\n")
    right = ("in runs", "reused", "versions", "finished", "will run", "calls", "tokens", "cost")
    table = _table("stage", *right, "asks", right=right)
    for load in loads:
        missing = load.versions - load.finished
        numbers = (load.runs, load.runs - missing, load.versions, load.finished, missing)
        calls, tokens = (f"{load.calls:,}", _tokens(load.tokens)) if load.calls else ("", "")
        cost = f"${load.cost_usd:,.2f}" if load.calls and load.cost_usd is not None else ""
        table.add_row(load.stage.name, *map(str, numbers), calls, tokens, cost, load.model)
    console.print(table)
    runs, missing = sum(load.runs for load in loads), sum(load.versions - load.finished for load in loads)
    teacher = sum(load.calls for load in loads if load.model == "teacher")
    console.print(f"\n{missing:,} stages will run, {runs - missing:,} are reused; teacher calls {teacher:,}")


def print_study_run(run: "Run", number: int) -> None:
    """One line before a run of a study."""
    console.print(f"[bold]{number}[/bold] {escape(run.name)}")


def print_study(facts: dict[str, Any], ref: Ref) -> None:
    """What a study found, one line an effect."""
    console.print()
    table = _table("factor", "value", "measure", "difference", "95% interval", "verdict")
    for e in facts["effects"]:
        interval = "–" if e["low"] is None else f"{e['low']:+.3f} to {e['high']:+.3f}"
        cells = (e["factor"], e["value"], e["measure"], f"{e['difference']:+.3f}", interval, e["verdict"])
        table.add_row(*map(escape, cells))
    console.print(table)
    for text in facts["left_out"]:
        console.print(f"[red]{escape(text)}[/red]")
    for text in (facts["scaling"] or {}).get("sentences", []):
        console.print(text)
    console.print(f"\ncomparisons: {len(facts['effects'])} · {ref}")


def print_result(result: Result, *, as_json: bool = False) -> None:
    """One line when a stage is done."""
    record = result.record
    if as_json:
        names = ("accepted", "rejected", "calls", "prompt_tokens", "completion_tokens", "seconds")
        done = {"stage": result.stage.name, "repo": result.ref.repo, "commit": result.ref.commit}
        line = done | {"cached": result.cached} | record.model_dump(include=set(names))
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        return
    what = "cached" if result.cached else f"{record.seconds:.0f} s"
    rejected = sum(record.rejected.values())
    counts = f"{record.accepted:,} rows" + (f", {rejected:,} rejected" if rejected else "")
    console.print(f"[green]✓[/green] {result.stage.name:<11} {counts:<28} {result.ref!s:<38} {what}")


def print_run(recipe: Recipe, session: Session, results: list[Result], *, local: bool, lineage: bool = False) -> None:
    """A finished run: stages, teacher calls, scores, and what to do next."""
    right = ("rows in", "accepted", "rejected", "calls", "tokens", "seconds")
    table = _table("stage", f"repo@commit in {session.org}", *right, right=right)
    for result in results:
        r = result.record
        tokens = sum(r.prompt_tokens.values()) + sum(r.completion_tokens.values())
        cells = (r.rows_in, r.accepted, sum(r.rejected.values()), sum(r.calls.values()), tokens)
        table.add_row(result.stage.name, str(result.ref).split("/")[1], *(f"{n:,}" for n in cells), f"{r.seconds:.0f}")
    console.print()
    console.print(table)
    by_name = {result.stage.name: result.record for result in results}
    if lineage:
        _print_lineage(results)
    _print_calls(by_name)
    measures = {name: record.measures for name, record in by_name.items()}
    _print_scores(measures.get("evaluate", {}).get("scores", []), measures.get("audit", {}).get("shares", []))
    for name in ("evaluate", "scaling"):
        for row in measures.get(name, {}).get("failed", ()):
            console.print(f"[red]not scored[/red] {row['benchmark']} ({row['subject']}): {escape(row['reason'])}")
    for measure, fit in measures.get("scaling", {}).get("fits", {}).items():
        interval = "" if fit["low"] is None else f" (95%: {fit['low']:+.3f} to {fit['high']:+.3f})"
        console.print(f"scaling    {measure} {fit['slope']:+.3f} per tenfold data{interval}, {fit['n']} runs")
    _print_next(recipe, session, by_name, local=local)


def _print_lineage(results: list[Result]) -> None:
    console.print("\n[bold]lineage[/bold]")
    for result in results:
        inputs = ", ".join(str(ref) for ref in result.record.inputs.values())
        console.print(f"  {result.ref} ← {inputs}")


def _print_calls(by_name: dict[str, RunRecord]) -> None:
    calls = {name: record.calls.get("teacher", 0) for name, record in by_name.items()}
    total = sum(n for name, n in calls.items() if name != "audit")
    rows = next((by_name[name].accepted for name in ("revise", "synthesize", "seed") if name in by_name), 0)
    console.print(
        f"\nteacher calls {total:,} (brainstorm {calls.get('brainstorm', 0):,}) · rows published {rows:,}"
        f" · an all-teacher set of that size would have cost {rows + calls.get('brainstorm', 0):,}"
        f" · audits {calls.get('audit', 0):,}"
    )


def _print_scores(scores: list[dict[str, Any]], shares: list[dict[str, Any]]) -> None:
    """Yields, pass rates and scores on Hub datasets as a table, mteb's tasks as means."""
    own = [share | {"benchmark": ""} for share in shares]
    own += [score for score in scores if not published_scores.is_mteb(score)]
    places = list(dict.fromkeys((score["measure"], score["benchmark"]) for score in own))
    measures = [measure for measure, _ in places]
    names = [m if measures.count(m) == 1 else f"{m} {b.split('/')[-1]}" for m, b in places]
    table = _table("95% intervals", *names)
    for subject in dict.fromkeys(score["subject"] for score in own):
        found = {(s["measure"], s["benchmark"]): s for s in own if s["subject"] == subject}
        table.add_row(subject, *(_cell(found.get(place)) for place in places))
    console.print()
    console.print(table)
    for kind, (mean, count) in published_scores.averages(scores).items():
        console.print(f"mteb       {kind:<19} {mean:.1f} ({count} {'task' if count == 1 else 'tasks'})")


def _cell(score: dict[str, Any] | None) -> str:
    if score is None:
        return "–"
    if score["low"] is None:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f}  ({score['low']:.3f}-{score['high']:.3f})"


def _print_next(recipe: Recipe, session: Session, by_name: dict[str, Any], *, local: bool) -> None:
    console.print("\n[bold]next[/bold]")
    if local:
        console.print("  hub-speed hub serve                      in another terminal: pages at its address, too")
        console.print('  eval "$(hub-speed hub env)"')
    sets = [name for name in ("revise", "synthesize", "seed", "brainstorm") if name in by_name]
    for data in [STAGES[name].repo(session.org) for name in sets[:1]]:
        console.print(f"  python -c 'from datasets import load_dataset; print(load_dataset(\"{data}\"))'")
        console.print(f"  hub-speed rows {data}")
    if "embedder" in by_name:
        console.print(
            "  python -c 'from sentence_transformers import SentenceTransformer;"
            f' print(SentenceTransformer("{session.org}/speed-embedder"))\''
        )
    if "revise" in by_name:
        console.print(f"  hub-speed space run --org {session.org}")


def print_release(released: Released, tag: str) -> None:
    """What a release did, and what a person should read."""
    done = f"{tag} on {released.tagged} repositories" if released.tagged else f"nothing to do, {tag} is there"
    console.print(f"[green]✓[/green] {released.embedder}    {done}")
    for note in released.notes:
        console.print(f"  note: {escape(note)}")


def print_json(results: list[Result]) -> None:
    """A finished run as JSON."""
    found = [{"stage": r.stage.name, "repo": r.ref.repo, "commit": r.ref.commit, "record": r.record} for r in results]
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


def folder_of(hub: Hub, name: str, revision: str) -> Path:
    """The files of a dataset: a folder, `org/name@revision`, or `org/name` at the revision given beside it."""
    folder = Path(name)
    return folder if folder.is_dir() else hub.fetch(hub.pin("dataset", name if "@" in name else f"{name}@{revision}"))


def print_quality(names: list[str], reports: "list[Report]", *, as_json: bool) -> None:
    """What sets of rows are like: one set by task type, several side by side."""
    from hub_speed.data_quality.measures import MEASURES, overall, shown

    numbers = [report.numbers() for report in reports]
    means = [overall(mine, *numbers) for mine in numbers]
    if as_json:
        found = [
            {"set": name} | mine | {"overall": mean, "coverage": report.coverage, "examples": report.examples}
            for name, mine, mean, report in zip(names, numbers, means, reports, strict=True)
        ]
        sys.stdout.write(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        return
    short = [name.rstrip("/").rpartition("/")[2] for name in names]
    for name, report in zip(short, reports, strict=True):
        used = report.effective_tasks
        tasks = f", {report.tasks:,} tasks as varied as {used:,.0f} used evenly" if used else ""
        console.print(f"{name}: {report.rows:,} rows, {report.sampled:,} looked at{tasks}")
    console.print(f"texts are compared by {reports[0].embedding}\n")
    columns, heads = means, short
    if len(names) == 1:
        columns = [*numbers[0]["by_task_type"].values(), means[0]]
        heads = [*numbers[0]["by_task_type"], "mean"]
    table = _table("measure", *heads, right=tuple(heads))
    for name, measure in MEASURES.items():
        table.add_row(measure.label, *(shown(name, column[name]) for column in columns))
    console.print(table)
    console.print()
    for measure in MEASURES.values():
        console.print(f"{measure.label}: {measure.meaning}")
    console.print()
    for name, report in zip(short, reports, strict=True):
        for finding, ids in report.examples.items():
            console.print(f"look at {MEASURES[finding].label} in {name}: {', '.join(ids)}", soft_wrap=True)


def print_rows(
    hub: Hub,
    repo: str,
    revision: str,
    task_type: str | None,
    state: str | None,
    reason: str | None,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """Rows of a dataset repository (or of the work folder of a stage), or lines of its ledger."""
    with _open_rows(hub, repo, revision, ledger=bool(state or reason)) as found:
        rows = (
            row
            for row in found
            if (task_type is None or row.get("task_type") == task_type)
            and (state is None or row["state"] == state)
            and (reason is None or row["reason"] == reason)
        )
        if as_json:  # one by one: there may be millions
            for row in islice(rows, limit):
                sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
            return
        shown = list(islice(rows, limit))
    for row in shown:
        table = _table("", "")
        table.show_header = False
        table.columns[1].no_wrap = False
        for name, value in row.items():
            if value not in ("", None, []):
                text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
                table.add_row(f"[bold]{name}[/bold]", escape(text))
        console.print(table)
        console.print()
    console.print(f"{len(shown)} rows shown" if shown else "no such rows")


@contextmanager
def _open_rows(hub: Hub, repo: str, revision: str, *, ledger: bool) -> Iterator[Iterator[dict[str, Any]]]:
    """The rows (of all task types, by id) or the ledger of a repository, or the ledger of a work folder, as read."""
    work = Path(repo)
    if (work / "ledger.sqlite").exists():
        with Journal(work) as journal:
            yield journal.entries()
        return
    part = folder_of(hub, repo, revision) / ("ledger" if ledger else "data")
    if not part.is_dir():
        raise RecipeError(f"{repo}: there is no {part.name}", expected="a repository that hub-speed has published")
    kinds = [path for path in sorted(part.iterdir()) if path.is_dir()]  # one of each task type, itself by id
    yield heapq.merge(*map(read_parquet, kinds), key=lambda row: row["id"]) if kinds else read_parquet(part)
