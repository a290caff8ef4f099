"""What a stage is, and the one way to run it: pin → fetch → build → card → one commit → tag.

A stage is a function from pinned Hub commits to one new Hub commit. Its *fingerprint* is a hash of everything that
decides what comes out: the stage's version, the recipe fields it reads, the prompts and the input commits. It is only
an index: a finished stage is found by the tag `run-<12 hex>` and costs nothing.
"""

import importlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hub_speed.errors import StageError
from hub_speed.hub import RECORD, Hub, Kind, Ref
from hub_speed.llm.address import Address, Limits
from hub_speed.llm.budget import Budget
from hub_speed.recipe import Recipe
from hub_speed.record import RunRecord, packages, tag_of


@dataclass(frozen=True)
class FromStage:
    """An input that another stage makes."""

    name: str


@dataclass(frozen=True)
class FromHub:
    """An input that is on the Hub already: `org/name`, `org/name@revision`, or `name` of the run's own organisation."""

    kind: Kind
    name: str


Source = FromStage | FromHub


@dataclass(frozen=True)
class Stage:
    """One row of the pipeline's table.

    Attributes:
        version: raised when the same inputs would give another result.
        noun: the repository is `<org>/speed-<noun>`.
        reads: the recipe sections (or `section.field`) that decide what comes out.
        inputs: what it starts from, under this recipe.
        asks: the model it asks, under this recipe: "teacher", or the stage whose model is served; None for neither.
        renders_prompts: whether the wording of the prompts decides what comes out.
        purpose: one sentence for cards and `plan`.
    """

    name: str
    version: int
    kind: Kind
    noun: str
    reads: tuple[str, ...]
    inputs: Callable[[Recipe], dict[str, Source]]
    purpose: str
    asks: str | None = None
    renders_prompts: bool = False

    def repo(self, org: str) -> str:
        """The repository this stage writes."""
        return f"{org}/speed-{self.noun}"

    def build(self, ctx: "Context") -> None:
        """Make the files of `ctx.out` from `ctx.inputs`."""
        importlib.import_module(f"hub_speed.stages.{self.name}").build(ctx)


class Progress(Protocol):
    """Where a stage says how far it is."""

    def start(self, total: int, unit: str, done: int = 0) -> None:
        """How much there is to do, and how much of it an earlier run did."""

    def advance(self, n: int) -> None:
        """`n` more are done."""

    def note(self, text: str) -> None:
        """A short word on how it goes (a loss, a rate)."""

    def measure(self, numbers: dict[str, Any]) -> None:
        """Numbers on how the asking goes (`dataset.Meter`)."""


@dataclass
class Context:
    """What a stage gets to work with.

    Attributes:
        repo: the repository that is made, with its organisation.
        inputs: name → folder of that version's files.
        refs: name → the version.
        out: the folder to fill; becomes the repository.
        work: a folder that survives a kill; the ledger lives here.
        stop: set when the user wants to stop.
        threads: processor threads this stage may use.
        address: where a model is: ("teacher", None), or (stage name, folder of its files) which may start a server.
        budget: what the run may spend on the teacher.
    """

    recipe: Recipe
    repo: str
    inputs: dict[str, Path]
    refs: dict[str, Ref]
    out: Path
    work: Path
    record: RunRecord
    progress: Progress
    stop: threading.Event
    threads: int
    address: Callable[[str, Path | None], AbstractContextManager[Address]]
    budget: Budget = field(default_factory=Budget)

    def benchmarks(self) -> list[dict[str, str]]:
        """What to score on: Hub datasets among the inputs (with folder and commit), and benchmarks of mteb by name."""
        settings = self.recipe.evaluate
        own = [
            {"name": ref.repo, "folder": str(self.inputs[name]), "commit": ref.commit}
            | {"instruction": settings.instructions.get(name.removeprefix("benchmark "), "")}
            for name, ref in self.refs.items()
            if name.startswith("benchmark ")
        ]
        return own + [{"name": name} for name in settings.benchmarks if name.startswith("mteb:")]

    @property
    def limits(self) -> Limits:
        """How hard an endpoint may be worked."""
        runtime = self.recipe.runtime
        return Limits(runtime.in_flight, runtime.timeout_s, runtime.retries, runtime.reask)


def identity(stage: Stage, recipe: Recipe, refs: dict[str, Ref], prompts_digest: str) -> dict[str, Any]:
    """Everything that decides what a stage makes."""
    fields = recipe.model_dump(mode="json")
    return {
        "stage": stage.name,
        "version": stage.version,
        "recipe": {name: _lookup(fields, name) for name in stage.reads},
        "prompts": prompts_digest if stage.renders_prompts else "",
        "inputs": {name: f"{ref.repo}@{ref.commit}" for name, ref in sorted(refs.items())},
    }


def _lookup(fields: dict[str, Any], dotted: str) -> Any:
    for part in dotted.split("."):
        fields = fields[part]
    return fields


def build(stage: Stage, ctx: Context, render_card: Callable[[Stage, Context], None]) -> None:
    """Fill `ctx.out`, unless an earlier run has done so and was stopped before it could publish.

    Raises:
        StageError: too many rows were rejected; says which reasons.
    """
    done = ctx.work / "built"
    if done.exists():
        return
    shutil.rmtree(ctx.out, ignore_errors=True)
    ctx.out.mkdir(parents=True)
    started = time.monotonic()
    stage.build(ctx)
    ctx.record.seconds = round(time.monotonic() - started, 1)
    _check_rejects(stage, ctx)
    ctx.record.packages = packages()
    render_card(stage, ctx)  # measures the rows it shows, too
    (ctx.out / RECORD).write_text(json.dumps(asdict(ctx.record), indent=1, ensure_ascii=False) + "\n", "utf-8")
    done.touch()


def publish(stage: Stage, ctx: Context, hub: Hub, org: str, branch: str) -> Ref:
    """Commit and tag what was built, then forget the work folder."""
    ref = hub.publish(
        stage.kind,
        stage.repo(org),
        ctx.out,
        message=f"{stage.name}: {ctx.record.recipe}",
        tag=tag_of(ctx.record.fingerprint),
        branch=branch,
    )
    shutil.rmtree(ctx.work, ignore_errors=True)
    return ref


def _check_rejects(stage: Stage, ctx: Context) -> None:
    record, limit = ctx.record, ctx.recipe.runtime.max_reject_rate
    rejected = sum(record.rejected.values())
    if stage.kind == "dataset" and record.rows_in and (not record.accepted or rejected > limit * record.rows_in):
        worst = ", ".join(f"{reason} {n}" for reason, n in sorted(record.rejected.items(), key=lambda x: -x[1])[:4])
        raise StageError(
            f"{stage.name}: {rejected} of {record.rows_in} rows were rejected",
            expected=f"at most {limit:.0%} (runtime.max_reject_rate)",
            got=worst,
            fix=f"look at them: hub-speed rows {ctx.work}; nothing was published, and the ledger is"
            " kept. Once the cause is mended, --set runtime.reread=true reads the answers anew without asking again",
        )


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
