"""The command line: reads flags, opens a session, prints what comes back. No logic of its own.

Heavy packages are imported inside the commands, so that `hub-speed --help` answers at once.
"""

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub_speed import __version__
from hub_speed.errors import HubSpeedError, RecipeError

if TYPE_CHECKING:
    from hub_speed.pipeline import run as pipeline
    from hub_speed.pipeline.session import Session
    from hub_speed.recipe import Recipe

app = typer.Typer(
    help="Make training data for text embedders with small aligned models (SPEED), and the embedders themselves.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
hub_app = typer.Typer(help="The embedded Hub on this machine.", no_args_is_help=True)
space_app = typer.Typer(help="The explorer Space: generate, search, look at rows.", no_args_is_help=True)
app.add_typer(hub_app, name="hub")
app.add_typer(space_app, name="space")

RecipeArg = Annotated[
    str, typer.Argument(help="quickstart, speed, speed_230k, small, open, e5, or the path of a .yaml file")
]
OrgOpt = Annotated[str, typer.Option("--org", help="organisation or user that owns the repositories")]
HubOpt = Annotated[str, typer.Option("--hub", help="local (embedded) or the address of a Hub")]
SetOpt = Annotated[list[str] | None, typer.Option("--set", help="change a recipe field: section.field=value")]
EndpointOpt = Annotated[
    list[str] | None,
    typer.Option("--endpoint", help="where a model is: teacher=URL, senior=URL … (URL,URL for replicas)"),
]
ModeOpt = Annotated[
    str | None, typer.Option("--mode", help="online, or batch: the teacher through its provider's Batch API")
]
JsonOpt = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]

DEFAULT_ORG = "speed-demo"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hub_speed {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def plan(
    recipe: RecipeArg,
    org: OrgOpt = DEFAULT_ORG,
    hub: HubOpt = "local",
    set_: SetOpt = None,
    mode: ModeOpt = None,
    only: Annotated[str | None, typer.Option(help="only this stage and what it needs")] = None,
) -> None:
    """Show what would run and why, and the model calls it would take. Spends nothing."""
    with _session(recipe, org, hub, _with_mode(set_, mode), None, publish=False) as (session, loaded):
        from hub_speed.console import tables
        from hub_speed.pipeline import plan as plans

        steps, topics = plans.plan(loaded, session, only), _topics(loaded, session)
        tables.print_plan(loaded, session, steps, [step.stage.estimate(loaded, topics) for step in steps])


@app.command()
def run(
    recipe: RecipeArg,
    org: OrgOpt = DEFAULT_ORG,
    hub: HubOpt = "local",
    set_: SetOpt = None,
    endpoint: EndpointOpt = None,
    mode: ModeOpt = None,
    only: Annotated[str | None, typer.Option(help="only this stage and what it needs")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="run this stage and all after it again")] = None,
    log_format: Annotated[
        str, typer.Option(help="text, or json: one line of JSON per stage and every ten seconds")
    ] = "text",
) -> None:
    """Run the stages that are not finished yet. Each ends as one commit and its tag on the Hub."""
    with _session(recipe, org, hub, _with_mode(set_, mode), endpoint, publish=True) as (session, loaded):
        from hub_speed.console import tables
        from hub_speed.console.progress import Bars
        from hub_speed.pipeline import run as pipeline

        as_json = _is_json(log_format)
        with Bars(tables.console, as_json=as_json) as bars:
            session.progress = bars.stage

            def on_result(result: pipeline.Result) -> None:
                bars.finish(result.stage.name)
                tables.print_result(result, as_json=as_json)

            results = pipeline.run(loaded, session, only=only, again_from=from_, on_result=on_result)
        if not all(result.cached for result in results):
            pipeline.collect(loaded, session, results)
        pipeline.write_lock(loaded, session, results, Path("recipe.lock.yaml"))
        if not as_json:
            tables.print_run(loaded, session, results, local=hub == "local")


@app.command()
def study(
    recipe: RecipeArg,
    vary: Annotated[
        list[str], typer.Option("--vary", help="a field and its values: section.field=value,value; may be repeated")
    ],
    seeds: Annotated[int, typer.Option(help="runs of each value; a seed changes the embedder's training")] = 3,
    seed_all: Annotated[bool, typer.Option("--seed-all", help="a seed changes everything, from the tasks on")] = False,
    plan_: Annotated[bool, typer.Option("--plan", help="show what would run, and run nothing")] = False,
    scaling: Annotated[bool, typer.Option("--scaling", help="with the recipe's scaling law")] = False,
    margin: Annotated[float, typer.Option(help="a smaller difference of scores does not matter")] = 0.01,  # Assumption
    out: Annotated[Path | None, typer.Option(help="write study.md, study.json and figures there, too")] = None,
    org: OrgOpt = DEFAULT_ORG,
    hub: HubOpt = "local",
    set_: SetOpt = None,
    endpoint: EndpointOpt = None,
) -> None:
    """Vary recipe fields one at a time, with several seeds. Effects with intervals, as a dataset and a page."""
    with _session(recipe, org, hub, set_, endpoint, publish=not plan_) as (session, loaded):
        from hub_speed.console import tables
        from hub_speed.console.progress import Bars
        from hub_speed.study import report
        from hub_speed.study import runs as studies

        study = studies.design(recipe, set_ or [], vary, seeds, seed_all=seed_all)
        loads = studies.plan(study, session, _topics(loaded, session))
        tables.print_study_plan(study, loads)
        if plan_:
            return
        with Bars(tables.console) as bars:
            session.progress = bars.stage

            def on_result(result: "pipeline.Result") -> None:
                bars.finish(result.stage.name)
                if not result.cached:
                    tables.print_result(result)

            outcomes = studies.execute(study, session, tables.print_study_run, on_result)
            law = studies.scaling_law(study, session, on_result) if scaling else None
        facts = report.record(study, outcomes, margin, law)
        ref = report.publish(facts, session)
        if out:
            report.write_docs(facts, out)
        tables.print_study(facts, ref)


@app.command()
def show(
    recipe: RecipeArg, org: OrgOpt = DEFAULT_ORG, hub: HubOpt = "local", set_: SetOpt = None, json: JsonOpt = False
) -> None:
    """Show a finished run as a table, with its scores and its lineage."""
    with _session(recipe, org, hub, set_, None, publish=False) as (session, loaded):
        from hub_speed.console import tables
        from hub_speed.pipeline import run as pipeline

        results = pipeline.finished(loaded, session)
        if json:
            tables.print_json(results)
        else:
            tables.print_run(loaded, session, results, local=hub == "local", lineage=True)


@app.command()
def release(
    recipe: RecipeArg,
    tag: Annotated[str, typer.Option(help="the tag of the release, for example v1.0")],
    org: OrgOpt = DEFAULT_ORG,
    hub: HubOpt = "local",
    set_: SetOpt = None,
    allow_licence_conflict: Annotated[
        bool, typer.Option("--allow-licence-conflict", help="release although an input's licence asks for more")
    ] = False,
) -> None:
    """Tag a finished run, its scores in the embedder's card. One tag on all its repositories."""
    with _session(recipe, org, hub, set_, None, publish=False) as (session, loaded):
        from hub_speed.console import tables
        from hub_speed.release import release

        tables.print_release(release(loaded, session, tag, allow_conflict=allow_licence_conflict), tag)


@app.command()
def rows(
    repo: Annotated[str, typer.Argument(help="a dataset repository, or the work folder of a stage")],
    hub: HubOpt = "local",
    revision: Annotated[str, typer.Option(help="tag, branch or commit")] = "main",
    task_type: Annotated[str | None, typer.Option(help="only rows of this task type")] = None,
    state: Annotated[
        str | None, typer.Option(help="look into the ledger: accepted, repaired, reasked, rejected, failed")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="only ledger lines with this reason")] = None,
    limit: Annotated[int, typer.Option("-n", help="how many")] = 5,
    json: JsonOpt = False,
) -> None:
    """Look at rows, or into the ledger. With --state or --reason: what became of the requests, raw text included."""
    with open_hub(hub) as opened:
        from hub_speed.console import tables

        tables.print_rows(opened, repo, revision, task_type, state, reason, limit, as_json=json)


@app.command()
def quality(
    sets: Annotated[list[str], typer.Argument(help="dataset repositories (org/name or org/name@revision) or folders")],
    hub: HubOpt = "local",
    revision: Annotated[str, typer.Option(help="tag, branch or commit of those named without one")] = "main",
    model: Annotated[
        str | None, typer.Option(help="compare texts with this SentenceTransformer (name or folder), not by words")
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Measure rows: variety, hardness, mistakes. Any dataset with a query, a positive and a negative."""
    with open_hub(hub) as opened:
        from hub_speed.console import tables
        from hub_speed.data_quality.report import measure

        folders = [tables.folder_of(opened, name, revision) for name in sets]
        embed = None
        if model:
            from hub_speed.data_quality.encoder import encoder

            embed = encoder(model)
        tables.print_quality(sets, measure(folders, embed, model or ""), as_json=json)


@hub_app.command("serve")
def hub_serve(port: Annotated[int | None, typer.Option(help="port on 127.0.0.1")] = None) -> None:
    """Serve the embedded Hub until Ctrl-C."""
    from hub_speed.localhub import DEFAULT_PORT, LocalHub

    LocalHub(home()).serve_forever(port or DEFAULT_PORT)


@hub_app.command("env")
def hub_env(port: Annotated[int | None, typer.Option(help="port of `hub serve`")] = None) -> None:
    """Print the lines that point any Hub client at the embedded Hub: eval "$(hub-speed hub env)"."""
    import shlex

    from hub_speed.localhub import DEFAULT_PORT, LocalHub

    hub = LocalHub(home())
    hub.endpoint = f"http://127.0.0.1:{port or DEFAULT_PORT}"
    for name, value in hub.env().items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@space_app.command("run")
def space_run(
    org: OrgOpt = DEFAULT_ORG,
    hub: HubOpt = "local",
    port: Annotated[int | None, typer.Option(help="port on 127.0.0.1; the first free one from 7860")] = None,
) -> None:
    """Open the explorer on what was published, until Ctrl-C."""
    with open_hub(hub) as opened:
        from hub_speed import space

        space.run(opened, org, port)


@space_app.command("push")
def space_push(org: OrgOpt = DEFAULT_ORG, hub: HubOpt = "local") -> None:
    """Publish the explorer as the Space <org>/speed-explorer: one commit that holds all it needs."""
    with open_hub(hub) as opened:
        from hub_speed import space

        typer.echo(f"published {space.push(opened, org)}")


def _topics(loaded: "Recipe", session: "Session") -> int:
    """How many topics there are, also before the quickstart's are on the Hub."""
    from hub_speed.pipeline.topic_file import count_topics
    from hub_speed.quickstart import assets

    return count_topics(loaded, session) or (assets.count_topics() if loaded.offline else 0)


def _with_mode(set_: list[str] | None, mode: str | None) -> list[str]:
    """`--mode` is the one field of how a run is carried out that is often changed."""
    return [*(set_ or []), *([f"runtime.mode={mode}"] if mode else [])]


def _is_json(log_format: str) -> bool:
    if log_format not in ("text", "json"):
        raise RecipeError(f"--log-format {log_format}", expected="text or json")
    return log_format == "json"


def home() -> Path:
    """The folder of everything this program keeps on this machine."""
    return Path(os.environ.get("HUB_SPEED_HOME", "~/.hub_speed")).expanduser()


@contextmanager
def open_hub(where: str) -> Iterator[Any]:
    """An open Hub. For the embedded one, the environment is set before any Hub client is imported."""
    if where == "local":
        from hub_speed.localhub import LocalHub

        with LocalHub(home()) as local:
            os.environ |= local.env() | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
            from hub_speed.hub import Hub

            yield Hub(str(local.endpoint))
    else:
        os.environ["HF_ENDPOINT"] = where.rstrip("/")
        from hub_speed.hub import Hub

        yield Hub(where.rstrip("/"))


@contextmanager
def _session(
    name: str, org: str, hub: str, set_: list[str] | None, endpoints: list[str] | None, *, publish: bool
) -> Iterator[tuple["Session", "Recipe"]]:
    """A recipe, and a session to run it with."""
    from hub_speed.recipes import loader

    loaded = loader.load(name, set_)
    stop = threading.Event()
    with open_hub(hub) as opened, _stopping(stop):
        from hub_speed.llm import addresses
        from hub_speed.llm.budget import BudgetMeter
        from hub_speed.pipeline.session import Session
        from hub_speed.pipeline.topic_file import with_topics

        session = Session(opened, org, home(), addresses.Addresses(endpoints or [], stop.is_set).open, stop=stop)
        session.budget = BudgetMeter(loaded.effective_budget)
        if publish and loaded.offline:
            from hub_speed.quickstart import assets

            assets.publish(opened, org)
        yield session, with_topics(loaded, session, publish=publish)


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM stop at a safe point; a second Ctrl-C stops at once."""

    def on_signal(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> None:
    """Entry point: errors a user can act on are printed without a traceback, each with its exit code."""
    try:
        app()
    except HubSpeedError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        problems = {errno.ENOSPC: "the disk is full", errno.EACCES: "a folder cannot be written"}
        problem = (problems | {errno.EROFS: problems[errno.EACCES]}).get(error.errno or 0)
        if problem is None:
            raise
        sys.stderr.write(f"error: {problem}\n  got       {error}\n  do        free some space, or set HUB_SPEED_HOME\n")
        sys.exit(7)


if __name__ == "__main__":
    main()
