"""Reads the pipeline's own prompts back into fields, by inverting their templates.

The offline teacher gets the same text a language model would get. It understands it by matching the templates of
`prompts.py` and `task_types/`, so a change of wording there needs no change here.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from string import Formatter

from hub_speed.generation import prompts, relabelling
from hub_speed.grounded import prompts as grounded
from hub_speed.task_types import TASK_TYPES


@dataclass(frozen=True)
class Brainstorm:
    """A request for tasks."""

    task_type: str
    topic: str
    count: int


@dataclass(frozen=True)
class Synthesis:
    """A request for one example; `values` holds the knobs and the language."""

    task_type: str
    task: str
    topic: str
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """A request to judge candidates."""

    request: Synthesis
    candidates: list[str]


@dataclass(frozen=True)
class Revise:
    """A request to revise a draft."""

    request: Synthesis
    draft: str


@dataclass(frozen=True)
class AskForQuestion:
    """A request for a question about passages; each with its headings."""

    kind: str
    style: str
    passages: list[str]


@dataclass(frozen=True)
class Recall:
    """A question that is asked without its passage."""

    query: str


@dataclass(frozen=True)
class Judge:
    """A request to judge whether passages answer a question."""

    query: str
    passages: list[str]


@dataclass(frozen=True)
class Relabel:
    """A request to say of each passage whether it answers a question."""

    query: str
    passages: list[str]


class NotUnderstood(ValueError):
    """The prompt is none of these kinds."""


Request = Brainstorm | Synthesis | Judgement | Revise | AskForQuestion | Recall | Judge | Relabel


@lru_cache(maxsize=256)
def pattern(template: str) -> re.Pattern[str]:
    """A template as a regular expression with one group per placeholder."""
    parts, seen = [], set()
    for literal, name, _, _ in Formatter().parse(template):
        parts.append(re.escape(literal))
        if name is not None:
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>.*?)")
            seen.add(name)
    return re.compile("".join(parts), re.DOTALL)


def read(prompt: str) -> Request:
    """The request a prompt makes.

    Raises:
        NotUnderstood: it is not one of the pipeline's prompts.
    """
    if match := pattern(prompts.JUDGE).fullmatch(prompt):
        return Judgement(synthesis(match["prompt"]), list(_candidates(match["candidates"])))
    if match := pattern(prompts.REVISION).fullmatch(prompt):
        return Revise(synthesis(match["prompt"]), match["draft"])
    if match := pattern(grounded.QUESTION).fullmatch(prompt):
        kind = next(name for name, line in grounded.KINDS.items() if line in match["guidelines"])
        style = next(name for name, text in grounded.STYLES.items() if text == match["style"])
        return AskForQuestion(kind, style, _fenced(match))
    if match := pattern(grounded.RECALL).fullmatch(prompt):
        return Recall(match["query"])
    if match := pattern(grounded.JUDGE).fullmatch(prompt):
        return Judge(match["query"], _fenced(match))
    if match := pattern(relabelling.JUDGE).fullmatch(prompt):
        passages = [json.loads(line.partition(" ")[2]) for line in match["passages"].split("\n")]
        return Relabel(json.loads(match["question"]), passages)
    for name, task_type in TASK_TYPES.items():
        if task_type.brainstorm and (match := pattern(task_type.brainstorm).fullmatch(prompt)):
            return Brainstorm(name, match["topic"], int(match["count"]))
    return synthesis(prompt)


def synthesis(prompt: str) -> Synthesis:
    """The synthesis request a prompt makes.

    Raises:
        NotUnderstood: it is not a synthesis prompt.
    """
    for name, task_type in TASK_TYPES.items():
        head = re.compile(pattern(task_type.opening).pattern + r"\n(?=- )", re.DOTALL).match(prompt)
        if not head:
            continue
        values = head.groupdict()
        lines = prompt[head.end() :].removesuffix(task_type.closing).strip().split("\n")
        for line in lines:
            for guideline in task_type.guidelines:
                if match := pattern("- " + guideline.text).fullmatch(line):
                    values |= match.groupdict()
                    break
            else:
                raise NotUnderstood(f"{name}: no guideline reads {line!r}")
        task = values.pop("task", task_type.fixed_task or "")
        return Synthesis(name, task, values.pop("topic", ""), values)
    raise NotUnderstood(f"not a prompt of this pipeline: {prompt[:60]!r}")


def _fenced(match: re.Match[str]) -> list[str]:
    """The texts between the marks of a prompt about passages."""
    mark = re.escape(match["mark"])
    return re.findall(rf"<<<{mark}\n(.*?)\n{mark}>>>", match["passages"], re.DOTALL)


def _candidates(text: str) -> Iterator[str]:
    """The numbered candidates of a judge prompt."""
    for i, part in enumerate(re.split(r"(?:^|\n)\[\d+\] <<<\n", text)):
        if i:
            yield part.removesuffix("\n>>>")
