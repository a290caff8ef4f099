"""THE table: every stage, what it starts from, what it writes.

brainstorm → seed → junior → root ─┬→ preference → senior ─→ synthesize → revise → embedder → evaluate → scaling
                                   └→ revision → revisor ──────────────────┘
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from hub_speed.errors import RecipeError, did_you_mean
from hub_speed.generation import prompts
from hub_speed.llm import dialects
from hub_speed.recipe import Recipe
from hub_speed.stage import FromHub, FromStage, Source, Stage
from hub_speed.task_types import TASK_TYPES

ROWS = ("rng_seed", "languages", "mixture", *TASK_TYPES)  # what decides the prompts of a set of rows


FORMAT = ("generator.prompt_format",)


SAMPLING = (*FORMAT, "generator.sampling_temperature", "generator.top_p", "generator.max_tokens")


def _topics(r: Recipe) -> dict[str, Source]:
    return {"topics": FromHub("dataset", r.brainstorm.topics)}


def _from(*names: str) -> Callable[[Recipe], dict[str, Source]]:
    return lambda r: {name: FromStage(name) for name in names}


def _base(r: Recipe) -> dict[str, Source]:
    return {"base": FromHub("model", r.generator.base_model)}


def _embedder_base(r: Recipe) -> dict[str, Source]:
    return {"base": FromHub("model", r.embedder.base_model)}


def _generator(r: Recipe) -> dict[str, Source]:
    aligned = r.synthesize.generator != "base"
    return {"generator": FromStage(r.synthesize.generator) if aligned else _base(r)["base"]}


def _revised(r: Recipe) -> dict[str, Source]:
    return _from("root", *(["preference"] if r.revision.candidate == "best" else []))(r)


def _labelled(r: Recipe) -> dict[str, Source]:
    """Labelled sets that are mixed in, and what finds hard negatives for those that have none."""
    found: dict[str, Source] = {f"labelled {s.repo}": FromHub("dataset", s.repo) for s in r.embedder.labelled}
    if any(s.negative is None for s in r.embedder.labelled):
        found["miner"] = FromHub("model", r.embedder.miner_model)
    return found


def _benchmarks(r: Recipe) -> dict[str, Source]:
    own = [name for name in r.evaluate.benchmarks if not name.startswith("mteb:")]  # mteb pins its own
    return {f"benchmark {name}": FromHub("dataset", name) for name in own}


def _audited(r: Recipe) -> dict[str, Source]:
    """The sets of rows the teacher looks at: those on the way to the embedder's data."""
    if not r.evaluate.audit_rows:
        return {}
    way = {"revise": ("root", "synthesize", "revise"), "synthesize": ("synthesize",), "seed": ()}
    return {name: FromStage(name) for name in way[r.embedder.data]}


# fmt: off
STAGES = {s.name: s for s in (
    Stage("brainstorm", 1, "dataset", "tasks", ("rng_seed", "mixture", "teacher", "brainstorm"), _topics,
          "Topics become a pool of tasks, one sentence each.", asks="teacher", renders_prompts=True),
    Stage("seed", 1, "dataset", "seed", (*ROWS, "teacher", "seed"), _from("brainstorm"),
          "The teacher writes examples for some of the tasks.", asks="teacher", renders_prompts=True),
    Stage("junior", 2, "model", "junior", ("rng_seed", *FORMAT, "junior"),
          lambda r: _from("seed")(r) | _base(r),
          "The base model learns to write such examples: the junior generator."),
    Stage("root", 1, "dataset", "root", (*ROWS, *SAMPLING, "root"), _from("brainstorm", "junior"),
          "The junior answers prompts several times each.", asks="junior", renders_prompts=True),
    Stage("preference", 1, "dataset", "preference", ("teacher", "preference"), _from("root"),
          "The teacher names the best and the worst answer.", asks="teacher", renders_prompts=True),
    Stage("senior", 2, "model", "senior", ("rng_seed", *FORMAT, "senior"), _from("preference", "junior"),
          "The junior learns these preferences: the senior generator."),
    Stage("revision", 1, "dataset", "revision", ("rng_seed", "teacher", "revision"), _revised,
          "The teacher revises answers of the junior.", asks="teacher", renders_prompts=True),
    Stage("revisor", 2, "model", "revisor", ("rng_seed", *FORMAT, "revisor"),
          lambda r: _from("revision")(r) | _base(r),
          "The base model learns to revise: the revisor."),
    Stage("synthesize", 1, "dataset", "drafts", (*ROWS, *SAMPLING, "synthesize"),
          lambda r: _from("brainstorm")(r) | _generator(r),
          "The generator writes drafts at scale.", asks="generator", renders_prompts=True),
    Stage("revise", 1, "dataset", "synthetic", ("mixture", *FORMAT, "generator.max_tokens", "revise"),
          _from("synthesize", "revisor"),
          "The revisor goes over every draft; near-duplicates are dropped.", asks="revisor", renders_prompts=True),
    Stage("embedder", 2, "model", "embedder", ("embedder",),
          lambda r: {"data": FromStage(r.embedder.data)} | _embedder_base(r) | _labelled(r),
          "An embedder is trained on the rows."),
    Stage("evaluate", 4, "dataset", "results", ("teacher", "evaluate"),
          lambda r: _from("embedder")(r) | _embedder_base(r) | _benchmarks(r) | _audited(r),
          "The embedder is scored beside its baselines, and rows of each generator are audited.",
          asks="teacher", renders_prompts=True),
    Stage("scaling", 3, "dataset", "scaling",
          ("embedder", "scaling", "evaluate.benchmarks", "evaluate.instructions"),
          lambda r: {"data": FromStage(r.embedder.data)} | _embedder_base(r) | _benchmarks(r),
          "Embedders on nested subsets show what more rows would buy."),
)}
# fmt: on


def prompts_digest() -> str:
    """sha256 of the wording of every prompt and of the knobs' default values."""
    texts: list[Any] = [dialects.SYSTEM, prompts.JUDGE, prompts.REVISION]
    for task_type in TASK_TYPES.values():
        fields = (task_type.brainstorm, task_type.task_examples, task_type.fixed_task, task_type.opening)
        lines = [(line.text, line.share) for line in task_type.guidelines]
        knobs = {name: dict(values) for name, values in task_type.knobs.items()}
        texts.append([task_type.name, *fields, lines, task_type.closing, knobs, task_type.answer.model_json_schema()])
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()


def wanted(recipe: Recipe, only: str | None = None) -> list[Stage]:
    """The stages a recipe needs (or those that `only` needs), in an order in which they can run.

    Raises:
        RecipeError: there is no such stage.
    """
    if only is not None and only not in STAGES:
        raise RecipeError(
            f"--only {only}: there is no such stage",
            expected=f"one of {', '.join(STAGES)}",
            fix=did_you_mean(only, STAGES),
        )
    ends = [only] if only else ["evaluate", *(["scaling"] if recipe.scaling.sizes else [])]
    needed: set[str] = set()

    def need(name: str) -> None:
        if name not in needed:
            needed.add(name)
            for source in STAGES[name].inputs(recipe).values():
                if isinstance(source, FromStage):
                    need(source.name)

    for end in ends:
        need(end)
    return [s for s in STAGES.values() if s.name in needed]


def descendants(name: str, order: list[Stage], recipe: Recipe) -> set[str]:
    """A stage and all that come from it.

    Raises:
        RecipeError: the recipe has no such stage.
    """
    if name not in [s.name for s in order]:
        names = [s.name for s in order]
        raise RecipeError(
            f"--from {name}: no such stage here", expected=f"one of {', '.join(names)}", fix=did_you_mean(name, names)
        )
    found = {name}
    for s in order:
        if any(isinstance(source, FromStage) and source.name in found for source in s.inputs(recipe).values()):
            found.add(s.name)
    return found
