"""Prints a finished stage, and a finished run."""

from typing import Any

from rich.markup import escape

from hub_speed.console.progress import Bars
from hub_speed.console.terminal import console, print_json, table
from hub_speed.evaluation import published_scores
from hub_speed.pipeline.run import Result
from hub_speed.pipeline.table import STAGES
from hub_speed.record import Json, RunRecord, of_teacher


def print_result(result: Result, bars: Bars, *, cached: bool = True, as_json: bool = False) -> None:
    """Replaces the bar of a finished stage by one line; without `cached`, by nothing for a stage found finished."""
    bars.finish(result.stage.name)
    if result.cached and not cached:
        return
    record = result.record
    if as_json:
        names = ("accepted", "rejected", "calls", "prompt_tokens", "completion_tokens", "seconds")
        done = {"stage": result.stage.name, "repo": result.ref.repo, "commit": result.ref.commit}
        line = done | {"cached": result.cached} | record.model_dump(include=set(names))
        print_json(line)
        return
    what = "cached" if result.cached else f"{record.seconds:.0f} s"
    rejected = sum(record.rejected.values())
    counts = f"{record.accepted:,} rows" + (f", {rejected:,} rejected" if rejected else "")
    console.print(f"[green]✓[/green] {result.stage.name:<11} {counts:<28} {result.ref!s:<38} {what}")


def print_run(org: str, results: list[Result], *, local: bool, lineage: bool = False) -> None:
    """A finished run: stages, teacher calls, scores, and what to do next."""
    right = ("rows in", "accepted", "rejected", "calls", "tokens", "seconds")
    lines = table("stage", f"repo@commit in {org}", *right, right=right)
    for result in results:
        r = result.record
        tokens = sum(r.prompt_tokens.values()) + sum(r.completion_tokens.values())
        cells = (r.rows_in, r.accepted, sum(r.rejected.values()), sum(r.calls.values()), tokens)
        lines.add_row(result.stage.name, str(result.ref).split("/")[1], *(f"{n:,}" for n in cells), f"{r.seconds:.0f}")
    console.print()
    console.print(lines)
    by_name = {result.stage.name: result.record for result in results}
    if lineage:
        _print_lineage(results)
    _print_calls(by_name)
    found = [record.measures for record in by_name.values()]
    _print_scores([score for one in found for score in one.scores], [share for one in found for share in one.shares])
    for row in (row for one in found for row in one.failed):
        console.print(f"[red]not scored[/red] {row['benchmark']} ({row['subject']}): {escape(row['reason'])}")
    for note in (note for record in by_name.values() for note in record.notes):
        console.print(f"[yellow]note[/yellow]       {escape(note)}")
    for measure, fit in (pair for one in found for pair in one.fits.items()):
        interval = "" if fit["low"] is None else f" (95%: {fit['low']:+.3f} to {fit['high']:+.3f})"
        console.print(f"scaling    {measure} {fit['slope']:+.3f} per tenfold data{interval}, {fit['n']} runs")
    _print_next(org, by_name, local=local)


def print_records(results: list[Result]) -> None:
    """A finished run as JSON."""
    found = [
        {"stage": r.stage.name, "repo": r.ref.repo, "commit": r.ref.commit, "record": r.record.model_dump(mode="json")}
        for r in results
    ]
    print_json(found, indent=1)


def _print_lineage(results: list[Result]) -> None:
    console.print("\n[bold]lineage[/bold]")
    for result in results:
        inputs = ", ".join(str(ref) for ref in result.record.inputs.values())
        console.print(f"  {result.ref} ← {inputs}")


def _print_calls(by_name: dict[str, RunRecord]) -> None:
    calls = {name: of_teacher(record.calls) for name, record in by_name.items()}
    total = sum(n for name, n in calls.items() if name != "audit")
    rows = next((by_name[name].accepted for name in ("revise", "synthesize", "seed") if name in by_name), 0)
    console.print(
        f"\nteacher calls {total:,} (brainstorm {calls.get('brainstorm', 0):,}) · rows published {rows:,}"
        f" · an all-teacher set of that size would have cost {rows + calls.get('brainstorm', 0):,}"
        f" · audits {calls.get('audit', 0):,}"
    )


def _print_scores(scores: list[Json], shares: list[Json]) -> None:
    """Yields, pass rates and scores on Hub datasets as a table, mteb's tasks as means."""
    own = [share | {"benchmark": ""} for share in shares]
    own += [score for score in scores if not published_scores.is_mteb(score)]
    if not own:
        return
    places = list(dict.fromkeys((score["measure"], score["benchmark"]) for score in own))
    measures = [measure for measure, _ in places]
    names = [m if measures.count(m) == 1 else f"{m} {b.split('/')[-1]}" for m, b in places]
    lines = table("95% intervals", *names)
    for subject in dict.fromkeys(score["subject"] for score in own):
        found = {(s["measure"], s["benchmark"]): s for s in own if s["subject"] == subject}
        lines.add_row(subject, *(_cell(found.get(place)) for place in places))
    console.print()
    console.print(lines)
    for kind, (mean, count) in published_scores.averages(scores).items():
        console.print(f"mteb       {kind:<19} {mean:.1f} ({count} {'task' if count == 1 else 'tasks'})")


def _cell(score: dict[str, Any] | None) -> str:
    if score is None:
        return "–"
    if score["low"] is None:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f}  ({score['low']:.3f}-{score['high']:.3f})"


def _print_next(org: str, by_name: dict[str, RunRecord], *, local: bool) -> None:
    console.print("\n[bold]next[/bold]")
    if local:
        console.print("  hub-speed hub serve                      in another terminal: pages at its address")
        console.print('  eval "$(hub-speed hub env)"')
    sets = [name for name in ("revise", "synthesize", "seed", "brainstorm") if name in by_name]
    for data in [STAGES[name].repo(org) for name in sets[:1]]:
        console.print(f"  python -c 'from datasets import load_dataset; print(load_dataset(\"{data}\"))'")
        console.print(f"  hub-speed rows {data}")
    if "embedder" in by_name:
        console.print(
            "  python -c 'from sentence_transformers import SentenceTransformer;"
            f' print(SentenceTransformer("{org}/speed-embedder"))\''
        )
    if "revise" in by_name:
        console.print(f"  hub-speed space run --org {org}")
