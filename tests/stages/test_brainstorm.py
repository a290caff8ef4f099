"""Topics → tasks: one request a topic and type, against a server that answers as told."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_openai import FakeOpenAI
from stage_run import Run

from hub_speed import rows
from hub_speed.errors import RecipeError
from hub_speed.parquet import read_parquet
from hub_speed.pipeline.table import STAGES

pytestmark = pytest.mark.usefixtures("short_waits")


def brainstorm(folder: Path, server: FakeOpenAI, *topics: str, **values: Any) -> Run:
    run = Run("brainstorm", folder, server, mixture={"retrieval": 1, "sts": 1, "long_matching": 1}, **values)
    return run.give("topics", rows.TopicRow, *({"topic": topic} for topic in topics))


def test_brainstorm_asks_per_topic_and_type_and_keeps_one_task(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: json.dumps({"tasks": [f"{i} of {asked.prompt[:60]}" for i in range(5)] * 2})
    topics = ["Arts/Movies/Titles/3/36_Hours/Cast", "Arts/Movies/Other/36_Hours/Cast", "Arts"]  # two become one
    run = brainstorm(tmp_path / "a", server, *topics)
    found = run.build()
    assert [row["id"] for row in found] == [
        f"task-{task_type}-{i:07d}" for task_type in ("long_matching", "retrieval", "sts") for i in range(2)
    ]
    assert {row["topic"] for row in found} == {"Arts/Movies/36_Hours/Cast", "Arts"}
    assert [row["task"] for row in found if row["task_type"] == "sts"] == ["Retrieve semantically similar text"] * 2
    assert len(server.asked) == 4  # a fixed task takes no call
    assert sum("Arts > Movies > 36 Hours > Cast" in prompt for prompt in server.prompts()) == 2
    assert all(asked.body["response_format"]["json_schema"]["name"] == "tasks" for asked in server.asked)
    assert run.record.by_task_type == {"retrieval": 2, "sts": 2, "long_matching": 2}
    assert brainstorm(tmp_path / "b", server, *topics).build() == found  # which one is kept is no accident


def test_brainstorm_asks_for_as_many_topics_as_it_may(server: FakeOpenAI, tmp_path: Path) -> None:
    """The rarer type gets its share of them; the one with a fixed task gets all, as it takes no call."""
    server.answer = lambda asked: json.dumps({"tasks": [f"Find the books of writer {len(server.asked)}."]})
    topics = [f"Topic_{i}" for i in range(12)]
    settings = {"mixture": {"retrieval": 4, "sts": 1, "long_matching": 2}, "brainstorm": {"max_topics": 6}}
    run = Run("brainstorm", tmp_path, server, **settings).give("topics", rows.TopicRow, *({"topic": t} for t in topics))
    found = Counter(row["task_type"] for row in run.build())
    assert found == {"retrieval": 6, "sts": 12, "long_matching": 3} and len(server.asked) == 9


def test_brainstorm_keeps_as_many_different_tasks_as_it_may(server: FakeOpenAI, tmp_path: Path) -> None:
    different = ["Find a recipe for bread.", "Find the plays of a poet.", "Find the way to a town."]
    tasks = [*different, "find a recipe, for bread"]
    server.answer = lambda asked: json.dumps({"tasks": tasks})
    run = brainstorm(tmp_path, server, "Arts", brainstorm={"tasks_per_topic": 9})
    kept = sorted(row["task"] for row in run.build() if row["task_type"] == "retrieval")
    assert kept == different


@pytest.mark.parametrize(
    "task",
    [
        "- TASK",
        "* TASK",
        "**TASK**",
        "*TASK*",
        "`TASK`",
        '"TASK"',
        "“TASK”",
        "1. **TASK**",
        "**2.** TASK",
        "**3. TASK**",
        "Task 4: TASK",
        "(5) TASK",
        "TASK",
    ],
)
def test_the_marks_of_a_list_are_no_part_of_a_task(server: FakeOpenAI, tmp_path: Path, task: str) -> None:
    bare = "Find the plays of a lost poet"
    server.answer = lambda asked: json.dumps({"tasks": [task.replace("TASK", bare)]})
    kept = {row["task"] for row in brainstorm(tmp_path, server, "Arts").build() if row["task_type"] == "retrieval"}
    assert kept == {bare}


def test_a_task_that_an_earlier_topic_has_gives_way_to_the_next(server: FakeOpenAI, tmp_path: Path) -> None:
    tasks = ["Find the plays of a poet.", "find the plays of a poet", "Find a recipe for bread."]
    server.answer = lambda asked: json.dumps({"tasks": tasks})
    run = brainstorm(tmp_path, server, "Arts", "Science", "Sports")
    found = [row for row in run.build() if row["task_type"] == "retrieval"]
    assert {row["task"] for row in found} == {tasks[0], tasks[2]}
    assert [row["topic"] for row in found] == ["Arts", "Science"]
    assert run.record.rejected == {"duplicate": 2}
    dropped = run.ledger()["brainstorm-0000002-retrieval"]
    assert dropped["duplicate_of"] in ("brainstorm-0000000-retrieval", "brainstorm-0000001-retrieval")


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("first task", "not_a_task"),
        ("tasks", "not_a_task"),
        ("tasks tasks tasks tasks tasks", "not_a_task"),
        ("第一个任务", "not_a_task"),
        ("1. Given a claim about the weather, retrieve reports that support or contradict it", "echo"),
        (" ".join(["word"] * 61), "not_a_task"),
        ("Given a claim about the weather, retrieve reports that support or contradict it", "echo"),
        ("each task is one sentence and differs from the others", "echo"),
        ("ARTS > Movies > 36 hours > Cast", "echo"),
    ],
)
def test_what_is_no_task_of_its_own_is_dropped(server: FakeOpenAI, tmp_path: Path, task: str, reason: str) -> None:
    good = "Given an actor, find the films of theirs."
    server.answer = lambda asked: json.dumps({"tasks": [task, good] if "retrieval" in asked.prompt else [task]})
    run = brainstorm(tmp_path, server, "Arts/Movies/36_Hours/Cast")
    assert [row["task"] for row in run.build() if row["task_type"] == "retrieval"] == [good]
    ledger = run.ledger()
    assert ledger["brainstorm-0000000-retrieval"]["detail"].startswith(f"dropped: {reason}, ")
    other = ledger["brainstorm-0000000-long_matching"]
    if reason != "echo" or "claim" not in task:  # this example is of another type
        assert (other["state"], other["reason"]) == ("rejected", reason)


def test_the_list_of_tasks_ends(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: '{"tasks": ["Find the plays of a poet."]}'
    brainstorm(tmp_path, server, "Arts", brainstorm={"tasks_per_prompt": 7}).build()
    schema = server.asked[0].body["response_format"]["json_schema"]["schema"]["properties"]["tasks"]
    assert (schema["minItems"], schema["maxItems"]) == (1, 7)


def own_tasks(folder: Path, server: FakeOpenAI, rows: list[dict[str, str]]) -> Run:
    run = Run("brainstorm", folder, server, mixture={"retrieval": 1}, brainstorm={"tasks": "me/tasks"})
    run.inputs["tasks"] = folder / "in"
    (folder / "in").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "in" / "train.parquet")
    return run


def test_your_own_tasks_need_no_teacher(server: FakeOpenAI, tmp_path: Path) -> None:
    tasks = [{"task_type": "retrieval", "task": f"Find passage {i}."} for i in (1, 2, 1)]
    run = own_tasks(tmp_path / "a", server, [*tasks, {"task_type": "sts", "task": "Compare."}])
    STAGES["brainstorm"].build(run.ctx)
    found = list(read_parquet(run.ctx.out / "data"))
    assert [(row["task"], row["topic"]) for row in found] == [("Find passage 1.", ""), ("Find passage 2.", "")]
    assert (server.asked, run.record.accepted, STAGES["brainstorm"].estimate(run.recipe, 50).calls) == ([], 2, 0)
    with pytest.raises(RecipeError, match="no task of the type retrieval"):
        STAGES["brainstorm"].build(own_tasks(tmp_path / "b", server, [{"task_type": "sts", "task": "x"}]).ctx)
    with pytest.raises(RecipeError, match="columns are missing"):
        STAGES["brainstorm"].build(own_tasks(tmp_path / "c", server, [{"text": "x"}]).ctx)


def test_brainstorm_goes_on_where_one_answer_is_bad(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: "no" if "Arts" in asked.prompt else '{"tasks": ["Find the plays of a poet."]}'
    run = brainstorm(tmp_path, server, "Arts", "Science")
    assert {(row["task_type"], row["topic"]) for row in run.build()} == {
        *(("retrieval", "Science"), ("long_matching", "Science"), ("sts", "Arts"), ("sts", "Science")),
    }
    assert run.record.rejected == {"bad_json": 2}
