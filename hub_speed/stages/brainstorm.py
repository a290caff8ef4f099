"""Topics → a pool of tasks, one sentence each.

In: topics (a dataset with a column `topic`). Out: speed-tasks.
Source: SPEED §3.2.1 and App. C.1: one prompt per topic and task type, about five tasks asked for, one kept (Table 3).
Differs: which of the five is kept is not stated; here the row's own generator draws it. Types with a fixed task (STS,
bitext) get one row per topic without a call.
"""

import random
from collections.abc import Iterable, Iterator
from typing import Any

from hub_speed.generation import dataset, estimate, prompts
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.parsing import Rejected, parse
from hub_speed.generation.planning import row_rng
from hub_speed.generation.topics import read_set, spoken, truncate
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.recipe import Recipe
from hub_speed.record import Json
from hub_speed.rows import TaskRow
from hub_speed.stage import Context, Estimate, FromHub, Stage, pick
from hub_speed.task_types import TASK_TYPES


def read_tasks(topic: str, completion: Completion, count: int, rng: random.Random) -> Outcome:
    """`count` of the tasks that were written for a topic, drawn by `rng`; or why there are none."""
    parsed = parse(completion.texts[0], prompts.Tasks, completion.finish_reasons[0])
    if isinstance(parsed, Rejected):
        return parsed
    tasks = list(dict.fromkeys(parsed.answer.tasks))
    return Accepted({"tasks": rng.sample(tasks, min(count, len(tasks))), "topic": topic}, parsed.repaired)


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the task pool."""
    recipe, teacher, settings = ctx.recipe, ctx.recipe.teacher, ctx.recipe.brainstorm
    names = read_set(ctx.inputs["topics"], settings.topics)
    topics = list(dict.fromkeys(truncate(name, settings.max_depth) for name in names))
    to_ask = [name for name in recipe.mixture if TASK_TYPES[name].brainstorm]
    sampling = Sampling(teacher.sampling_temperature, teacher.top_p, teacher.max_tokens)
    schema = prompts.Tasks.model_json_schema()

    def jobs(todo: Todo) -> Iterator[Job]:
        for i, topic in enumerate(topics):
            for name in to_ask:
                job_id = f"brainstorm-{i:07d}-{name}"
                if not todo(job_id):
                    continue
                rng = row_rng(recipe.rng_seed, "brainstorm", job_id)
                prompt = prompts.brainstorm(TASK_TYPES[name], spoken(topic), settings.tasks_per_prompt, rng)
                yield Job(job_id, name, Request(prompt, sampling, schema, "tasks"), source=topic)

    def read(job: Job, completion: Completion) -> Outcome:
        rng = row_rng(recipe.rng_seed, "brainstorm/keep", job.id)
        return read_tasks(job.source, completion, settings.tasks_per_topic, rng)

    def publish(ledger: Ledger, task_type: str) -> Iterator[dict[str, Any]]:
        fixed = TASK_TYPES[task_type].fixed_task
        found: Iterable[dict[str, Any]] = ledger.rows(task_type)
        if fixed:
            found = ({"tasks": [fixed], "topic": topic} for topic in topics)
        pairs = [(task, row["topic"]) for row in found for task in row["tasks"]]
        for i, (task, topic) in enumerate(pairs):
            yield {"id": f"task-{task_type}-{i:07d}", "task_type": task_type, "task": task, "topic": topic}

    dataset.make(ctx, jobs, read, total=len(topics) * len(to_ask), model="teacher", row=TaskRow, publish=publish)


def _fields(recipe: Recipe) -> Json:
    settings = ("brainstorm.max_depth", "brainstorm.tasks_per_prompt", "brainstorm.tasks_per_topic")
    asked = ("teacher.model", "teacher.sampling_temperature", "teacher.top_p", "teacher.max_tokens")
    return pick(recipe, "rng_seed", *settings, *asked) | {"mixture": sorted(recipe.mixture)}


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    kinds = sum(TASK_TYPES[name].brainstorm is not None for name in recipe.mixture)
    written = estimate.TASK_WORDS * recipe.brainstorm.tasks_per_prompt
    return estimate.asks(recipe, "teacher", topics * kinds, estimate.brainstorm_words(recipe), written)


STAGE = Stage(
    name="brainstorm",
    version=1,
    kind="dataset",
    noun="tasks",
    purpose="Topics become a pool of tasks, one sentence each.",
    build=build,
    inputs=lambda recipe: {"topics": FromHub("dataset", recipe.brainstorm.topics)},
    fields=_fields,
    prompts=lambda recipe: prompts.system_text(recipe, teacher=True) | prompts.brainstorm_texts(recipe),
    estimate=_estimate,
    row=TaskRow,
)
