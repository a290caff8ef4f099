"""The command line's own part: flags and help. What the commands do is tested where it is done."""

import pytest
from running import Cli
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
