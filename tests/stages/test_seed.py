"""Tasks → rows, of the teacher or of a generator: asked until enough are accepted, each with its reason."""

import json
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest
from fake_openai import Asked, FakeOpenAI, error
from running import HANG_S
from stage_run import Run
from stage_texts import TASKS, fresh, triple

from hub_speed import rows
from hub_speed.errors import StageError, Stopped
from hub_speed.stage import too_many_rejected

pytestmark = pytest.mark.usefixtures("short_waits")


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


@pytest.mark.parametrize("stage", ["seed", "synthesize"])
def test_exact_duplicates_are_dropped_and_keep_their_text(server: FakeOpenAI, tmp_path: Path, stage: str) -> None:
    texts = [triple("a", "b", "c"), triple("A", "b!", "c")]
    server.answer = lambda asked: texts[len(server.asked) % 2]
    run = Run(stage, tmp_path, server, **{stage: {"rows": 5}})
    run.inputs["generator"] = tmp_path / "weights"
    (row,) = run.give("brainstorm", rows.TaskRow, *TASKS).build()
    assert row["id"] == f"{stage}-0000000"
    assert run.record.rejected == {"duplicate": 4}
    dropped = run.ledger()[f"{stage}-0000001"]
    assert dropped["duplicate_of"] == row["id"]
    assert json.loads(dropped["dropped_row"])["completion"] == dropped["completions"][0]


def test_a_stage_whose_rows_are_mostly_the_same_stops(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: triple("a", "b", f"c{len(server.asked)}")
    run = Run("seed", tmp_path, server, seed={"rows": 20}, runtime={"in_flight": 4, "max_reject_rate": 1})
    with pytest.raises(StageError, match="only 1 of 20 rows are different"):
        run.give("brainstorm", rows.TaskRow, *TASKS).build()
    assert not list(run.ctx.out.rglob("*.parquet"))


def shaky(asked: Asked) -> str:
    """A valid answer to two prompts of three, always the same for one prompt; otherwise no JSON."""
    return "no" if zlib.crc32(asked.prompt.encode()) % 3 == 0 else fresh(asked)


PAIRS = [task | {"id": f"p{i}", "task_type": "bitext"} for i, task in enumerate(TASKS)]
MIX = {"mixture": {"sts": 3, "bitext": 1}, "languages": {"English": 1, "German": 1}}


def seeds(folder: Path, server: FakeOpenAI, rows_wanted: int = 40, **runtime: Any) -> Run:
    fixed = {"in_flight": 3, "reask": False}
    run = Run("seed", folder, server, seed={"rows": rows_wanted}, runtime=fixed | runtime, checks="form", **MIX)
    return run.give("brainstorm", rows.TaskRow, *TASKS, *PAIRS)


def test_a_stage_asks_until_its_rows_are_accepted(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = shaky
    run = seeds(tmp_path / "all", server)
    whole = run.build()
    assert run.record.by_task_type == {"sts": 30, "bitext": 10}
    assert run.record.rows_in == len(server.asked) > 50 and run.record.rejected["bad_json"] > 10
    assert run.record.notes == []
    more = seeds(tmp_path / "more", server, 60).build()
    assert len(more) == 60 and all(row in more for row in whole)
    for k in (7, 39, 45):  # stopped in the first wave, or after it
        stopped = seeds(tmp_path / f"stopped-{k}", server)
        at, ended = len(server.asked) + k, threading.Event()

        def until(asked: Asked, at: int = at, ended: threading.Event = ended, stopped: Run = stopped) -> str:
            if len(server.asked) >= at and not ended.is_set():
                stopped.ctx.stop.set()
                ended.wait(HANG_S)  # no answer comes any more: the stage cannot be done before it sees the stop
            return shaky(asked)

        server.answer = until
        with pytest.raises(Stopped):
            stopped.build()
        ended.set()
        stopped.ctx.stop.clear()
        assert stopped.build() == whole


def test_what_was_accepted_beyond_the_rows_wanted_is_surplus(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: "no" if len(server.asked) <= 12 else fresh(asked)  # the first wave is a bad time
    run = seeds(tmp_path, server, 20, max_reject_rate=0.6)
    run.build()
    assert run.record.by_task_type == {"sts": 15, "bitext": 5}
    surplus = [entry for entry in run.ledger().values() if entry["reason"] == "surplus"]
    assert len(surplus) > 8
    assert all(json.loads(entry["dropped_row"])["query"] and entry["similarity"] is None for entry in surplus)
    assert sum(run.record.rejected.values()) > 0.5 * run.record.rows_in  # surplus rows are fit to use
    assert not too_many_rejected(run.record.rows_in, run.record.accepted, run.record.rejected, 0.5)


def test_asking_ends_at_a_cap_and_says_so(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: "no" if "translations" in asked.prompt else fresh(asked)
    run = seeds(tmp_path, server, 40, max_reject_rate=0.9)
    run.build()
    assert run.record.by_task_type["sts"] == 30 and run.record.by_task_type["bitext"] == 0
    assert run.record.notes == ["seed, bitext: 0 of 10 rows were accepted; 40 were asked for, and at most 40 may be"]


def test_a_hopeless_model_is_not_asked_for_more(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: fresh(asked) if len(server.asked) % 3 == 0 else "no"
    run = seeds(tmp_path, server, 30)
    run.build()  # which `stage.build` refuses to publish
    assert len(server.asked) == 30
    assert too_many_rejected(run.record.rows_in, run.record.accepted, run.record.rejected, 0.5)
    assert len(seeds(tmp_path, server, 30, max_reject_rate=0.9).build()) == 30  # the same ledger goes on


def test_form_alone_decides_where_the_recipe_says_so(server: FakeOpenAI, tmp_path: Path) -> None:
    answers = [triple("a", "a", "b"), triple("c", "d", "e"), '{"S1": "a"}', triple("f g h i", "j", "F g h i!")]
    server.answer = lambda asked: answers[(len(server.asked) - 1) % 4]
    runs = {}
    for checks in ("form", "all"):
        server.asked.clear()
        runtime = {"in_flight": 1, "reask": False, "max_reject_rate": 0.2}
        runs[checks] = Run("seed", tmp_path / checks, server, checks=checks, seed={"rows": 4}, runtime=runtime)
        runs[checks].give("brainstorm", rows.TaskRow, *TASKS)
    assert [row["flaw"] for row in runs["form"].build()] == ["positive_equals_query", "", "positive_equals_negative"]
    assert runs["form"].record.measures.unchecked == {"positive_equals_query": 1, "positive_equals_negative": 1}
    assert runs["form"].record.rejected == {"wrong_keys": 1}
    server.asked.clear()
    assert [row["flaw"] for row in runs["all"].build()] == [""]
    assert runs["all"].record.measures.unchecked == {}


ECHOES = [
    {"S1": "S1", "S2": "S2", "S3": "S3"},
    {"S1": "S2", "S2": "S3", "S3": "S1"},
    {"S1": "this is one", "S2": "this is two", "S3": "All three share some words"},
    {"S1": "Retrieve semantically similar text", "S2": "They are the strings", "S3": "this is three"},
    {"S1": "Arts > Topic 7", "S2": "this is two", "S3": "this is three"},
]


@pytest.mark.parametrize("answer", ECHOES, ids=range(len(ECHOES)))
def test_what_only_repeats_the_prompt_is_rejected(server: FakeOpenAI, tmp_path: Path, answer: dict[str, str]) -> None:
    server.answer = lambda asked: json.dumps(answer)
    task = TASKS[7] | {"task": "Retrieve semantically similar text"}
    run = Run("seed", tmp_path, server, seed={"rows": 1})
    assert run.give("brainstorm", rows.TaskRow, task).build() == []
    entry = run.ledger()["seed-0000000"]
    assert entry["reason"] == "echo"
    assert entry["prompt"] == server.asked[0].prompt


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


def test_a_stage_that_was_built_again_asks_nothing_and_makes_the_same(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = fresh
    first = Run("seed", tmp_path, server, seed={"rows": 9}).give("brainstorm", rows.TaskRow, *TASKS)
    made, asked = first.build(), len(server.asked)
    again = Run("seed", tmp_path, server, seed={"rows": 9})
    again.inputs |= first.inputs
    assert again.build() == made
    assert len(server.asked) == asked
    assert again.record == first.record
