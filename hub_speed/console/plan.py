"""Prints a plan."""

import shlex
from collections import Counter
from collections.abc import Sequence

from rich.markup import escape

from hub_speed.api import Plan
from hub_speed.cards.render import PAPER
from hub_speed.console.terminal import console, table
from hub_speed.recipe import BATCH_PRICE


def print_plan(plan: Plan, flags: Sequence[str] = ()) -> None:
    """One line a stage: finished, or what it will take and why it will run; then the teacher's calls and their cost.

    Args:
        plan: what is printed.
        flags: what was given beside recipe and organisation; the command that runs the plan has them as well.
    """
    recipe, steps, estimates = plan.recipe, plan.steps, plan.estimates
    console.print(
        f"{recipe.name} → {plan.org} on {plan.endpoint}"
        f"    teacher {recipe.teacher.model} · generator {recipe.generator.base_model}"
        f" · embedder {recipe.embedder.base_model}\n"
    )
    right = ("yield", "calls", "tokens", "cost", "time")
    lines = table("stage", "asks", *right, "state", right=right)
    for step, estimate in zip(steps, estimates, strict=True):
        name, model = step.stage.name, estimate.model or "–"
        if step.ref:
            lines.add_row(name, model, *[""] * len(right), f"cached      {step.ref}")
            continue
        expected = "" if estimate.expected is None else f"{estimate.expected:.0%}"
        calls = f"{estimate.calls:,}" if estimate.calls else ""
        count = tokens(estimate.tokens) if estimate.tokens else ""
        cost = "" if estimate.cost_usd is None else f"${estimate.cost_usd:,.2f}"
        time = _time(estimate.seconds) if estimate.seconds else ""
        state = "cannot run" if step.problem else "will run  "
        lines.add_row(name, model, expected, calls, count, cost, time, f"{state}  {escape(step.why)}")
    console.print(lines)
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
    if labelled := recipe.embedder.labelled:
        console.print(
            f"labelled rows  {recipe.embedder.labelled_rows:,} of {len(labelled)} sets, beside the synthetic ones"
            " (as far as the recipe says how many rows a set has)"
        )
    command = shlex.join(["hub-speed", "run", recipe.given, "--org", plan.org, *flags])
    console.print(f"run it         {escape(command)}", soft_wrap=True)


def _time(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:,.0f} min" if seconds >= 60 else "< 1 min"


def tokens(count: int) -> str:
    """A count of tokens in thousands or millions."""
    return f"{count / 1e6:,.1f} M" if count >= 1e6 else f"{count / 1e3:,.0f} k"
