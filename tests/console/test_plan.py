"""What a plan prints: the command to run, rows per task, and what to change where they are too many."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hub_speed.cli import app
from hub_speed.console import terminal
from hub_speed.localhub import LocalHub


def plan(*args: str) -> str:
    """What is printed. The exit code is that of a run, which could not begin where an input is missing."""
    shown = CliRunner().invoke(app, ["plan", *args])
    assert shown.exit_code == (4 if "cannot run" in shown.output else 0), shown.output
    return shown.output


@pytest.fixture
def url(local: LocalHub, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(terminal.console, "width", 160)
    return str(local.endpoint)


def test_the_command_to_run_has_all_that_was_given(url: str) -> None:
    flags = ["--hub", url, "--set", "seed.rows=7", "--set", "mixture={sts: 1}", "--mode", "batch", "--only", "seed"]
    command = shlex.split(plan("speed", "--org", "someone", *flags).partition("run it")[2])
    assert command == ["hub-speed", "run", "speed", "--org", "someone", *flags]


def test_rows_per_task_calls_and_hours_are_printed(url: str) -> None:
    out = plan("speed", "--hub", url)
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line.split()}
    assert lines["retrieval"][1:5] == ["17,500", "17,500", "350,000", "20.0"]
    assert lines["long_matching"][1:5] == ["2,500", "2,500", "50,000", "20.0"]
    assert float(lines["sts"][4]) < 10
    assert "45,000 as SPEED counts them" in out and "+ 40,000 to brainstorm" in out
    assert all(lines[stage][-5:].count("h") == 1 for stage in ("junior", "embedder", "evaluate", "scaling"))
    assert "paths are deeper than brainstorm.max_depth (4)" in out
    assert "warning" not in out
    assert "Training and MTEB: on 1 x A100" in out
    several = " ".join(plan("speed", "--hub", url, "--gpus", "8xH100").split())
    assert "on 8 x H100 (each training on one of them, without runtime.launcher; one model server" in several
    refused = CliRunner().invoke(app, ["plan", "speed", "--hub", url, "--gpus", "8xH1000"])
    assert refused.exit_code and "did you mean H100?" in str(refused.exception)


def test_a_plan_says_how_many_documents_there_are(url: str, tmp_path: Path) -> None:
    for name in ("a.md", "b.txt", "c.png"):
        (tmp_path / name).write_text("words")
    out = plan("quickstart", "--hub", url, "--only", "corpus", "--set", f"corpus.source={tmp_path}")
    assert f"2 files of 0.0 MB can be read in {tmp_path}" in out


def test_a_plan_names_the_models_that_are_needed_and_what_to_do_for_those_that_are_missing(url: str) -> None:
    out = plan("domain-demo", "--hub", url, "--set", "mine.embedder=no/where", "--set", "embedder.data=mine")
    assert "teacher offline-teacher · embedder tiny-base" in out
    assert f"mine: model no/where: not found on {url}" in out and "add --hub https://huggingface.co" in out
    varied = ["study", "domain-demo", "--vary", "mine.embedder=no/where", "--set", "embedder.data=mine", "--hub", url]
    shown = CliRunner().invoke(app, [*varied, "--plan"])
    assert shown.exit_code == 4 and f"mine: model no/where: not found on {url}" in shown.output
    out = plan("domain-demo", "--hub", url, "--set", "questions.generator=base")
    assert "generator meta-llama/Meta-Llama-3-8B · embedder tiny-base" in out


def test_the_money_is_shown_in_full_in_a_narrow_terminal(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.console, "width", 80)
    for recipe in ("speed", "e5"):
        out = plan(recipe, "--hub", url)
        costs = [float(found.replace(",", "")) for found in re.findall(r"\$([\d,]+\.\d\d)(?!\d)", out)]
        assert "…" not in out and sum(costs[:-1]) == pytest.approx(costs[-1], abs=0.05)  # the last one is the sum


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["brainstorm.max_topics=1000"], "350 rows a task, above 20; raise brainstorm.max_topics to 17,500"),
        (["synthesize.rows=11500000"], "name about 175,000 topics in brainstorm.topics"),
        (["brainstorm.max_depth=1"], "name about 17,500 topics in brainstorm.topics"),
        (["brainstorm.max_depth=9"], "no path is deeper than brainstorm.max_depth (9)"),
    ],
)
def test_a_plan_says_which_field_to_change(url: str, flags: list[str], says: str) -> None:
    assert says in plan("speed", "--hub", url, "--only", "seed", *(part for flag in flags for part in ("--set", flag)))
