"""The command line's own part: flags and help. What the commands do is tested where it is done."""

import shlex
import subprocess
import sys

import pytest
from running import HANG_S, Cli, free_port, kill, tiny
from typer.testing import CliRunner

from hub_speed.cli import app

COMMANDS = [
    "plan",
    "preview",
    "run",
    "study",
    "show",
    "release",
    "rows",
    "quality",
    "hub serve",
    "hub env",
    "space run",
]
COMMANDS += ["hub gc", "hub fsck", "hub export", "hub import"]


@pytest.mark.parametrize("command", ["", *COMMANDS, "space push"])
def test_help_is_for_people(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "--help"])
    assert shown.exit_code == 0 and "Usage:" in shown.output
    assert "hub-\n" not in shown.output
    for word in ("list[", "None"):
        assert word not in shown.output


@pytest.mark.parametrize("command", ["preview", "run", "study", "release", "space push"])
def test_what_publishes_can_publish_in_private(command: str) -> None:
    assert "--private" in CliRunner().invoke(app, [*command.split(), "--help"]).output


def test_a_private_run_makes_private_repositories(cli: Cli) -> None:
    cli("run", "quickstart", "--only", "brainstorm", "--private", "--set", "brainstorm.topics=quickstart-topics")
    out = cli.python(
        "from huggingface_hub import HfApi; print(HfApi().dataset_info('speed-demo/speed-tasks').private,"
        " HfApi().dataset_info('speed-demo/quickstart-topics').private)"
    )
    assert out.split() == ["True", "True"]


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
    assert "hub-speed run recipe.yaml --org YOUR_NAME" in card and "my recipes" not in card


def test_what_has_to_be_run_first_is_named_as_it_was_given(cli: Cli) -> None:
    (cli.cwd / "mine.yaml").write_text("offline: true\n")
    assert "hub-speed run mine.yaml --org speed-demo" in cli("show", "mine.yaml", code=2)


MISTAKES = [
    (["plan", "quickstart", "--org", "a b"], "--org 'a b'"),
    (["plan", "quickstart", "--org", ""], "--org ''"),
    (["space", "push", "--org", "a/b"], "--org 'a/b'"),
    (["plan", "quickstart", "--hub", "huggingface.co"], "--hub huggingface.co"),
    (["hub", "env", "--port", "0"], "--port"),
    (["hub", "serve", "--port", "65536"], "--port"),
    (["space", "run", "--port", "-1"], "--port"),
    (["run", "quickstart", "--log-format", "xml"], "--log-format xml"),
    *(
        (["study", "quickstart", "--vary", "embedder.loss_temperature=0.1", f"--margin={margin}"], f"margin {margin}")
        for margin in ("nan", "-0.1", "inf")
    ),
]


def test_a_value_that_cannot_be_is_named(cli: Cli) -> None:
    told = cli.mistakes(*(command for command, _ in MISTAKES))
    for (command, words), (code, said) in zip(MISTAKES, told, strict=True):
        assert code == 2 and words in said and "Traceback" not in said, command


def test_a_home_that_is_no_folder_is_named(cli: Cli) -> None:
    cli.home.write_text("a file")
    for command in (["plan", "quickstart"], ["hub", "serve"]):
        assert "HUB_SPEED_HOME" in cli(*command, code=7)


PRESSED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal, wherever the tests run
at = sys.argv.pop(1)
class CtrlC:
    def find_spec(self, name, path, target=None):
        if name == at:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, CtrlC())
from hub_speed.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("at", "command"), [("typer", ["hub", "serve"]), ("hub_speed.console.plan", ["plan", "quickstart"])]
)
def test_ctrl_c_while_python_still_imports_shows_no_traceback(cli: Cli, at: str, command: list[str]) -> None:
    told = [sys.executable, "-c", PRESSED, at, *command]
    done = subprocess.run(told, env=cli.env, capture_output=True, text=True, timeout=HANG_S)
    assert (done.returncode, done.stderr) == (130, "")


def test_an_empty_home_is_the_default_one(cli: Cli) -> None:
    assert "HF_HOME=/somewhere/else/.hub_speed/" in cli("hub", "env", HUB_SPEED_HOME="", HOME="/somewhere/else")


def test_any_client_reads_and_writes_the_hub_that_is_served(cli: Cli) -> None:
    """As a user does: `hub-speed hub serve` in one terminal, the lines of `hub-speed hub env` in another."""
    port = str(free_port())
    served = cli.start("hub", "serve", "--port", port)
    try:
        assert any(f":{port}" in line for line in served.stdout or ()), served.communicate()[1]
        given = [line.removeprefix("export ").split("=", 1) for line in cli("hub", "env", "--port", port).splitlines()]
        code = "from huggingface_hub import HfApi; print(HfApi().create_repo('me/new'), HfApi().whoami()['type'])"
        env = cli.env | {name: "".join(shlex.split(value)) for name, value in given}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    finally:
        kill(served)
    assert done.stdout.split() == [f"http://127.0.0.1:{port}/me/new", "user"], done.stderr


def test_a_terminal_without_our_characters_gets_others(cli: Cli) -> None:
    shown = cli("plan", "quickstart", "--only", "seed", PYTHONIOENCODING="ascii")
    assert "quickstart \\u2192 speed-demo" in shown and "run it" in shown


def test_a_reader_that_has_read_enough_sees_no_traceback(seeded: Cli) -> None:
    for flags in ([], ["--json"]):
        rows = f"{sys.executable} -m hub_speed rows speed-demo/speed-seed -n 1000 {' '.join(flags)}"
        done = subprocess.run(
            ["sh", "-c", f"{rows} | head -c 10"], cwd=seeded.cwd, env=seeded.env, capture_output=True, text=True
        )
        assert (len(done.stdout), done.stderr) == (10, "")
