"""All sections together: one run of the pipeline."""

import math
from typing import Any

from pydantic import PrivateAttr, field_validator, model_validator

from hub_speed.mix import as_mix
from hub_speed.recipe.base import Section, as_weights, unknown
from hub_speed.recipe.data import (
    Audit,
    Brainstorm,
    Checks,
    Decontaminate,
    Preference,
    Revise,
    RevisionSignals,
    Root,
    Seed,
    Synthesize,
    Teacher,
)
from hub_speed.recipe.documents import Corpus, Filter, Mine, Questions, Relabel
from hub_speed.recipe.embedder import Embedder, Evaluate, Scaling
from hub_speed.recipe.generators import CHAT, Generator, Junior, Revisor, Senior
from hub_speed.recipe.runtime import BudgetCaps, Runtime
from hub_speed.task_types import TASK_TYPES, TaskType
from hub_speed.text import SCRIPTS

Knobs = dict[str, dict[str, float]]

OFFLINE_TEACHER = "offline-teacher"
"""The name under which the quickstart's scripted teacher answers."""


class Recipe(Section):
    """One run of the pipeline, from topics to scaling law."""

    name: str
    license: str = "other"  # of what is published; a teacher's terms may bind it
    offline: bool = False  # bring the scripted teacher, the tiny base model, its topics and its benchmark along
    rng_seed: int = 42  # Assumption: neither paper sets one
    languages: dict[str, float] = {"English": 1.0}  # SPEED is English in practice
    mixture: dict[str, float] = {  # SPEED §4.1: 7 : 7 : 7 : 2, matching split evenly (Table 6)
        "retrieval": 7,
        "classification": 7,
        "sts": 7,
        "short_matching": 1,
        "long_matching": 1,
    }
    checks: Checks = "all"  # form: an answer that can be read, with every field, and that repeats neither the prompt
    # nor another row, is used, as in SPEED and E5; what the other checks say stands in the column `flaw`
    teacher: Teacher = Teacher()
    generator: Generator = Generator()
    brainstorm: Brainstorm = Brainstorm()
    seed: Seed = Seed()
    junior: Junior = Junior()
    root: Root = Root()
    preference: Preference = Preference()
    senior: Senior = Senior()
    revision: RevisionSignals = RevisionSignals()
    revisor: Revisor = Revisor()
    synthesize: Synthesize = Synthesize()
    revise: Revise = Revise()
    corpus: Corpus = Corpus()
    questions: Questions = Questions()
    filter: Filter = Filter()
    mine: Mine = Mine()
    relabel: Relabel = Relabel()
    embedder: Embedder = Embedder()
    evaluate: Evaluate = Evaluate()
    decontaminate: Decontaminate = Decontaminate()
    audit: Audit = Audit()
    scaling: Scaling = Scaling()
    retrieval: Knobs = {}
    classification: Knobs = {}
    sts: Knobs = {}
    short_matching: Knobs = {}
    long_matching: Knobs = {}
    bitext: Knobs = {}
    runtime: Runtime = Runtime()
    budget: BudgetCaps = BudgetCaps()
    _given: str = PrivateAttr("")

    def model_post_init(self, context: Any) -> None:
        """Keep what the loader knows about the recipe's origin."""
        self._given = (context or {}).get("given", "")

    @property
    def given(self) -> str:
        """What loads this recipe again: the name of a recipe of the package, or the path of a file."""
        return self._given or self.name

    @property
    def test_sets(self) -> tuple[str, ...]:
        """What training rows are checked against."""
        given = self.decontaminate.against
        return self.evaluate.benchmarks if given is None else given

    @property
    def scripted(self) -> bool:
        """Whether a script is the teacher, which knows the quickstart's small world alone."""
        return self.offline and OFFLINE_TEACHER in as_mix(self.teacher.model)

    @property
    def effective_budget(self) -> BudgetCaps:
        """The budget at the prices that apply: list price online, half in batch mode."""
        return self.budget.in_batches() if self.runtime.mode == "batch" else self.budget

    def knobs(self, task_type: str) -> Knobs:
        """The knob values this recipe sets for a task type."""
        knobs: Knobs = getattr(self, task_type)
        return knobs

    @field_validator(*TASK_TYPES, mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        """A knob is a list (all alike) or a mapping value → weight."""
        if not isinstance(value, dict):
            return value
        return {knob: as_weights(choices) for knob, choices in value.items()}

    @field_validator("languages", mode="before")
    @classmethod
    def _others(cls, value: Any) -> Any:
        """`others` shares its weight among all languages that are not named."""
        if isinstance(value, dict) and "others" in value:
            if not isinstance(value["others"], int | float):
                raise ValueError("others must be a number")
            rest = [name for name in SCRIPTS if name not in value]
            named = {name: weight for name, weight in value.items() if name != "others"}
            return named | dict.fromkeys(rest, value["others"] / len(rest))
        return value

    @model_validator(mode="after")
    def _names(self) -> "Recipe":
        named: list[tuple[str, list[str], list[str]]] = [
            ("mixture", list(self.mixture), list(TASK_TYPES)),
            ("languages", list(self.languages), list(SCRIPTS)),
            *((name, list(self.knobs(name)), list(task_type.knobs)) for name, task_type in TASK_TYPES.items()),
        ]
        for field, given, known in named:
            for name in given:
                if name not in known:
                    raise ValueError(unknown(field, name, known))
        weights = {"mixture": self.mixture, "languages": self.languages} | {
            f"{name}.{knob}": values for name in TASK_TYPES for knob, values in self.knobs(name).items()
        }
        for field, values in weights.items():
            if not values or not all(0 < weight < math.inf for weight in values.values()):
                raise ValueError(f"{field}: at least one value, and every weight above 0")
        for name, task_type in TASK_TYPES.items():
            for knob, values in self.knobs(name).items():
                _try_values(task_type, knob, list(values))
        if "bitext" in self.mixture and len(self.languages) < 2:
            raise ValueError("mixture: bitext needs at least two languages")
        for field, rows in {"preference": self.preference.rows, "revision": self.revision.rows}.items():
            if rows and rows > self.root.rows:
                raise ValueError(
                    f"{field}.rows: {rows:,} is more than root.rows, which is {self.root.rows:,}: every signal comes"
                    " from a root row of its own"
                )
        if self.runtime.server == "vllm run-batch" and self.generator.prompt_format != CHAT:
            raise ValueError("runtime.server: vllm run-batch answers chats alone: set generator.prompt_format to chat")
        return self


def _try_values(task_type: TaskType, knob: str, values: list[str]) -> None:
    """Raise ValueError when the task type's check cannot work with a value (a text that gives no length)."""
    example = task_type.answer.model_validate(task_type.example)
    try:
        for value in values:
            task_type.check(example, {**task_type.example_knobs, knob: value})
    except ValueError as error:
        raise ValueError(f"{task_type.name}.{knob}: {error}") from error
