"""Prints a preview of questions about documents."""

from collections import Counter

from rich.markup import escape

from hub_speed.console.plan import tokens
from hub_speed.console.terminal import console
from hub_speed.grounded.preview import Preview, Shown

LONGEST = 400  # characters of a passage that are shown


def print_preview(preview: Preview, *, run: str) -> None:
    """The questions, those that would be left out first; then what a whole run would take, and how to start it."""
    for one in preview.shown:
        _print_question(one)
    reasons = Counter(one.reason for one in preview.shown if one.reason)
    kept = len(preview.shown) - reasons.total()
    left_out = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    console.print(f"[bold]{kept} of {len(preview.shown)}[/bold] kept" + (f"; left out: {left_out}" if left_out else ""))
    console.print("a run also leaves out questions that repeat another one, or whose passage a search does not find")
    for note in preview.notes:
        console.print(f"[yellow]note[/yellow] {escape(note)}")
    cost = "" if preview.cost_usd is None else f", about ${preview.cost_usd:,.2f}"
    whole = f"{_counted(preview.wanted, 'question')} about {_counted(preview.passages, 'passage')}"
    console.print(
        f"the whole run: {whole}, each asked for and then asked without its passage, would take about"
        f" {preview.calls:,} calls, {tokens(preview.read)} tokens read and {tokens(preview.written)} written{cost},"
        f" at the yield of these {len(preview.shown)}"
    )
    console.print(f"run it         {escape(run)}", soft_wrap=True)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _print_question(one: Shown) -> None:
    row = one.planned
    mark = f"[red]✗ {one.reason}[/red] {escape(one.detail)}" if one.reason else "[green]✓[/green]"
    console.print(f"{mark}  [dim]{row.kind}, {row.style}, {row.positives[0]['split']}[/dim]")
    console.print(f"  query    {escape(one.query)}\n  answer   {escape(one.answer)}")
    for label, passage in [*(("passage", each) for each in row.positives), *_negative(row.negative)]:
        text = " ".join(f"{passage['title']}: {passage['text']}".removeprefix(": ").split())
        console.print(f"  [dim]{label:<8} {escape(text[:LONGEST])}{'…' if len(text) > LONGEST else ''}[/dim]")
    console.print()


def _negative(passage: dict[str, str] | None) -> list[tuple[str, dict[str, str]]]:
    return [("negative", passage)] if passage else []
