"""What a stage is, and the one way to run it: pin → fetch → build → card → one commit → tag.

A stage is a function from pinned Hub commits to one new Hub commit. Its *fingerprint* is a hash of everything that
decides what comes out: the stage's version, the recipe fields it reads, the prompts and the input commits. It is only
an index: a finished stage is found by the tag `run-<12 hex>` and costs nothing.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from hub_speed.errors import StageError
from hub_speed.hub import RECORD, Hub
from hub_speed.llm.address import Address, Limits
from hub_speed.llm.budget import BudgetMeter
from hub_speed.recipe import Recipe
from hub_speed.record import Json, Kind, Ref, RunRecord, digest_of, packages, tag_of
from hub_speed.shared import Share

SURPLUS = "surplus"
"""The reason of a row that is fit to use: enough were accepted before it."""

AGAIN = "again"
"""The file in a work folder that says: the stage was finished before, and was asked for again (`--from`)."""


OWN_BENCHMARK = "benchmark of the documents"
"""The input that holds the held-out questions of the run's own documents."""


@dataclass(frozen=True)
class FromStage:
    """An input that another stage makes."""

    name: str


@dataclass(frozen=True)
class FromHub:
    """An input that is on the Hub already: `org/name`, `org/name@revision`, or `name` of the run's own organisation.

    Attributes:
        files: patterns of the files that are needed; (): all of them.
        missing: what to say as well where it is not on the Hub.
    """

    kind: Kind
    name: str
    files: tuple[str, ...] = ()
    missing: str = ""


Source = FromStage | FromHub


@dataclass(frozen=True)
class Estimate:
    """What a stage will take.

    Attributes:
        model: the model that is asked, None where none is.
        rows: how many rows are made or trained on.
        read, written: tokens.
        cost_usd: what the teacher's provider will charge; None where the recipe has no prices, or nobody charges.
        seconds: until all is answered, if each server keeps up with `runtime.in_flight` requests at once; of a training
            or scoring, on one A100 or the GPUs that were named. 0 where nothing is known.
        expected: accepted rows for each request, of a stage that asks until it has its rows; otherwise None.
        shares: the part of the calls that each model gets.
    """

    model: str | None
    rows: int
    calls: int
    read: int
    written: int
    cost_usd: float | None = None
    seconds: float = 0.0
    expected: float | None = None
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def by_model(self) -> dict[str, int]:
        """The calls that each model can expect: rows are dealt by chance."""
        return {name: round(self.calls * share) for name, share in self.shares.items()}

    def at_yield(self, share: float) -> "Estimate":
        """The same at another yield than the expected one."""
        times = (self.expected or share) / share
        calls, read, written = (round(count * times) for count in (self.calls, self.read, self.written))
        cost = None if self.cost_usd is None else self.cost_usd * times
        return replace(
            self, calls=calls, read=read, written=written, cost_usd=cost, seconds=self.seconds * times, expected=share
        )

    @property
    def tokens(self) -> int:
        """Tokens read and written together."""
        return self.read + self.written


def _nothing(_: Any) -> Json:
    return {}


@dataclass(frozen=True)
class Stage:
    """One stage: what it makes of which inputs, and all that decides the result.

    Attributes:
        version: raised when the same inputs would give another result.
        noun: the repository is `<org>/speed-<noun>`.
        purpose: one sentence for cards and `plan`.
        build: fills `ctx.out` from `ctx.inputs`.
        inputs: what the stage starts from, under a recipe.
        fields: the recipe fields that decide the result, nested as in a recipe; inputs are left out.
        prompts: name → the prompt texts and answer schemas that decide the result.
        estimate: what the stage will take, under a recipe with this many topics.
        row: the kind of row the stage publishes; None for a model.
        facts: further values for the card's template.
        figures: draws the card's own figures into a folder; name → file.
        metadata: further fields of the card's YAML header.
    """

    name: str
    version: int
    kind: Kind
    noun: str
    purpose: str
    build: "Callable[[Context], None]"
    inputs: Callable[[Recipe], dict[str, Source]]
    fields: Callable[[Recipe], Json]
    estimate: Callable[[Recipe, int], Estimate]
    prompts: Callable[[Recipe], dict[str, Any]] = _nothing
    row: type[BaseModel] | None = None
    facts: "Callable[[Context], Json]" = _nothing
    figures: "Callable[[Context, Path], dict[str, Path]]" = lambda ctx, folder: {}
    metadata: Json = field(default_factory=dict)

    def repo(self, org: str) -> str:
        """The repository this stage writes."""
        return f"{org}/speed-{self.noun}"

    def identity(self, recipe: Recipe, refs: dict[str, Ref]) -> Json:
        """Everything that decides what the stage makes of these versions."""
        return {
            "stage": self.name,
            "version": self.version,
            "recipe": self.fields(recipe),
            "prompts": {name: digest_of(text) for name, text in self.prompts(recipe).items()},
            "inputs": {name: ref.version for name, ref in sorted(refs.items())},
        }


def from_stages(*names: str) -> Callable[[Recipe], dict[str, Source]]:
    """The inputs of a stage that starts from what other stages made."""
    return lambda recipe: {name: FromStage(name) for name in names}


def teacher_input(recipe: Recipe) -> dict[str, Source]:
    """The larger embedder that an embedder learns from, where there is one."""
    name = recipe.embedder.teacher
    return {"teacher": FromHub("model", name)} if name else {}


def benchmark_inputs(recipe: Recipe) -> dict[str, Source]:
    """The benchmarks that are Hub datasets, and that of the run's own documents; mteb pins its own."""
    own: dict[str, Source] = {OWN_BENCHMARK: FromStage("benchmark")} if recipe.embedder.of_documents else {}
    return own | datasets_among(recipe.evaluate.benchmarks)


def datasets_among(names: Iterable[str]) -> dict[str, Source]:
    """The Hub datasets among benchmarks, as inputs that nothing is made of."""
    return {f"benchmark {name}": FromHub("dataset", name) for name in names if not name.startswith("mteb:")}


def benchmark_fields(recipe: Recipe) -> Json:
    """The recipe fields that say what is scored, beside `benchmark_inputs`."""
    of_mteb = [name for name in recipe.evaluate.benchmarks if name.startswith("mteb:")]
    return {"evaluate": {"benchmarks": of_mteb, "instructions": recipe.evaluate.instructions}}


def pick(recipe: Recipe, *names: str) -> Json:
    """The named recipe fields, `section.field` or a field of the recipe itself, nested as in a recipe."""
    found: Json = {}
    for name in names:
        section, _, field_name = name.rpartition(".")
        value = recipe.model_dump(mode="json", include={section: {field_name}} if section else {field_name})
        if section:
            found.setdefault(section, {}).update(value[section])
        else:
            found |= value
    return found


class Progress(Protocol):
    """Where a stage says how far it is."""

    def start(self, total: int, unit: str, done: int = 0) -> None:
        """How much there is to do, and how much of it an earlier run did."""

    def advance(self, n: int) -> None:
        """`n` more are done."""

    def note(self, text: str) -> None:
        """A short word on how it goes (a loss, a rate)."""

    def measure(self, numbers: dict[str, Any]) -> None:
        """Numbers on how the asking goes (`generation/meter.py`)."""


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
        devices: GPUs it may use, as CUDA_VISIBLE_DEVICES names them; (): nobody has said which.
        address: where a model is: ("teacher", None), or (stage name, folder of its files) which may start a server.
        budget: what the run may spend on the teacher.
        share: of a stage that several ranks work: which part is this process's.
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
    budget: BudgetMeter = field(default_factory=BudgetMeter)
    share: Share | None = None
    devices: tuple[str, ...] = ()

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
    render_card(stage, ctx)  # measures the rows it shows as well
    (ctx.out / RECORD).write_text(ctx.record.model_dump_json(indent=1) + "\n", "utf-8")
    _flush(*ctx.out.rglob("*"), ctx.out)  # after a power cut, the mark must not stand beside half of the files
    done.touch()
    _flush(done, ctx.work)


def _flush(*paths: Path) -> None:
    """Flush files and folders to the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def publish(stage: Stage, ctx: Context, hub: Hub, org: str, branch: str) -> Ref:
    """Commit and tag what was built, then remove the work folder. A kill in between is seen to by the next run."""
    ref = hub.publish(
        stage.kind,
        stage.repo(org),
        ctx.out,
        message=f"{stage.name}: {ctx.record.recipe}",
        tag=tag_of(ctx.record.fingerprint),
        branch=branch,
        note=ctx.progress.note,
    )
    (ctx.work / AGAIN).unlink(missing_ok=True)
    shutil.rmtree(ctx.work, ignore_errors=True)
    return ref


def too_many_rejected(rows_in: int, accepted: int, rejected: Mapping[str, int], limit: float) -> bool:
    """Whether so many rows were rejected that none is published; what is only surplus was fit to use."""
    unfit = sum(rejected.values()) - rejected.get(SURPLUS, 0)
    return rows_in > 0 and (not accepted or unfit > limit * rows_in)


def _check_rejects(stage: Stage, ctx: Context) -> None:
    record, limit = ctx.record, ctx.recipe.runtime.max_reject_rate
    if stage.kind == "dataset" and too_many_rejected(record.rows_in, record.accepted, record.rejected, limit):
        unfit = {reason: count for reason, count in record.rejected.items() if reason != SURPLUS}
        worst = ", ".join(f"{reason} {n}" for reason, n in sorted(unfit.items(), key=lambda x: -x[1])[:4])
        raise StageError(
            f"{stage.name}: {sum(unfit.values())} of {record.rows_in} rows were rejected",
            expected=f"at most {limit:.0%} (runtime.max_reject_rate)",
            got=worst,
            fix=f"look at them: hub-speed rows {ctx.work}; nothing was published, and the ledger is"
            " kept. Once the cause is fixed, --set runtime.reread=true reads the answers again without asking",
        )
