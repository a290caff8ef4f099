"""How often a task, and a whole prompt, comes back among the rows that a recipe will make."""

import math
from collections import Counter
from dataclasses import dataclass

from hub_speed.generation.estimate import A_TASK, embedder_rows
from hub_speed.generation.planning import plan_rows
from hub_speed.generation.topics import per_type
from hub_speed.mix import shares
from hub_speed.recipe import Recipe
from hub_speed.task_types import TASK_TYPES

ROWS_PER_TASK = 20  # above it, `plan` warns. Assumption; E5 has about two (500K rows, 150K instructions, §3.1)
PROMPTS_DRAWN = 1000  # of one task, to see how many are alike


@dataclass(frozen=True)
class Variety:
    """How the rows that the embedder is trained on share tasks and prompts, for one task type.

    Attributes:
        tasks: how many there are, or None when that is not known yet.
        alike: the share of rows whose prompt some other row has as well, the order of its lines aside.
    """

    task_type: str
    rows: int
    topics: int
    tasks: int | None
    alike: float = 0.0

    @property
    def rows_per_task(self) -> float:
        """How many rows have the same task, or the same topic where all have one task."""
        return self.rows / self.tasks if self.tasks else 0.0


def variety(recipe: Recipe, topics: int, found: dict[str, int]) -> list[Variety]:
    """One line for each task type of the mixture.

    Args:
        recipe: what decides rows and prompts.
        topics: how many there are.
        found: task type → how many tasks it has, once they are brainstormed.
    """
    lines, settings, rows = [], recipe.brainstorm, shares(recipe.mixture, embedder_rows(recipe))
    for name, share in per_type(recipe, topics).items():
        each = 1 if TASK_TYPES[name].fixed_task else min(settings.tasks_per_topic, settings.tasks_per_prompt)
        tasks = found.get(name) or share * each or None
        alike = _alike(recipe, name, rows[name] / tasks) if tasks else 0.0
        lines.append(Variety(name, rows[name], share, tasks, alike))
    return lines


def _alike(recipe: Recipe, task_type: str, rows_per_task: float) -> float:
    """The share of rows whose prompt another row of their task has, from prompts drawn for one task."""
    alone = recipe.model_copy(update={"mixture": {task_type: 1}})
    pool = {task_type: [(A_TASK, "Arts/Movies")]}
    drawn = Counter(tuple(sorted(row.prompt.split("\n"))) for row in plan_rows(alone, "estimate", PROMPTS_DRAWN, pool))
    # Each prompt, and how probable one more like it is: none of the others is like it with (1 - p) ** others.
    each = ((count, (count - 1) / (PROMPTS_DRAWN - 1)) for count in drawn.values())
    others = max(rows_per_task - 1, 0.0)
    return sum(count * (1 - math.pow(1 - p, others)) for count, p in each) / PROMPTS_DRAWN
