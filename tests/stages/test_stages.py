"""The stages that ask a model, from input folders to output folder, against a server that answers as told."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_openai import Asked, FakeOpenAI, Reply, as_json, choices, error
from stage_run import Run

from hub_speed import rows
from hub_speed.errors import RecipeError
from hub_speed.parquet import read_parquet
from hub_speed.pipeline.table import STAGES
from hub_speed.record import tag_of

Answer = Callable[[Asked], Reply | str]
pytestmark = pytest.mark.usefixtures("short_waits")


TASKS = [{"id": f"t{i}", "task_type": "sts", "task": "Find it", "topic": f"Arts/Topic_{i}"} for i in range(40)]


def triple(*texts: str) -> str:
    return json.dumps(dict(zip(("S1", "S2", "S3"), texts, strict=True)))


def fresh(asked: Asked) -> str:
    """A valid answer that is another one for every prompt."""
    name = zlib.crc32(asked.prompt.encode())
    return triple(f"a first text {name}", f"another text {name}", f"one more {name}")


# --- brainstorm -----------------------------------------------------------------------------------------------------


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


def test_brainstorm_keeps_as_many_different_tasks_as_it_may(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: '{"tasks": ["a", "b", "a", "c"]}'
    run = brainstorm(tmp_path, server, "Arts", brainstorm={"tasks_per_topic": 9})
    assert sorted(row["task"] for row in run.build() if row["task_type"] == "retrieval") == ["a", "b", "c"]


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
    server.answer = lambda asked: "no" if "Arts" in asked.prompt else '{"tasks": ["a"]}'
    run = brainstorm(tmp_path, server, "Arts", "Science")
    assert {(row["task_type"], row["topic"]) for row in run.build()} == {
        *(("retrieval", "Science"), ("long_matching", "Science"), ("sts", "Arts"), ("sts", "Science")),
    }
    assert run.record.rejected == {"bad_json": 2}


# --- seed and synthesize --------------------------------------------------------------------------------------------


def test_seed_rows_hold_prompt_answer_and_columns(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = fresh
    run = Run("seed", tmp_path, server, seed={"rows": 12}, teacher={"model": "big", "sampling_temperature": 0.7})
    found = run.give("brainstorm", rows.TaskRow, *TASKS).build()
    prompts = {asked.prompt: asked for asked in server.asked}
    for row in found:
        answer = json.loads(fresh(prompts[row["prompt"]]))
        assert json.loads(row["completion"]) == answer
        assert (row["query"], row["positive"], row["negative"]) == tuple(answer.values())
        assert (row["instruction"], row["generator"], row["revised"]) == ("Find it", "big", False)
        rows.SeedRow.model_validate(row)
    assert len(found) == 12
    assert {asked.body["temperature"] for asked in server.asked} == {0.7}
    assert run.asked_for == [("teacher", None)]
    assert (run.record.calls, run.record.prompt_tokens) == ({"teacher": 12}, {"teacher": 12 * 11})
    assert run.record.completion_tokens == {"teacher": 12 * 7}


def test_what_is_not_accepted_is_counted_and_kept_in_the_ledger(server: FakeOpenAI, tmp_path: Path) -> None:
    answers = ["no", triple("a", "a", "b"), triple("a", "b", "B!"), '{"S1": "a"}', triple("a", "b", "c") + ",}"]
    server.answer = lambda asked: error(500) if len(server.asked) > 5 else answers[len(server.asked) - 1]
    run = Run("seed", tmp_path, server, seed={"rows": 6}, runtime={"in_flight": 2, "retries": 1, "reask": False})
    assert len(run.give("brainstorm", rows.TaskRow, *TASKS).build()) == 1
    assert run.record.rejected == dict.fromkeys(
        ["bad_json", "positive_equals_query", "positive_equals_negative", "wrong_keys", "endpoint_error"], 1
    )
    assert sorted(text for e in run.ledger().values() for text in e["completions"]) == sorted(answers)
    assert run.record.calls == {"teacher": 5}  # a row that was never answered is no call


def test_exact_duplicates_of_the_seed_go_only_where_the_recipe_says_so(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: triple("a", "b", "c")
    for exact, count in ((False, 5), (True, 1)):
        run = Run("seed", tmp_path / str(exact), server, seed={"rows": 5, "exact_dedup": exact})
        found = run.give("brainstorm", rows.TaskRow, *TASKS).build()
        assert len(found) == count
        assert found[0]["id"] == "seed-0000000"
        assert run.record.rejected == ({"duplicate": 4} if exact else {})


@pytest.mark.parametrize("generator", ["junior", "base"])
def test_drafts_are_written_by_the_generator_of_the_recipe(server: FakeOpenAI, tmp_path: Path, generator: str) -> None:
    server.answer = fresh
    run = Run("synthesize", tmp_path, server, synthesize={"rows": 4, "generator": generator})
    run.inputs["generator"] = tmp_path / "weights"
    found = run.give("brainstorm", rows.TaskRow, *TASKS).build()
    assert {row["generator"] for row in found} == {generator}
    assert run.asked_for == [(generator, tmp_path / "weights")]
    assert all(asked.body["prompt"].endswith(" [/INST]") for asked in server.asked)
    assert not any(row["prompt"].endswith("[/INST]") for row in found)


# --- root -----------------------------------------------------------------------------------------------------------


def test_root_keeps_all_answers_with_what_is_wrong_with_them(server: FakeOpenAI, tmp_path: Path) -> None:
    good = triple("a", "b", "c")
    server.answer = lambda asked: as_json(choices(asked, [f" {good}\n", "", "no JSON", triple("a", "A", "c")]))
    run = Run("root", tmp_path, server, root={"rows": 2, "candidates": 4})
    run.inputs["junior"] = tmp_path / "weights"
    for row in run.give("brainstorm", rows.TaskRow, *TASKS).build():
        assert row["candidates"] == [good, "", "no JSON", triple("a", "A", "c")]
        assert row["reasons"] == ["", "empty_answer", "bad_json", "positive_equals_query"]
    assert {asked.body["n"] for asked in server.asked} == {4}


def test_root_drops_a_prompt_whose_answers_are_all_the_same(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: as_json(choices(asked, ["same", "same ", "\nsame"]))
    run = Run("root", tmp_path, server, root={"rows": 2, "candidates": 3})
    run.inputs["junior"] = tmp_path / "weights"
    assert run.give("brainstorm", rows.TaskRow, *TASKS).build() == []
    assert run.record.rejected == {"same_candidates": 2}


# --- preference and revision ----------------------------------------------------------------------------------------


def root_row(i: int, *candidates: str) -> dict[str, Any]:
    return {
        "id": f"root-{i:07d}",
        "task_type": "sts",
        "task": "Find it",
        "topic": "Arts",
        "language": "English",
        "target_language": "",
        "knobs": '{"unit": "sentence"}',
        "prompt": f"prompt {i}",
        "candidates": list(candidates),
        "reasons": [""] * len(candidates),
    }


def test_preference_takes_the_candidates_the_teacher_names(server: FakeOpenAI, tmp_path: Path) -> None:
    verdicts = {
        0: '{"reason": "r", "best": 1, "worst": 0}',
        1: '{"reason": "r", "best": 2, "worst": 0}',  # there are only two different ones
        2: '{"reason": "r", "best": -1, "worst": 0}',
        3: '{"reason": "all alike", "best": 1, "worst": 1}',
        4: "the first",
    }
    server.answer = lambda asked: verdicts[int(asked.prompt.split("prompt ")[1][0])]
    run = Run("preference", tmp_path, server)
    (row,) = run.give("root", rows.RootRow, *(root_row(i, "x", "x", "y") for i in range(5))).build()
    assert row == {
        "id": "root-0000000",
        "task_type": "sts",
        "prompt": "prompt 0",
        "chosen": "y",
        "rejected": "x",
        "reason": "r",
    }
    assert run.record.rejected == {"bad_index": 2, "tie": 1, "bad_json": 1}
    assert run.ledger()["root-0000001"]["detail"].endswith("; then best=2, worst=0 of 2 candidates")
    assert {asked.body["temperature"] for asked in server.asked} == {0.0}
    assert all("[1] <<<\ny\n>>>" in prompt and "[2]" not in prompt for prompt in server.prompts())


def test_the_first_root_rows_are_enough_where_the_recipe_says_so(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: '{"reason": "r", "best": 0, "worst": 1}'
    run = Run("preference", tmp_path, server, preference={"rows": 2})
    found = run.give("root", rows.RootRow, *(root_row(i, "x", "y") for i in (3, 1, 2, 0))).build()
    assert [row["id"] for row in found] == ["root-0000000", "root-0000001"]


def test_revision_asks_for_one_candidate_and_notes_what_changed(server: FakeOpenAI, tmp_path: Path) -> None:
    same, other = triple("a", "b", "c"), {"S1": "a", "S2": "b", "S3": "d"}
    answers = {
        0: {"reason": "nothing", "revision": json.loads(same)},
        1: {"reason": "S3", "revision": other},
        2: {"revision": json.dumps(other), "reason": "as a string"},
        3: {"reason": "r", "revision": {"S1": "a", "S2": "a", "S3": "c"}},
        4: {"reason": "r", "revision": {"S1": "a"}},
        5: {"reason": "r"},
    }
    server.answer = lambda asked: json.dumps(answers[int(asked.prompt.split("prompt ")[1][0])])
    run = Run("revision", tmp_path, server)
    found = run.give("root", rows.RootRow, *(root_row(i, same, same) for i in range(6))).build()
    assert [row["changed"] for row in found] == [False, True, True]
    assert json.loads(found[2]["completion"]) == {"reason": "as a string", "revision": other}
    assert all(row["prompt"] in server.prompts() and f"<<<\n{same}\n>>>" in row["prompt"] for row in found)
    assert run.record.rejected == {"wrong_keys": 2, "positive_equals_query": 1}


def test_which_candidate_is_revised_is_drawn_and_repeatable(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: json.dumps({"reason": "r", "revision": json.loads(triple("a", "b", "c"))})
    drawn = []
    for name in ("a", "b"):
        run = Run("revision", tmp_path / name, server)
        found = run.give("root", rows.RootRow, *(root_row(i, "x", "y", "z") for i in range(30))).build()
        drawn.append([row["prompt"].split("Data:\n<<<\n")[1][0] for row in found])
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {"x", "y", "z"}
    run = Run("revision", tmp_path / "best", server, revision={"candidate": "best"})
    judged = [
        {"id": root_row(i, "x")["id"], "task_type": "sts", "prompt": "p", "chosen": "z", "rejected": "x", "reason": "r"}
        for i in range(20)
    ]
    run.give("preference", rows.PreferenceRow, *judged)
    found = run.give("root", rows.RootRow, *(root_row(i, "x", "y", "z") for i in range(30))).build()
    taken = [row["prompt"].split("Data:\n<<<\n")[1][0] for row in found]
    assert taken == ["z"] * 20 + drawn[0][20:]  # where the judge named none, it is drawn
    assert set(STAGES["revision"].inputs(run.recipe)) == {"root", "preference"}


# --- revise ---------------------------------------------------------------------------------------------------------


def draft_row(i: int, *texts: str) -> dict[str, Any]:
    row = {name: value for name, value in root_row(i).items() if name not in ("candidates", "reasons")}
    example = {"query": texts[0], "positive": texts[1], "negative": texts[2]}
    more = {"completion": triple(*texts), "instruction": "Find it", "generator": "senior", "revised": False}
    return row | example | more | {"id": f"synthesize-{i:07d}"}


def words_for(i: int, name: str) -> str:
    return " ".join(f"{name}{i}x{k}" for k in range(8))


def test_revise_takes_a_good_revision_and_keeps_the_draft_otherwise(server: FakeOpenAI, tmp_path: Path) -> None:
    drafts = [draft_row(i, words_for(i, "one"), words_for(i, "two"), words_for(i, "three")) for i in range(5)]
    better = {"S1": "a better one", "S2": "a second that is better", "S3": "a third"}
    answers = {
        0: json.dumps({"reason": "r", "revision": better}),
        1: json.dumps({"reason": "r", "revision": json.loads(drafts[1]["completion"])}),
        2: "no JSON",
        3: json.dumps({"reason": "r", "revision": {"S1": "a", "S2": "A.", "S3": "c"}}),
        4: json.dumps({"reason": "r", "revision": better})[:-5],
    }
    server.answer = lambda asked: answers[int(asked.prompt.split("prompt ")[1][0])]
    run = Run("revise", tmp_path, server)
    run.inputs["revisor"] = tmp_path / "weights"
    found = run.give("synthesize", rows.DraftRow, *drafts).build()
    assert [row["revised"] for row in found] == [True, False, False, False, False]
    assert (found[0]["query"], found[0]["negative"], found[0]["draft"]) == (
        "a better one",
        "a third",
        drafts[0]["completion"],
    )
    for row, draft in zip(found[1:], drafts[1:], strict=True):
        assert row == draft | {"draft": draft["completion"]}
    details = [entry["detail"] for entry in run.ledger().values()]
    assert details == ["", "", "draft kept: bad_json", "draft kept: positive_equals_query", "draft kept: bad_json"]
    assert run.asked_for == [("revisor", tmp_path / "weights")]


def test_revise_drops_near_duplicates_after_revision(server: FakeOpenAI, tmp_path: Path) -> None:
    drafts = [draft_row(i, words_for(i, "one"), words_for(i, "two"), words_for(i, "three")) for i in range(3)]
    alike = json.loads(triple(words_for(9, "q"), words_for(9, "p"), "n"))
    server.answer = lambda asked: "no" if "prompt 1" in asked.prompt else json.dumps({"reason": "r", "revision": alike})
    run = Run("revise", tmp_path, server)
    run.inputs["revisor"] = tmp_path / "weights"
    found = run.give("synthesize", rows.DraftRow, *drafts).build()
    assert [row["id"] for row in found] == ["synthesize-0000000", "synthesize-0000001"]
    assert run.record.rejected == {"near_duplicate": 1}
    dropped = run.ledger()["synthesize-0000002"]
    assert (dropped["state"], dropped["duplicate_of"], dropped["similarity"]) == ("rejected", "synthesize-0000000", 1.0)


# --- all of them ----------------------------------------------------------------------------------------------------


def test_a_stage_that_was_built_again_asks_nothing_and_makes_the_same(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = fresh
    first = Run("seed", tmp_path, server, seed={"rows": 9}).give("brainstorm", rows.TaskRow, *TASKS)
    made, asked = first.build(), len(server.asked)
    again = Run("seed", tmp_path, server, seed={"rows": 9})
    again.inputs |= first.inputs
    assert again.build() == made
    assert len(server.asked) == asked
    assert again.record == first.record


def test_every_data_stage_says_which_rows_it_makes() -> None:
    assert all(bool(s.row) == (s.kind == "dataset") for s in STAGES.values())
    assert tag_of("a" * 12) == "run-aaaaaaaaaaaa"
