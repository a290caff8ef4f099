"""Prints what a release did."""

from rich.markup import escape

from hub_speed.console.terminal import console
from hub_speed.versions.release import Released


def print_release(released: Released, tag: str) -> None:
    """What a release did, and what a person should read."""
    done = f"{tag} on {released.tagged} repositories" if released.tagged else f"nothing to do, {tag} is there"
    console.print(f"[green]✓[/green] {released.embedder}    {done}")
    for note in released.notes:
        console.print(f"  note: {escape(note)}")
