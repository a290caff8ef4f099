"""The command line: flags in, console out. What a command does is in `api`.

Heavy packages are imported inside the commands, so that `hub-speed --help` answers at once.
"""

import errno
import io
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub_speed import __version__, api
from hub_speed.api import DEFAULT_ORG
from hub_speed.api.sessions import check_org
from hub_speed.console import options
from hub_speed.errors import HubSpeedError, NotFound, RecipeError, without_secrets

if TYPE_CHECKING:
    from hub_speed.pipeline.plan import Step
    from hub_speed.study.runs import Load

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
    recipe: options.Recipe,
    org: options.Org = DEFAULT_ORG,
    hub: options.Hub = "local",
    set_: options.Set = [],  # noqa: B006 - typer takes an empty list for "not given"
    mode: options.Mode = None,
    only: options.Only = None,
    gpus: options.Gpus = "1xA100",
) -> None:
    """Show what would run and why, and the model calls it would take. Spends nothing.

    The exit code is 4 where a stage cannot run, because an input is missing on the Hub.
    """
    loaded = api.load_recipe(recipe, set=_with_mode(set_, mode))
    with api.open_hub(hub) as opened:
        from hub_speed.console.plan import print_plan

        flags = [*(["--hub", hub] if hub != "local" else []), *(part for each in set_ for part in ("--set", each))]
        flags += [*(["--mode", mode] if mode else []), *(["--only", only] if only else [])]
        planned = api.plan(loaded, opened, org=org, only=only, gpus=gpus)
        print_plan(planned, flags)
        _end_if_missing(planned.steps)


@app.command()
def run(
    recipe: options.Recipe,
    org: options.Org = DEFAULT_ORG,
    hub: options.Hub = "local",
    private: options.Private = None,
    set_: options.Set = [],  # noqa: B006
    endpoint: options.Endpoint = [],  # noqa: B006
    mode: options.Mode = None,
    only: options.Only = None,
    from_: options.AgainFrom = None,
    extend: options.Extend = False,
    log_format: options.LogFormat = "text",
    rank: options.Rank = None,
    world: options.World = None,
    ranks: options.Ranks = None,
    shared: options.Shared = None,
    on: options.On = "local",
    partition: options.Partition = "",
    gpus_per_rank: options.GpusPerRank = 0,
    address: options.Address = "",
    flavor: options.Flavor = "",
    timeout: options.Timeout = "",
) -> None:
    """Run the stages that are not finished yet. Each ends as one commit and its tag on the Hub."""
    loaded, as_json = api.load_recipe(recipe, set=_with_mode(set_, mode)), _is_json(log_format)
    machines = {"partition": partition, "gpus_per_rank": gpus_per_rank, "address": address}
    machines |= {"flavor": flavor, "timeout": timeout}
    options.check_machines(on, ranks, machines)
    if (rank, world, ranks) != (None, None, None):
        flags = ["--org", org, "--hub", hub, *(part for each in set_ for part in ("--set", each))]
        flags += [part for each in endpoint for part in ("--endpoint", each)] + (["--mode", mode] if mode else [])
        flags += ["--extend"] if extend else []
        with api.open_hub(hub, private=private) as opened:
            from hub_speed.console import ranks as ranked

            stage = ranked.check_flags(only, rank, world, ranks, from_)
            where = ranked.Where(opened, org, endpoint, shared, extend, as_json)
            if rank is not None and world is not None:
                ranked.run_rank(loaded, where, stage, rank, world)
            else:
                command = ranked.on_machines(on, loaded, where, stage, ranks, flags, machines) if ranks else None
                ranked.publish(loaded, where, stage, ranks or world or 1, command)
        return
    options.check_shared(shared, "--ranks WORLD, or --rank and --world,")
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
                extend=extend,
                on_result=lambda result: print_result(result, bars, as_json=as_json),
                progress=bars.stage,
                lock=Path("recipe.lock.yaml"),
            )
        if not as_json:
            print_run(org, results, local=opened.local)


@app.command()
def preview(
    recipe: options.Recipe,
    rows: options.Limit = 20,
    org: options.Org = DEFAULT_ORG,
    hub: options.Hub = "local",
    private: options.Private = None,
    set_: options.Set = [],  # noqa: B006
    endpoint: options.Endpoint = [],  # noqa: B006
) -> None:
    """Look at the first questions about your documents, and at what the filters say of them."""
    loaded = api.load_recipe(recipe, set=set_)
    with api.open_hub(hub, private=private) as opened:
        from hub_speed.console.preview import print_preview

        found = api.preview(loaded, opened, rows=rows, org=org, endpoints=endpoint)
        flags = [*(["--hub", hub] if hub != "local" else []), *(["--private"] if private else [])]
        flags += [part for each in set_ for part in ("--set", each)]
        flags += [part for each in endpoint for part in ("--endpoint", each)]
        print_preview(found, run=shlex.join(["hub-speed", "run", recipe, "--org", org, *flags]))


@app.command()
def study(
    recipe: options.Recipe,
    vary: options.Vary,
    seeds: options.Seeds = 3,
    seed_all: options.SeedAll = False,
    plan_: options.PlanOnly = False,
    scaling: options.Scaling = False,
    margin: options.Margin = 0.01,  # Assumption
    out: options.Out = None,
    org: options.Org = DEFAULT_ORG,
    hub: options.Hub = "local",
    private: options.Private = None,
    set_: options.Set = [],  # noqa: B006
    endpoint: options.Endpoint = [],  # noqa: B006
) -> None:
    """Vary recipe fields one at a time, with several seeds. Effects with intervals, as a dataset and a page."""
    with api.open_hub(hub, private=private) as opened:
        from hub_speed.console.progress import Bars
        from hub_speed.console.run import print_result
        from hub_speed.console.study import print_study, print_study_plan, print_study_run
        from hub_speed.console.terminal import console
        from hub_speed.study.runs import design

        designed = design(recipe, set_, vary, seeds, seed_all=seed_all)
        loads = api.plan_study(designed, opened, org=org)
        print_study_plan(designed, loads)
        _end_if_missing(loads)
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
    recipe: options.Recipe,
    org: options.Org = DEFAULT_ORG,
    hub: options.Hub = "local",
    set_: options.Set = [],  # noqa: B006
    json: options.Json = False,
    ranks: options.AllRanks = False,
    shared: options.Shared = None,
) -> None:
    """Show a finished run as a table, with its scores and its lineage; or how far ranks are that work a stage."""
    loaded = api.load_recipe(recipe, set=set_)
    with api.open_hub(hub) as opened:
        if ranks:
            from hub_speed.console.ranks import print_told

            print_told(api.show_ranks(opened, org=org, shared=shared), as_json=json)
            return
        options.check_shared(shared, "--ranks")
        from hub_speed.console.run import print_records, print_run

        results = api.finished(loaded, opened, org=org)
        if json:
            print_records(results)
        else:
            left = [step for step in api.plan(loaded, opened, org=org).steps if not step.ref]
            print_run(org, results, local=opened.local, lineage=True, left=left)


@app.command()
def release(
    recipe: options.Recipe,
    tag: options.Tag,
    org: options.Org = DEFAULT_ORG,
    hub: options.Hub = "local",
    private: options.Private = None,
    set_: options.Set = [],  # noqa: B006
    allow_licence_conflict: options.AllowConflict = False,
) -> None:
    """Tag a finished run, its scores in the embedder's card. One tag on all its repositories."""
    loaded = api.load_recipe(recipe, set=set_)
    with api.open_hub(hub, private=private) as opened:
        from hub_speed.console.release import print_release

        print_release(api.release(loaded, opened, tag, org=org, allow_conflict=allow_licence_conflict), tag)


@app.command()
def verify(org: options.Owner, tag: options.Released, hub: options.Hub = "local", json: options.Json = False) -> None:
    """Read a release again, every file, and say what holds. Ends with 1 where something does not."""
    with api.open_hub(hub) as opened:
        from hub_speed.console.release import print_findings

        if not print_findings(api.verify(org, tag, opened), as_json=json):
            raise typer.Exit(1)


@app.command()
def lineage(version: options.Version, hub: options.Hub = "local", json: options.Json = False) -> None:
    """Show what a version comes from, as a tree: data, generators, bases, each at its commit."""
    with api.open_hub(hub) as opened:
        from hub_speed.console.lineage import print_lineage

        print_lineage(api.lineage(version, opened), as_json=json)


@app.command()
def rows(
    repo: options.Repo,
    hub: options.Hub = "local",
    revision: options.Revision = "main",
    task_type: options.TaskType = None,
    state: options.State = None,
    reason: options.Reason = None,
    limit: options.Limit = 5,
    json: options.Json = False,
) -> None:
    """Look at rows, or into the ledger. With --state or --reason: what became of the requests, raw text included."""
    with api.open_hub(hub) as opened:
        from hub_speed.console.rows import print_rows

        found = api.load_rows(
            repo, opened, revision=revision, task_type=task_type, state=state, reason=reason, limit=limit
        )
        print_rows(found, limit=limit, as_json=json)


@app.command()
def quality(
    sets: options.Sets,
    hub: options.Hub = "local",
    revision: options.Revision = "main",
    model: options.Encoder = None,
    json: options.Json = False,
) -> None:
    """Measure rows: variety, hardness, mistakes. Any dataset with a query and a positive.

    SET is a dataset repository (org/name or org/name@revision) or a folder; several are compared.
    """
    with api.open_hub(hub) as opened:
        from hub_speed.console.quality import print_quality

        print_quality(sets, api.quality(sets, opened, revision=revision, model=model), as_json=json)


@hub_app.command("serve")
def hub_serve(port: options.Port = None) -> None:
    """Serve the embedded Hub until Ctrl-C."""
    from hub_speed.console.hubs import print_served

    api.serve_hub(port, started=lambda address: print_served(address, port))


@hub_app.command("env")
def hub_env(
    port: Annotated[int | None, typer.Option(metavar="PORT", help="port of `hub serve`", min=1, max=65535)] = None,
) -> None:
    """Print the lines that point any Hub client at the embedded Hub.

    \b
    eval "$(hub-speed hub env)"
    """  # noqa: D301 (click reads the sign itself)
    import shlex

    for name, value in api.hub_environment(port).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@hub_app.command("gc")
def hub_gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be removed")] = False,
    unused_hours: Annotated[float, typer.Option(help="keep what was uploaded in the last hours", min=0)] = 24,
) -> None:
    """Remove large files that no commit has, and commits that no branch, tag or pull request leads to."""
    from hub_speed.console.hubs import print_freed

    print_freed(api.collect_garbage(unused_hours=unused_hours, dry_run=dry_run), dry_run=dry_run)


@hub_app.command("fsck")
def hub_fsck() -> None:
    """Check that every reference, file and large file is there and whole."""
    from hub_speed.console.hubs import print_checked

    print_checked(api.check_hub())


@hub_app.command("export")
def hub_export(
    org: options.WholeOrg, where: options.Elsewhere, as_: options.As = None, private: options.Private = None
) -> None:
    """Copy an organisation to a folder, or its tagged versions to another Hub."""
    from hub_speed.console.hubs import print_copied

    print_copied(api.export_org(org, where, name=as_, private=private), org, as_)


@hub_app.command("import")
def hub_import(
    org: options.WholeOrg, where: options.Elsewhere, as_: options.As = None, private: options.Private = None
) -> None:
    """Bring an organisation from such a folder, or its tagged versions from another Hub."""
    from hub_speed.console.hubs import print_copied

    print_copied(api.import_org(org, where, name=as_, private=private), org, as_)


@space_app.command("run")
def space_run(
    org: options.Org = DEFAULT_ORG,
    hub: options.Hub = "local",
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="port on 127.0.0.1; the first free one from 7860", min=1, max=65535),
    ] = None,
) -> None:
    """Open the explorer on what was published, until Ctrl-C."""
    with api.open_hub(hub) as opened:
        from hub_speed import space

        check_org(org)
        space.run(opened.hub, org, port)


@space_app.command("push")
def space_push(org: options.Org = DEFAULT_ORG, hub: options.Hub = "local", private: options.Private = None) -> None:
    """Publish the explorer as a Space. One commit to <org>/speed-explorer holds all it needs."""
    with api.open_hub(hub, private=private) as opened:
        from hub_speed import space

        check_org(org)
        typer.echo(f"published {space.push(opened.hub, org)}")


def _end_if_missing(planned: "Sequence[Step | Load]") -> None:
    """End as a run would, where an input of a stage is missing; the plan has said which one."""
    if any(each.problem for each in planned):
        raise typer.Exit(NotFound.exit_code)


def _with_mode(set_: list[str], mode: str | None) -> list[str]:
    """The recipe fields to change; `--mode` is short for one that often is."""
    return [*set_, *([f"runtime.mode={mode}"] if mode else [])]


def _is_json(log_format: str) -> bool:
    if log_format not in ("text", "json"):
        raise RecipeError(f"--log-format {log_format}", expected="text or json")
    return log_format == "json"


class _Warnings(logging.Handler):
    """Prints the package's warnings, as a run goes on; the bars of a run make room for them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        sys.stderr.write(f"warning: {without_secrets(record.getMessage())}\n")


def main() -> None:
    """Run a command: errors a user can act on are printed without a traceback, each with its exit code."""
    logging.getLogger("hub_speed").addHandler(_Warnings(logging.WARNING))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not every terminal has every character
    try:
        app()
    except BrokenPipeError:  # whoever read the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still in the buffer
        sys.exit(1)
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
