"""The command line: flags in, console out. What a command does is in `api`.

Heavy packages are imported inside the commands, so that `hub-speed --help` answers at once.
"""

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from hub_speed import __version__, api
from hub_speed.api import DEFAULT_ORG
from hub_speed.errors import HubSpeedError, RecipeError

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
PrivateOpt = Annotated[bool, typer.Option("--private", help="create repositories as private ones")]
SetOpt = Annotated[list[str], typer.Option("--set", metavar="FIELD=VALUE", help="change a recipe field: seed.rows=100")]
EndpointOpt = Annotated[
    list[str],
    typer.Option(
        "--endpoint", metavar="NAME=URL", help="where a model is: teacher=URL, senior=URL … (URL,URL for replicas)"
    ),
]
ModeOpt = Annotated[
    str | None, typer.Option("--mode", help="online, or batch: the teacher through its provider's Batch API")
]
OnlyOpt = Annotated[str | None, typer.Option("--only", help="only this stage and what it needs")]
JsonOpt = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
RevisionOpt = Annotated[str, typer.Option("--revision", help="tag, branch or commit of a repository named without one")]
PortOpt = Annotated[int | None, typer.Option("--port", help="port on 127.0.0.1")]


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
    set_: SetOpt = [],  # noqa: B006 - typer takes an empty list for "not given"
    mode: ModeOpt = None,
    only: OnlyOpt = None,
) -> None:
    """Show what would run and why, and the model calls it would take. Spends nothing."""
    loaded = api.load_recipe(recipe, set=_with_mode(set_, mode))
    with api.open_hub(hub) as opened:
        from hub_speed.console.plan import print_plan

        print_plan(api.plan(loaded, opened, org=org, only=only))


@app.command()
def run(
    recipe: RecipeArg,
    org: OrgOpt = DEFAULT_ORG,
    hub: HubOpt = "local",
    private: PrivateOpt = False,
    set_: SetOpt = [],  # noqa: B006
    endpoint: EndpointOpt = [],  # noqa: B006
    mode: ModeOpt = None,
    only: OnlyOpt = None,
    from_: Annotated[str | None, typer.Option("--from", help="run this stage and all after it again")] = None,
    log_format: Annotated[
        str, typer.Option(help="text, or json: one line of JSON per stage and every ten seconds")
    ] = "text",
) -> None:
    """Run the stages that are not finished yet. Each ends as one commit and its tag on the Hub."""
    loaded, as_json = api.load_recipe(recipe, set=_with_mode(set_, mode)), _is_json(log_format)
    with api.open_hub(hub, private=private) as opened:
        from hub_speed.console.progress import Bars
        from hub_speed.console.run import print_result, print_run
        from hub_speed.console.terminal import console

        with Bars(console, as_json=as_json) as bars:
            results = api.run(
                loaded,
                opened,
                org=org,
                endpoints=endpoint,
                only=only,
                again_from=from_,
                on_result=lambda result: print_result(result, bars, as_json=as_json),
                progress=bars.stage,
                lock=Path("recipe.lock.yaml"),
            )
        if not as_json:
            print_run(org, results, local=opened.local)


@app.command()
def study(
    recipe: RecipeArg,
    vary: Annotated[
        list[str],
        typer.Option("--vary", metavar="FIELD=VALUE,VALUE", help="a field and the values it is given; may be repeated"),
    ],
    seeds: Annotated[int, typer.Option(help="runs of each value; a seed changes the embedder's training")] = 3,
    seed_all: Annotated[bool, typer.Option("--seed-all", help="a seed changes everything, from the tasks on")] = False,
    plan_: Annotated[bool, typer.Option("--plan", help="show what would run, and run nothing")] = False,
    scaling: Annotated[bool, typer.Option("--scaling", help="with the recipe's scaling law")] = False,
    margin: Annotated[float, typer.Option(help="a smaller difference of scores does not matter")] = 0.01,  # Assumption
    out: Annotated[Path | None, typer.Option(help="a folder for study.md, study.json and figures as well")] = None,
    org: OrgOpt = DEFAULT_ORG,
    hub: HubOpt = "local",
    private: PrivateOpt = False,
    set_: SetOpt = [],  # noqa: B006
    endpoint: EndpointOpt = [],  # noqa: B006
) -> None:
    """Vary recipe fields one at a time, with several seeds. Effects with intervals, as a dataset and a page."""
    with api.open_hub(hub, private=private) as opened:
        from hub_speed.console.progress import Bars
        from hub_speed.console.run import print_result
        from hub_speed.console.study import print_study, print_study_plan, print_study_run
        from hub_speed.console.terminal import console
        from hub_speed.study.runs import design

        designed = design(recipe, set_, vary, seeds, seed_all=seed_all)
        print_study_plan(designed, api.plan_study(designed, opened, org=org))
        if plan_:
            return
        with Bars(console) as bars:
            facts, ref = api.run_study(
                designed,
                opened,
                org=org,
                endpoints=endpoint,
                margin=margin,
                scaling=scaling,
                out=out,
                on_run=print_study_run,
                on_result=lambda result: print_result(result, bars, cached=False),
                progress=bars.stage,
            )
        print_study(facts, ref)


@app.command()
def show(
    recipe: RecipeArg,
    org: OrgOpt = DEFAULT_ORG,
    hub: HubOpt = "local",
    set_: SetOpt = [],  # noqa: B006
    json: JsonOpt = False,
) -> None:
    """Show a finished run as a table, with its scores and its lineage."""
    loaded = api.load_recipe(recipe, set=set_)
    with api.open_hub(hub) as opened:
        from hub_speed.console.run import print_json, print_run

        results = api.finished(loaded, opened, org=org)
        if json:
            print_json(results)
        else:
            print_run(org, results, local=opened.local, lineage=True)


@app.command()
def release(
    recipe: RecipeArg,
    tag: Annotated[str, typer.Option(help="the tag of the release, for example v1.0")],
    org: OrgOpt = DEFAULT_ORG,
    hub: HubOpt = "local",
    private: PrivateOpt = False,
    set_: SetOpt = [],  # noqa: B006
    allow_licence_conflict: Annotated[
        bool, typer.Option("--allow-licence-conflict", help="release although an input's licence asks for more")
    ] = False,
) -> None:
    """Tag a finished run, its scores in the embedder's card. One tag on all its repositories."""
    loaded = api.load_recipe(recipe, set=set_)
    with api.open_hub(hub, private=private) as opened:
        from hub_speed.console.release import print_release

        print_release(api.release(loaded, opened, tag, org=org, allow_conflict=allow_licence_conflict), tag)


@app.command()
def rows(
    repo: Annotated[str, typer.Argument(help="a dataset repository, or the work folder of a stage")],
    hub: HubOpt = "local",
    revision: RevisionOpt = "main",
    task_type: Annotated[str | None, typer.Option(help="only rows of this task type")] = None,
    state: Annotated[
        str | None, typer.Option(help="look into the ledger: accepted, repaired, reasked, rejected, failed")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="only ledger lines with this reason")] = None,
    limit: Annotated[int, typer.Option("-n", help="how many")] = 5,
    json: JsonOpt = False,
) -> None:
    """Look at rows, or into the ledger. With --state or --reason: what became of the requests, raw text included."""
    with api.open_hub(hub) as opened:
        from hub_speed.console.rows import print_rows

        found = api.load_rows(
            repo, opened, revision=revision, task_type=task_type, state=state, reason=reason, limit=limit
        )
        print_rows(found, as_json=json)


@app.command()
def quality(
    sets: Annotated[list[str], typer.Argument(metavar="SET", hidden=True)],  # listed, it would read SET <list[str]>
    hub: HubOpt = "local",
    revision: RevisionOpt = "main",
    model: Annotated[
        str | None, typer.Option(help="compare texts with this SentenceTransformer (name or folder), not by words")
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Measure rows: variety, hardness, mistakes. Any dataset with a query, a positive and a negative.

    SET is a dataset repository (org/name or org/name@revision) or a folder; several are compared.
    """
    with api.open_hub(hub) as opened:
        from hub_speed.console.quality import print_quality

        print_quality(sets, api.quality(sets, opened, revision=revision, model=model), as_json=json)


@hub_app.command("serve")
def hub_serve(port: PortOpt = None) -> None:
    """Serve the embedded Hub until Ctrl-C."""
    api.serve_hub(port)


@hub_app.command("env")
def hub_env(port: Annotated[int | None, typer.Option(help="port of `hub serve`")] = None) -> None:
    """Print the lines that point any Hub client at the embedded Hub: eval "$(hub-speed hub env)"."""
    import shlex

    for name, value in api.hub_environment(port).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@space_app.command("run")
def space_run(
    org: OrgOpt = DEFAULT_ORG,
    hub: HubOpt = "local",
    port: Annotated[int | None, typer.Option(help="port on 127.0.0.1; the first free one from 7860")] = None,
) -> None:
    """Open the explorer on what was published, until Ctrl-C."""
    with api.open_hub(hub) as opened:
        api.run_space(opened, org=org, port=port)


@space_app.command("push")
def space_push(org: OrgOpt = DEFAULT_ORG, hub: HubOpt = "local", private: PrivateOpt = False) -> None:
    """Publish the explorer as the Space <org>/speed-explorer: one commit that holds all it needs."""
    with api.open_hub(hub, private=private) as opened:
        typer.echo(f"published {api.push_space(opened, org=org)}")


def _with_mode(set_: list[str], mode: str | None) -> list[str]:
    """The recipe fields to change; `--mode` is short for one that often is."""
    return [*set_, *([f"runtime.mode={mode}"] if mode else [])]


def _is_json(log_format: str) -> bool:
    if log_format not in ("text", "json"):
        raise RecipeError(f"--log-format {log_format}", expected="text or json")
    return log_format == "json"


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
