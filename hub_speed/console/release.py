"""Prints what a release did, and whether one holds."""

from collections.abc import Iterator
from dataclasses import asdict

from rich.markup import escape

from hub_speed.console.terminal import console, plain, print_json, table
from hub_speed.versions.release import Released
from hub_speed.versions.verify import CHECKS, Finding


def print_release(released: Released, tag: str) -> None:
    """What a release did, and what a person should read."""
    done = f"{tag} on {released.tagged} repositories" if released.tagged else f"nothing to do, {tag} is there"
    console.print(f"[green]✓[/green] {released.embedder}    {done}")
    console.print(f"  check it: hub-speed verify {released.embedder.repo.split('/')[0]} {tag}")
    for note in released.notes:
        console.print(f"  note: {escape(note)}")


def print_findings(findings: Iterator[Finding], *, as_json: bool) -> bool:
    """A line for each repository with a column for each check, then what is wrong; returns whether everything holds."""
    found = []
    with console.status("reading") as status:
        for finding in findings:
            status.update(f"reading {escape(finding.repo)}")
            found.append(finding)
    wrong = [finding for finding in found if finding.holds is False]
    if as_json:
        print_json([asdict(finding) for finding in found], indent=1)
        return not wrong
    lines = table("repository", *CHECKS)
    lines.collapse_padding = True  # or it is wider than 80 columns
    for repo in dict.fromkeys(finding.repo for finding in found):
        cells = {finding.check: _cell(finding) for finding in found if finding.repo == repo}
        lines.add_row(repo.split("/")[1], *(cells.get(check, "") for check in CHECKS))
    console.print(lines)
    console.print()
    for finding in (each for each in found if not each.holds):
        sign = "[red]✗[/red]" if finding in wrong else "–"
        console.print(f"{sign} {escape(plain(f'{finding.repo}, {finding.check}: {finding.says}'))}")
    done = f"{len(found)} checks of {len({finding.repo for finding in found})} repositories"
    if wrong:
        console.print(f"[red]{len(wrong)} of {done} do not hold[/red]")
    else:
        console.print(f"[green]everything holds[/green]: {done}")
    return not wrong


def _cell(finding: Finding) -> str:
    if finding.holds is None:
        return "–"
    return f"[green]✓[/green] {escape(finding.says)}" if finding.holds else "[red]✗[/red]"
