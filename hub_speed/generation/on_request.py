"""Rows for given tasks or passages, without a pipeline: what is asked for, and how each answer is read.

From tasks, prompts are those of the seed stage. From passages, the model writes a query that the passage answers and a
hard negative; the passage itself is the positive.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hub_speed.errors import RecipeError
from hub_speed.generation import examples, writers
from hub_speed.generation.dedup import exact_duplicates
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.online import generate
from hub_speed.generation.parsing import Rejected, parse
from hub_speed.generation.planning import PlannedRow, plan_rows, row_rng
from hub_speed.llm.address import Address, Limits
from hub_speed.llm.dialects import Completion, Request
from hub_speed.mix import drawn
from hub_speed.recipe import Recipe
from hub_speed.rows import ACCEPTED
from hub_speed.task_types import TASK_TYPES, Answer
from hub_speed.task_types.base import Text
from hub_speed.task_types.retrieval import Retrieval

ROWS = 100  # Assumption: enough for a first look
TASK = "Given a question, find the passage that answers it."  # of passages for which no task is given
FROM_PASSAGE = """Write a search query and a hard negative for a passage. The task: {task}

Passage:
{passage}

Answer with one JSON object of two strings:
"user_query": a search query that this passage answers,
"hard_negative_document": another passage, about as long, that seems to answer the query but does not.
- The query is {query_type}, has {query_length}, and is {clarity}.
- The query does not copy the passage.
- Everything is in {language}.
Answer with the JSON object only."""


class FromPassage(Answer):
    """A query and a hard negative for a given positive."""

    user_query: Text
    hard_negative_document: Text


@dataclass(frozen=True)
class Writing:
    """Rows to be written for tasks or passages.

    Attributes:
        recipe: with one task type in its mixture.
        tasks: one sentence each.
        passages: the positives; empty when the model writes these as well.
        count: how many rows are asked for; None for one a passage, or `ROWS`.

    Raises:
        RecipeError: there are neither tasks nor passages, or the passages do not suit.
    """

    recipe: Recipe
    task_type: str
    tasks: tuple[str, ...]
    passages: tuple[str, ...]
    count: int | None

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise RecipeError("generate: rows", expected="at least 1", got=str(self.count))
        if self.passages and self.task_type != "retrieval":
            raise RecipeError("generate: passages", expected="task_type retrieval", got=self.task_type)
        if self.passages and self.count is not None and self.count > len(self.passages):
            got = f"{self.count} rows, {len(self.passages)} passages"
            raise RecipeError("generate: rows", expected="at most one row for each passage", got=got)
        if not (self.tasks or self.passages):
            raise RecipeError("generate: nothing to write about", expected="tasks or passages")

    def identity(self) -> dict[str, Any]:
        """All that decides the rows but their number."""
        fields = self.recipe.model_dump(mode="json", include={"teacher", "rng_seed", "languages", self.task_type})
        passages = hashlib.sha256(json.dumps(self.passages).encode()).hexdigest()
        return fields | {"task_type": self.task_type, "tasks": list(self.tasks), "passages": passages}

    def ask(self, ledger: Ledger, address: Address, stop: threading.Event) -> None:
        """Ask for every row that the ledger does not hold yet, then reject exact duplicates."""
        runtime = self.recipe.runtime
        limits = Limits(runtime.in_flight, runtime.timeout_s, runtime.retries, runtime.reask)
        generate(self._jobs, self._read, address, ledger, limits, lambda rows, in_flight: None, stop)
        ledger.reject(exact_duplicates(ledger.rows(), *examples.TEXTS), "duplicate")

    def rows(self, ledger: Ledger) -> Iterator[dict[str, Any]]:
        """The accepted rows; the ledger may hold more than are wanted now."""
        wanted = set(self._ids())
        return (row for row in ledger.rows() if row["id"] in wanted)

    def rejected(self, ledger: Ledger) -> Iterator[dict[str, Any]]:
        """The ledger's lines of the other rows."""
        wanted = set(self._ids())
        return (line for line in ledger.entries() if line["id"] in wanted and line["state"] not in ACCEPTED)

    def _ids(self) -> Iterator[str]:
        stage = "passage" if self.passages else "row"
        return (f"{stage}-{i:07d}" for i in range(self.count or len(self.passages) or ROWS))

    def _jobs(self, todo: Todo) -> Iterator[Job]:
        sampling = writers.teacher_sampling(self.recipe)
        if not self.passages:
            pool = {self.task_type: [(task, "") for task in self.tasks]}
            for row in plan_rows(self.recipe, "row", self.count or ROWS, pool, todo):
                yield Job(row.id, row.task_type, examples.request(row, sampling), source=row)
            return
        schema = FromPassage.model_json_schema()
        for row_id, passage in zip(self._ids(), self.passages, strict=False):  # there may be more passages than rows
            if todo(row_id):
                row = self._from_passage(row_id, passage)
                yield Job(row_id, row.task_type, Request(row.prompt, sampling, schema, "passage"), (row, passage))

    def _from_passage(self, row_id: str, passage: str) -> PlannedRow:
        """The prompt of one passage; the task, the language and the knobs are drawn."""
        recipe, rng = self.recipe, row_rng(self.recipe.rng_seed, "passage", row_id)
        task = rng.choice(self.tasks or (TASK,))
        language = drawn(recipe.languages, rng)
        knobs = TASK_TYPES["retrieval"].draw(rng, recipe.knobs("retrieval")).knobs
        knobs |= {"min_words": "1"}  # a passage is as long as it is
        prompt = FROM_PASSAGE.format_map(knobs | {"task": task, "passage": passage, "language": language})
        return PlannedRow(row_id, "retrieval", task, "", language, "", knobs, prompt)

    def _read(self, job: Job, completion: Completion) -> Outcome:
        model = self.recipe.teacher.judge
        if not self.passages:
            return examples.read_example(job.source, completion, model, self.recipe.checks)
        row, passage = job.source
        return read_from_passage(row, passage, completion, model)


def read_from_passage(row: PlannedRow, passage: str, completion: Completion, generator: str) -> Outcome:
    """One completion and the passage it was asked for as a training row, or why not."""
    parsed = parse(completion.texts[0], FromPassage, completion.finish_reasons[0])
    if isinstance(parsed, Rejected):
        return parsed
    said = parsed.answer
    answer = Retrieval(
        user_query=said.user_query, positive_document=passage, hard_negative_document=said.hard_negative_document
    )
    columns = row.columns()
    shown = columns | {"prompt": row.prompt.replace(passage, "")}
    if flaw := examples.find_echo(answer, shown) or examples.find_flaw(answer, shown):
        return Rejected(*flaw)
    example = examples.training_columns("retrieval", row.task, answer, generator, revised=False)
    return Accepted(columns | example | {"flaw": ""}, parsed.repaired)
