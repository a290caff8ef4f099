"""The arguments and options of the commands, and those that do not go together."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hub_speed.errors import RecipeError

Recipe = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="quickstart, domain, domain-demo, speed, speed_230k, speed_full, small, open, e5, e5_msmarco, e5_full, or"
        " the path of a .yaml",
    ),
]
Org = Annotated[str, typer.Option("--org", metavar="NAME", help="organisation or user that owns the repositories")]
Hub = Annotated[str, typer.Option("--hub", metavar="HUB", help="local (embedded) or the address of a Hub")]
Private = Annotated[
    bool | None,
    typer.Option(
        "--private/--public", help="how repositories are created; left out: as the organisation's settings say"
    ),
]
WholeOrg = Annotated[str, typer.Argument(help="the organisation or user")]
Elsewhere = Annotated[
    str, typer.Argument(metavar="WHERE", help="a folder, or the address of a Hub: https://huggingface.co")
]
As = Annotated[str | None, typer.Option("--as", metavar="NAME", help="the organisation's name where it goes")]
Set = Annotated[list[str], typer.Option("--set", metavar="FIELD=VALUE", help="change a recipe field: seed.rows=100")]
Endpoint = Annotated[
    list[str],
    typer.Option(
        "--endpoint", metavar="NAME=URL", help="where a model is: teacher=URL, senior=URL … (URL,URL for replicas)"
    ),
]
Mode = Annotated[
    str | None,
    typer.Option("--mode", metavar="MODE", help="online, or batch: the teacher through its provider's Batch API"),
]
Only = Annotated[str | None, typer.Option("--only", metavar="STAGE", help="only this stage and what it needs")]
Rank = Annotated[
    int | None, typer.Option("--rank", metavar="RANK", help="work one part of the stage of --only: 0 to WORLD - 1")
]
World = Annotated[
    int | None,
    typer.Option("--world", metavar="WORLD", help="in how many parts; without --rank: publish what they have finished"),
]
Ranks = Annotated[
    int | None, typer.Option("--ranks", metavar="WORLD", help="start all parts of the stage of --only, and publish")
]
Shared = Annotated[
    Path | None,
    typer.Option(
        "--shared", metavar="FOLDER", help="a folder that all ranks reach, for what they finish; hub: a branch"
    ),
]
On = Annotated[str, typer.Option("--on", metavar="ENGINE", help="where --ranks run: local, slurm, ray or jobs")]
Partition = Annotated[str, typer.Option(metavar="NAME", help="of Slurm")]
GpusPerRank = Annotated[
    int, typer.Option("--gpus-per-rank", metavar="COUNT", help="for a rank, in Slurm and Ray", min=0)
]
Address = Annotated[str, typer.Option(metavar="ADDRESS", help="of a Ray cluster: ray://… or host:port")]
Flavor = Annotated[str, typer.Option(metavar="FLAVOR", help="the machine of a Hugging Face Job: a100-large")]
Timeout = Annotated[str, typer.Option(metavar="TIME", help="after which a Job or a task of Slurm is ended: 6h, 30m")]
AllRanks = Annotated[bool, typer.Option("--ranks", help="how far the ranks are that work a stage of it just now")]
Gpus = Annotated[
    str, typer.Option("--gpus", metavar="NUMBERxKIND", help="what trains and scores, for the hours: 8xH100, L40S")
]
Json = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
Revision = Annotated[
    str, typer.Option("--revision", metavar="REVISION", help="tag, branch or commit of a repository named without one")
]
Port = Annotated[int | None, typer.Option("--port", metavar="PORT", help="port on 127.0.0.1", min=1, max=65535)]
AgainFrom = Annotated[str | None, typer.Option("--from", metavar="STAGE", help="run this stage and all after it again")]
Extend = Annotated[
    bool, typer.Option("--extend", help="ask only for the rows that a published version with fewer rows has not")
]
LogFormat = Annotated[
    str, typer.Option(metavar="FORMAT", help="text, or json: one line of JSON per stage and every ten seconds")
]
Vary = Annotated[
    list[str],
    typer.Option("--vary", metavar="FIELD=VALUE,VALUE", help="a field and the values it is given; may be repeated"),
]
Seeds = Annotated[int, typer.Option(metavar="COUNT", help="runs of each value; a seed changes the embedder's training")]
SeedAll = Annotated[bool, typer.Option("--seed-all", help="a seed changes everything, from the tasks on")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="show what would run, and run nothing")]
Scaling = Annotated[bool, typer.Option("--scaling", help="with the recipe's scaling law")]
Margin = Annotated[float, typer.Option(metavar="SCORE", help="a smaller difference of scores does not matter")]
Out = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="a folder for study.md, study.json and figures as well")
]
Tag = Annotated[str, typer.Option(metavar="TAG", help="the tag of the release, for example v1.0")]
Owner = Annotated[str, typer.Argument(metavar="ORG", help="organisation or user that owns the repositories")]
Released = Annotated[str, typer.Argument(metavar="TAG", help="the tag of a release, for example v1.0")]
AllowConflict = Annotated[
    bool, typer.Option("--allow-licence-conflict", help="release although an input's licence asks for more")
]
Repo = Annotated[str, typer.Argument(metavar="REPO", help="a dataset repository, or the work folder of a stage")]
Version = Annotated[
    str, typer.Argument(help="a model or dataset, org/name or org/name@revision; datasets/org/name says which of both")
]
TaskType = Annotated[str | None, typer.Option(metavar="TYPE", help="only rows of this task type")]
State = Annotated[
    str | None,
    typer.Option(metavar="STATE", help="look into the ledger: accepted, repaired, reasked, rejected, failed"),
]
Reason = Annotated[str | None, typer.Option(metavar="REASON", help="only ledger lines with this reason")]
Limit = Annotated[int, typer.Option("-n", metavar="COUNT", help="how many")]
Sets = Annotated[list[str], typer.Argument(metavar="SET", hidden=True)]  # listed, it would read SET <list[str]>
Encoder = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="compare texts with this SentenceTransformer (name or folder), not by words"),
]

ENGINES_OF = {
    "partition": ("slurm",),
    "gpus_per_rank": ("slurm", "ray"),
    "address": ("ray",),
    "flavor": ("jobs",),
    "timeout": ("slurm", "jobs"),
}
"""Flags about machines → the engines that know them."""


def check_machines(on: str, ranks: int | None, machines: dict[str, Any]) -> None:
    """Raise RecipeError where a flag about the machines of ranks would be ignored, and the work be done elsewhere."""
    given = [name for name, value in machines.items() if value]
    if ranks is None and (given or on != "local"):
        flag = f"--on {on}" if on != "local" else _flag(given[0])
        raise RecipeError(f"{flag}: says where ranks run, and none are started", expected="--ranks WORLD as well")
    for name in given if on in ("local", "slurm", "ray", "jobs") else ():
        if on not in ENGINES_OF[name]:
            raise RecipeError(f"{_flag(name)}: not for --on {on}", expected=f"--on {' or '.join(ENGINES_OF[name])}")


def check_shared(shared: Path | None, expected: str) -> None:
    """Raise RecipeError for a shared folder where no ranks are meant, and it would be ignored."""
    if shared:
        raise RecipeError("--shared: the folder of ranks, and no ranks are meant", expected=f"{expected} as well")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
