"""Prints what the maintenance commands of the embedded Hub found and did."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from hub_speed.console.terminal import console, table
from hub_speed.errors import HubError

if TYPE_CHECKING:
    from hub_speed.api.archives import Checked, Freed, Report


def print_served(address: str, port: int | None) -> None:
    """Where `hub serve` is; `port` is the one that was asked for."""
    here = "" if port is None else f" --port {port}"
    typer.echo(f"the Hub is at {address}, for a browser as well; Ctrl-C ends it")
    typer.echo(f'in another terminal, for any client of the Hub:  eval "$(hub-speed hub env{here})"')


def print_freed(freed: "Freed", *, dry_run: bool) -> None:
    """What `hub gc` removed."""
    done = "would be removed" if dry_run else "removed"
    files, commits = _counted(freed.files, "large file"), _counted(freed.commits, "commit")
    console.print(f"{files} ({freed.size / 1e6:,.1f} MB) and {commits} {done}")
    if freed.young:
        young = _counted(freed.young, "large file")
        console.print(f"kept for now, because an upload may need them: {young} that no commit has")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_checked(checked: Iterable["Checked"]) -> None:
    """What `hub fsck` found, as one table, then what is wrong.

    Raises:
        HubError: something is.
    """
    repos = list(checked)
    shown = table("repository", "refs", "commits", "files", "large files", "state", right=("refs", "commits", "files"))
    for repo in repos:
        found = ((len(repo.damage), "damaged"), (len(repo.missing), "missing"))
        problems = [f"{number} {what}" for number, what in found if number]
        large = f"{len(repo.large)} · {sum(repo.large.values()) / 1e6:,.1f} MB" if repo.large else "0"
        name, counts = f"{repo.kind}/{repo.id}", (repo.refs, repo.commits, repo.files)
        shown.add_row(escape(name), *map(str, counts), large, ", ".join(problems) or "whole")
    console.print(shown)
    for repo in repos:
        for problem in [*repo.damage, *repo.missing]:
            console.print(f"{escape(repo.kind)}/{escape(repo.id)}: {escape(problem)}")
    if bad := [repo for repo in repos if repo.damage or repo.missing]:
        fix = "hub-speed hub import ORG FOLDER, with an export, brings back what is missing or damaged"
        if not any(repo.damage for repo in bad):
            fix += "; content that was deleted for good (permanently_delete_lfs_files) stays missing"
        raise HubError(f"hub fsck: {len(bad)} of {len(repos)} repositories are not whole", fix=fix)


def print_copied(reports: Iterable["Report"], org: str, name: str | None) -> None:
    """What was exported or imported, line by line as it is done; a note where the organisation got another name."""
    for kind, repo, done in reports:
        console.print(f"[green]✓[/green] {kind.removesuffix('s')} {escape(repo)}    {done}")
    if name and name != org:
        note = f"The records in these repositories still name {escape(org)}: show, verify, lineage and plan know them"
        note += " under that name only. Collections come from a folder only, and only where they are not here yet."
        console.print(note)
