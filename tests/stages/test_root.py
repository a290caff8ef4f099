"""Prompts → candidates of the junior generator."""

from pathlib import Path

import pytest
from fake_openai import FakeOpenAI, as_json, choices
from stage_run import Run
from stage_texts import TASKS, triple

from hub_speed import rows

pytestmark = pytest.mark.usefixtures("short_waits")


def test_root_keeps_all_answers_with_what_is_wrong_with_them(server: FakeOpenAI, tmp_path: Path) -> None:
    good = triple("a", "b", "c")
    server.answer = lambda asked: as_json(choices(asked, [f" {good}\n", "", "no JSON", triple("a", "A", "c"), good]))
    run = Run("root", tmp_path, server, root={"rows": 2, "candidates": 5})
    run.inputs["junior"] = tmp_path / "weights"
    for row in run.give("brainstorm", rows.TaskRow, *TASKS).build():
        assert row["candidates"] == [good, "", "no JSON", triple("a", "A", "c")]
        assert row["reasons"] == ["", "empty_answer", "bad_json", "positive_equals_query"]
    assert {asked.body["n"] for asked in server.asked} == {5}


def test_root_keeps_a_candidate_once(server: FakeOpenAI, tmp_path: Path) -> None:
    good = triple("a", "b", "c")
    again = good.replace(", ", ",").replace("a", "A")
    server.answer = lambda asked: as_json(choices(asked, [good, again, "no JSON", "No JSON!"]))
    run = Run("root", tmp_path, server, root={"rows": 1, "candidates": 4})
    run.inputs["junior"] = tmp_path / "weights"
    (row,) = run.give("brainstorm", rows.TaskRow, *TASKS).build()
    assert (row["candidates"], row["reasons"]) == ([good, "no JSON"], ["", "bad_json"])


def test_root_drops_a_prompt_whose_answers_are_all_the_same(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: as_json(choices(asked, ["same", "same ", "\nsame"]))
    run = Run("root", tmp_path, server, root={"rows": 2, "candidates": 3})
    run.inputs["junior"] = tmp_path / "weights"
    assert run.give("brainstorm", rows.TaskRow, *TASKS).build() == []
    assert run.record.rejected == {"same_candidates": 2}
