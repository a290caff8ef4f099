"""Prints a plan."""

import math
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from hub_speed.api import Plan
from hub_speed.cards.render import PAPER
from hub_speed.console.terminal import console, table
from hub_speed.documents.folder import look
from hub_speed.generation.variety import ROWS_PER_TASK, Variety
from hub_speed.mix import as_mix, joined
from hub_speed.recipe import BATCH_PRICE

if TYPE_CHECKING:
    from hub_speed.pipeline.plan import Step
    from hub_speed.study.runs import Load


def print_plan(plan: Plan, flags: Sequence[str] = ()) -> None:
    """What a run would do: a line a stage, a line a task type, the teacher's calls and cost, and how to run it.

    Args:
        plan: what is printed.
        flags: what was given beside recipe and organisation; the command that runs the plan has them as well.
    """
    recipe = plan.recipe
    console.print(f"{recipe.name} → {plan.org} on {plan.endpoint}    {' · '.join(_models(plan))}\n")
    _print_stages(plan)
    if plan.variety:
        console.print()
        console.print(_variety(plan.variety))
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(no_wrap=True, min_width=13)
    for label, text in [*problems(plan.steps), *_money(plan), *_calls(plan), *_notes(plan)]:
        facts.add_row(label, text)
    console.print()
    console.print(facts)
    command = shlex.join(["hub-speed", "run", recipe.given, "--org", plan.org, *flags])
    console.print(f"run it         {escape(command)}", soft_wrap=True)


def _models(plan: Plan) -> Iterator[str]:
    """The teacher and the generator, where a stage depends on them, and the embedder."""
    recipe = plan.recipe
    sections = {name for step in plan.steps for name in step.stage.fields(recipe)}
    if "teacher" in sections:
        yield f"teacher {joined(recipe.teacher.model)}"
    if "generator" in sections:
        yield f"generator {recipe.generator.base_model}"
    yield f"embedder {recipe.embedder.base_model}"


def _print_stages(plan: Plan) -> None:
    """One line a stage: finished, or what it will take and why it will run."""
    right = ("yield", "calls", "tokens", "cost", "time")
    lines = table("stage", "asks", *right, "state", right=right)
    for step, estimate in zip(plan.steps, plan.estimates, strict=True):
        name, model = step.stage.name, estimate.model or "–"
        if step.ref:
            lines.add_row(name, model, *[""] * len(right), f"cached {step.ref}")
            continue
        expected = "" if estimate.expected is None else f"{estimate.expected:.0%}"
        calls = f"{estimate.calls:,}" if estimate.calls else ""
        count = tokens(estimate.tokens) if estimate.tokens else ""
        cost = "" if estimate.cost_usd is None else f"${estimate.cost_usd:,.2f}"
        time = _time(estimate.seconds) if estimate.seconds else ""
        state = "cannot run" if step.problem else escape(step.why)
        lines.add_row(name, model, expected, calls, count, cost, time, state)
        for part, share in estimate.by_model.items() if len(estimate.by_model) > 1 else ():
            lines.add_row("", f"· {escape(part)}", "", f"{share:,}")
    console.print(lines)


def _variety(lines: Sequence[Variety]) -> Table:
    """How many rows share a task and a whole prompt, one line a task type."""
    right = ("topics", "tasks", "rows", "rows a task", "same prompt")
    made = table("task type", *right, right=right)
    for line in lines:
        topics, rows = (f"{line.topics:,}" if line.topics else "", f"{line.rows:,}")
        if line.tasks:
            made.add_row(
                line.task_type, topics, f"{line.tasks:,}", rows, f"{line.rows_per_task:,.1f}", f"{line.alike:.0%}"
            )
        else:
            made.add_row(line.task_type, topics, "?", rows, "?", "?")
    return made


Facts = Iterator[tuple[str, str]]
"""Labels and texts below the tables."""


def problems(planned: "Sequence[Step | Load]") -> Facts:
    """Why stages cannot run: each reason with its stages; then what to do."""
    stages: dict[str, list[str]] = {}
    fixes: dict[str, None] = {}
    for each in planned:
        if each.problem:
            stages.setdefault(each.problem.where, []).append(each.stage.name)
            fixes[each.problem.fix] = None
    for why, names in stages.items():
        yield "[red]cannot run[/red]", f"{', '.join(names)}: {escape(why)}"
    for fix in filter(None, fixes):
        yield "", escape(fix)


def _money(plan: Plan) -> Facts:
    """What the teacher will cost."""
    ahead = (estimate for step, estimate in zip(plan.steps, plan.estimates, strict=True) if not step.ref)
    costs = [estimate.cost_usd for estimate in ahead if estimate.cost_usd is not None]
    if costs:
        price = f", in batches at {BATCH_PRICE:.0%} of the list price" if plan.recipe.runtime.mode == "batch" else ""
        stops = "a run stops before budget.max_usd, if there is one"
        yield "teacher", f"about ${sum(costs):,.2f} for what is left to run{price}; {stops}"


def _calls(plan: Plan) -> Facts:
    """The teacher's calls, as the paper counts them and all of them."""
    left = [(s.stage.name, e) for s, e in zip(plan.steps, plan.estimates, strict=True) if not s.ref]
    teacher = Counter({name: estimate.calls for name, estimate in left if estimate.model == "teacher"})
    counted = sum(teacher[name] for name in ("seed", "preference", "revision"))
    if plan.recipe.embedder.of_documents:
        yield "teacher calls", f"{teacher.total():,}"
        return
    speed, e5 = PAPER["SPEED"]["calls"], PAPER["E5-mistral"]["calls"]
    some = " left" if len(left) < len(plan.steps) else ""
    stages = f"(seed, preference, revision; the paper: {speed:,}; E5-mistral: {e5:,})"
    yield "teacher calls", f"[bold]{counted:,}[/bold]{some} as SPEED counts them {stages}"
    others = f"+ {teacher['brainstorm']:,} to brainstorm, which the paper does not count"
    yield "", f"{others}, + {teacher['audit']:,} to audit rows"
    if len(as_mix(plan.recipe.teacher.model)) > 1:
        of_each: Counter[str] = Counter()
        for _, estimate in left:
            of_each.update(estimate.by_model if estimate.model == "teacher" else {})
        each = ", ".join(f"{name} {calls:,}" for name, calls in of_each.items())
        yield "", f"all together, of each model about: {escape(each)}"


def _notes(plan: Plan) -> Facts:
    """What the times assume, how many topics there are, and a warning where too many rows share a task."""
    yield (
        "time",
        f"rough estimates. Asking: {plan.recipe.runtime.in_flight} requests at once (runtime.in_flight), which is about"
        " what one GPU serves, for each server that is started (runtime.replicas). Training and MTEB: on"
        f" {plan.gpus}{_idle(plan)}",
    )
    if (folder := plan.recipe.corpus.folder) and any(step.stage.name == "corpus" for step in plan.steps):
        files = [file for file in look(folder).files if not file.flaw]
        size = sum(file.size for file in files) / 1e6
        yield "documents", f"{len(files):,} files of {size:,.1f} MB can be read in {escape(str(folder))}"
    if plan.topics:
        depth = f"deeper than brainstorm.max_depth ({plan.recipe.brainstorm.max_depth})"
        deep = f"{plan.cut:,} paths are {depth} and lose their middle" if plan.cut else f"no path is {depth}"
        yield "topics", f"{plan.topics:,}; {deep}"
    if labelled := plan.recipe.embedder.labelled:
        some = f"{plan.recipe.embedder.labelled_rows:,} of {len(labelled)} sets, beside the synthetic ones"
        yield "labelled rows", f"{some} (as far as the recipe says how many rows a set has)"
    for line in sorted(plan.variety, key=lambda line: -line.rows_per_task)[:1]:
        if line.rows_per_task > ROWS_PER_TASK:
            yield (
                "[yellow]warning[/yellow]",
                f"{line.task_type}: {line.rows_per_task:,.0f} rows a task, above {ROWS_PER_TASK};"
                f" {escape(_more_tasks(plan, line))}, or ask for fewer rows",
            )


def _idle(plan: Plan) -> str:
    """What would let all GPUs work, where some would not."""
    runtime, ways = plan.recipe.runtime, []
    if plan.gpus.count > 1 and not runtime.launcher:
        ways.append("each training on one of them, without runtime.launcher")
    if plan.gpus.count > 1 and runtime.replicas == 1 and runtime.server.startswith("vllm"):
        ways.append("one model server, with runtime.replicas=1")
    return f" ({'; '.join(ways)})" if ways else ""


def _more_tasks(plan: Plan, line: Variety) -> str:
    """The field to change, so that no task has too many rows."""
    settings, times = plan.recipe.brainstorm, Fraction(line.rows, (line.tasks or 1) * ROWS_PER_TASK)
    needed = math.ceil(line.topics * times)
    if settings.tasks:
        return f"put more tasks of this type into brainstorm.tasks ({settings.tasks})"
    if settings.max_topics and line.topics < needed <= plan.topics:
        return f"raise brainstorm.max_topics to {math.ceil(settings.max_topics * times):,}"
    return f"name about {needed:,} topics in brainstorm.topics"


def _time(seconds: float) -> str:
    if seconds >= 360_000:
        return f"{seconds / 3600:,.0f} h"
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:,.0f} min" if seconds >= 60 else "< 1 min"


def tokens(count: int) -> str:
    """A count of tokens, in thousands, millions or billions where there are so many."""
    if count < 1e3:
        return f"{count:,}"
    if count >= 1e9:
        return f"{count / 1e9:,.1f} G"
    return f"{count / 1e6:,.1f} M" if count >= 1e6 else f"{count / 1e3:,.0f} k"
