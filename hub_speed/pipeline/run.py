"""THE table: every stage, what it starts from, what it writes. Then: planning and running it.

brainstorm → seed → junior → root ─┬→ preference → senior ─→ synthesize → revise → embedder → evaluate → scaling
                                   └→ revision → revisor ──────────────────┘
"""

import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hub_speed import stage
from hub_speed.cards.render import render, topics_card
from hub_speed.errors import HubError, NotFound, RecipeError, Stopped, did_you_mean
from hub_speed.generation import prompts, topics
from hub_speed.hub import RECORD, Hub, Ref
from hub_speed.llm.budget import Budget
from hub_speed.llm.endpoint import Address
from hub_speed.pipeline.lock import locked
from hub_speed.recipe import Recipe
from hub_speed.rows import TopicRow, count_parquet, write_parquet
from hub_speed.stage import Context, FromHub, FromStage, Progress, RunRecord, Source, Stage
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
    texts: list[Any] = [prompts.SYSTEM, prompts.JUDGE, prompts.REVISION]
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


class _Silent:
    """Progress that nobody watches."""

    def start(self, total: int, unit: str, done: int = 0) -> None: ...

    def advance(self, n: int) -> None: ...

    def note(self, text: str) -> None: ...

    def measure(self, numbers: dict[str, Any]) -> None: ...


@dataclass
class Session:
    """What a run has at hand.

    Attributes:
        hub: where everything is read from and published to.
        org: the organisation that owns the repositories.
        home: folder of the work in progress.
        address: opens the way to a model: (context-free) recipe, name, weights, threads, log → a context manager.
        progress: stage name → where it says how far it is.
        budget: what the run may spend on the teacher, over all its stages.
        branch: the branch results are published on; studies use one of their own.
    """

    hub: Hub
    org: str
    home: Path
    address: Callable[[Recipe, str, Path | None, int, Path], AbstractContextManager[Address]]
    progress: Callable[[str], Progress] = lambda name: _Silent()
    stop: threading.Event = field(default_factory=threading.Event)
    branch: str = "main"
    budget: Budget = field(default_factory=Budget)

    def full_name(self, name: str) -> str:
        """A repository's name with its organisation: a name without one is the run's own."""
        return name if "/" in name else f"{self.org}/{name}"


@dataclass(frozen=True)
class Step:
    """One line of a plan.

    Attributes:
        ref: the finished version, when there is one.
        why: "cached", or why it has to run.
    """

    stage: Stage
    ref: Ref | None
    why: str


def plan(recipe: Recipe, session: Session, only: str | None = None) -> list[Step]:
    """What would run, and why. Reads the Hub, writes nothing."""
    steps: list[Step] = []
    done: dict[str, Ref] = {}
    digest = prompts_digest()
    for s in wanted(recipe, only):
        missing = [
            source.name
            for source in s.inputs(recipe).values()
            if isinstance(source, FromStage) and source.name not in done
        ]
        if missing:
            steps.append(Step(s, None, f"{missing[0]} runs first"))
            continue
        try:
            identity = stage.identity(s, recipe, _pin(s, recipe, session, done), digest)
        except HubError as error:
            # What a run brings along itself (the quickstart's parts, a topic file) may not be there yet.
            brought = recipe.brainstorm.topics.endswith(".txt") or (recipe.offline and isinstance(error, NotFound))
            steps.append(Step(s, None, "new" if s.name == "brainstorm" and brought else error.where))
            continue
        ref = session.hub.find(s.kind, s.repo(session.org), stage.tag(stage.fingerprint(identity)))
        if ref:
            done[s.name] = ref
        steps.append(Step(s, ref, "cached" if ref else _why(s, identity, session)))
    return steps


def _pin(s: Stage, recipe: Recipe, session: Session, done: dict[str, Ref]) -> dict[str, Ref]:
    """Every input as a version."""
    return {
        name: done[source.name] if isinstance(source, FromStage) else _pin_repo(source, session)
        for name, source in s.inputs(recipe).items()
    }


def _pin_repo(source: FromHub, session: Session) -> Ref:
    return session.hub.pin(source.kind, session.full_name(source.name))


def with_topics(recipe: Recipe, session: Session, *, publish: bool) -> Recipe:
    """The recipe with its topic file, if it names one, as a pinned version of `<org>/speed-topics`.

    With `publish`, the file is published when it is not there yet; without, the recipe stays as it is then.

    Raises:
        RecipeError: the file cannot be read or is empty.
    """
    name = recipe.brainstorm.topics
    if not name.endswith(".txt"):
        return recipe
    paths = topics.read_file(Path(name))

    def make(folder: Path) -> None:
        write_parquet(({"topic": path} for path in paths), TopicRow, folder / "data")
        (folder / "README.md").write_text(topics_card(len(paths)), "utf-8")

    repo, content = f"{session.org}/speed-topics", json.dumps(paths)
    ref = (
        session.hub.ensure("dataset", repo, content, make)
        if publish
        else session.hub.find_content("dataset", repo, content)
    )
    if ref is None:
        return recipe
    pinned = recipe.brainstorm.model_copy(update={"topics": f"{ref.repo}@{ref.commit}"})
    return recipe.model_copy(update={"brainstorm": pinned})


def _why(s: Stage, identity: dict[str, Any], session: Session) -> str:
    """Which field or input differs from the last run of this stage."""
    head = session.hub.head(s.kind, s.repo(session.org))
    record = session.hub.record(head) if head else None
    if not record:
        return "new"
    before, after = _flat(record["identity"]), _flat(identity)
    changed = [key for key in after if before.get(key) != after[key]]
    if not changed:
        return "new"
    key = changed[0]
    more = f" (+{len(changed) - 1} more)" if len(changed) > 1 else ""
    if key == "prompts":
        return f"prompts changed{more}"
    return f"{key.removeprefix('recipe.')} {_short(before.get(key))} → {_short(after[key])}{more}"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{prefix}{key}.").items()}
    return {prefix[:-1]: value}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:20] + "…" + text[-12:]


@dataclass(frozen=True)
class Result:
    """One finished stage."""

    stage: Stage
    ref: Ref
    record: dict[str, Any]
    cached: bool


def run(
    recipe: Recipe,
    session: Session,
    *,
    only: str | None = None,
    again_from: str | None = None,
    on_result: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Run what is not finished yet; stages that do not need each other run side by side (`runtime.jobs`).

    Args:
        recipe: what to make.
        session: with what.
        only: make just this stage, and what it needs.
        again_from: run this stage and everything after it again, finished or not.
        on_result: called as each stage is finished.

    Raises:
        HubSpeedError: the first stage that failed; the finished ones are published.
        RecipeError: mteb does not know one of the benchmarks; nothing was started.
    """
    order = wanted(recipe, only)
    again = _after(again_from, order, recipe) if again_from else set()
    of_mteb = [name for name in recipe.evaluate.benchmarks if name.startswith("mteb:")]
    if of_mteb and "evaluate" in [s.name for s in order]:
        from hub_speed.training.process.launch import (
            check_benchmarks,  # the explorer uses this module, and has no training
        )

        check_benchmarks(of_mteb)  # days before they are needed
    digest = prompts_digest()
    done: dict[str, Result] = {}
    running: dict[Future[Result], Stage] = {}
    failed: list[BaseException] = []
    with ThreadPoolExecutor(recipe.runtime.jobs) as pool:
        while True:
            if not failed and not session.stop.is_set():
                ready = [
                    s for s in order if s.name not in done and s not in running.values() and _is_ready(s, recipe, done)
                ]
                ready = ready[: recipe.runtime.jobs - len(running)]
                threads = max(1, stage.cores() // max(1, len(running) + len(ready)))
                refs = {name: result.ref for name, result in done.items()}
                for s in ready:
                    worker = _Worker(s, recipe, session, digest, threads, again=s.name in again)
                    running[pool.submit(worker.run, refs)] = s
            if not running:
                break
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                s = running.pop(future)
                if error := future.exception():
                    failed.append(error)
                    session.stop.set()  # what runs beside it stops at a safe point, too
                else:
                    done[s.name] = future.result()
                    on_result(done[s.name])
    if failed:
        raise next((error for error in failed if not isinstance(error, Stopped)), failed[0])
    if session.stop.is_set():
        raise Stopped("stopped", fix="finished stages are safe; run the same command to go on")
    return [done[s.name] for s in order]


def _is_ready(s: Stage, recipe: Recipe, done: dict[str, Result]) -> bool:
    return all(source.name in done for source in s.inputs(recipe).values() if isinstance(source, FromStage))


def count_topics(recipe: Recipe, session: Session) -> int:
    """How many topics there are to brainstorm for; 0 when they are not on the Hub yet."""
    name = recipe.brainstorm.topics
    if name.endswith(".txt"):
        return len(topics.read_file(Path(name)))
    try:
        ref = session.hub.pin("dataset", session.full_name(name))
    except HubError:
        return 0
    return count_parquet(session.hub.fetch(ref, "data/*"))


def finished(recipe: Recipe, session: Session) -> list[Result]:
    """The finished stages of a recipe, as they are on the Hub.

    Raises:
        RecipeError: none is finished.
    """
    steps = plan(recipe, session)
    found = [Result(s.stage, s.ref, session.hub.record(s.ref) or {}, cached=True) for s in steps if s.ref]
    if not found:
        raise RecipeError(
            f"recipe {recipe.name}: nothing of it is on {session.hub.endpoint} under {session.org}",
            fix=f"hub-speed run {recipe.name} --org {session.org}",
        )
    return found


def collect(recipe: Recipe, session: Session, results: list[Result]) -> None:
    """Put what a run has produced into one collection, so that it is found together."""
    about = f"Made by hub_speed, recipe {recipe.name}: data, generators, embedder and scores."
    session.hub.collect(session.org, f"SPEED {recipe.name}", [result.ref for result in results], about)


def write_lock(recipe: Recipe, session: Session, results: list[Result], path: Path) -> None:
    """Record what a run has produced, and from which versions."""
    versions = {r.stage.name: {"repo": r.ref.repo, "commit": r.ref.commit, "tag": _tag_of(r)} for r in results}
    own = {version["repo"] for version in versions.values()}
    inputs = {f"{i['repo']}": i["commit"] for r in results for i in r.record["inputs"].values() if i["repo"] not in own}
    lock = {"recipe": recipe.name, "org": session.org, "hub": session.hub.endpoint, "inputs": inputs} | {
        "stages": versions
    }
    path.write_text(
        "# What `hub-speed run` has produced; written by it.\n" + yaml.safe_dump(lock, sort_keys=False), "utf-8"
    )


def _tag_of(result: Result) -> str:
    return stage.tag(result.record["fingerprint"])


def _after(name: str, order: list[Stage], recipe: Recipe) -> set[str]:
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


@dataclass
class _Worker:
    """Runs one stage: pin, look up, fetch, build, publish."""

    stage: Stage
    recipe: Recipe
    session: Session
    digest: str
    threads: int
    again: bool

    def run(self, done: dict[str, Ref]) -> Result:
        s, session = self.stage, self.session
        refs = _pin(s, self.recipe, session, done)
        identity = stage.identity(s, self.recipe, refs, self.digest)
        fingerprint = stage.fingerprint(identity)
        if found := self._finished(fingerprint):
            return found
        work = session.home / "work" / session.org / f"{s.name}-{fingerprint}"
        with locked(work):
            if found := self._finished(fingerprint):  # by another process, since it was looked for
                return found
            work.mkdir(exist_ok=True)
            ctx = self._context(refs, identity, fingerprint, work)
            stage.build(s, ctx, render)
            ref = stage.publish(s, ctx, session.hub, session.org, session.branch)
        return Result(s, ref, session.hub.record(ref) or {}, cached=False)

    def _finished(self, fingerprint: str) -> Result | None:
        s, hub = self.stage, self.session.hub
        ref = None if self.again else hub.find(s.kind, s.repo(self.session.org), stage.tag(fingerprint))
        return Result(s, ref, hub.record(ref) or {}, cached=True) if ref else None

    def _context(self, refs: dict[str, Ref], identity: dict[str, Any], fingerprint: str, work: Path) -> Context:
        s, session, recipe = self.stage, self.session, self.recipe
        inputs = {name: session.hub.fetch(ref) for name, ref in refs.items()}
        record = RunRecord(
            stage=s.name,
            fingerprint=fingerprint,
            recipe=recipe.name,
            identity=identity,
            inputs={name: asdict(ref) for name, ref in refs.items()},
            lineage=_lineage(refs, inputs, self._licences(refs)),
            license=recipe.license,
        )
        threads, log = self.threads, work / "server.log"
        return Context(
            recipe=recipe,
            repo=s.repo(session.org),
            inputs=inputs,
            refs=refs,
            out=work / "out",
            work=work,
            record=record,
            progress=session.progress(s.name),
            stop=session.stop,
            threads=threads,
            budget=session.budget,
            address=lambda name, weights: session.address(recipe, name, weights, threads, log),
        )

    def _licences(self, refs: dict[str, Ref]) -> dict[str, list[str]]:
        """Licences of the inputs that are not this run's own; nothing comes from a benchmark."""
        sources, hub = self.stage.inputs(self.recipe), self.session.hub
        others = [name for name in refs if isinstance(sources[name], FromHub) and not name.startswith("benchmark ")]
        return {name: hub.licences(refs[name]) for name in others}


def _lineage(
    refs: dict[str, Ref], inputs: dict[str, Path], licences: dict[str, list[str]]
) -> dict[str, dict[str, Any]]:
    """All ancestors, from the records of the inputs."""
    found: dict[str, dict[str, Any]] = {}
    for name, ref in refs.items():
        path = inputs[name] / RECORD
        stated = {"licences": licences[name]} if name in licences else {}
        if not path.exists():
            found[f"{ref.repo}@{ref.commit}"] = {"stage": "", "inputs": []} | stated
            continue
        record = json.loads(path.read_text("utf-8"))
        found |= record["lineage"]
        found[f"{ref.repo}@{ref.commit}"] = {
            "stage": record["stage"],
            "inputs": [f"{i['repo']}@{i['commit']}" for i in record["inputs"].values()],
            **{key: record[key] for key in ("accepted", "calls", "prompt_tokens", "completion_tokens", "seconds")},
            **({"quality": record["measures"]["quality"]} if "quality" in record["measures"] else {}),
            **stated,
        }
    return found
