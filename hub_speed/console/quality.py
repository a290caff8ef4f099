"""Prints the measures of sets of rows."""

from collections.abc import Sequence

from rich.markup import escape

from hub_speed.console.terminal import console, print_json, table
from hub_speed.data_quality.measures import MEASURES, OF_NEGATIVES, overall, shown
from hub_speed.data_quality.report import Report


def print_quality(names: Sequence[str], reports: list[Report], *, as_json: bool) -> None:
    """What sets of rows are like: one set by task type, several side by side."""
    numbers = [report.numbers() for report in reports]
    means = [overall(mine, *numbers) for mine in numbers]
    if as_json:
        found = [
            {"set": name} | mine | {"overall": mean, "coverage": report.coverage, "examples": report.examples}
            for name, mine, mean, report in zip(names, numbers, means, reports, strict=True)
        ]
        print_json(found, indent=1)
        return
    short = [name.rstrip("/").rpartition("/")[2] for name in names]
    for name, report in zip(short, reports, strict=True):
        used = report.effective_tasks
        tasks = f", {report.tasks:,} tasks (effective number: {used:,.0f})" if used else ""
        console.print(f"{escape(name)}: {report.rows:,} rows, {report.sampled:,} measured{tasks}")
        if not report.negatives:
            missing = ", ".join(MEASURES[measure].label for measure in OF_NEGATIVES)
            console.print(f"{escape(name)}: no row has a negative; left out: {missing}")
    console.print(f"texts are compared by {reports[0].embedding}\n")
    columns, heads = means, short
    if len(names) == 1:
        columns = [*numbers[0]["by_task_type"].values(), means[0]]
        heads = [*numbers[0]["by_task_type"], "mean"]
    lines = table("measure", *heads, right=tuple(heads))
    unsaid = () if any(report.negatives for report in reports) else OF_NEGATIVES
    kept = {name: measure for name, measure in MEASURES.items() if name not in unsaid}
    for name, measure in kept.items():
        lines.add_row(measure.label, *(shown(name, column[name]) for column in columns))
    console.print(lines)
    console.print()
    for measure in kept.values():
        console.print(f"{measure.label}: {measure.meaning}")
    console.print()
    for name, report in zip(short, reports, strict=True):
        for finding, ids in report.examples.items():
            console.print(f"check {MEASURES[finding].label} in {name}: {', '.join(ids)}", soft_wrap=True)
