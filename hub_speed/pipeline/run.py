"""Runs the stages of a recipe that are not finished, several side by side; records what was produced."""

import shlex
import shutil
import threading
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from hub_speed import stage
from hub_speed.cards.render import render
from hub_speed.cores import gpu_part
from hub_speed.errors import Busy, HubError, RecipeError, Stopped
from hub_speed.hub import RECORD, Hub
from hub_speed.pipeline import extend
from hub_speed.pipeline.lock import lock_file, locked
from hub_speed.pipeline.plan import pin, pin_repo, plan
from hub_speed.pipeline.session import Session
from hub_speed.pipeline.table import descendants, wanted
from hub_speed.recipe import Recipe
from hub_speed.record import Ancestor, Ref, RunRecord, fingerprint_of, tag_of
from hub_speed.shared import Share
from hub_speed.stage import Context, FromHub, FromStage, Stage

LOOK_EVERY_S = 0.1  # between two looks at whether the user wants to stop


@dataclass(frozen=True)
class Result:
    """One finished stage."""

    stage: Stage
    ref: Ref
    record: RunRecord
    cached: bool


def record_of(hub: Hub, ref: Ref) -> RunRecord:
    """How a version that a stage has published was made.

    Raises:
        HubError: the version has no record.
    """
    record = hub.record(ref)
    if record is None:
        raise HubError(f"{ref}: {RECORD} is missing", fix="delete the tag on the Hub and run the stage again")
    return record


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
        RecipeError: mteb does not know one of the benchmarks, or there is nothing to extend, or what is to be
            extended is to be made again as well; nothing was started.
        NotFound: a Hub input of a stage that has to run is missing, or may not be read; nothing was started.
    """
    if again_from and session.extend:
        raise RecipeError(
            f"--from {again_from}: not together with --extend",
            expected="--from to ask for every row again, or --extend to ask only for those that are new",
        )
    order = wanted(recipe, only)
    again = descendants(again_from, order, recipe) if again_from else set()
    _check_mteb(recipe, order)
    _check_inputs(recipe, session, only, again)
    done: dict[str, Result] = {}
    running: dict[Future[Result], Stage] = {}
    places: dict[str, int] = {}  # stage at work → which part of the GPUs it has
    failed: list[BaseException] = []
    stop = threading.Event()  # of this run alone: a failed stage must not set the session's
    with ThreadPoolExecutor(recipe.runtime.jobs) as pool:
        while True:
            if not (stop.is_set() or session.stop.is_set()):
                left = [s for s in order if s.name not in done and s not in running.values()]
                ready = [s for s in left if _is_ready(s, recipe, done)][: recipe.runtime.jobs - len(running)]
                threads = max(1, session.threads // max(1, len(running) + len(ready)))
                refs = {name: result.ref for name, result in done.items()}
                for s in ready:
                    places[s.name] = min(set(range(recipe.runtime.jobs)) - set(places.values()))
                    devices = gpu_part(session.devices, places[s.name], recipe.runtime.jobs)
                    worker = Worker(s, recipe, session, stop, threads, devices, again=s.name in again)
                    running[pool.submit(worker.run, refs)] = s
            if not running:
                break
            finished, _ = wait(running, timeout=LOOK_EVERY_S, return_when=FIRST_COMPLETED)
            if session.stop.is_set():
                stop.set()
            for future in finished:
                s = running.pop(future)
                del places[s.name]
                if error := future.exception():
                    failed.append(error)
                    stop.set()  # the stages beside it stop at a safe point
                else:
                    done[s.name] = future.result()
                    on_result(done[s.name])
    if failed:
        raise next((error for error in failed if not isinstance(error, Stopped)), failed[0])
    if session.stop.is_set():
        raise Stopped("stopped", fix="finished stages are safe; run the same command to go on")
    return [done[s.name] for s in order]


def _check_mteb(recipe: Recipe, order: list[Stage]) -> None:
    """Asks mteb whether it knows the recipe's benchmarks, days before they are needed."""
    of_mteb = [name for name in recipe.evaluate.benchmarks if name.startswith("mteb:")]
    if of_mteb and "evaluate" in [s.name for s in order]:
        # the explorer uses this module and has no evaluation
        from hub_speed.evaluation.benchmark_names import check_benchmarks

        check_benchmarks(of_mteb)


def _check_inputs(recipe: Recipe, session: Session, only: str | None, again: Collection[str]) -> None:
    """Pins every Hub input, reads its licence, asks for the right to publish: before the first call is paid for."""
    steps = plan(recipe, session, only, again)
    if problem := next((step.problem for step in steps if step.problem), None):
        raise problem
    if session.extend:
        extend.check(steps, recipe, session)
    if first := next((step.stage for step in steps if not step.ref), None):
        session.hub.check_may_write(first.kind, first.repo(session.org))
    for step in steps:
        for name, source in step.stage.inputs(recipe).items():
            if not step.ref and isinstance(source, FromHub) and not name.startswith("benchmark "):
                session.hub.licences(pin_repo(source, session))


def _is_ready(s: Stage, recipe: Recipe, done: dict[str, Result]) -> bool:
    return all(source.name in done for source in s.inputs(recipe).values() if isinstance(source, FromStage))


def finished(recipe: Recipe, session: Session) -> list[Result]:
    """The finished stages of a recipe, as they are on the Hub.

    Raises:
        RecipeError: none is finished.
    """
    steps = plan(recipe, session)
    found = [Result(s.stage, s.ref, record_of(session.hub, s.ref), cached=True) for s in steps if s.ref]
    if not found:
        raise RecipeError(
            f"recipe {recipe.name}: nothing of it is on {session.hub.endpoint} under {session.org}",
            fix=f"hub-speed run {shlex.quote(recipe.given)} --org {session.org}",
        )
    return found


def collect(recipe: Recipe, session: Session, results: list[Result], tag: str = "") -> None:
    """Put what a run has produced into one collection, so that it is found together; a release says its tag."""
    about = f"Made by hub_speed, recipe {recipe.name}: data, generators, embedder and scores."
    notes = {result.ref: f"{tag}: {result.stage.purpose}" if tag else result.stage.purpose for result in results}
    session.hub.collect(session.org, f"SPEED {recipe.name}", notes, about)


def write_lock(recipe: Recipe, session: Session, results: list[Result], path: Path) -> None:
    """Record what a run has produced, and from which versions."""
    versions = {
        r.stage.name: {"repo": r.ref.repo, "commit": r.ref.commit, "tag": tag_of(r.record.fingerprint)} for r in results
    }
    own = {version["repo"] for version in versions.values()}
    inputs = {ref.repo: ref.commit for r in results for ref in r.record.inputs.values() if ref.repo not in own}
    lock = {"recipe": recipe.name, "org": session.org, "hub": session.hub.shown, "inputs": inputs} | {
        "stages": versions
    }
    path.write_text(
        "# What `hub-speed run` has produced; written by it.\n" + yaml.safe_dump(lock, sort_keys=False), "utf-8"
    )


@dataclass
class Worker:
    """Runs one stage: pin, look up, fetch, build, publish. `share`: of a stage that several ranks work."""

    stage: Stage
    recipe: Recipe
    session: Session
    stop: threading.Event
    threads: int
    devices: tuple[str, ...] = ()
    again: bool = False
    share: Share | None = None

    def run(self, done: dict[str, Ref]) -> Result:
        """The stage, finished: by this call or before it."""
        s, session = self.stage, self.session
        refs = pin(s, self.recipe, session, done)
        identity = s.identity(self.recipe, refs)
        fingerprint = fingerprint_of(identity)
        work = session.home / "work" / session.org / f"{s.name}-{fingerprint}"
        if found := self._finished(fingerprint):
            _clear(work, found.record)
            return found
        with locked(work):
            if found := self._finished(fingerprint):  # by another process, since it was looked for
                _remove(work, found.record)
                return found
            work.mkdir(exist_ok=True)
            if self.again:
                (work / stage.AGAIN).touch()
            if session.extend and (old := extend.earlier(s, identity, refs, session)):
                extend.take_over(old, identity, session, work)
            ctx = self.context(refs, identity, fingerprint, work)
            stage.build(s, ctx, render)
            ref = stage.publish(s, ctx, session.hub, session.org, session.branch)
        return Result(s, ref, record_of(session.hub, ref), cached=False)

    def _finished(self, fingerprint: str) -> Result | None:
        s, hub = self.stage, self.session.hub
        ref = None if self.again else hub.find(s.kind, s.repo(self.session.org), tag_of(fingerprint))
        return Result(s, ref, record_of(hub, ref), cached=True) if ref else None

    def context(self, refs: dict[str, Ref], identity: dict[str, Any], fingerprint: str, work: Path) -> Context:
        """What the stage gets to work with; fetches its inputs."""
        s, session, recipe = self.stage, self.session, self.recipe
        sources = s.inputs(recipe)
        files = {name: source.files for name, source in sources.items() if isinstance(source, FromHub)}
        inputs = {name: session.hub.fetch(ref, *files.get(name, ())) for name, ref in refs.items()}
        record = RunRecord(
            stage=s.name,
            fingerprint=fingerprint,
            recipe=recipe.name,
            identity=identity,
            inputs=refs,
            lineage=_lineage(refs, inputs, self._licences(refs)),
            license=recipe.license,
            extends=extend.extends(work),
        )
        threads, devices, log = self.threads, self.devices, work / "server.log"
        return Context(
            recipe=recipe,
            repo=s.repo(session.org),
            inputs=inputs,
            refs=refs,
            out=work / "out",
            work=work,
            record=record,
            progress=session.progress(s.name),
            stop=self.stop,
            threads=threads,
            devices=devices,
            budget=session.budget,
            share=self.share,
            address=lambda name, weights: session.address(recipe, name, weights, threads, log, devices),
        )

    def _licences(self, refs: dict[str, Ref]) -> dict[str, list[str]]:
        """Licences of the inputs that are not this run's own; nothing comes from a benchmark."""
        sources, hub = self.stage.inputs(self.recipe), self.session.hub
        others = [name for name in refs if isinstance(sources[name], FromHub) and not name.startswith("benchmark ")]
        return {name: hub.licences(refs[name]) for name in others}


def _clear(work: Path, published: RunRecord) -> None:
    """Remove what a kill after the commit has left of a finished stage: its work folder and its lock."""
    if work.exists() or lock_file(work).exists():
        with suppress(Busy), locked(work):  # whoever works there clears up
            _remove(work, published)


def _remove(work: Path, published: RunRecord) -> None:
    """Remove the work folder of a finished stage, but not that of a re-run (`--from`) that is not published yet."""
    if not (work / stage.AGAIN).exists() or _built(work) == published:
        shutil.rmtree(work, ignore_errors=True)


def _built(work: Path) -> RunRecord | None:
    """The record of what a work folder holds, or None when it is not built yet."""
    try:
        return RunRecord.model_validate_json((work / "out" / RECORD).read_text("utf-8"))
    except (FileNotFoundError, ValidationError):
        return None


def _lineage(refs: dict[str, Ref], inputs: dict[str, Path], licences: dict[str, list[str]]) -> dict[str, Ancestor]:
    """All ancestors, from the records of the inputs."""
    found: dict[str, Ancestor] = {}
    for name, ref in refs.items():
        path, node = inputs[name] / RECORD, Ancestor()
        if path.exists():
            record = RunRecord.model_validate_json(path.read_text("utf-8"))
            found |= record.lineage
            node = record.as_ancestor()
        found[ref.version] = node.model_copy(update={"licences": licences.get(name, [])})
    return found
