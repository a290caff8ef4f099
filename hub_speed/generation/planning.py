"""Which prompt every row gets: its task type, task, language and knobs.

Row *i* is drawn by a generator of its own, seeded by (`rng_seed`, stage, row id). Order and concurrency never change a
prompt, and asking for more rows keeps the earlier ones as they are. Row *k* has the task type that `mix.deal` gives at
place *k*, for ever: whoever needs more rows of one type goes on to the next places of that type. The tasks of a type
are dealt out in an order that the stage draws: each has had a row before any has its second.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as in_json
from typing import Any

from hub_speed.errors import StageError
from hub_speed.generation.topics import spoken
from hub_speed.mix import deal, drawn, shares
from hub_speed.recipe import Recipe
from hub_speed.record import Json
from hub_speed.stage import pick
from hub_speed.task_types import TASK_TYPES


def row_rng(rng_seed: int, stage: str, row_id: str) -> random.Random:
    """The generator that belongs to one row of one stage."""
    return random.Random(f"{rng_seed}/{stage}/{row_id}")


def numbered(stage: str, i: int) -> str:
    """The id of a stage's row *i*. Ids sort as numbers do: beyond seven digits, a letter says how many there are."""
    digits = f"{i:07d}"
    return f"{stage}-{digits}" if i < 10_000_000 else f"{stage}-{chr(ord('a') + len(digits) - 8)}{digits}"


@dataclass
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
        knobs = ", ".join([f"{in_json(name)}: {in_json(value)}" for name, value in self.knobs.items()])
        return self.__dict__ | {"knobs": f"{{{knobs}}}"}  # what json.dumps writes, in half its time


def fields(recipe: Recipe) -> Json:
    """The recipe fields that decide the prompts of a set of rows: with the values of every knob in the mixture."""
    knobs = {name: {**TASK_TYPES[name].knobs, **recipe.knobs(name)} for name in recipe.mixture}
    return pick(recipe, "rng_seed", "languages", "mixture") | {name: found for name, found in knobs.items() if found}


def plan_rows(
    recipe: Recipe,
    stage: str,
    count: int | Mapping[str, int],
    pool: Mapping[str, Sequence[tuple[str, str]]],
    todo: Callable[[str], bool] = lambda row_id: True,
) -> Iterator[PlannedRow]:
    """The prompts of the first rows of a stage, by id.

    Args:
        recipe: what decides them.
        stage: its name.
        count: how many rows, or how many of each task type.
        pool: task type → its (task, topic) pairs.
        todo: which of the rows are wanted, by id.

    Raises:
        StageError: the recipe asks for a task type for which there is no task.
    """
    missing = [name for name in recipe.mixture if not pool.get(name)]
    if missing:
        raise StageError(f"{stage}: no task of type {missing[0]} in the pool", fix="check the brainstorm stage's rows")
    order = {name: _shuffled(len(pool[name]), row_rng(recipe.rng_seed, stage, name)) for name in recipe.mixture}
    left, turns = Counter(shares(recipe.mixture, count) if isinstance(count, int) else count), Counter[str]()
    waiting = left.total()
    for i, name in enumerate(deal(recipe.mixture)):
        if not waiting:
            return
        if not left[name]:
            continue
        left[name] -= 1
        waiting -= 1
        task, topic = pool[name][order[name][turns[name] % len(order[name])]]
        turns[name] += 1
        row_id = numbered(stage, i)
        if not todo(row_id):
            continue
        rng = row_rng(recipe.rng_seed, stage, row_id)
        task_type = TASK_TYPES[name]
        language, target = _languages(recipe.languages, task_type.languages_per_row, rng)
        draw = task_type.draw(rng, recipe.knobs(name))
        prompt = task_type.prompt(draw, task=task, topic=spoken(topic), language=language, target_language=target)
        yield PlannedRow(row_id, name, task, topic, language, target, draw.knobs, prompt)


def _shuffled(count: int, rng: random.Random) -> list[int]:
    return rng.sample(range(count), count)


def _languages(weights: Mapping[str, float], how_many: int, rng: random.Random) -> tuple[str, str]:
    """One language, or two different ones, drawn by weight."""
    first = drawn(weights, rng)
    if how_many == 1:
        return first, ""
    others = {name: weight for name, weight in weights.items() if name != first}
    return first, drawn(others, rng)
