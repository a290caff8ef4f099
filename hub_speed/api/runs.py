"""Plan and run recipes and studies, read what is finished, release it."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_speed.api.hubs import OpenHub
from hub_speed.api.sessions import DEFAULT_ORG, Pairs, open_session, topics_of
from hub_speed.errors import RecipeError

if TYPE_CHECKING:
    from hub_speed.generation.gpus import Gpus
    from hub_speed.generation.variety import Variety
    from hub_speed.pipeline.plan import Step
    from hub_speed.pipeline.run import Result
    from hub_speed.recipe import Recipe
    from hub_speed.record import Ref
    from hub_speed.stage import Estimate, Progress
    from hub_speed.study.runs import Load, Run, Study
    from hub_speed.versions.release import Released


def load_recipe(name_or_path: str | Path, *, set: Pairs = ()) -> "Recipe":
    """Read a recipe, with some of its fields changed.

    Args:
        name_or_path: the name of a recipe of the package ("quickstart", "speed", …), or the path of a .yaml file.
        set: fields to change, {"seed.rows": 100} or ["seed.rows=100"].

    Raises:
        RecipeError: no such recipe, an unknown field (with the nearest one), or a value of the wrong type.

    Example:
        >>> load_recipe("quickstart", set={"seed.rows": 100}).seed.rows
        100
    """
    from hub_speed.recipes import loader

    if isinstance(set, str):
        raise RecipeError(f"load_recipe: set={set!r}", expected='{"seed.rows": 100} or ["seed.rows=100"]')
    if isinstance(set, Mapping):
        set = [f"{name}={json.dumps(value)}" for name, value in set.items()]  # JSON is YAML as well
    return loader.load(str(name_or_path), list(set))


@dataclass(frozen=True)
class Plan:
    """What a run would do, stage by stage, in order.

    Attributes:
        recipe: with its topic file as a pinned version, where that is published already.
        steps: the stages, each finished or with the reason why it has to run.
        estimates: what each stage takes when it runs, at the yield of its last run.
        gpus: on which the times of training and scoring are estimated.
        topics: how many there are to brainstorm for.
        cut: how many paths were deeper than `brainstorm.max_depth`, and lost their middle.
        variety: how many rows will share a task, for each task type; empty for questions about documents.
    """

    recipe: "Recipe"
    org: str
    endpoint: str
    steps: "list[Step]"
    estimates: "list[Estimate]"
    gpus: "Gpus"
    topics: int
    cut: int
    variety: "list[Variety]"


def plan(
    recipe: "Recipe", hub: OpenHub, *, org: str = DEFAULT_ORG, only: str | None = None, gpus: str = "1xA100"
) -> Plan:
    """What would run and why, and the model calls it would take. Reads the Hub, writes nothing.

    Args:
        recipe: what to make.
        hub: where finished stages are looked for.
        org: organisation or user that owns the repositories.
        only: just this stage, and what it needs.
        gpus: what trains and scores: a number and a kind, "8xH100".

    Raises:
        RecipeError: nothing is known of such GPUs.

    Example:
        >>> [step.stage.name for step in plan(load_recipe("quickstart"), hub, only="seed").steps]
        ['brainstorm', 'seed']
    """
    from hub_speed.generation.gpus import on, read
    from hub_speed.generation.topics import distinct, parts_of
    from hub_speed.generation.variety import variety
    from hub_speed.pipeline import plan as plans

    named = read(gpus)
    with open_session(recipe, hub, org=org) as (session, pinned):
        steps, topics = plans.plan(pinned, session, only), topics_of(pinned, session)
        count = len(distinct(topics, pinned.brainstorm.max_depth))
        cut = sum(len(parts_of(path)) > pinned.brainstorm.max_depth for path in topics)
        stages = [step.stage for step in steps]
        estimates = [plans.at_last_yield(s, s.estimate(pinned, count), session) for s in stages]
        estimates = [on(named, s.name, takes, pinned) for s, takes in zip(stages, estimates, strict=True)]
        tasks = plans.tasks_found(steps, session)
        shared = [] if pinned.embedder.of_documents else variety(pinned, count, tasks)
        return Plan(pinned, org, hub.hub.shown, steps, estimates, named, count, cut, shared)


def run(
    recipe: "Recipe",
    hub: OpenHub,
    *,
    org: str = DEFAULT_ORG,
    endpoints: Pairs = (),
    only: str | None = None,
    again_from: str | None = None,
    extend: bool = False,
    on_result: "Callable[[Result], None]" = lambda result: None,
    progress: "Callable[[str], Progress] | None" = None,
    lock: Path | None = None,
) -> "list[Result]":
    """Run the stages that are not finished yet; each ends as one commit and its tag on the Hub.

    Ctrl-C and SIGTERM stop at a safe point, and the same call goes on from there.

    Args:
        recipe: what to make.
        hub: where inputs are read and results are published.
        org: organisation or user that owns the repositories.
        endpoints: where models are, {"teacher": "https://api.openai.com"}; models without one are started here.
        only: just this stage, and what it needs.
        again_from: run this stage and all after it again, finished or not.
        extend: go on from published versions that differ in their number of rows alone: only new rows are asked for.
        on_result: called as each stage is finished.
        progress: stage name → where the stage reports its progress.
        lock: a file that records what the run has produced, and from which versions.

    Returns:
        The stages in order, each with its version on the Hub (`ref`) and its record.

    Raises:
        HubSpeedError: the first stage that failed. Finished stages are published, and the next call finds them.

    Example:
        >>> results = run(load_recipe("quickstart"), hub, only="seed")
        >>> results[-1].ref.repo
        'speed-demo/speed-seed'
    """
    from hub_speed.pipeline import run as pipeline

    with open_session(recipe, hub, org=org, endpoints=endpoints, progress=progress, publish=True) as (session, pinned):
        session.extend = extend
        results = pipeline.run(pinned, session, only=only, again_from=again_from, on_result=on_result)
        if not all(result.cached for result in results):
            pipeline.collect(pinned, session, results)
        if lock:
            pipeline.write_lock(pinned, session, results, lock)
    return results


def finished(recipe: "Recipe", hub: OpenHub, *, org: str = DEFAULT_ORG) -> "list[Result]":
    """The finished stages of a recipe, in order, as they are on the Hub.

    Raises:
        RecipeError: none is finished.
    """
    from hub_speed.pipeline import run as pipeline

    with open_session(recipe, hub, org=org) as (session, pinned):
        return pipeline.finished(pinned, session)


def release(
    recipe: "Recipe", hub: OpenHub, tag: str, *, org: str = DEFAULT_ORG, allow_conflict: bool = False
) -> "Released":
    """Tag a finished run and write its scores into the embedder's card; one tag on all its repositories.

    Raises:
        HubSpeedError: the run is not finished, or its licence conflicts with that of an input.
    """
    from hub_speed.versions import release as releases

    with open_session(recipe, hub, org=org) as (session, pinned):
        return releases.release(pinned, session, tag, allow_conflict=allow_conflict)


def plan_study(study: "Study", hub: OpenHub, *, org: str = DEFAULT_ORG) -> "list[Load]":
    """What a study will run and what it finds finished, stage by stage. Reads the Hub, writes nothing."""
    from hub_speed.study import runs

    with open_session(study.recipe, hub, org=org) as (session, pinned):
        return runs.plan(study, session, topics_of(pinned, session))


def run_study(
    study: "Study",
    hub: OpenHub,
    *,
    org: str = DEFAULT_ORG,
    endpoints: Pairs = (),
    margin: float = 0.01,  # Assumption
    scaling: bool = False,
    out: Path | None = None,
    on_run: "Callable[[Run, int], None]" = lambda run, number: None,
    on_result: "Callable[[Result], None]" = lambda result: None,
    progress: "Callable[[str], Progress] | None" = None,
) -> "tuple[dict[str, Any], Ref]":
    """Run a study and publish what it found, as a dataset and a page.

    Args:
        study: see `study.runs.design`.
        hub: where inputs are read and results are published.
        org: organisation or user that owns the repositories.
        endpoints: where models are.
        margin: a smaller difference of scores does not matter.
        scaling: whether to fit the recipe's scaling law as well.
        out: a folder for study.md, study.json and figures.
        on_run: called before each run, with its number from 1.
        on_result: called as each stage is finished.
        progress: stage name → where the stage reports its progress.

    Returns:
        The facts of the report, and its version on the Hub.

    Raises:
        RecipeError: `margin` is below 0 or not a number.
        HubSpeedError: the first stage that failed; finished ones are published.
    """
    from hub_speed.study import report, runs

    if not 0 <= margin < math.inf:
        raise RecipeError(f"study: margin {margin}", expected="0 or more")
    recipe = study.recipe
    with open_session(recipe, hub, org=org, endpoints=endpoints, progress=progress, publish=True) as (session, _):
        outcomes = runs.execute(study, session, on_run, on_result)
        law = runs.scaling_law(study, session, on_result) if scaling else None
        facts = report.record(study, outcomes, margin, law)
        ref = report.publish(facts, session)
    if out:
        report.write_docs(facts, out)
    return facts, ref
