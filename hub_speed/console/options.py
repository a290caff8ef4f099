"""The arguments and options of the commands."""

from pathlib import Path
from typing import Annotated

import typer

Recipe = Annotated[
    str,
    typer.Argument(
        help="quickstart, speed, speed_230k, speed_full, small, open, e5, e5_msmarco, e5_full, or the path of a .yaml"
    ),
]
Org = Annotated[str, typer.Option("--org", help="organisation or user that owns the repositories")]
Hub = Annotated[str, typer.Option("--hub", help="local (embedded) or the address of a Hub")]
Private = Annotated[
    bool | None,
    typer.Option(
        "--private/--public", help="how repositories are created; left out: as the organisation's settings say"
    ),
]
Set = Annotated[list[str], typer.Option("--set", metavar="FIELD=VALUE", help="change a recipe field: seed.rows=100")]
Endpoint = Annotated[
    list[str],
    typer.Option(
        "--endpoint", metavar="NAME=URL", help="where a model is: teacher=URL, senior=URL … (URL,URL for replicas)"
    ),
]
Mode = Annotated[
    str | None, typer.Option("--mode", help="online, or batch: the teacher through its provider's Batch API")
]
Only = Annotated[str | None, typer.Option("--only", help="only this stage and what it needs")]
Json = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
Revision = Annotated[str, typer.Option("--revision", help="tag, branch or commit of a repository named without one")]
Port = Annotated[int | None, typer.Option("--port", help="port on 127.0.0.1", min=1, max=65535)]
AgainFrom = Annotated[str | None, typer.Option("--from", help="run this stage and all after it again")]
LogFormat = Annotated[str, typer.Option(help="text, or json: one line of JSON per stage and every ten seconds")]
Vary = Annotated[
    list[str],
    typer.Option("--vary", metavar="FIELD=VALUE,VALUE", help="a field and the values it is given; may be repeated"),
]
Seeds = Annotated[int, typer.Option(help="runs of each value; a seed changes the embedder's training")]
SeedAll = Annotated[bool, typer.Option("--seed-all", help="a seed changes everything, from the tasks on")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="show what would run, and run nothing")]
Scaling = Annotated[bool, typer.Option("--scaling", help="with the recipe's scaling law")]
Margin = Annotated[float, typer.Option(help="a smaller difference of scores does not matter")]
Out = Annotated[Path | None, typer.Option(help="a folder for study.md, study.json and figures as well")]
Tag = Annotated[str, typer.Option(help="the tag of the release, for example v1.0")]
AllowConflict = Annotated[
    bool, typer.Option("--allow-licence-conflict", help="release although an input's licence asks for more")
]
Repo = Annotated[str, typer.Argument(help="a dataset repository, or the work folder of a stage")]
Version = Annotated[
    str, typer.Argument(help="a model or dataset, org/name or org/name@revision; datasets/org/name says which of both")
]
TaskType = Annotated[str | None, typer.Option(help="only rows of this task type")]
State = Annotated[str | None, typer.Option(help="look into the ledger: accepted, repaired, reasked, rejected, failed")]
Reason = Annotated[str | None, typer.Option(help="only ledger lines with this reason")]
Limit = Annotated[int, typer.Option("-n", help="how many")]
Sets = Annotated[list[str], typer.Argument(metavar="SET", hidden=True)]  # listed, it would read SET <list[str]>
Encoder = Annotated[
    str | None, typer.Option(help="compare texts with this SentenceTransformer (name or folder), not by words")
]
