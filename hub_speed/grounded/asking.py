"""Who writes questions about passages, and how they are asked for: shared by the stages and the preview."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hub_speed.generation import examples, writers
from hub_speed.generation.jobs import Job, Outcome, Todo
from hub_speed.generation.planning import row_rng
from hub_speed.grounded import planning, prompts, reading
from hub_speed.grounded.planning import TASK_TYPE, Passages
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.parquet import read_parquet
from hub_speed.recipe import Recipe
from hub_speed.record import TEACHER, Json
from hub_speed.stage import FromHub, FromStage, Source, pick
from hub_speed.task_types.base import Answer


def passages_of(corpus: Path) -> Passages:
    """The passages of a corpus."""
    columns = ["id", "document", "start", "end", "title", "text", "group", "split"]
    return Passages(read_parquet(corpus / "data", columns))


# --- the model --------------------------------------------------------------------------------------------------------


def generator(recipe: Recipe, weights: Path | None) -> writers.Writers:
    """The model that writes questions and answers them; `weights` are its files, where it is no teacher.

    Of several teachers, the one that wrote a question is the one that is asked it.
    """
    name = recipe.questions.generator
    return writers.teachers(recipe, planning.STAGE) if name == TEACHER else writers.one(name, weights)


def generator_input(recipe: Recipe) -> dict[str, Source]:
    """The generator as an input of a stage; nothing where the teacher writes."""
    name = recipe.questions.generator
    if name == TEACHER:
        return {}
    return {"generator": FromHub("model", recipe.generator.base_model) if name == "base" else FromStage(name)}


def generator_fields(recipe: Recipe) -> Json:
    """The recipe fields that decide what the generator answers, but for its name."""
    by_teacher = recipe.questions.generator == TEACHER
    return pick(recipe, *(writers.TEACHER_FIELDS if by_teacher else examples.SAMPLING_FIELDS))


def sampling(recipe: Recipe) -> Sampling:
    """How questions are drawn."""
    if recipe.questions.generator == TEACHER:
        return writers.teacher_sampling(recipe)
    settings = recipe.generator
    return Sampling(settings.sampling_temperature, settings.top_p, settings.max_tokens)


# --- questions --------------------------------------------------------------------------------------------------------


def question_jobs(recipe: Recipe, passages: Passages, count: Callable[[], int]) -> Callable[[Todo], Iterator[Job]]:
    """What is asked for: the first questions of a recipe, as many as `count` says."""
    how = sampling(recipe)

    def jobs(todo: Todo) -> Iterator[Job]:
        for row in planning.plan(recipe, passages, count(), todo):
            request = Request(row.prompt, how, schema(prompts.Question), "question")
            yield Job(row.id, TASK_TYPE, request, source=row)

    return jobs


def question_reader(recipe: Recipe, who: writers.Writers) -> Callable[[Job, Completion], Outcome]:
    """What turns an answer into a question."""

    def read(job: Job, completion: Completion) -> Outcome:
        return reading.read_question(job.source, completion, who.of(job.id).name, recipe.questions)

    return read


# --- the same without a passage ---------------------------------------------------------------------------------------


def recall_job(recipe: Recipe, row: Json) -> Job:
    """What asks a question without its passage, without chance: the likeliest answer is the one that is known."""
    how = Sampling(0.0, 1.0, sampling(recipe).max_tokens)
    request = Request(prompts.recall(row["query"], row["language"]), how, schema(prompts.Recalled), "recall")
    return Job(row["id"], TASK_TYPE, request, source=row)


# --- the judge --------------------------------------------------------------------------------------------------------

JUDGED = "-judged"
"""The end of a question's name in the ledger where the judge is asked about it."""


class Both(writers.Writers):
    """The generator, which answers questions, and the judge, who is asked about them."""

    def of(self, row_id: str) -> writers.Writer:
        """Who is asked in the row with this id."""
        return self.everyone[-1] if row_id.endswith(JUDGED) else writers.Writers(self.everyone[:-1]).of(row_id)


def judge_job(recipe: Recipe, row: Json, passages: list[Json]) -> Job:
    """What asks the judge whether passages answer a question."""
    rng = row_rng(recipe.rng_seed, "filter", row["id"])
    prompt = prompts.judge(row["query"], row["answer"], passages, rng)
    request = Request(prompt, writers.judge_sampling(recipe), schema(prompts.Fitness), "fitness")
    return Job(row["id"] + JUDGED, TASK_TYPE, request, source=row)


@cache  # pydantic makes a new one each time, which takes longer than sending the request
def schema(model: type[Answer]) -> dict[str, Any]:
    """The JSON schema of an answer."""
    return model.model_json_schema()
