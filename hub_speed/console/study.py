"""Prints what a study will run, and what it found."""

from typing import Any

from rich.markup import escape

from hub_speed.console.plan import problems, tokens
from hub_speed.console.terminal import console, table
from hub_speed.record import Ref
from hub_speed.study.runs import Load, Run, Study


def print_study_plan(study: Study, loads: list[Load]) -> None:
    """One line a stage: how many versions the runs share, how many of them are there, and what the others will take."""
    console.print(f"{len(study.runs)} runs, {study.seeds} seeds each\n")
    right = ("in runs", "reused", "versions", "finished", "will run", "calls", "tokens", "cost")
    lines = table("stage", *right, "asks", right=right)
    for load in loads:
        missing = load.versions - load.finished
        numbers = (load.runs, load.runs - missing, load.versions, load.finished, missing)
        calls, count = (f"{load.calls:,}", tokens(load.tokens)) if load.calls else ("", "")
        cost = f"${load.cost_usd:,.2f}" if load.calls and load.cost_usd is not None else ""
        lines.add_row(load.stage.name, *map(str, numbers), calls, count, cost, load.model)
    console.print(lines)
    runs, missing = sum(load.runs for load in loads), sum(load.versions - load.finished for load in loads)
    teacher = sum(load.calls for load in loads if load.model == "teacher")
    console.print(f"\n{missing:,} stages will run, {runs - missing:,} are reused; teacher calls {teacher:,}")
    for label, text in problems(loads):
        console.print(f"{label} {text}" if label else text)


def print_study_run(run: Run, number: int) -> None:
    """One line before a run of a study."""
    console.print(f"[bold]{number}[/bold] {escape(run.name)}")


def print_study(facts: dict[str, Any], ref: Ref) -> None:
    """What a study found, one line an effect."""
    console.print()
    lines = table("factor", "value", "measure", "difference", "95% interval", "verdict")
    for e in facts["effects"]:
        interval = "–" if e["low"] is None else f"{e['low']:+.3f} to {e['high']:+.3f}"
        cells = (e["factor"], e["value"], e["measure"], f"{e['difference']:+.3f}", interval, e["verdict"])
        lines.add_row(*map(escape, cells))
    console.print(lines)
    for text in facts["left_out"]:
        console.print(f"[red]{escape(text)}[/red]")
    for text in (facts["scaling"] or {}).get("sentences", []):
        console.print(text)
    console.print(f"\ncomparisons: {len(facts['effects'])} · {ref}")
