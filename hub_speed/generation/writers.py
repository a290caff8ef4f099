"""Who writes which row, where several models share the rows of a stage.

The id of a row decides. Each writer draws a waiting time for the row, from a generator of its own, with its weight as
the rate; the shortest wait wins. So every writer gets its share of the rows, and a writer that joins or gains weight
takes rows from the others, but moves none between them.
Source: llama-embed-nemotron (arXiv 2511.07025) mixes six models. How rows are dealt to them: Assumption.
"""

from dataclasses import dataclass
from pathlib import Path

from hub_speed.generation.jobs import Jobs
from hub_speed.generation.planning import row_rng
from hub_speed.llm.dialects import Sampling
from hub_speed.mix import as_mix
from hub_speed.recipe import Recipe
from hub_speed.record import TEACHER, Json, of_teacher
from hub_speed.stage import pick

TEACHER_FIELDS = ("teacher.model", "teacher.sampling_temperature", "teacher.top_p", "teacher.max_tokens")
"""The recipe fields that decide what the teacher writes."""


@dataclass(frozen=True)
class Writer:
    """A model that writes rows.

    Attributes:
        name: as the column `generator` has it.
        asked_as: as its address and its counts are named: "teacher", "teacher/NAME" for one of several, "junior", …
        weights: its files; None for a teacher.
        weight: how many rows it writes beside the others.
    """

    name: str
    asked_as: str
    weights: Path | None = None
    weight: float = 1.0

    @property
    def teaches(self) -> bool:
        """Whether it is a teacher, whose calls count against the budget."""
        return of_teacher({self.asked_as: 1}) > 0


@dataclass(frozen=True)
class Writers:
    """All models that write the rows of one stage.

    Attributes:
        everyone: the writers, asked one after the other.
        rng_seed, stage: what is drawn depends on them.
    """

    everyone: tuple[Writer, ...]
    rng_seed: int = 0
    stage: str = ""

    def of(self, row_id: str) -> Writer:
        """The writer of a row."""
        if len(self.everyone) == 1:
            return self.everyone[0]
        return min(self.everyone, key=lambda writer: self._wait(writer, row_id))

    def part(self, writer: Writer, jobs: Jobs) -> Jobs:
        """The jobs of the rows that one of them writes."""
        return lambda todo: jobs(lambda row_id: todo(row_id) and self.of(row_id) == writer)

    def _wait(self, writer: Writer, row_id: str) -> float:
        return row_rng(self.rng_seed, f"{self.stage}/{writer.name}", row_id).expovariate(writer.weight)


def one(name: str, weights: Path | None) -> Writers:
    """A single generator or revisor."""
    return Writers((Writer(name, name, weights),))


def teachers(recipe: Recipe, stage: str) -> Writers:
    """The teacher's models, for what they write: tasks, examples, revisions."""
    mix = as_mix(recipe.teacher.model)
    everyone = (Writer(name, asked_as(recipe, name), weight=weight) for name, weight in mix.items())
    return Writers(tuple(everyone), recipe.rng_seed, stage)


def judge(recipe: Recipe) -> Writers:
    """The one model of the teacher that judges."""
    name = recipe.teacher.judge
    return Writers((Writer(name, asked_as(recipe, name)),))


def asked_as(recipe: Recipe, model: str) -> str:
    """How the address of a teacher's model is named."""
    return TEACHER if isinstance(recipe.teacher.model, str) else f"{TEACHER}/{model}"


def teacher_sampling(recipe: Recipe) -> Sampling:
    """How the teacher's tasks, examples and revisions are drawn."""
    return Sampling(recipe.teacher.sampling_temperature, recipe.teacher.top_p, recipe.teacher.max_tokens)


def judge_sampling(recipe: Recipe) -> Sampling:
    """How the judge's verdicts are drawn."""
    return Sampling(recipe.teacher.judge_temperature, 1.0, recipe.teacher.max_tokens)


def judge_fields(recipe: Recipe) -> Json:
    """The recipe fields that decide what the judge says."""
    found = pick(recipe, "teacher.model", "teacher.judge_temperature", "teacher.max_tokens")
    found["teacher"]["model"] = recipe.teacher.judge
    return found
