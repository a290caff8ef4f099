"""Topics → a pool of tasks, one sentence each.

In: topics (a dataset with a column `topic`), or your own tasks (`brainstorm.tasks`). Out: speed-tasks.
Source: SPEED §3.2.1 and App. C.1: one prompt per topic and task type, about five tasks asked for, one kept (Table 3).
Differs: which of the five is kept is not stated; here the row's own generator draws their order, and the first that
no earlier topic has taken is kept. The others are not waste: within a list a model makes its tasks differ, while the
one task it would give is the most typical (arXiv 2510.01171), and a spare is kept where an earlier topic has the first.
Types with a fixed task (STS, bitext) get one row per topic without a call.
"""

import random
import re
from collections.abc import Iterable, Iterator
from typing import Any

from hub_speed.errors import RecipeError
from hub_speed.generation import dataset, estimate, prompts, writers
from hub_speed.generation.dedup import Duplicate
from hub_speed.generation.echo import echo, plain
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.parsing import Rejected, parse
from hub_speed.generation.planning import row_rng
from hub_speed.generation.topics import choose, distinct, per_type, read_set, spoken
from hub_speed.llm.dialects import Completion, Request
from hub_speed.parquet import read_parquet, write_parquet
from hub_speed.recipe import Recipe
from hub_speed.record import Json
from hub_speed.rows import TaskRow
from hub_speed.stage import Context, Estimate, FromHub, Source, Stage, pick
from hub_speed.task_types import TASK_TYPES
from hub_speed.task_types.base import Flaw
from hub_speed.text import words

MOST_TASKS = 1_000  # of one answer that are looked at. Assumption: some models list the same until they stop
FEWEST_WORDS, MOST_WORDS = 4, 60  # of a task. Assumption: our examples have 8 to 17
FEWEST_DIFFERENT = 3  # of its words. Assumption
SIGNS = 2  # where words are counted by signs: for each word of the limits above. Assumption
_NUMBER = re.compile(r"\s*([-•]|\*(?=\s)|\**\(?(task\s*)?\d+\s*[.):]\**)\s*", re.IGNORECASE)  # before an item of a list
_MARKED = re.compile(r"""(\*{1,3}|_{1,2}|`|")(?=\S)(?P<text>(?:(?!\1).)+)(?<=\S)\1|“(?P<quoted>[^“”]+)”""", re.DOTALL)


def read_tasks(job: Job, completion: Completion, rng: random.Random) -> Outcome:
    """The different tasks that were written for a topic, in an order drawn by `rng`; or why there are none."""
    parsed = parse(completion.texts[0], prompts.Tasks, completion.finish_reasons[0])
    if isinstance(parsed, Rejected):
        return parsed
    given = [_without_marks(task) for task in parsed.answer.tasks[:MOST_TASKS]]
    tasks = list({plain(task): task for task in reversed(given)}.values())[::-1]
    flaws = {task: flaw for task in tasks if (flaw := find_flaw(task, job.request.prompt))}
    fit = [task for task in tasks if task not in flaws]
    if not fit:
        return Rejected(*next(iter(flaws.values())))
    rng.shuffle(fit)
    row = {"id": job.id, "task_type": job.task_type, "topic": job.source, "tasks": fit}
    return Accepted(
        row, parsed.repaired, "; ".join(f"dropped: {reason}, {detail}" for reason, detail in flaws.values())
    )


def _without_marks(task: str) -> str:
    """A task without the number or sign of an item, and without the marks or quotes around all of it."""
    task = _unmarked(task)
    found = _NUMBER.match(task)
    return _unmarked(task[found.end() :]) if found else task


def _unmarked(task: str) -> str:
    found = _MARKED.fullmatch(task.strip())
    return (found["text"] or found["quoted"]) if found else task


def find_flaw(task: str, prompt: str) -> Flaw | None:
    """Why a task cannot be used: it is copied from the prompt, or is not a sentence."""
    found, signs = words(task), 1 if " " in task.strip() else SIGNS
    fewest, most = FEWEST_WORDS * signs, MOST_WORDS * signs
    if not fewest <= len(found) <= most or len(set(found)) < FEWEST_DIFFERENT:
        asked = f"asked for a sentence ({fewest} to {most} words)"
        return Flaw("not_a_task", f"{task!r:.100}: {len(found)} words, {asked}")
    return echo({"tasks": task}, prompt)


def pick_tasks(rows: Iterable[Json], count: int) -> Iterator[tuple[Json, list[str], str]]:
    """Each row with the first `count` of its tasks that no earlier row of its type has taken.

    Yields:
        The row, these tasks, and the id of the row that has taken the first of its tasks.
    """
    taken: dict[tuple[str, str], str] = {}
    for row in rows:
        keys = {(row["task_type"], plain(task)): task for task in row["tasks"]}
        free = [key for key in keys if key not in taken][:count]
        taken |= dict.fromkeys(free, row["id"])
        yield row, [keys[key] for key in free], taken[next(iter(keys))]


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the task pool."""
    (_copy if ctx.recipe.brainstorm.tasks else _ask)(ctx)


def _copy(ctx: Context) -> None:
    """The user's own tasks, of the task types in the mixture.

    Raises:
        RecipeError: a column is missing, or a task type has no task.
    """
    given: dict[str, list[tuple[str, str]]] = {name: [] for name in ctx.recipe.mixture}
    for row in read_parquet(ctx.inputs["tasks"]):
        if not {"task_type", "task"} <= row.keys():
            raise RecipeError(
                f"brainstorm.tasks {ctx.recipe.brainstorm.tasks}: columns are missing",
                expected="task_type and task, and perhaps topic",
                got=", ".join(row),
            )
        if row["task_type"] in given and row["task"]:
            given[row["task_type"]].append((row["task"], row.get("topic") or ""))
    for name, found in given.items():
        if not found:
            raise RecipeError(
                f"brainstorm.tasks {ctx.recipe.brainstorm.tasks}: no task of the type {name}",
                expected=f"at least one for each of {', '.join(given)}",
                fix="add one, or leave the type out of the mixture: --set 'mixture={retrieval: 1}'",
            )
        rows = (
            {"id": f"task-{name}-{i:07d}", "task_type": name, "task": task, "topic": topic}
            for i, (task, topic) in enumerate(dict.fromkeys(found))
        )
        ctx.record.by_task_type[name] = write_parquet(rows, TaskRow, ctx.out / "data" / name)
    ctx.record.rows_in = ctx.record.accepted = sum(ctx.record.by_task_type.values())


def _ask(ctx: Context) -> None:
    """What the teacher finds for the topics."""
    recipe, settings = ctx.recipe, ctx.recipe.brainstorm
    topics = distinct(read_set(ctx.inputs["topics"], settings.topics), settings.max_depth)
    chosen = choose(recipe, topics)
    to_ask = [name for name in recipe.mixture if TASK_TYPES[name].brainstorm]
    sampling = writers.teacher_sampling(recipe)
    schema = prompts.tasks_schema(settings.tasks_per_prompt)

    def jobs(todo: Todo) -> Iterator[Job]:
        for i, topic in enumerate(topics):
            for name in to_ask:
                job_id = f"brainstorm-{i:07d}-{name}"
                if i not in chosen[name] or not todo(job_id):
                    continue
                rng = row_rng(recipe.rng_seed, "brainstorm", job_id)
                prompt = prompts.brainstorm(TASK_TYPES[name], spoken(topic), settings.tasks_per_prompt, rng)
                yield Job(job_id, name, Request(prompt, sampling, schema, "tasks"), source=topic)

    def read(job: Job, completion: Completion) -> Outcome:
        rng = row_rng(recipe.rng_seed, "brainstorm/keep", job.id)
        return read_tasks(job, completion, rng)

    def sift(ledger: Ledger) -> None:
        picked = pick_tasks(ledger.rows(), settings.tasks_per_topic)
        ledger.reject((Duplicate(row["id"], of, 1.0) for row, tasks, of in picked if not tasks), "duplicate")

    def publish(ledger: Ledger, task_type: str) -> Iterator[dict[str, Any]]:
        picked = pick_tasks(ledger.rows(task_type), settings.tasks_per_topic)
        pairs = [(task, row["topic"]) for row, tasks, _ in picked for task in tasks]
        if fixed := TASK_TYPES[task_type].fixed_task:
            pairs = [(fixed, topic) for topic in topics]
        for i, (task, topic) in enumerate(pairs):
            yield {"id": f"task-{task_type}-{i:07d}", "task_type": task_type, "task": task, "topic": topic}

    total, who = sum(len(chosen[name]) for name in to_ask), writers.teachers(recipe, "brainstorm")
    dataset.make(ctx, jobs, read, rows=total, writers=who, row=TaskRow, sift=sift, publish=publish)


def _inputs(recipe: Recipe) -> dict[str, Source]:
    settings = recipe.brainstorm
    if settings.tasks:
        return {"tasks": FromHub("dataset", settings.tasks)}
    return {"topics": FromHub("dataset", settings.topics)}


def _fields(recipe: Recipe) -> Json:
    if recipe.brainstorm.tasks:
        return {"mixture": sorted(recipe.mixture)}
    settings = ("brainstorm.max_depth", "brainstorm.tasks_per_prompt", "brainstorm.tasks_per_topic")
    if recipe.brainstorm.max_topics is None:
        return pick(recipe, "rng_seed", *settings, *writers.TEACHER_FIELDS) | {"mixture": sorted(recipe.mixture)}
    return pick(
        recipe, "rng_seed", *settings, "brainstorm.max_topics", *writers.TEACHER_FIELDS, "mixture"
    )  # its weights share them out


def _prompts(recipe: Recipe) -> dict[str, Any]:
    if recipe.brainstorm.tasks:
        return {}
    return prompts.system_text(recipe, teacher=True) | prompts.brainstorm_texts(recipe)


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    if recipe.brainstorm.tasks:
        return Estimate(None, 0, 0, 0, 0)
    calls = sum(n for name, n in per_type(recipe, topics).items() if TASK_TYPES[name].brainstorm)
    written = estimate.TASK_WORDS * recipe.brainstorm.tasks_per_prompt
    read = estimate.brainstorm_words(recipe)
    return estimate.asks(recipe, "teacher", calls, read, written, mix=recipe.teacher.model)


STAGE = Stage(
    name="brainstorm",
    version=2,
    kind="dataset",
    noun="tasks",
    purpose="Topics become a pool of tasks, one sentence each.",
    build=build,
    inputs=_inputs,
    fields=_fields,
    prompts=_prompts,
    estimate=_estimate,
    row=TaskRow,
)
