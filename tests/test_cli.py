"""The command line's own part: flags and help. What the commands do is tested where it is done."""

import shlex

import pytest
from running import Cli, tiny
from typer.testing import CliRunner

from hub_speed.cli import app

COMMANDS = ["plan", "run", "study", "show", "release", "rows", "quality", "hub serve", "hub env", "space run"]


@pytest.mark.parametrize("command", ["", *COMMANDS, "space push"])
def test_help_is_for_people(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "--help"])
    assert shown.exit_code == 0 and "Usage:" in shown.output
    for word in ("list[", "None"):
        assert word not in shown.output


@pytest.mark.parametrize("command", ["run", "study", "release", "space push"])
def test_what_publishes_can_publish_in_private(command: str) -> None:
    assert "--private" in CliRunner().invoke(app, [*command.split(), "--help"]).output


def test_a_private_run_makes_private_repositories(cli: Cli) -> None:
    cli("run", "quickstart", "--only", "brainstorm", "--private", "--set", "brainstorm.topics=quickstart-topics")
    out = cli.python(
        "from huggingface_hub import HfApi; print(HfApi().dataset_info('speed-demo/speed-tasks').private,"
        " HfApi().dataset_info('speed-demo/quickstart-topics').private)"
    )
    assert out.split() == ["True", "True"]


def test_a_log_format_that_is_unknown_is_named(cli: Cli) -> None:
    assert "--log-format xml" in cli("run", "quickstart", "--log-format", "xml", code=2)


def test_the_command_that_a_plan_ends_with_works(cli: Cli) -> None:
    folder = cli.cwd / "my recipes"
    folder.mkdir()
    (folder / "mine.yaml").write_text("offline: true\nbrainstorm: {topics: quickstart-topics}\n")
    flags = ["--org", "someone", *tiny(), "--set", "mixture={sts: 1}", "--only", "brainstorm"]
    planned = cli("plan", "my recipes/mine.yaml", *flags)
    command = shlex.split(planned.partition("run it")[2])
    assert command[:3] == ["hub-speed", "run", "my recipes/mine.yaml"]
    assert "✓ brainstorm" in cli(*command[1:])
    card = cli.python(
        "from huggingface_hub import hf_hub_download as get;"
        " print(open(get('someone/speed-tasks', 'README.md', repo_type='dataset')).read())"
    )
    assert "hub-speed run mine.yaml --org someone" in card and "my recipes" not in card


def test_what_has_to_be_run_first_is_named_as_it_was_given(cli: Cli) -> None:
    (cli.cwd / "mine.yaml").write_text("offline: true\n")
    assert "hub-speed run mine.yaml --org speed-demo" in cli("show", "mine.yaml", code=2)
