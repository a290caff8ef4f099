"""What a task type is: prompts, weighted knobs, an answer model, a check and an example.

A *knob* is a placeholder of the synthesis prompt whose value is drawn for every row. A *guideline* is one line of
that prompt; some are included only in a share of the rows, and where the papers shuffle them, so do we.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import ascii_letters
from typing import Annotated, Any, NamedTuple

import regex
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic_core import PydanticKnownError

from hub_speed.mix import drawn

# Unicode's letters, numbers and symbols, without those that are invisible.
_SAYS = regex.compile(r"[[\p{L}\p{N}\p{S}]--[\p{Default_Ignorable_Code_Point}\u2800\ufffc]]", regex.V1)


def _says_something(text: str) -> str:
    """`text`; an empty one is an error, as is one of punctuation, marks and invisible characters alone."""
    if text[0] not in ascii_letters and not _SAYS.search(text):  # the letter: by far the most frequent case
        raise PydanticKnownError("string_too_short", {"min_length": 1})
    return text


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_says_something)]
"""A value with a letter, a digit or a symbol: "A", "7", "😀" and "+" may be labels, "?" and "..." say nothing."""

TASKS_AS_JSON = 'Answer with one JSON object. Its only key is "tasks": a list of {count} strings, one for each task.'
"""The last line of every brainstorm prompt. It shows no value, because small models copy what is shown."""

UNIT_WORDS = {"phrase": (1, 10), "sentence": (3, 40), "passage": (25, 500)}
"""The knob `unit` → the fewest and the most words of a text. Assumption: the papers name the units alone."""
ANY_LENGTH = (1, float("inf"))  # of a unit that only a recipe knows


class Answer(BaseModel):
    """What a model must answer: these keys, all of them, nothing else. Its JSON schema goes to the server."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Flaw(NamedTuple):
    """Why an answer is not used: a name of `rows.REASONS`, and what was found and asked for."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Guideline:
    """One line of a synthesis prompt, and the share of the rows that get it (1.0: every row)."""

    text: str
    share: float = 1.0


@dataclass
class Draw:
    """What was drawn for one row: the knobs' values and the guidelines' texts in order, placeholders still open."""

    knobs: dict[str, str]
    guidelines: tuple[str, ...]


@dataclass(frozen=True)
class TaskType:
    """One of the six kinds of training example. One file in this folder defines one.

    Attributes:
        name: its name in recipes, columns and Hub configs.
        brainstorm: the prompt that asks for tasks ({count}, {topic}, {examples}), or None when the task is fixed.
        task_examples: sentences that fill {examples}, shuffled for every prompt when `examples_shuffled`.
        fixed_task: the instruction of every row, when there is nothing to brainstorm.
        opening, guidelines, closing: the synthesis prompt; placeholders are {task}, {topic}, {language},
            {target_language} and the knobs.
        knobs: name → {value: weight}; a recipe may replace the values of any knob.
        answer: the pydantic model of one answer.
        query, positive, negative: which fields of the answer become which column (negative None: none is asked for).
        check: (answer, knobs) → what is wrong, or None when the answer can be used. The knobs also hold
            "language" and, where there is one, "target_language".
        words_expected: knobs → about how many words an answer has, for estimates only.
        example: one answer that parses and passes the check with `example_knobs`.
    """

    name: str
    opening: str
    guidelines: tuple[Guideline, ...]
    shuffled: bool
    closing: str
    knobs: Mapping[str, Mapping[str, float]]
    answer: type[Answer]
    query: str
    positive: str
    negative: str | None
    check: Callable[[Any, Mapping[str, str]], Flaw | None]
    words_expected: Callable[[Mapping[str, str]], float]
    example: Mapping[str, str]
    example_knobs: Mapping[str, str]
    brainstorm: str | None = None
    task_examples: tuple[str, ...] = ()
    examples_shuffled: bool = False
    fixed_task: str | None = None
    languages_per_row: int = 1

    def draw(self, rng: random.Random, overrides: Mapping[str, Mapping[str, float]]) -> Draw:
        """Draw every knob and the guidelines of one row; `overrides` replaces the values of some knobs."""
        knobs = {name: drawn(overrides.get(name, default), rng) for name, default in self.knobs.items()}
        lines = [g.text for g in self.guidelines if g.share >= 1 or rng.random() < g.share]
        if self.shuffled:
            rng.shuffle(lines)
        return Draw(knobs, tuple(lines))

    def prompt(self, draw: Draw, *, task: str, topic: str, language: str, target_language: str = "") -> str:
        """The synthesis prompt of one row: one user message."""
        template = "\n".join([self.opening, *(f"- {line}" for line in draw.guidelines), self.closing])
        values = {"task": task, "topic": topic, "language": language, "target_language": target_language}
        return template.format_map(values | draw.knobs)

    def columns(self, answer: Answer) -> dict[str, str | None]:
        """The answer as the `query`, `positive` and `negative` of a training row."""
        values = answer.__dict__
        return {
            "query": values[self.query],
            "positive": values[self.positive],
            "negative": values[self.negative] if self.negative else None,
        }
