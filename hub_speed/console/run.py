"""Prints a finished stage, and a finished run."""

from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from hub_speed.console.plan import tokens
from hub_speed.console.progress import Bars
from hub_speed.console.terminal import console, print_json, table
from hub_speed.evaluation import published_scores
from hub_speed.evaluation.question_groups import is_change
from hub_speed.pipeline.plan import Step
from hub_speed.pipeline.run import Result
from hub_speed.pipeline.table import STAGES
from hub_speed.record import Documents, Json, Ref, RunRecord, of_teacher

INTERVAL = 22
"""Columns of a terminal that "0.803 (0.782-0.825)" and the gap beside it take."""


def print_result(result: Result, bars: Bars, *, cached: bool = True, as_json: bool = False) -> None:
    """Replaces the bar of a finished stage by one line; without `cached`, by nothing for a stage found finished."""
    bars.finish(result.stage.name)
    if result.cached and not cached:
        return
    record = result.record
    if as_json:
        names = ("accepted", "rejected", "calls", "prompt_tokens", "completion_tokens", "seconds", "extends")
        done = {"stage": result.stage.name, "repo": result.ref.repo, "commit": result.ref.commit}
        line = done | {"cached": result.cached} | record.model_dump(include=set(names))
        print_json(line)
        return
    what = "cached" if result.cached else f"{record.seconds:.0f} s"
    if record.extends:
        what += f", extends {record.extends.partition('@')[2][:7]}"  # of the same repository
    rejected = sum(record.rejected.values())
    counts = f"{record.accepted:,} rows" + (f", {rejected:,} rejected" if rejected else "")
    version = _short(result.ref)
    console.print(f"[green]✓[/green] {result.stage.name:<11} {counts:<27} {version:<24} {what}", soft_wrap=True)


def print_run(
    org: str, results: list[Result], *, local: bool, lineage: bool = False, left: Sequence[Step] = ()
) -> None:
    """A finished run: stages, what is `left` to run, teacher calls, scores, and what to do next."""
    right = ("accepted", "rejected", "calls", "tokens", "seconds")
    lines = table("stage", "repo@commit", *right, right=right)
    for result in results:
        r = result.record
        used = sum(r.prompt_tokens.values()) + sum(r.completion_tokens.values())
        cells = [f"{n:,}" for n in (r.accepted, sum(r.rejected.values()), sum(r.calls.values()))]
        lines.add_row(result.stage.name, _short(result.ref), *cells, tokens(used) if used else "0", f"{r.seconds:,.0f}")
    console.print(f"\n[bold]{org}[/bold]")
    console.print(lines)
    by_name = {result.stage.name: result.record for result in results}
    if lineage:
        _print_lineage(org, results)
    _print_calls(by_name)
    found = [record.measures for record in by_name.values()]
    for counts in (one.documents for one in found if one.documents):
        console.print(documents(counts), soft_wrap=True)
    _print_scores([score for one in found for score in one.scores], [share for one in found for share in one.shares])
    _print_questions([row for one in found for row in one.questions])
    for row in (row for one in found for row in one.failed):
        console.print(f"[red]not scored[/red] {row['benchmark']} ({row['subject']}): {escape(row['reason'])}")
    for note in [*_left(left), *(note for record in by_name.values() for note in record.notes)]:
        console.print(f"[yellow]note[/yellow]       {escape(note)}")
    for measure, fit in (pair for one in found for pair in one.fits.items()):
        interval = "" if fit["low"] is None else f" (95%: {fit['low']:+.3f} to {fit['high']:+.3f})"
        console.print(f"scaling    {measure} {fit['slope']:+.3f} per tenfold data{interval}, {fit['n']} runs")
    _print_next(org, by_name, local=local)


def documents(counts: Documents) -> str:
    """What a corpus holds, in one line."""
    splits = ", ".join(f"{name} {one['passages']:,}" for name, one in counts.splits.items())
    skipped = ", ".join(f"{reason} {count:,}" for reason, count in counts.skipped.items())
    line = f"documents  {counts.documents:,} in {counts.groups:,} groups · passages {counts.passages:,} ({splits})"
    return line + (f" · skipped: {skipped}" if skipped else "")


def print_records(results: list[Result]) -> None:
    """A finished run as JSON."""
    found = [
        {"stage": r.stage.name, "repo": r.ref.repo, "commit": r.ref.commit, "record": r.record.model_dump(mode="json")}
        for r in results
    ]
    print_json(found, indent=1)


def _left(steps: Sequence[Step]) -> list[str]:
    """A note on stages that this recipe has not finished, with what `plan` says of those that can run now."""
    if not steps:
        return []
    first = [step for step in steps if not step.why.startswith("after ")]
    named = ", ".join(f"{step.stage.name} ({step.why})" for step in first)
    more = ", and the stages after that" if len(steps) > len(first) else ""
    return [f"this recipe has not finished {named}{more}; anything published of them is from another recipe"]


def _short(ref: Ref) -> str:
    """A version without its organisation, which a run has only one of."""
    return str(ref).partition("/")[2]


def _print_lineage(org: str, results: list[Result]) -> None:
    """A line for each version and the ones it was made from."""
    lines = table("lineage", "made from")
    for result in results:
        inputs = result.record.inputs.values()
        lines.add_row(_short(result.ref), ", ".join(str(ref).removeprefix(f"{org}/") for ref in inputs))
    console.print()
    console.print(lines)


def _print_calls(by_name: dict[str, RunRecord]) -> None:
    calls = {name: of_teacher(record.calls) for name, record in by_name.items()}
    total = sum(n for name, n in calls.items() if name != "audit")
    if "questions" in by_name:
        console.print(f"\nteacher calls {total:,} · questions published {_last_of(by_name, 'filter', 'questions'):,}")
        return
    rows = _last_of(by_name, "revise", "synthesize", "seed")
    console.print(
        f"\nteacher calls {total:,} (brainstorm {calls.get('brainstorm', 0):,}) · rows published {rows:,}"
        f" · an all-teacher set of that size would have cost {rows + calls.get('brainstorm', 0):,}"
        f" · audits {calls.get('audit', 0):,}"
    )


def _last_of(by_name: dict[str, RunRecord], *names: str) -> int:
    """The rows of the first of these stages that was run."""
    return next((by_name[name].accepted for name in names if name in by_name), 0)


def _print_scores(scores: list[Json], shares: list[Json]) -> None:
    """Yields, pass rates and scores on Hub datasets as a table, mteb's tasks as means."""
    _print_intervals("95% intervals", [share | {"benchmark": ""} for share in shares])
    _print_intervals("95% intervals", [score for score in scores if not published_scores.is_mteb(score)])
    for kind, (mean, count) in published_scores.averages(scores).items():
        console.print(f"mteb       {kind:<19} {mean:.1f} ({count} {'task' if count == 1 else 'tasks'})")


def _print_questions(found: list[Json]) -> None:
    """Scores on the run's own documents by the style and kind of the questions, with what the training has changed."""
    subjects = list(dict.fromkeys(row["subject"] for row in found if not is_change(row)))
    heads = ("n", *subjects, "change (95%)")
    lines = table("nDCG@10 of questions", *heads, right=heads)
    for group in dict.fromkeys((row["by"], row["group"]) for row in found):
        rows = [row for row in found if (row["by"], row["group"]) == group]
        values = {row["subject"]: f"{row['value']:.3f}" for row in rows}
        change = next((f"{r['value']:+.3f} ({r['low']:+.3f} to {r['high']:+.3f})" for r in rows if is_change(r)), "–")
        n = max(row["n"] for row in rows)
        lines.add_row(group[1], f"{n:,}", *(values.get(subject, "–") for subject in subjects), change)
    if found:
        console.print()
        console.print(lines)


def _print_intervals(title: str, found: list[Json]) -> None:
    """A table of values by subject and measure; as many tables as it takes to show every interval in full."""
    places = list(dict.fromkeys((score["measure"], score["benchmark"]) for score in found))
    measures = [measure for measure, _ in places]
    subjects = list(dict.fromkeys(score["subject"] for score in found))
    room = console.width - max(map(len, [title, *subjects])) - 2
    together = max(1, room // INTERVAL)
    for start in range(0, len(places), together):
        some = places[start : start + together]
        names = [m if measures.count(m) == 1 else f"{m} {b.split('/')[-1]}" for m, b in some]
        lines = table(title, *names)
        for subject in subjects:
            cells = {(s["measure"], s["benchmark"]): s for s in found if s["subject"] == subject}
            if any(place in cells for place in some):
                lines.add_row(subject, *(_cell(cells.get(place)) for place in some))
        console.print()
        console.print(lines)


def _cell(score: dict[str, Any] | None) -> str:
    if score is None:
        return "–"
    if score["low"] is None:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} ({score['low']:.3f}-{score['high']:.3f})"


def _print_next(org: str, by_name: dict[str, RunRecord], *, local: bool) -> None:
    console.print("\n[bold]next[/bold]")
    if local:
        console.print("  hub-speed hub serve                # in another terminal: pages at its address")
        console.print('  eval "$(hub-speed hub env)"')
    sets = [name for name in ("revise", "synthesize", "seed", "brainstorm", "filter", "questions") if name in by_name]
    for data in [STAGES[name].repo(org) for name in sets[:1]]:
        console.print(
            f"  python -c 'from datasets import load_dataset; print(load_dataset(\"{data}\"))'", soft_wrap=True
        )
        console.print(f"  hub-speed rows {data}")
    if "embedder" in by_name:
        console.print(
            "  python -c 'from sentence_transformers import SentenceTransformer;"
            f' print(SentenceTransformer("{org}/speed-embedder"))\'',
            soft_wrap=True,
        )
    if "revise" in by_name:
        console.print(f"  hub-speed space run --org {org}")
