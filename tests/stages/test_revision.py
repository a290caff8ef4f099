"""Candidates → revisions by the teacher, which a revisor learns from."""

import json
from pathlib import Path

import pytest
from fake_openai import FakeOpenAI
from stage_run import Run
from stage_texts import root_row, triple

from hub_speed import rows
from hub_speed.pipeline.table import STAGES

pytestmark = pytest.mark.usefixtures("short_waits")


def test_revision_asks_for_one_candidate_and_notes_what_changed(server: FakeOpenAI, tmp_path: Path) -> None:
    same, other = triple("a", "b", "c"), json.loads(triple("a", "b", "d"))
    answers = {
        0: {"reason": "nothing is wrong", "revision": json.loads(same)},
        1: {"reason": "the third is odd", "revision": other},
        2: {"revision": json.dumps(other), "reason": "as a string"},
        3: {"reason": "it is odd", "revision": json.loads(triple("a", "a", "c"))},
        4: {"reason": "it is odd", "revision": {"S1": "a"}},
        5: {"reason": "it is odd"},
        6: {"reason": "your sentences", "revision": other},
        7: {"reason": "Which statements are not true?", "revision": other},
        8: {"reason": "this is a", "revision": other},
        9: {"reason": "revision", "revision": {"S1": "S1", "S2": "S2", "S3": "S3"}},
    }
    server.answer = lambda asked: json.dumps(answers[int(asked.prompt.split("prompt ")[1][0])])
    run = Run("revision", tmp_path, server)
    found = run.give("root", rows.RootRow, *(root_row(i, same, same) for i in range(10))).build()
    assert [row["changed"] for row in found] == [False, True, True]
    assert json.loads(found[2]["completion"]) == {"reason": "as a string", "revision": other}
    assert all(row["prompt"] in server.prompts() and f"<<<\n{same}\n>>>" in row["prompt"] for row in found)
    assert run.record.rejected == {"wrong_keys": 2, "positive_equals_query": 1, "echo": 4}


def test_the_revision_has_the_form_of_its_task_type(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: json.dumps({"reason": "it is odd", "revision": json.loads(triple("a", "b", "c"))})
    Run("revision", tmp_path, server).give("root", rows.RootRow, root_row(0, "x", "y")).build()
    schema = server.asked[0].body["response_format"]["json_schema"]["schema"]
    inner = schema["properties"]["revision"]
    assert (inner["required"], inner["additionalProperties"]) == (["S1", "S2", "S3"], False)
    assert "$defs" not in schema


def test_which_candidate_is_revised_is_drawn_and_repeatable(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: json.dumps({"reason": "it is odd", "revision": json.loads(triple("a", "b", "c"))})
    drawn = []
    for name in ("a", "b"):
        run = Run("revision", tmp_path / name, server)
        found = run.give("root", rows.RootRow, *(root_row(i, "x", "y", "z") for i in range(30))).build()
        drawn.append([row["prompt"].split("Draft:\n<<<\n")[1][0] for row in found])
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {"x", "y", "z"}
    run = Run("revision", tmp_path / "best", server, revision={"candidate": "best"})
    judged = [
        {"id": root_row(i, "x")["id"], "task_type": "sts", "prompt": "p", "chosen": "z", "rejected": "x"}
        for i in range(20)
    ]
    run.give("preference", rows.PreferenceRow, *(row | {"reason": "r", "order": [0]} for row in judged))
    found = run.give("root", rows.RootRow, *(root_row(i, "x", "y", "z") for i in range(30))).build()
    taken = [row["prompt"].split("Draft:\n<<<\n")[1][0] for row in found]
    assert taken == ["z"] * 20 + drawn[0][20:]  # where the judge named none, it is drawn
    assert set(STAGES["revision"].inputs(run.recipe)) == {"root", "preference"}
