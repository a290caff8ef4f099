"""What a version comes from, read from records on the embedded Hub."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from toy_run import Made

from hub_speed.console.lineage import print_lineage
from hub_speed.console.terminal import console
from hub_speed.errors import HubError, NotFound
from hub_speed.hub import Hub
from hub_speed.versions.lineage import find, lineage


def test_a_tree_names_every_version_once_with_stage_and_licence(
    made: Callable[..., Made], capsys: pytest.CaptureFixture[str]
) -> None:
    hub = made(base_licence="mit").hub
    found = lineage(hub, find(hub, "org/speed-results"))
    facts = {ref.repo.split("/")[1]: (version.stage, version.licences) for ref, version in found.items()}
    assert facts == {
        "speed-results": ("evaluate", ["apache-2.0"]),
        "speed-embedder": ("embedder", ["apache-2.0"]),
        "speed-seed": ("seed", ["apache-2.0"]),
        "speed-tasks": ("brainstorm", ["apache-2.0"]),
        "topics": ("", ["cc-by-4.0"]),
        "base": ("", ["mit"]),
        "bench": ("", ["cc-by-nc-4.0"]),
    }
    assert all(len(ref.commit) == 40 and not version.problem for ref, version in found.items())
    with console.capture() as printed:
        print_lineage(found, as_json=False)
    lines = printed.get().splitlines()
    assert lines[0].startswith("org/speed-results@") and "data ← org/speed-seed@" in "".join(lines)
    assert sum("see above" in line for line in lines) == 2  # the base; the benchmark, which rows are checked against
    assert sum("org/base@" in line for line in lines) == 2
    print_lineage(found, as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["inputs"].keys() == {"base", "benchmark bench", "embedder"}


def test_teachers_are_those_that_were_asked(made: Callable[..., Made]) -> None:
    hub = made().hub
    found = {ref.repo: version.teachers for ref, version in lineage(hub, find(hub, "org/speed-embedder")).items()}
    assert found["org/speed-seed"] == ["offline-teacher"] and found["org/speed-embedder"] == []


def test_what_is_gone_is_a_problem_and_the_rest_is_shown(made: Callable[..., Made], tmp_path: Path) -> None:
    hub = made().hub
    HfApi(endpoint=hub.endpoint).delete_repo("org/speed-tasks", repo_type="dataset")
    shutil.rmtree(tmp_path / "cache")  # a client that has read it would not ask
    found = {ref.repo: version for ref, version in lineage(hub, find(hub, "datasets/org/speed-seed")).items()}
    assert "not found" in found["org/speed-tasks"].problem and not found["org/speed-seed"].problem


def test_names_that_say_nothing_or_two_things(made: Callable[..., Made], hub: Hub) -> None:
    made()
    with pytest.raises(NotFound, match="neither a model nor a dataset"):
        find(hub, "org/none@nope")
    for name in ("org/base@nope", "models/org/base@nope"):
        with pytest.raises(NotFound, match=r"model org/base@nope: revision not found on .*\n.*\n.*check the revision"):
            find(hub, name)
    with pytest.raises(HubError, match=r"speed_run\.json is missing"):
        lineage(hub, find(hub, "org/topics"))
    HfApi(endpoint=hub.endpoint).create_repo("org/base", repo_type="dataset")
    with pytest.raises(HubError, match="a model and a dataset have this name"):
        find(hub, "org/base")
    assert find(hub, "models/org/base").kind == "model" and find(hub, "datasets/org/base@main").kind == "dataset"
