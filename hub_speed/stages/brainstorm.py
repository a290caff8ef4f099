"""Topics → a pool of tasks, one sentence each.

In: topics (a dataset with a column `topic`). Out: speed-tasks.
Source: SPEED §3.2.1 and App. C.1: one prompt per topic and task type, about five tasks asked for, one kept (Table 3).
Differs: which of the five is kept is not stated; here the row's own generator draws it. Types with a fixed task (STS,
bitext) get one row per topic without a call.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from hub_speed.generation import dataset, prompts
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo
from hub_speed.generation.ledger import Journal
from hub_speed.generation.parsing import Rejected, parse
from hub_speed.generation.planning import row_rng
from hub_speed.generation.topics import spoken, truncate
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.parquet import read_parquet
from hub_speed.rows import TaskRow
from hub_speed.stage import Context
from hub_speed.task_types import TASK_TYPES


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the task pool."""
    recipe, teacher, settings = ctx.recipe, ctx.recipe.teacher, ctx.recipe.brainstorm
    names = (row["topic"] for row in read_parquet(ctx.inputs["topics"], ["topic"]))
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
        parsed = parse(completion.texts[0], prompts.Tasks, completion.finish_reasons[0])
        if isinstance(parsed, Rejected):
            return parsed
        tasks = list(dict.fromkeys(parsed.answer.tasks))
        rng = row_rng(recipe.rng_seed, "brainstorm/keep", job.id)
        kept = rng.sample(tasks, min(settings.tasks_per_topic, len(tasks)))
        return Accepted({"tasks": kept, "topic": job.source}, parsed.repaired)

    def publish(journal: Journal, task_type: str) -> Iterator[dict[str, Any]]:
        fixed = TASK_TYPES[task_type].fixed_task
        found: Iterable[dict[str, Any]] = journal.rows(task_type)
        if fixed:
            found = ({"tasks": [fixed], "topic": topic} for topic in topics)
        pairs = [(task, row["topic"]) for row in found for task in row["tasks"]]
        for i, (task, topic) in enumerate(pairs):
            yield {"id": f"task-{task_type}-{i:07d}", "task_type": task_type, "task": task, "topic": topic}

    dataset.make(ctx, jobs, read, total=len(topics) * len(to_ask), model="teacher", row=TaskRow, publish=publish)
