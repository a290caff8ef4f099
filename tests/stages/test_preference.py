"""Candidates → the better and the worse one, as a judge says."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_openai import Asked, FakeOpenAI, Reply, error
from stage_run import Run
from stage_texts import root_row, triple

from hub_speed import rows
from hub_speed.generation.stock_phrases import stock_phrases

pytestmark = pytest.mark.usefixtures("short_waits")


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
