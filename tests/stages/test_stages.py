"""The stages that ask a model, from input folders to output folder, against a server that answers as told."""

import json
import re
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_openai import Asked, FakeOpenAI, Reply, as_json, choices, error
from stage_run import Run

from hub_speed import rows
from hub_speed.errors import RecipeError, StageError, Stopped
from hub_speed.generation.stock_phrases import stock_phrases
from hub_speed.parquet import read_parquet
from hub_speed.pipeline.table import STAGES
from hub_speed.record import Ref, tag_of
from hub_speed.stage import too_many_rejected

Answer = Callable[[Asked], Reply | str]
pytestmark = pytest.mark.usefixtures("short_waits")


TASKS = [{"id": f"t{i}", "task_type": "sts", "task": "Find it", "topic": f"Arts/Topic_{i}"} for i in range(40)]


def sentence(word: str) -> str:
    return f"this is {word}"


def triple(*words: str) -> str:
    return json.dumps(dict(zip(("S1", "S2", "S3"), map(sentence, words), strict=True)))


def fresh(asked: Asked) -> str:
    """A valid answer that is another one for every prompt."""
    name = zlib.crc32(asked.prompt.encode())
    return triple(f"the first text {name}", f"another text {name}", f"one more {name}")


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
        before = len(server.asked)

        def until(asked: Asked, before: int = before, k: int = k, stopped: Run = stopped) -> str:
            if len(server.asked) - before == k:
                stopped.ctx.stop.set()
            return shaky(asked)

        server.answer = until
        with pytest.raises(Stopped):
            stopped.build()
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


# --- root -----------------------------------------------------------------------------------------------------------


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


# --- preference and revision ----------------------------------------------------------------------------------------


def root_row(i: int, *candidates: str, reasons: tuple[str, ...] = ()) -> dict[str, Any]:
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
        "reasons": list(reasons or [""] * len(candidates)),
        "flaws": [""] * len(candidates),
    }


def test_preference_takes_the_candidates_the_teacher_names(server: FakeOpenAI, tmp_path: Path) -> None:
    verdicts = {
        0: '{"reason": "it is clearer", "best": 1, "worst": 0}',
        1: '{"reason": "it is clearer", "best": 2, "worst": 0}',  # there are only two
        2: '{"reason": "it is clearer", "best": -1, "worst": 0}',
        3: '{"reason": "all alike", "best": 1, "worst": 1}',
        4: "the first",
        5: '{"reason": "", "best": 1, "worst": 0}',
        6: '{"reason": "0", "best": 1, "worst": 0}',
        7: '{"reason": "Your sentences.", "best": 1, "worst": 0}',
        8: '{"reason": "Prompt 8.", "best": 1, "worst": 0}',
    }
    server.answer = lambda asked: verdicts[int(asked.prompt.split("prompt ")[1][0])]
    run = Run("preference", tmp_path, server)
    (row,) = run.give("root", rows.RootRow, *(root_row(i, "x", "y") for i in range(9))).build()
    shown = ["xy"[number] for number in row["order"]]
    assert row == {
        "id": "root-0000000",
        "task_type": "sts",
        "prompt": "prompt 0",
        "chosen": shown[1],
        "rejected": shown[0],
        "reason": "it is clearer",
        "order": row["order"],
    }
    assert run.record.rejected == {"bad_index": 2, "tie": 1, "bad_json": 1, "empty_field": 2, "echo": 2}
    assert run.ledger()["root-0000001"]["detail"].endswith("; then best=2, worst=0 of 2 candidates")
    assert {asked.body["temperature"] for asked in server.asked} == {0.0}
    assert all(shown_in(prompt).keys() == {"x", "y"} and "[2]" not in prompt for prompt in server.prompts())


def shown_in(prompt: str) -> dict[str, int]:
    """The candidates of a judge prompt, each of one letter, with their numbers in it."""
    return {text: int(number) for number, text in re.findall(r"\[(\d)\] <<<\n(\w)\n>>>", prompt)}


def likes(best: str, worst: str) -> Callable[[Asked], str]:
    """A judge that knows a good candidate from a bad one, wherever they stand."""

    def answer(asked: Asked) -> str:
        shown = shown_in(asked.prompt)
        return json.dumps({"reason": "it is clearer", "best": shown[best], "worst": shown[worst]})

    return answer


def test_the_judge_sees_every_row_in_an_order_of_its_own(server: FakeOpenAI, tmp_path: Path) -> None:
    found = [root_row(i, *"vwxyz") for i in range(60)]
    server.answer = likes("y", "w")
    made = Run("preference", tmp_path / "fair", server).give("root", rows.RootRow, *found).build()
    assert {(row["chosen"], row["rejected"]) for row in made} == {("y", "w")}
    shown = {prompt.split("prompt ")[1].split("\n")[0]: shown_in(prompt) for prompt in server.prompts()}
    for row in made:
        assert ["vwxyz"[number] for number in row["order"]] == list(shown[row["prompt"].removeprefix("prompt ")])
    server.answer = lambda asked: '{"reason": "it is clearer", "best": 0, "worst": 4}'  # a place, whatever stands there
    biased = Run("preference", tmp_path / "biased", server).give("root", rows.RootRow, *found).build()
    assert [row["order"] for row in biased] == [row["order"] for row in made]
    counts = Counter(row["chosen"] for row in biased)
    assert set(counts) == set("vwxyz") and max(counts.values()) <= 24  # 12 each, give or take four standard deviations
    assert len({tuple(row["order"]) for row in biased}) > 30


def test_the_chosen_answer_always_passes_the_check(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = likes("x", "y")
    found = [
        root_row(0, "x", "y", reasons=("", "truncated")),
        root_row(1, "x", "y", reasons=("truncated", "")),
        root_row(2, "x", "y", reasons=("truncated", "bad_json")),
    ]
    run = Run("preference", tmp_path, server).give("root", rows.RootRow, *found)
    assert [(row["chosen"], row["rejected"]) for row in run.build()] == [("x", "y")]
    assert len(server.asked) == 2
    one, two = run.ledger()["root-0000001"], run.ledger()["root-0000002"]
    assert (one["reason"], one["detail"]) == ("unfit_best", "candidate 0: truncated")
    assert (two["reason"], two["detail"], two["calls"]) == ("unfit_candidates", "truncated, bad_json", 0)
    assert two["prompt"] == "prompt 2"
    schema = server.asked[0].body["response_format"]["json_schema"]["schema"]
    assert (schema["properties"]["best"]["minimum"], schema["properties"]["best"]["maximum"]) == (0, 1)


def test_a_pair_is_published_once(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = likes("x", "y")
    run = Run("preference", tmp_path, server)
    again = root_row(0, "x", "y") | {"id": "root-0000001"}
    (row,) = run.give("root", rows.RootRow, root_row(0, "x", "y"), again).build()
    assert row["id"] == "root-0000000"
    assert run.record.rejected == {"duplicate": 1}


def test_of_verdicts_in_both_orders_only_agreements_are_kept(server: FakeOpenAI, tmp_path: Path) -> None:
    """Row 0 is judged by what the answers say, row 1 by their places; row 2 gets a verdict in one order alone."""

    def judge(asked: Asked) -> str:
        i, shown = int(asked.prompt.split("prompt ")[1][0]), shown_in(asked.prompt)
        best = {0: shown["x"], 1: 0, 2: 7 * shown["x"]}[i]
        return json.dumps({"reason": "it is clearer", "best": best, "worst": 1 - best})

    server.answer = judge
    run = Run("preference", tmp_path, server, preference={"judge": "both_orders"})
    (row,) = run.give("root", rows.RootRow, *(root_row(i, "x", "y") for i in range(3))).build()
    assert (row["id"], row["chosen"], row["rejected"]) == ("root-0000000", "x", "y")
    assert run.record.rejected == {"orders_differ": 3, "bad_index": 1, "surplus": 1}


@pytest.mark.parametrize("broken", [[0, 1], [1, 0]])
def test_a_row_whose_request_failed_in_one_order_is_asked_again_by_the_next_run(
    server: FakeOpenAI, tmp_path: Path, broken: list[int]
) -> None:
    def judge(asked: Asked) -> Reply | str:
        shown = shown_in(asked.prompt)
        fails = "prompt 7" in asked.prompt and [shown["x"], shown["y"]] == broken
        return error(500) if fails else likes("x", "y")(asked)

    server.answer = judge
    run = Run("preference", tmp_path, server, preference={"judge": "both_orders"})
    run.give("root", rows.RootRow, *(root_row(i, "x", "y") for i in range(8)))
    assert len(run.build()) == 7 and run.record.rejected == {"surplus": 7, "endpoint_error": 2}
    assert [entry["id"][:12] for entry in run.ledger().values() if entry["state"] == "failed"] == ["root-0000007"] * 2
    server.answer, before = likes("x", "y"), len(server.asked)
    assert len(run.build()) == 8 and run.record.rejected == {"surplus": 8}
    assert len(server.asked) == before + 2  # the two orders of one row


def test_a_chosen_answer_with_a_stock_phrase_is_dropped(server: FakeOpenAI, tmp_path: Path) -> None:
    def judge(asked: Asked) -> str:
        best = 0 if "[0] <<<\n{" in asked.prompt else 1
        return json.dumps({"reason": "it is clearer", "best": best, "worst": 1 - best})

    server.answer = judge
    stock = "There is much to say about"
    texts = [f"{stock} owls", f"{stock} cats", "Seven owls sat in the tall tree", "A cat"]
    run = Run("preference", tmp_path, server, preference={"stock_share": 0.3})
    found = [root_row(i, triple(text, "One more", f"A third, {i}"), "x") for i, text in enumerate(texts)]
    assert [row["id"] for row in run.give("root", rows.RootRow, *found).build()] == ["root-0000002", "root-0000003"]
    assert run.record.rejected == {"stock_phrase": 2, **run.record.rejected}
    assert stock.lower() in stock_phrases(found, 0.3)  # one of three other prompts has it
    assert stock_phrases(found, 0.34) == set()


def test_signals_are_asked_for_until_there_are_enough(server: FakeOpenAI, tmp_path: Path) -> None:
    good = '{"reason": "it is clearer", "best": 0, "worst": 1}'
    tie = good.replace('"best": 0', '"best": 1')
    server.answer = lambda asked: tie if asked.prompt.split("prompt ")[1][0] in "13" else good
    found = [root_row(i, "x", "y", reasons=("empty_answer",) * 2 if i == 4 else ()) for i in range(9)]
    run = Run("preference", tmp_path / "a", server, preference={"rows": 4}).give("root", rows.RootRow, *found)
    assert [row["id"][-1] for row in run.build()] == ["0", "2", "5", "6"]
    assert run.record.rejected == {"tie": 2, "unfit_candidates": 1, **run.record.rejected}
    assert run.record.notes == []
    run = Run("preference", tmp_path / "b", server, preference={"rows": 9}).give("root", rows.RootRow, *found)
    assert len(run.build()) == 6
    assert run.record.notes == ["preference, sts: 6 of 9 rows were accepted; 9 were asked for, and at most 9 may be"]


def test_the_first_root_rows_are_enough_where_the_recipe_says_so(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: '{"reason": "it is clearer", "best": 0, "worst": 1}'
    run = Run("preference", tmp_path, server, preference={"rows": 2})
    found = run.give("root", rows.RootRow, *(root_row(i, "x", "y") for i in (3, 1, 2, 0))).build()
    assert [row["id"] for row in found] == ["root-0000000", "root-0000001"]


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


# --- revise ---------------------------------------------------------------------------------------------------------


def draft_row(i: int, *texts: str) -> dict[str, Any]:
    row = {name: value for name, value in root_row(i).items() if name not in ("candidates", "reasons", "flaws")}
    example = dict(zip(("query", "positive", "negative"), map(sentence, texts), strict=True))
    more = {"completion": triple(*texts), "instruction": "Find it", "generator": "senior", "revised": False}
    more["flaw"] = ""
    return row | example | more | {"id": f"synthesize-{i:07d}"}


def words_for(i: int, name: str) -> str:
    return " ".join(f"{name}{i}x{k}" for k in range(8))


def test_revise_takes_a_good_revision_and_keeps_the_draft_otherwise(server: FakeOpenAI, tmp_path: Path) -> None:
    drafts = [draft_row(i, words_for(i, "one"), words_for(i, "two"), words_for(i, "three")) for i in range(5)]
    better = {"S1": "a better one", "S2": "a second that is better", "S3": "a third one"}
    answers = {
        0: json.dumps({"reason": "it is odd", "revision": better}),
        1: json.dumps({"reason": "it is odd", "revision": json.loads(drafts[1]["completion"])}),
        2: "no JSON",
        3: json.dumps({"reason": "it is odd", "revision": json.loads(triple("a", "A.", "c"))}),
        4: json.dumps({"reason": "it is odd", "revision": better})[:-5],
    }
    server.answer = lambda asked: answers[int(asked.prompt.split("prompt ")[1][0])]
    run = Run("revise", tmp_path, server)
    run.inputs["revisor"] = tmp_path / "weights"
    found = run.give("synthesize", rows.DraftRow, *drafts).build()
    assert [row["revised"] for row in found] == [True, False, False, False, False]
    assert (found[0]["query"], found[0]["negative"], found[0]["draft"]) == (
        "a better one",
        "a third one",
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
    revision = json.dumps({"reason": "it is odd", "revision": alike})
    server.answer = lambda asked: "no" if "prompt 1" in asked.prompt else revision
    run = Run("revise", tmp_path, server, mixture={"short_matching": 1, "sts": 1})
    run.inputs["revisor"] = tmp_path / "weights"
    found = run.give("synthesize", rows.DraftRow, *drafts).build()
    assert [row["id"] for row in found] == ["synthesize-0000000", "synthesize-0000001"]
    assert run.record.rejected == {"near_duplicate": 1}
    assert run.record.by_task_type == {"short_matching": 0, "sts": 2}
    assert run.record.notes == ["revise, short_matching: no row was accepted"]
    dropped = run.ledger()["synthesize-0000002"]
    assert (dropped["state"], dropped["duplicate_of"], dropped["similarity"]) == ("rejected", "synthesize-0000000", 1.0)
    assert json.loads(json.loads(dropped["dropped_row"])["completion"]) == alike


def test_revise_drops_rows_that_hold_a_test_text(server: FakeOpenAI, tmp_path: Path) -> None:
    drafts = [draft_row(i, words_for(i, "one"), words_for(i, "two"), words_for(i, "three")) for i in range(3)]
    test = tmp_path / "bench" / "classification"
    test.mkdir(parents=True)
    leak, other = drafts[1]["positive"].upper(), "a text that is in no row of this set"
    pq.write_table(pa.table({"text": [leak, other], "label": ["a", "b"]}), test / "test-00000.parquet")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "test.jsonl").write_text("{")
    server.answer = lambda asked: "no JSON"
    run = Run("revise", tmp_path, server, decontaminate={"against": ["org/bench", "org/broken"]})
    run.inputs["revisor"] = tmp_path / "weights"
    for name in ("bench", "broken"):
        run.inputs[f"benchmark org/{name}"] = tmp_path / name
        run.ctx.refs[f"benchmark org/{name}"] = Ref("dataset", f"org/{name}", "c" * 40)
    found = run.give("synthesize", rows.DraftRow, *drafts).build()
    assert [row["id"] for row in found] == ["synthesize-0000000", "synthesize-0000002"]
    dropped = run.ledger()["synthesize-0000001"]
    assert (dropped["reason"], dropped["duplicate_of"], dropped["similarity"]) == ("contaminated", "", 1.0)
    assert dropped["detail"] == f"positive: normalised, 100% of a text of org/bench: {leak[:80]}"
    contamination = dict(run.record.measures.contamination or {})
    assert contamination.pop("unchecked").keys() == {"org/broken"} and "org/broken" in run.record.notes[-1]
    assert contamination == {
        "checked": {"org/bench": 4},
        "of": {},
        "found": {"org/bench": {"normalised": 1}},
        "dropped": 1,
        "rows": ["synthesize-0000001"],
    }


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
