"""Which prompt every row gets: its task type, task, language and knobs.

Row *i* is drawn by a generator of its own, seeded by (`rng_seed`, stage, row id). Order and concurrency never change a
prompt, and asking for more rows keeps the earlier ones as they are. Task types are dealt out so that every prefix of
the rows holds the mix: nested subsets (the scaling study) are simply prefixes.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub_speed.errors import StageError
from hub_speed.generation.topics import spoken
from hub_speed.recipe import Recipe
from hub_speed.record import Json
from hub_speed.stage import pick
from hub_speed.task_types import TASK_TYPES


def row_rng(rng_seed: int, stage: str, row_id: str) -> random.Random:
    """The generator that belongs to one row of one stage."""
    return random.Random(f"{rng_seed}/{stage}/{row_id}")


def deal(weights: Mapping[str, float], count: int) -> Iterator[str]:
    """`count` names in proportion to their weights; every prefix is as close to the proportion as it can be."""
    total = sum(weights.values())
    dealt = dict.fromkeys(weights, 0)
    for i in range(1, count + 1):
        name = max(dealt, key=lambda n: weights[n] * i / total - dealt[n])
        dealt[name] += 1
        yield name


@dataclass(frozen=True)
class PlannedRow:
    """One prompt to be answered; `columns()` are those of `rows.PromptRow`."""

    id: str
    task_type: str
    task: str
    topic: str
    language: str
    target_language: str
    knobs: dict[str, str]
    prompt: str

    def columns(self) -> dict[str, Any]:
        """The row as the columns every generated row starts with."""
        return self.__dict__ | {"knobs": json.dumps(self.knobs)}


def fields(recipe: Recipe) -> Json:
    """The recipe fields that decide the prompts of a set of rows: with the values of every knob in the mixture."""
    knobs = {name: {**TASK_TYPES[name].knobs, **recipe.knobs(name)} for name in recipe.mixture}
    return pick(recipe, "rng_seed", "languages", "mixture") | {name: found for name, found in knobs.items() if found}


def plan_rows(
    recipe: Recipe,
    stage: str,
    count: int,
    pool: Mapping[str, Sequence[tuple[str, str]]],
    todo: Callable[[str], bool] = lambda row_id: True,
) -> Iterator[PlannedRow]:
    """The prompts of `count` rows of a stage.

    Args:
        recipe: what decides them.
        stage: its name.
        count: how many rows the stage has.
        pool: task type → its (task, topic) pairs.
        todo: which of the rows are wanted, by id.

    Raises:
        StageError: the recipe asks for a task type for which there is no task.
    """
    missing = [name for name in recipe.mixture if not pool.get(name)]
    if missing:
        raise StageError(f"{stage}: no task of type {missing[0]} in the pool", fix="check the brainstorm stage's rows")
    for i, name in enumerate(deal(recipe.mixture, count)):
        row_id = f"{stage}-{i:07d}"
        if not todo(row_id):
            continue
        rng = row_rng(recipe.rng_seed, stage, row_id)
        task_type = TASK_TYPES[name]
        task, topic = rng.choice(pool[name])
        language, target = _languages(recipe.languages, task_type.languages_per_row, rng)
        draw = task_type.draw(rng, recipe.knobs(name))
        prompt = task_type.prompt(draw, task=task, topic=spoken(topic), language=language, target_language=target)
        yield PlannedRow(row_id, name, task, topic, language, target, draw.knobs, prompt)


def _languages(weights: Mapping[str, float], how_many: int, rng: random.Random) -> tuple[str, str]:
    """One language, or two different ones, drawn by weight."""
    first = rng.choices(list(weights), list(weights.values()))[0]
    if how_many == 1:
        return first, ""
    others = {name: weight for name, weight in weights.items() if name != first}
    return first, rng.choices(list(others), list(others.values()))[0]
