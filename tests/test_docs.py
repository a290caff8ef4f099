"""Commands and numbers in the documentation: the command line and the recipes of this version accept and yield them."""

import os
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from hub_speed import cli
from hub_speed.generation.topics import read_file
from hub_speed.pipeline.table import STAGES
from hub_speed.recipes.loader import load
from hub_speed.study.runs import design

ROOT = Path(__file__).parent.parent
PAPER = (ROOT / "docs" / "paper.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^### `(.+?)`: .*?\n(.*?)(?=^##|\Z)", PAPER, re.MULTILINE | re.DOTALL))
KNOWN = ("hub-speed plan", "hub-speed run", "hub-speed study", "hub-speed show", "hub-speed rows", "hub-speed quality")


def commands(text: str) -> list[str]:
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line]


@cache
def application() -> TyperGroup:
    found = typer.main.get_command(cli.app)
    assert isinstance(found, TyperGroup)
    return found


ALL = list(dict.fromkeys(commands(PAPER)))


@pytest.mark.parametrize("command", ALL, ids=range(len(ALL)))
def test_the_command_line_accepts_every_command_of_the_papers_page(command: str) -> None:
    """Flags by the parser, fields and values by the recipe; a study's values must change some score."""
    if command.startswith("python "):
        _, script, *arguments = shlex.split(command)
        text = (ROOT / script).read_text("utf-8")
        assert all(f'"{flag}"' in text for flag in arguments if flag.startswith("--"))
        return
    assert command.startswith(KNOWN), command
    _, name, *arguments = shlex.split(command)
    context = application().commands[name].make_context(name, arguments)
    given = context.params
    if name == "study":
        assert len(design(given["recipe"], given["set_"], given["vary"], given["seeds"]).runs) > given["seeds"]
    elif "recipe" in given:
        recipe = load(given["recipe"], given["set_"])
        assert given.get("only") in (None, *STAGES)
        assert not (given.get("only") == "scaling" and not recipe.scaling.sizes)


def test_every_figure_and_table_of_the_papers_page_has_a_section_that_exists() -> None:
    linked = set(re.findall(r"\[`(.+?)`\]\(#", PAPER))
    assert linked == set(SECTIONS)
    for paper, numbers in {"SPEED": range(1, 9), "E5-mistral": (1, 5, 7, 17)}.items():
        rows = PAPER.split(f"| {paper} | section | status |")[1].split("\n\n")[0]
        assert all(re.search(rf"Tables? (\d+ (and|to) )?{n}\b", rows) for n in numbers), paper


@pytest.mark.parametrize("size", ["small", "paper"])
def test_run_all_takes_its_commands_from_the_papers_page(size: str) -> None:
    place = {"paper": 0, "small": 1}[size]
    names = [name for name, text in SECTIONS.items() if text.count("```bash") > place]
    printed = run_all(*names, SIZE=size, DRY="yes", RUN_FLAGS="--org acme")
    wanted = []
    for name in names:
        block = re.findall(r"^```bash.*?^```", SECTIONS[name], re.MULTILINE | re.DOTALL)[place]
        for command in commands(block):
            flags = ["--org", "acme"] if command.startswith(("hub-speed run", "hub-speed study")) else []
            wanted.append(shlex.split(command) + flags)
    assert [shlex.split(line.removeprefix("+ ")) for line in printed] == wanted
    assert [line.split("\t")[0] for line in run_all("list")] == list(SECTIONS)


def run_all(*names: str, **variables: str) -> list[str]:
    """What scripts/run_all.sh prints."""
    script, environment = ["sh", str(ROOT / "scripts" / "run_all.sh"), *names], os.environ | variables
    return subprocess.run(script, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()


def test_the_readme_says_both_shares_of_the_teacher_calls() -> None:
    """SPEED counts seed, preferences and revisions against E5-mistral's 500K rows; brainstorming comes on top."""
    recipe, all_rows = load("speed"), load("e5").seed.rows
    topics = len(read_file(Path(recipe.brainstorm.topics)))
    asked = ("brainstorm", "seed", "preference", "revision")
    calls = {name: STAGES[name].estimate(recipe, topics).calls for name in asked}
    everything, readme = sum(calls.values()), (ROOT / "README.md").read_text("utf-8")
    counted = everything - calls["brainstorm"]
    for number in (f"{counted / all_rows:.1%}", f"{everything / all_rows:.1%}", f"{counted:,}", f"{everything:,}"):
        assert number in readme, number
    assert f"{calls['brainstorm']:,} in" in readme
