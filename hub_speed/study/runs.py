"""Studies: recipe fields are varied one at a time, with several seeds each.

A study is a set of ordinary runs, each on its own branch. Runs share stages by their tags, so a stage is run only if a
field or seed changes its identity, and a study that was stopped continues where it stopped. The unchanged recipe is the
reference. Seed k is the recipe's `embedder.rng_seed` + k and changes only the embedder. With `seed_all`, k is added to
the recipe's `rng_seed` as well, and everything is made again for every seed.
"""

import json
import queue
import re
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hub_speed import safe_yaml, stage
from hub_speed.cores import gpu_part
from hub_speed.errors import NotFound, RecipeError
from hub_speed.generation.topics import distinct
from hub_speed.parquet import read_parquet
from hub_speed.pipeline import run as pipeline
from hub_speed.pipeline.plan import plan as plan_run
from hub_speed.pipeline.session import Session
from hub_speed.pipeline.table import STAGES, wanted
from hub_speed.pipeline.topic_file import with_topics
from hub_speed.recipe import Recipe, Scaling
from hub_speed.recipes import loader
from hub_speed.record import Ref, fingerprint_of
from hub_speed.stage import FromStage
from hub_speed.study.effects import Scored

OFF = ("audit.rows=0", "scaling.sizes=[]")
"""A study only scores embedders: its runs have no audit by the teacher and no scaling law."""


@dataclass(frozen=True)
class Run:
    """One run of a study. The reference has no factor."""

    factor: str
    value: str
    seed: int
    recipe: Recipe

    @property
    def name(self) -> str:
        """The varied value and the seed, for people."""
        return f"{self.factor}={self.value} seed {self.seed}" if self.factor else f"reference seed {self.seed}"

    @property
    def branch(self) -> str:
        """The branch its results are published on."""
        return "study-" + re.sub(r"[^A-Za-z0-9_]+", "-", self.name)[:80]


@dataclass(frozen=True)
class Study:
    """What a study compares.

    Attributes:
        recipe: the reference.
        references: factor → the recipe's own value.
        runs: the reference first, then every value of every factor; each with every seed.
        rows_generated: factor=value → stages that generate different rows for this value, once, shared by all seeds;
            empty if the embedder's rows are those of the reference, or if every seed generates its own.
        seeds: how many seeds every value has.
        seed_all: whether a seed changes everything, or only the embedder.
        command: reproduces the study.
        scaling: the recipe's own settings, for the scaling law beside the study.
    """

    recipe: Recipe
    references: dict[str, str]
    runs: list[Run]
    rows_generated: dict[str, list[str]]
    seeds: int
    seed_all: bool
    command: str
    scaling: Scaling


def design(name: str, set_: Sequence[str], vary: Sequence[str], seeds: int, *, seed_all: bool = False) -> Study:
    """The design of a study: all its runs. Runs nothing.

    Args:
        name: the recipe's name or path.
        set_: changes that apply to all runs, `section.field=value`.
        vary: `section.field=value,value,…`; the recipe's own value is the reference.
        seeds: how many seeds every value has.
        seed_all: whether a seed changes everything, or only the embedder.

    Raises:
        RecipeError: a field or value does not exist, or no score depends on it.
    """
    if seeds < 1 or not vary:
        raise RecipeError("study: nothing to compare", expected="at least one --vary and --seeds 1 or more")
    base = loader.load(name, [*set_, *OFF])
    before = _identities(base)
    runs = _seeded("", "", base, seeds, seed_all=seed_all)
    references: dict[str, str] = {}
    rows_generated: dict[str, list[str]] = {}
    for given in vary:
        factor, values = _values(given)
        for value in values:
            recipe = loader.load(name, [*set_, *OFF, f"{factor}={json.dumps(value)}"])
            references[factor] = _label(_at(base, factor))
            if recipe == base:
                continue
            after = _identities(recipe)
            label = f"{factor}={_label(value)}"
            if after["evaluate"] == before["evaluate"]:
                raise RecipeError(f"--vary {label}: no score of this recipe depends on it")
            if label in rows_generated:
                raise RecipeError(f"--vary {label}: given twice")
            data, was = recipe.embedder.data, base.embedder.data
            others = [n for n in after if n not in ("embedder", "evaluate") and after[n] != before.get(n)] or [data]
            rows_generated[label] = [] if seed_all or after[data] == before.get(was) else others
            runs += _seeded(factor, _label(value), recipe, seeds, seed_all=seed_all)
    if not rows_generated:
        raise RecipeError("study: every value is the recipe's own", expected="another value to compare it with")
    scaling = loader.load(name, list(set_)).scaling
    return Study(
        base, references, runs, rows_generated, seeds, seed_all, _command(name, set_, vary, seeds, seed_all), scaling
    )


def _command(name: str, set_: Sequence[str], vary: Sequence[str], seeds: int, seed_all: bool) -> str:
    flags = [f"--set {shlex.quote(change)}" for change in set_] + [f"--vary {shlex.quote(given)}" for given in vary]
    last = f"--seeds {seeds}" + (" --seed-all" if seed_all else "")
    return " \\\n    ".join([f"hub-speed study {shlex.quote(Path(name).name)}", *flags, last])


def _values(given: str) -> tuple[str, list[Any]]:
    """`section.field=a,b` → the field and its values, each read as YAML."""
    factor, sign, text = given.partition("=")
    try:
        values = safe_yaml.load(f"[{text}]")
    except yaml.YAMLError as error:
        raise RecipeError(f"--vary {given}: the values are not YAML", got=text) from error
    if not sign or not values:
        raise RecipeError(f"--vary {given}", expected="section.field=value,value, e.g. senior.dpo_beta=0.05,0.3")
    return factor.strip(), values


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _at(recipe: Recipe, field: str) -> Any:
    value: Any = recipe.model_dump(mode="json")
    for part in field.split("."):
        value = value.get(part, {})
    return value


def _seeded(factor: str, value: str, recipe: Recipe, seeds: int, *, seed_all: bool) -> list[Run]:
    found = []
    for k in range(seeds):
        embedder = recipe.embedder.model_copy(update={"rng_seed": recipe.embedder.rng_seed + k})
        update = {"embedder": embedder} | ({"rng_seed": recipe.rng_seed + k} if seed_all else {})
        found.append(Run(factor, value, k, recipe.model_copy(update=update)))
    return found


def _identities(recipe: Recipe) -> dict[str, str]:
    """Stage → a digest of everything that decides its result, back to the inputs on the Hub, before anything is run."""
    found: dict[str, str] = {}
    for s in wanted(recipe):
        sources = s.inputs(recipe).items()
        inputs = {n: found[source.name] if isinstance(source, FromStage) else source.name for n, source in sources}
        found[s.name] = fingerprint_of(s.identity(recipe, {}) | {"inputs": inputs})
    return found


# --- before -----------------------------------------------------------------------------------------------------------


@dataclass
class Load:
    """One stage of the plan: runs that use it, distinct versions, finished versions, cost of the missing ones.

    Attributes:
        problem: why a version of it cannot run, see `pipeline.plan.Step`.
    """

    stage: stage.Stage
    runs: int = 0
    versions: int = 0
    finished: int = 0
    model: str = ""
    calls: int = 0
    tokens: int = 0
    cost_usd: float | None = None
    problem: NotFound | None = None


def plan(study: Study, session: Session, topics: list[str]) -> list[Load]:
    """What a study will run, and what is finished already. Reads the Hub, writes nothing."""
    loads: dict[str, Load] = {}
    count = cache(lambda max_depth: len(distinct(topics, max_depth)))
    state: dict[tuple[str, str], tuple[bool, Recipe]] = {}
    for run in study.runs:
        recipe = with_topics(run.recipe, session, publish=False)
        identities = _identities(run.recipe)
        for step in plan_run(recipe, session):
            load = loads.setdefault(step.stage.name, Load(step.stage))
            load.runs, load.problem = load.runs + 1, load.problem or step.problem
            state[step.stage.name, identities[step.stage.name]] = (step.ref is not None, recipe)
    for (name, _), (finished, recipe) in state.items():
        load = loads[name]
        load.versions += 1
        load.finished += finished
        if not finished:
            takes = load.stage.estimate(recipe, count(recipe.brainstorm.max_depth))
            load.model = takes.model or ""
            load.calls += takes.calls
            load.tokens += takes.tokens
            if takes.cost_usd is not None:
                load.cost_usd = (load.cost_usd or 0.0) + takes.cost_usd
    return [loads[name] for name in STAGES if name in loads]


# --- running ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    Attributes:
        run: the run.
        rows: how many rows the embedder was trained on.
        results: the version of speed-results.
        scores: (measure, benchmark) → score.
        failed: measure, benchmark and reason of every score that could not be computed.
    """

    run: Run
    rows: int
    results: Ref
    scores: dict[tuple[str, str], Scored]
    failed: list[dict[str, str]] = field(default_factory=list)


def execute(
    study: Study,
    session: Session,
    on_run: Callable[[Run, int], None] = lambda run, number: None,
    on_result: Callable[[pipeline.Result], None] = lambda result: None,
) -> list[Outcome]:
    """The results of all runs, in order; runs what is not finished yet.

    With `runtime.jobs`, embedders are trained and scored side by side, each on its part of the GPUs. The rows of all
    are made before, run after run, with all GPUs: the runs share most of them.

    Raises:
        HubSpeedError: a run failed; what was finished before is published and is not run again.
    """
    recipes = [with_topics(run.recipe, session, publish=True) for run in study.runs]
    sessions = [replace(session, branch=run.branch) for run in study.runs]
    jobs = min(study.recipe.runtime.jobs, len(study.runs))
    done = []
    for number, (run, recipe, own) in enumerate(zip(study.runs, recipes, sessions, strict=True), 1):
        on_run(run, number)
        only = recipe.embedder.data if jobs > 1 else None
        done.append(pipeline.run(recipe, own, only=only, on_result=on_result))
    if jobs > 1:
        done = _side_by_side(jobs, recipes, sessions, on_result)
    return [_outcome(*each) for each in zip(study.runs, done, sessions, strict=True)]


def _side_by_side(
    jobs: int, recipes: list[Recipe], sessions: list[Session], on_result: Callable[[pipeline.Result], None]
) -> list[list[pipeline.Result]]:
    """Train and score the embedders of runs whose rows are there; runs that share an embedder follow each other."""
    alike: dict[str, list[int]] = {}
    for i, recipe in enumerate(recipes):
        alike.setdefault(_identities(recipe)["embedder"], []).append(i)
    places: queue.SimpleQueue[int] = queue.SimpleQueue()
    for place in range(jobs):
        places.put(place)

    def train(runs: list[int]) -> list[list[pipeline.Result]]:
        place = places.get()
        try:
            return [_train(recipes[i], sessions[i], place, jobs, on_result) for i in runs]
        finally:
            places.put(place)

    with ThreadPoolExecutor(jobs) as pool:
        started = {pool.submit(train, runs): runs for runs in alike.values()}
        ended, _ = wait(started, return_when=FIRST_EXCEPTION)
        pool.shutdown(cancel_futures=True)  # those at work are finished first
    for future in ended:
        future.result()  # raises what a run has raised
    by_run = {i: results for future, runs in started.items() for i, results in zip(runs, future.result(), strict=True)}
    return [by_run[i] for i in range(len(recipes))]


def _train(
    recipe: Recipe, session: Session, place: int, jobs: int, on_result: Callable[[pipeline.Result], None]
) -> list[pipeline.Result]:
    """One run of several side by side, on its part of the threads and GPUs."""
    alone = recipe.model_copy(update={"runtime": recipe.runtime.model_copy(update={"jobs": 1})})
    threads, devices = max(1, session.threads // jobs), gpu_part(session.devices, place, jobs)
    return pipeline.run(alone, replace(session, threads=threads, devices=devices), on_result=on_result)


def _outcome(run: Run, done: list[pipeline.Result], session: Session) -> Outcome:
    by_name = {result.stage.name: result for result in done}
    results = by_name["evaluate"]
    scores = read_scores(session.hub.fetch(results.ref, "data/*", "items/*"))
    failed = [row for row in results.record.measures.failed if row["subject"] == "embedder"]
    return Outcome(run, by_name["embedder"].record.accepted, results.ref, scores, failed)


def scaling_law(
    study: Study, session: Session, on_result: Callable[[pipeline.Result], None] = lambda result: None
) -> pipeline.Result:
    """The scaling stage of the reference, with the recipe's own sizes."""
    recipe = with_topics(study.recipe.model_copy(update={"scaling": study.scaling}), session, publish=True)
    return pipeline.run(recipe, replace(session, branch="study-scaling"), only="scaling", on_result=on_result)[-1]


def read_scores(folder: Path) -> dict[tuple[str, str], Scored]:
    """The embedder's scores in one version of speed-results, with their items where these are published."""
    items: dict[tuple[str, str], dict[str, float]] = {}
    gold: dict[tuple[str, str], dict[str, float]] = {}
    if (folder / "items").is_dir():
        for row in read_parquet(folder / "items"):
            if row["subject"] == "embedder":
                key, item = (row["measure"], row["benchmark"]), str(row["item"])
                items.setdefault(key, {})[item] = row["value"]
                if row["gold"] is not None:
                    gold.setdefault(key, {})[item] = row["gold"]
    scores = [row for row in read_parquet(folder / "data") if row["subject"] == "embedder"]
    keys = [(row["measure"], row["benchmark"]) for row in scores]
    return {key: Scored(row["value"], items.get(key), gold.get(key)) for key, row in zip(keys, scores, strict=True)}
