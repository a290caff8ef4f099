"""From a planned row to a request, and from a model's text to a checked example. Shared by the stages that write."""

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hub_speed.generation.jobs import Accepted, Outcome
from hub_speed.generation.parsing import Parsed, Rejected, parse
from hub_speed.generation.planning import PlannedRow
from hub_speed.generation.prompts import Revision
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.parquet import read_parquet
from hub_speed.record import Json
from hub_speed.task_types import TASK_TYPES, Answer

SAMPLING_FIELDS = (
    "generator.prompt_format",
    "generator.sampling_temperature",
    "generator.top_p",
    "generator.max_tokens",
)
"""The recipe fields that decide how a generator draws its answers."""

Pool = dict[str, list[tuple[str, str]]]


def task_pool(folder: Path) -> Pool:
    """The brainstormed tasks as task type → (task, topic) pairs, in row order."""
    pool: Pool = defaultdict(list)
    for row in sorted(read_parquet(folder / "data", ["id", "task_type", "task", "topic"]), key=lambda row: row["id"]):
        pool[row["task_type"]].append((row["task"], row["topic"]))
    return pool


def request(row: PlannedRow, sampling: Sampling) -> Request:
    """The request that asks for one example."""
    return Request(row.prompt, sampling, _schema(row.task_type), row.task_type)


@cache  # pydantic makes it anew each time, which takes longer than sending the request
def _schema(task_type: str) -> dict[str, Any]:
    return TASK_TYPES[task_type].answer.model_json_schema()


def root_rows(folder: Path, limit: int | None) -> list[dict[str, Any]]:
    """The rows of a root dataset in row order; the first `limit` of them, so that every prefix holds the mix."""
    return sorted(read_parquet(folder / "data"), key=lambda row: row["id"])[:limit]


def check_values(columns: dict[str, Any]) -> dict[str, str]:
    """What a check needs to know of a row's prompt: its knobs and languages."""
    knobs: dict[str, str] = json.loads(columns["knobs"])
    return knobs | {name: columns[name] for name in ("language", "target_language")}


def read_answer(text: str, finish_reason: str, task_type: str, knobs: dict[str, str]) -> Parsed[Answer] | Rejected:
    """Parse and check one answer to a synthesis prompt."""
    kind = TASK_TYPES[task_type]
    parsed = parse(text, kind.answer, finish_reason)
    if isinstance(parsed, Parsed) and (reason := kind.check(parsed.answer, knobs)):
        return Rejected(reason)
    return parsed


def read_example(row: PlannedRow, completion: Completion, generator: str) -> Outcome:
    """One completion as a training row, or why not."""
    columns = row.columns()
    parsed = read_answer(completion.texts[0], completion.finish_reasons[0], row.task_type, check_values(columns))
    if isinstance(parsed, Rejected):
        return parsed
    example = training_columns(row.task_type, row.task, parsed.answer, generator, revised=False)
    return Accepted(columns | example, parsed.repaired)


@dataclass(frozen=True)
class Revised:
    """A revision that is fit to use."""

    reason: str
    answer: Answer
    repaired: bool


def read_revision(text: str, finish_reason: str, columns: dict[str, Any]) -> Revised | Rejected:
    """One answer to a revision prompt, for the row with these columns; the revised data must pass its own check."""
    parsed = parse(text, Revision, finish_reason)
    if isinstance(parsed, Rejected):
        return parsed
    data = parsed.answer.revision
    revised = read_answer(
        data if isinstance(data, str) else compact(data), "stop", columns["task_type"], check_values(columns)
    )
    if isinstance(revised, Rejected):
        return revised
    return Revised(parsed.answer.reason, revised.answer, parsed.repaired or revised.repaired)


def read_revised_draft(draft: Json, completion: Completion) -> tuple[Json, Revised | Rejected]:
    """The row that a draft becomes after the revisor's answer, and the answer; the draft stays if that is rejected."""
    revised = read_revision(completion.texts[0], completion.finish_reasons[0], draft)
    if isinstance(revised, Rejected):
        return draft | {"draft": draft["completion"]}, revised
    changed = compact(revised.answer) != draft["completion"]
    columns = training_columns(draft["task_type"], draft["task"], revised.answer, draft["generator"], revised=changed)
    return draft | columns | {"draft": draft["completion"]}, revised


def compact(value: Answer | dict[str, Any]) -> str:
    """An answer as one line of JSON: the form in which models are trained to write it."""
    return json.dumps(value.model_dump() if isinstance(value, Answer) else value, ensure_ascii=False)


def training_columns(task_type: str, task: str, answer: Answer, generator: str, *, revised: bool) -> dict[str, Any]:
    """An accepted answer as the columns an embedder is trained on."""
    return {
        "completion": compact(answer),
        "instruction": task,
        **TASK_TYPES[task_type].columns(answer),
        "generator": generator,
        "revised": revised,
    }
