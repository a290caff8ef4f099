"""The functions of the command line for Python and notebooks: open a Hub, plan and run a recipe, make and read rows.

Import Hugging Face libraries (`datasets`, `transformers`, …) after `open_hub`: they read their settings once, when they
are imported. For the same reason this module imports what it needs inside its functions.
"""

import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hub_speed.errors import HubError, RecipeError, did_you_mean

if TYPE_CHECKING:
    from hub_speed.data_quality.report import Report
    from hub_speed.hub import Hub, Ref
    from hub_speed.pipeline.plan import Step
    from hub_speed.pipeline.run import Result
    from hub_speed.pipeline.session import Session
    from hub_speed.recipe import Recipe
    from hub_speed.release import Released
    from hub_speed.stage import Estimate, Progress
    from hub_speed.study.runs import Load, Run, Study

DEFAULT_ORG = "speed-demo"

Pairs = Mapping[str, object] | Sequence[str]
"""Names with values: a mapping, or a list of `name=value` as on the command line."""


def default_home() -> Path:
    """The folder of everything this program keeps on this machine: $HUB_SPEED_HOME, or ~/.hub_speed."""
    return Path(os.environ.get("HUB_SPEED_HOME", "~/.hub_speed")).expanduser()


# --- a Hub ------------------------------------------------------------------------------------------------------------


@dataclass
class OpenHub:
    """A Hub that is open until `close()`, or until its `with` block ends.

    Attributes:
        hub: reads and publishes versions.
        home: folder of the work in progress and, for the embedded Hub, of its repositories.
        local: whether this is the embedded Hub.
    """

    hub: "Hub"
    home: Path
    local: bool
    _closing: ExitStack = field(repr=False)

    @property
    def endpoint(self) -> str:
        """The address of the Hub."""
        return self.hub.endpoint

    def close(self) -> None:
        """Stop the embedded Hub and restore the environment variables that `open_hub` has set. May be called twice."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_hub(where: str = "local", *, home: Path | str | None = None, private: bool = False) -> OpenHub:
    """Open a Hub; close the result, or use it in a `with` block.

    Until it is closed, environment variables such as HF_ENDPOINT point every Hugging Face library at this Hub. That
    holds for libraries that are imported after this call, and for child processes.

    Args:
        where: "local" for the embedded Hub, or an address such as https://huggingface.co.
        home: folder of this program; `default_home()` when left out.
        private: whether new repositories are private.

    Raises:
        HubError: the embedded Hub cannot start, or a Hugging Face library was imported before with other settings.

    Example:
        >>> hub = open_hub(home="/tmp/speed")
        >>> hub.endpoint
        'http://127.0.0.1:41235'
        >>> hub.close()
    """
    folder = default_home() if home is None else Path(home).expanduser()
    with ExitStack() as stack:
        if where == "local":
            from hub_speed.localhub import LocalHub

            _check_clients()
            local = stack.enter_context(LocalHub(folder))
            endpoint = str(local.endpoint)
            token = (local.hf_home / "token").read_text(
                "utf-8"
            )  # read at each request, also by a client imported before
            variables = local.env() | {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_TOKEN": token}
        else:
            endpoint = where.rstrip("/")
            variables = {"HF_ENDPOINT": endpoint}
        stack.enter_context(_environment(variables))
        from hub_speed.hub import Hub

        return OpenHub(Hub(endpoint, private=private), folder, where == "local", stack.pop_all())
    raise AssertionError("no exception is swallowed above")


def _check_clients() -> None:
    """Raises a HubError when the client library was imported before and would upload as only huggingface.co can."""
    constants = sys.modules.get("huggingface_hub.constants")
    if constants and not constants.HF_HUB_DISABLE_XET:
        raise HubError(
            "open_hub: huggingface_hub has been imported already, with the settings of another Hub",
            expected="open_hub before datasets, transformers and other Hugging Face libraries",
            fix="restart Python (or the notebook's kernel) and open the Hub first; or set HF_HUB_DISABLE_XET=1 there",
        )


_environments: list[Mapping[str, str]] = []  # of the Hubs that are open, in the order in which they were opened
_users: dict[str, str | None] = {}  # the same variables as the user had set them


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables; at the end, those of the newest Hub that is still open, or the user's, hold again."""
    for name in variables:
        _users.setdefault(name, os.environ.get(name))
    _environments.append(variables)
    os.environ.update(variables)
    try:
        yield
    finally:
        _environments[:] = [each for each in _environments if each is not variables]
        for name in variables:
            left = [each[name] for each in _environments if name in each]
            value = left[-1] if left else _users.pop(name)
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def serve_hub(port: int | None = None, home: Path | None = None) -> None:
    """Serve the embedded Hub on 127.0.0.1 until SIGINT or SIGTERM."""
    from hub_speed.localhub import DEFAULT_PORT, LocalHub

    LocalHub(home or default_home()).serve_forever(port or DEFAULT_PORT)


def hub_environment(port: int | None = None, home: Path | None = None) -> dict[str, str]:
    """The environment variables that point any Hub client at the Hub of `serve_hub`."""
    from hub_speed.localhub import DEFAULT_PORT, LocalHub

    hub = LocalHub(home or default_home())
    hub.endpoint = f"http://127.0.0.1:{port or DEFAULT_PORT}"
    return hub.env()


# --- a recipe ---------------------------------------------------------------------------------------------------------


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
        estimates: what each stage takes when it runs.
    """

    recipe: "Recipe"
    org: str
    endpoint: str
    steps: "list[Step]"
    estimates: "list[Estimate]"


def plan(recipe: "Recipe", hub: OpenHub, *, org: str = DEFAULT_ORG, only: str | None = None) -> Plan:
    """What would run and why, and the model calls it would take. Reads the Hub, writes nothing.

    Args:
        recipe: what to make.
        hub: where finished stages are looked for.
        org: organisation or user that owns the repositories.
        only: just this stage, and what it needs.

    Example:
        >>> [step.stage.name for step in plan(load_recipe("quickstart"), hub, only="seed").steps]
        ['brainstorm', 'seed']
    """
    from hub_speed.pipeline import plan as plans

    with open_session(recipe, hub, org=org) as (session, pinned):
        steps, topics = plans.plan(pinned, session, only), _count_topics(pinned, session)
        estimates = [step.stage.estimate(pinned, topics) for step in steps]
        return Plan(pinned, org, hub.endpoint, steps, estimates)


def run(
    recipe: "Recipe",
    hub: OpenHub,
    *,
    org: str = DEFAULT_ORG,
    endpoints: Pairs = (),
    only: str | None = None,
    again_from: str | None = None,
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
    from hub_speed import release as releases

    with open_session(recipe, hub, org=org) as (session, pinned):
        return releases.release(pinned, session, tag, allow_conflict=allow_conflict)


# --- a study ----------------------------------------------------------------------------------------------------------


def plan_study(study: "Study", hub: OpenHub, *, org: str = DEFAULT_ORG) -> "list[Load]":
    """What a study will run and what it finds finished, stage by stage. Reads the Hub, writes nothing."""
    from hub_speed.study import runs

    with open_session(study.recipe, hub, org=org) as (session, pinned):
        return runs.plan(study, session, _count_topics(pinned, session))


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
    """
    from hub_speed.study import report, runs

    recipe = study.recipe
    with open_session(recipe, hub, org=org, endpoints=endpoints, progress=progress, publish=True) as (session, _):
        outcomes = runs.execute(study, session, on_run, on_result)
        law = runs.scaling_law(study, session, on_result) if scaling else None
        facts = report.record(study, outcomes, margin, law)
        ref = report.publish(facts, session)
    if out:
        report.write_docs(facts, out)
    return facts, ref


# --- rows -------------------------------------------------------------------------------------------------------------


def load_rows(
    repo_or_folder: str | Path,
    hub: OpenHub | None = None,
    *,
    revision: str = "main",
    task_type: str | None = None,
    state: str | None = None,
    reason: str | None = None,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """The rows of a dataset, by id, read one after the other; or the lines of its ledger.

    Args:
        repo_or_folder: org/name or org/name@revision, a folder of its files, or the work folder of a stage.
        hub: where the repository is; a folder needs none.
        revision: tag, branch or commit of a repository named without one.
        task_type: only rows of this task type.
        state: read the ledger instead, only lines in this state: accepted, repaired, reasked, rejected or failed.
        reason: read the ledger instead, only lines with this reason (`rows.REASONS`).
        limit: at most so many rows.

    Raises:
        HubError: there is no such repository or revision.
        RecipeError: the repository has no rows, or no ledger; or there is no such task type, state or reason.

    Example:
        >>> [row["query"] for row in load_rows("speed-demo/speed-seed", hub, task_type="retrieval", limit=1)]
        ['why do onions make you cry']
    """
    from hub_speed.rows import REASONS, STATES
    from hub_speed.task_types import TASK_TYPES

    wanted: dict[str, str] = {}
    for name, value, known in (
        ("task_type", task_type, list(TASK_TYPES)),
        ("state", state, list(STATES)),
        ("reason", reason, list(REASONS)),
    ):
        if value is None:
            continue
        wanted[name] = value
        if value not in known:
            raise RecipeError(
                f"rows: {name} {value}", expected=f"one of {', '.join(known)}", fix=did_you_mean(value, known)
            )
    if limit is not None and limit < 0:
        raise RecipeError(f"rows: limit {limit}", expected="0 or more")
    rows = _read_rows(repo_or_folder, hub, revision, ledger=bool(state or reason))
    return islice((row for row in rows if all(row.get(name) == wanted[name] for name in wanted)), limit)


def _read_rows(place: str | Path, hub: OpenHub | None, revision: str, *, ledger: bool) -> Iterator[dict[str, Any]]:
    """All rows (of all task types, by id) or the ledger of a repository, or the ledger of a work folder."""
    import heapq

    from hub_speed.generation.ledger import Journal
    from hub_speed.parquet import read_parquet

    if (Path(place) / "ledger.sqlite").exists():
        with Journal(Path(place)) as journal:
            yield from journal.entries()
        return
    part = _folder_of(place, hub, revision) / ("ledger" if ledger else "data")
    if not part.is_dir():
        raise RecipeError(f"{place}: there is no {part.name}", expected="a repository that hub-speed has published")
    kinds = [path for path in sorted(part.iterdir()) if path.is_dir()]  # one of each task type, itself by id
    yield from heapq.merge(*map(read_parquet, kinds), key=lambda row: row["id"]) if kinds else read_parquet(part)


def _folder_of(place: str | Path, hub: OpenHub | None, revision: str) -> Path:
    """The files of a dataset: a folder, `org/name@revision`, or `org/name` at the revision given beside it."""
    if Path(place).is_dir():
        return Path(place)
    if hub is None:
        raise RecipeError(f"{place}: no such folder", fix="if it is a repository, say on which Hub: open_hub(…)")
    name = str(place)
    return hub.hub.fetch(hub.hub.pin("dataset", name if "@" in name else f"{name}@{revision}"))


def quality(
    sets: Sequence[str | Path], hub: OpenHub | None = None, *, revision: str = "main", model: str | None = None
) -> "list[Report]":
    """Measure sets of rows: variety, hardness, mistakes.

    Args:
        sets: dataset repositories (org/name or org/name@revision) or folders, with query, positive and negative.
        hub: where the repositories are; folders need none.
        revision: tag, branch or commit of repositories named without one.
        model: compare texts with this SentenceTransformer (name or folder), not by their words.

    Returns:
        One report a set, in order; `report.numbers()` are its measures.

    Raises:
        HubError: there is no such repository or revision.
        RecipeError: a set has no rows, or lacks a column, or the model cannot be loaded.

    Example:
        >>> quality(["speed-demo/speed-seed"], hub)[0].rows
        200
    """
    from hub_speed.data_quality.report import measure

    folders = [_folder_of(name, hub, revision) for name in sets]
    embed = None
    if model:
        from hub_speed.data_quality.encoder import encoder

        embed = encoder(model)
    return measure(folders, embed, model or "")


@dataclass(frozen=True)
class Generated:
    """What `generate` made, by id.

    Attributes:
        rows: checked training rows: `query`, `positive`, `negative`, `instruction` and the columns of `rows.SeedRow`.
        rejected: the other lines of the ledger (`rows.LedgerRow`), each with its `reason` and the model's texts.
    """

    rows: list[dict[str, Any]]
    rejected: list[dict[str, Any]]


def generate(
    *,
    tasks: Sequence[str] = (),
    passages: Sequence[str] = (),
    task_type: str = "retrieval",
    rows: int | None = None,
    endpoint: str,
    model: str,
    key: str | None = None,
    folder: Path | str | None = None,
    languages: Mapping[str, float] | None = None,
    knobs: Mapping[str, object] | None = None,
    rng_seed: int = 42,  # Assumption, as in `recipe.Recipe`
    teacher: Mapping[str, object] | None = None,
    runtime: Mapping[str, object] | None = None,
) -> Generated:
    """Have a model write training rows, without a recipe and without a Hub.

    Row i depends on its number alone, not on how many rows there are: asking for more keeps the earlier ones.

    Args:
        tasks: what the rows are for, one sentence each. Each row is written for one of them, drawn at random.
        passages: texts that become the positives, one row each; the model writes a query and a hard negative.
        task_type: retrieval, classification, sts, short_matching, long_matching or bitext.
        rows: how many are asked for: 100 when left out, or one for each passage.
        endpoint: address of an OpenAI-like server; "tgi+http://…" for another dialect.
        model: its name there.
        key: of the endpoint; $HUB_SPEED_TEACHER_KEY when left out.
        folder: keeps the ledger, so that the same call goes on after it was stopped. A temporary one when left out.
        languages: language → weight; English when left out.
        knobs: values of the prompt's knobs, for example {"query_length": ["less than 5 words"]}.
        rng_seed: decides what is drawn.
        teacher: how the model is asked: fields of `recipe.Teacher`, for example {"max_tokens": 1000}.
        runtime: how it is worked: fields of `recipe.Runtime`, for example {"in_flight": 8}.

    Raises:
        RecipeError: an argument is wrong; nothing was asked.
        EndpointError: the endpoint cannot be used.
        StageError: the folder holds the rows of other arguments.
        Stopped: Ctrl-C; with a folder, the same call goes on.

    Example:
        >>> made = generate(tasks=["Given a dish, find its recipe."], rows=20, endpoint="http://gpu1:8000", model="m")
        >>> made.rows[0]["query"], [line["reason"] for line in made.rejected]
        ('bread without an oven', ['too_short'])
    """
    from hub_speed.generation.ledger import Journal
    from hub_speed.generation.writing import Writing
    from hub_speed.llm.addresses import Addresses
    from hub_speed.pipeline.lock import locked

    changes = {"teacher": {**(teacher or {}), "model": model}, "rng_seed": rng_seed, "runtime": runtime or {}}
    changes |= {"languages": languages or {"English": 1.0}, task_type: knobs or {}}
    recipe = _one_type(task_type, changes)
    writing = Writing(recipe, task_type, tuple(tasks), tuple(passages), rows)
    with (
        tempfile.TemporaryDirectory() if folder is None else nullcontext(folder) as work,
        locked(Path(work)),
        Journal(Path(work), writing.identity()) as journal,
        _stopping() as stop,
        Addresses([f"teacher={endpoint}"], stop.is_set).open(recipe, "teacher", None, 1, Path(work) / "log") as address,
    ):
        address = replace(address, key=key) if key else address
        with ThreadPoolExecutor(1) as pool:  # a notebook's own event loop runs in this thread
            pool.submit(writing.ask, journal, address, stop).result()
        return Generated(list(writing.rows(journal)), list(writing.rejected(journal)))


def _one_type(task_type: str, changes: Mapping[str, object]) -> "Recipe":
    """A recipe of one task type.

    Raises:
        RecipeError: there is no such task type, or a value is wrong.
    """
    from pydantic import ValidationError

    from hub_speed.recipe import Recipe
    from hub_speed.task_types import TASK_TYPES

    if task_type not in TASK_TYPES:
        known = ", ".join(TASK_TYPES)
        raise RecipeError(f"task_type {task_type}", expected=f"one of {known}", fix=did_you_mean(task_type, TASK_TYPES))
    try:
        return Recipe.model_validate({"name": "generate", "mixture": {task_type: 1}, **changes})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise RecipeError(f"generate: {where}", expected=problem["msg"], got=f"{problem['input']!r:.80}") from error


# --- the explorer -----------------------------------------------------------------------------------------------------


def run_space(hub: OpenHub, *, org: str = DEFAULT_ORG, port: int | None = None) -> None:
    """Open the explorer on 127.0.0.1 until Ctrl-C; see `space.run`."""
    from hub_speed import space

    space.run(hub.hub, org, port)


def push_space(hub: OpenHub, *, org: str = DEFAULT_ORG) -> "Ref":
    """Publish the explorer as the Space <org>/speed-explorer; returns its version."""
    from hub_speed import space

    return space.push(hub.hub, org)


# --- what the functions above share -----------------------------------------------------------------------------------


@contextmanager
def open_session(
    recipe: "Recipe",
    hub: OpenHub,
    *,
    org: str = DEFAULT_ORG,
    endpoints: Pairs = (),
    progress: "Callable[[str], Progress] | None" = None,
    publish: bool = False,
) -> "Iterator[tuple[Session, Recipe]]":
    """A session, and the recipe with its topic file as a pinned version.

    Args:
        recipe: what to make.
        hub: where everything is read from and published to.
        org: organisation or user that owns the repositories.
        endpoints: where models are.
        progress: stage name → where the stage reports its progress.
        publish: whether the recipe's topic file, and what the quickstart brings along, may be published.
    """
    from hub_speed.llm.addresses import Addresses
    from hub_speed.llm.budget import BudgetMeter
    from hub_speed.pipeline.session import Session
    from hub_speed.pipeline.topic_file import with_topics
    from hub_speed.quickstart import assets

    with _stopping() as stop:
        given = [f"{name}={url}" for name, url in endpoints.items()] if isinstance(endpoints, Mapping) else endpoints
        address = Addresses(list(given), stop.is_set).open
        session = Session(hub.hub, org, hub.home, address, stop=stop, budget=BudgetMeter(recipe.effective_budget))
        if progress:
            session.progress = progress
        if publish and recipe.offline:
            assets.publish(hub.hub, org)
        yield session, with_topics(recipe, session, publish=publish)


def _count_topics(recipe: "Recipe", session: "Session") -> int:
    """How many topics there are, also before the quickstart's are on the Hub."""
    from hub_speed.pipeline.topic_file import count_topics
    from hub_speed.quickstart import assets

    return count_topics(recipe, session) or (assets.count_topics() if recipe.offline else 0)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a second one raises KeyboardInterrupt.

    In another thread than the main one, signals are left alone: Python handles them in the main thread only.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
