"""Who writes which row: by weight, by the row's id, and with as few changes as possible."""

import json
import os
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fake_openai import Asked, FakeOpenAI, error, text
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_run import Run

from hub_speed.errors import RecipeError, StageError
from hub_speed.generation import writers
from hub_speed.llm.addresses import Addresses
from hub_speed.pipeline.table import STAGES
from hub_speed.recipe import Recipe
from hub_speed.rows import TaskRow

NAMES = st.sampled_from(["a", "b", "c", "d"])
MIX = st.dictionaries(NAMES, st.floats(0.1, 10), min_size=2)
IDS = [f"seed-{i:07d}" for i in range(300)]


def recipe(**values: Any) -> Recipe:
    return Recipe.model_validate({"name": "test"} | values)


def dealt(mix: dict[str, float], ids: list[str] = IDS) -> dict[str, str]:
    who = writers.teachers(recipe(teacher={"model": mix}), "seed")
    return {row_id: who.of(row_id).name for row_id in ids}


@settings(max_examples=15)
@given(MIX, NAMES, st.floats(1.1, 5))
def test_a_writer_that_gains_weight_takes_rows_and_moves_none(mix: dict[str, float], name: str, more: float) -> None:
    before, after = dealt(mix), dealt(mix | {name: mix.get(name, 0) + more})
    assert {after[row_id] for row_id in IDS if after[row_id] != before[row_id]} <= {name}


def test_rows_are_dealt_by_weight_and_depend_on_seed_stage_and_id_alone() -> None:
    mix, ids = {"a": 2.0, "b": 1.0, "c": 1.0}, [f"seed-{i:07d}" for i in range(4000)]
    found = dealt(mix, ids)
    assert dealt(dict(reversed(mix.items())), ids[::-1]) == found
    counts = Counter(found.values())
    assert [counts[name] / 4000 for name in mix] == pytest.approx([0.5, 0.25, 0.25], abs=0.03)
    many = recipe(teacher={"model": mix})
    for other in (
        writers.teachers(many, "revision"),
        writers.teachers(many.model_copy(update={"rng_seed": 7}), "seed"),
    ):
        assert [other.of(row_id).name for row_id in ids] != list(found.values())


def test_one_name_keeps_its_identity_and_a_judge_is_the_heaviest() -> None:
    one, same = recipe(teacher={"model": "m"}), recipe(teacher={"model": {"m": 3}})
    assert one == same and writers.teachers(one, "seed").everyone[0].asked_as == "teacher"
    mix = recipe(teacher={"model": {"n": 1, "m": 2}})
    for name in ("preference", "audit"):  # a verdict does not depend on who else writes
        assert STAGES[name].fields(mix) == STAGES[name].fields(one)
    assert STAGES["seed"].fields(mix)["teacher"]["model"] == {"n": 1.0, "m": 2.0}
    assert [writer.asked_as for writer in writers.judge(mix).everyone] == ["teacher/m"]


@pytest.mark.parametrize(
    "wrong",
    [{"teacher": {"model": value}} for value in ({}, {"a": 0}, {"a": "x"}, {"a": 1, "b": -1}, 5, ["a"])]
    + [{"synthesize": {"generator": value}} for value in ("seenior", {"senior": 1, "revisor": 1})],
)
def test_what_is_no_mix_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"every weight above 0|is not one of senior, junior, base"):
        recipe(**wrong)


# --- a stage with two writers ----------------------------------------------------------------------------------------

TASK = {"id": "task-0", "task_type": "sts", "task": "Retrieve semantically similar text", "topic": "Arts/Music"}


def answer(asked: Asked) -> str:
    """A row of its own for each model and request, in the words of the STS prompt's keys."""
    mark = f"{asked.body['model']} {zlib.crc32(asked.prompt.encode())} {asked.nth}"
    return json.dumps({f"S{i}": f"{word} of the old town, number {mark}" for i, word in enumerate("abc", 1)})


def seed_run(folder: Path, server: FakeOpenAI, mix: Any, **values: Any) -> Run:
    run = Run("seed", folder, server, teacher={"model": mix}, seed={"rows": 24}, **values)
    return run.give("brainstorm", TaskRow, TASK)


def through_addresses(run: Run, *given: str) -> None:
    """Let the stage's addresses come from --endpoint, as in a run."""
    found = Addresses(list(given))
    run.ctx.address = lambda name, weights: found.open(run.recipe, name, weights, 1, run.folder / "log")


MIXED = {"gpt-4o": 2, "org/open": 1}


def test_two_teachers_at_one_address_and_at_two(tmp_path: Path) -> None:
    with FakeOpenAI(answer) as one, FakeOpenAI(answer) as other:
        together = seed_run(tmp_path / "one", one, MIXED)
        through_addresses(together, f"teacher={one.url}")
        rows = together.build()
        asked = Counter(each.body["model"] for each in one.asked)
        apart = seed_run(tmp_path / "two", one, MIXED)
        one.asked.clear()
        through_addresses(apart, f"teacher={one.url}", f"teacher/org/open={other.url}#served-as")
        again = apart.build()
        assert {each.body["model"] for each in one.asked} == {"gpt-4o"}
        assert {each.body["model"] for each in other.asked} == {"served-as"}
    who = writers.teachers(together.recipe, "seed")
    assert all(row["generator"] == who.of(row["id"]).name for row in rows) and len(rows) == 24
    assert [row["generator"] for row in again] == [row["generator"] for row in rows]
    assert together.record.calls == {f"teacher/{name}": count for name, count in asked.items()} == apart.record.calls
    assert together.record.teacher("calls") == 24 and min(asked.values()) > 0


def test_a_mix_goes_on_after_it_was_stopped(tmp_path: Path) -> None:
    """The server does not know the second model: the first one's rows are kept, the next run asks for the others."""
    with FakeOpenAI(
        lambda asked: error(404) if asked.body["model"] == "org/open" else text(asked, answer(asked))
    ) as server:
        broken = seed_run(tmp_path, server, MIXED)
        through_addresses(broken, f"teacher={server.url}")
        with pytest.raises(StageError, match="org/open answered no request"):
            broken.build()
        server.asked.clear()
        server.answer = answer
        whole = seed_run(tmp_path, server, MIXED)
        through_addresses(whole, f"teacher={server.url}")
        assert len(whole.build()) == 24
        assert {each.body["model"] for each in server.asked} == {"org/open"}


def test_a_mix_is_asked_for_more_until_there_are_enough_rows(tmp_path: Path) -> None:
    """What one writer writes cannot be read: all writers are asked for further rows, wave after wave."""
    with FakeOpenAI(lambda asked: "no" if asked.body["model"] == "org/open" else answer(asked)) as server:
        run = seed_run(tmp_path, server, MIXED, runtime={"in_flight": 4, "reask": False})
        through_addresses(run, f"teacher={server.url}")
        rows = run.build()
    assert len(rows) == 24 and {row["generator"] for row in rows} == {"gpt-4o"}
    assert max(row["id"] for row in rows) > "seed-0000023"
    assert run.record.rejected["bad_json"] == run.record.calls["teacher/org/open"] > 0


def test_several_generators_write_the_drafts_in_turn(tmp_path: Path) -> None:
    mix = {"senior": 3, "junior": 1}
    with FakeOpenAI(lambda asked: answer(asked)) as server:
        run = Run("synthesize", tmp_path, server, synthesize={"generator": mix, "rows": 24})
        run.give("brainstorm", TaskRow, TASK)
        run.inputs |= {name: tmp_path / name for name in mix}
        rows = run.build()
    assert run.asked_for == [(name, tmp_path / name) for name in mix]
    assert set(STAGES["synthesize"].inputs(run.recipe)) == {"brainstorm", "senior", "junior"}
    assert {row["generator"] for row in rows} == set(mix) == set(run.record.calls)
    assert run.record.calls["senior"] > run.record.calls["junior"]


@pytest.mark.parametrize(
    ("endpoints", "wrong"),
    [
        (["teacher=http://h:1#one-name"], "names one model"),
        (["teacher=http://h:1", "teacher/org/opne=http://h:2"], "did you mean org/open"),
        (["teacher/gpt-4o=http://h:1"], "the address of a server of org/open"),  # which would be asked last
    ],
)
def test_an_address_that_does_not_suit_the_mix_is_told(tmp_path: Path, endpoints: list[str], wrong: str) -> None:
    found = Addresses(endpoints)
    with (
        pytest.raises(RecipeError, match=wrong),
        found.open(recipe(teacher={"model": MIXED}), "teacher/gpt-4o", None, 1, tmp_path / "log"),
    ):
        pass


def test_a_teacher_with_its_own_address_has_its_own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_SPEED_TEACHER_KEY", "the teacher's")
    monkeypatch.setenv("HUB_SPEED_TEACHER_ORG_OPEN_KEY", "its own")
    found, mix = Addresses(["teacher=http://h:1", "teacher/org/open=http://h:2"]), recipe(teacher={"model": MIXED})
    keys = {}
    for name in MIXED:
        with found.open(mix, f"teacher/{name}", None, 1, tmp_path / "log") as address:
            keys[name] = (address.key, address.model, address.urls)
            assert os.environ[address.key_variable] == address.key
    assert keys == {
        "gpt-4o": ("the teacher's", "gpt-4o", ("http://h:1",)),
        "org/open": ("its own", "org/open", ("http://h:2",)),
    }
    monkeypatch.delenv("HUB_SPEED_TEACHER_ORG_OPEN_KEY")
    with found.open(mix, "teacher/org/open", None, 1, tmp_path / "log") as address:
        assert address.key is None  # the teacher's key is carried to no other address
    with Addresses(["teacher=http://h:1"]).open(mix, "teacher/org/open", None, 1, tmp_path / "log") as address:
        assert address.key_variable == "HUB_SPEED_TEACHER_KEY"  # as its address is the teacher's
    alike = ["teacher/gpt-4o=http://h:1", "teacher/GPT.4o=http://h:2"]
    assert Addresses(alike)
    monkeypatch.setenv("HUB_SPEED_TEACHER_GPT_4O_KEY", "of one of them")
    with pytest.raises(RecipeError, match="its key would be that of teacher/gpt-4o"):
        assert Addresses(alike)


def test_a_plan_counts_the_calls_of_each_model() -> None:
    mix = recipe(teacher={"model": MIXED}, synthesize={"generator": {"senior": 3, "junior": 1}, "rows": 100})
    assert STAGES["seed"].estimate(mix, 10).by_model == {"gpt-4o": 16_667, "org/open": 8_333}
    assert STAGES["preference"].estimate(mix, 10).by_model == {"gpt-4o": 10_000}
    assert STAGES["synthesize"].estimate(mix, 10).by_model == {"senior": 83, "junior": 28}  # for 100 rows
    assert STAGES["synthesize"].estimate(mix, 10).model == "senior + junior"
