"""The shipped topics are what the script makes of its lists, and paths that make sense as such."""

import re
import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub_speed.generation.topics import distinct, read_file
from hub_speed.recipe import Brainstorm
from hub_speed.recipes.loader import load

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_topics.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def topics() -> list[str]:
    return read_file(Path(load("speed").brainstorm.topics))


def test_the_shipped_file_is_what_the_script_makes(script: dict[str, Any], topics: list[str]) -> None:
    assert topics == script["compose"]()
    assert Path(load("speed").brainstorm.topics) == script["SHIPPED"]
    assert script["SHIPPED"].stat().st_size < 400_000


def test_topics_are_different_paths_of_many_grains(topics: list[str]) -> None:
    assert len(topics) == len(set(topics)) > 60_000
    known = {"", *topics}
    assert all(topic.rpartition("/")[0] in known for topic in topics)
    depths = Counter(topic.count("/") + 1 for topic in topics)
    assert set(depths) == {1, 2, 3, 4, 5, 6} and min(depths.values()) > 20
    assert not [topic for topic in topics if not all(re.fullmatch(r"[\w'.&+#-]+", part) for part in topic.split("/"))]
    assert not [topic for topic in topics if len({*topic.split("/")}) < topic.count("/") + 1]  # no part comes twice


def test_truncation_changes_some_topics_and_makes_none_alike(topics: list[str]) -> None:
    cut = distinct(topics, Brainstorm().max_depth)
    assert len(cut) == len(topics)
    assert len({*cut} - {*topics}) > 20_000
    assert "World/Western_Europe/Paris/Museums" in cut


def test_the_lists_hold_no_name_twice_and_no_idle_facets(script: dict[str, Any]) -> None:
    for file in script["LISTS"].glob("*.yaml"):
        lists = yaml.safe_load(file.read_text("utf-8"))
        assert set(lists["facets"]) == {kind for kinds in lists["tree"].values() for kind in kinds}
        texts = [*lists["facets"].values(), *(text for kinds in lists["tree"].values() for text in kinds.values())]
        for text in texts:
            names = script["_names"](text)
            assert all(names) and len(names) == len(set(names)), text
