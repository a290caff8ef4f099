"""From a planned row to a request, and from a model's text to a checked example. Shared by the stages that write."""

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from hub_speed.generation.echo import echo
from hub_speed.generation.jobs import Accepted, Outcome
from hub_speed.generation.parsing import Parsed, Rejected, parse
from hub_speed.generation.planning import PlannedRow
from hub_speed.generation.prompts import REVISION, Revision, answer_schema, revision_schema
from hub_speed.generation.topics import spoken
from hub_speed.generation.unwritten import unwritten
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.parquet import read_parquet
from hub_speed.recipe import Checks
from hub_speed.record import Json
from hub_speed.task_types import TASK_TYPES, Answer
from hub_speed.task_types.base import Flaw
from hub_speed.text import same, words

SAMPLING_FIELDS = (
    "generator.prompt_format",
    "generator.sampling_temperature",
    "generator.top_p",
    "generator.max_tokens",
)
"""The recipe fields that decide how a generator draws its answers."""

TEXTS = ("task_type", "query", "positive")
"""The columns by which two examples are duplicates. Source: E5 §3.1 (exact match; columns not stated: Assumption)."""

_ONE_LINE = json.JSONEncoder(ensure_ascii=False)
Pool = dict[str, list[tuple[str, str]]]


def task_pool(folder: Path) -> Pool:
    """The brainstormed tasks as task type → (task, topic) pairs, in row order."""
    pool: Pool = defaultdict(list)
    for row in sorted(read_parquet(folder / "data", ["id", "task_type", "task", "topic"]), key=lambda row: row["id"]):
        pool[row["task_type"]].append((row["task"], row["topic"]))
    return pool


def request(row: PlannedRow, sampling: Sampling) -> Request:
    """The request that asks for one example."""
    return Request(row.prompt, sampling, answer_schema(row.task_type), row.task_type)


def revision_request(task_type: str, prompt: str, sampling: Sampling) -> Request:
    """The request that asks to revise one example."""
    return Request(prompt, sampling, revision_schema(task_type), "revision")


def root_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of a root dataset, by id."""
    return sorted(read_parquet(folder / "data"), key=lambda row: row["id"])


def _check_values(columns: dict[str, Any]) -> dict[str, str]:
    """What a check needs to know of a row's prompt: its knobs and languages."""
    knobs: dict[str, str] = orjson.loads(columns["knobs"])
    return knobs | {name: columns[name] for name in ("language", "target_language")}


def read_answer(text: str, finish_reason: str, columns: Json, checks: Checks) -> Parsed[Answer] | Rejected:
    """Parse and check one answer to the synthesis prompt of the row with these columns.

    With `checks` = "form", the content rejects nothing: `flaw` says what a check found.
    """
    parsed = parse(text, TASK_TYPES[columns["task_type"]].answer, finish_reason)
    if isinstance(parsed, Rejected):
        return parsed
    if flaw := find_echo(parsed.answer, columns):
        return Rejected(*flaw)
    if flaw := find_flaw(parsed.answer, columns):
        return Rejected(*flaw) if checks == "all" else replace(parsed, flaw=flaw.reason)
    return parsed


def find_echo(answer: Answer, columns: Json) -> Flaw | None:
    """Whether an answer only repeats the prompt of the row with these columns."""
    subject = columns["task"] if TASK_TYPES[columns["task_type"]].brainstorm else spoken(columns["topic"])
    return echo(answer.__dict__, columns["prompt"], subject)


def find_flaw(answer: Answer, columns: Json) -> Flaw | None:
    """What is wrong with the content of an answer to the prompt of the row with these columns."""
    return unwritten(answer.__dict__) or TASK_TYPES[columns["task_type"]].check(answer, _check_values(columns))


LEAST_REASON = 2
"""Words of a reason. Assumption: with "S1 unclear" a model may learn what to look at, with "better" it does not."""
_SAYS_NOTHING = frozenset(
    """a all any applicable are as available best better change changed changes choice comment correct error errors
    fine first flaw flaws found given good great has have here i is issue issues it its kept looks mistake mistakes
    n na needed nil no none not nothing null ok okay one perfect problem problems reason right same second see seen
    specified stated text the there this unchanged unknown very was well were worst wrong yes""".split()
)
"""A reason of these words alone says nothing, or only that nothing is wrong. Assumption."""


def reason_flaw(reason: str, template: str, prompt: str, *, unchanged: bool = False) -> Flaw | None:
    """Why the reason that a judge or reviser gives cannot be used: it says nothing, or repeats the prompt.

    Args:
        reason: as it was given.
        template: of the judge's or reviser's prompt.
        prompt: the request whose answers were looked at.
        unchanged: whether the data is left as it was. "None" is a reason then: nothing is wrong.
    """
    if flaw := echo({"reason": reason}, f"{template}\n{prompt}"):
        return flaw
    said = words(reason)
    if not any(map(str.isalpha, reason)) or not (
        unchanged or (len(said) >= LEAST_REASON and not _SAYS_NOTHING.issuperset(said))
    ):
        return Flaw("empty_field", f"reason: {reason!r:.100} says nothing")
    return None


def read_example(row: PlannedRow, completion: Completion, generator: str, checks: Checks) -> Outcome:
    """One completion as a training row, or why not."""
    columns = row.columns()
    parsed = read_answer(completion.texts[0], completion.finish_reasons[0], columns, checks)
    if isinstance(parsed, Rejected):
        return parsed
    example = training_columns(row.task_type, row.task, parsed.answer, generator, revised=False)
    return Accepted(columns | example | {"flaw": parsed.flaw}, parsed.repaired)


@dataclass(frozen=True)
class Revised:
    """A revision that is fit to use."""

    reason: str
    answer: Answer
    repaired: bool
    flaw: str


def read_revision(text: str, finish_reason: str, columns: Json, draft: str, checks: Checks) -> Revised | Rejected:
    """One answer to a revision prompt, for a draft of the row with these columns.

    The revised data must pass its own check, and the reason must say something if the data is not the draft.
    """
    parsed = parse(text, Revision, finish_reason)
    if isinstance(parsed, Rejected):
        return parsed
    reason, data = parsed.answer.reason, parsed.answer.revision
    revised = read_answer(data if isinstance(data, str) else compact(data), "stop", columns, checks)
    if isinstance(revised, Rejected):
        return revised
    if any(same(reason, value) for value in revised.answer.__dict__.values()):
        return Rejected("echo", f"reason: {reason!r:.100} is a part of the data")
    if flaw := reason_flaw(reason, REVISION, columns["prompt"], unchanged=compact(revised.answer) == draft):
        return Rejected(*flaw)
    return Revised(reason, revised.answer, parsed.repaired or revised.repaired, revised.flaw)


def read_revised_draft(draft: Json, completion: Completion, checks: Checks) -> tuple[Json, Revised | Rejected]:
    """The row that a draft becomes after the revisor's answer, and the answer; the draft stays if that is rejected."""
    text, finish_reason = completion.texts[0], completion.finish_reasons[0]
    revised = read_revision(text, finish_reason, draft, draft["completion"], checks)
    if isinstance(revised, Rejected):
        return draft | {"draft": draft["completion"]}, revised
    changed = compact(revised.answer) != draft["completion"]
    columns = training_columns(draft["task_type"], draft["task"], revised.answer, draft["generator"], revised=changed)
    return draft | columns | {"draft": draft["completion"], "flaw": revised.flaw}, revised


def compact(value: Answer | dict[str, Any]) -> str:
    """An answer of texts as one line of JSON: the form in which models are trained to write it."""
    if not isinstance(value, Answer):
        return _ONE_LINE.encode(value)
    values = [f'"{name}": {orjson.dumps(text).decode()}' for name, text in value.__dict__.items()]
    return f"{{{', '.join(values)}}}"  # the same, in a third of the time


def training_columns(task_type: str, task: str, answer: Answer, generator: str, *, revised: bool) -> dict[str, Any]:
    """An accepted answer as the columns an embedder is trained on."""
    return {
        "completion": compact(answer),
        "instruction": task,
        **TASK_TYPES[task_type].columns(answer),
        "generator": generator,
        "revised": revised,
    }
