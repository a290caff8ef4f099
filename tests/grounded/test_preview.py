"""A look at the first questions: those of the run, left-out ones first, and what all of them would take."""

import json
import threading
import zlib
from pathlib import Path

import pytest
from fake_openai import Asked, FakeOpenAI
from grounded_corpus import corpus

from hub_speed import api
from hub_speed.console.preview import print_preview
from hub_speed.errors import RecipeError
from hub_speed.grounded import asking
from hub_speed.grounded.planning import Passages, plan
from hub_speed.grounded.preview import look, notes
from hub_speed.llm.address import Address
from hub_speed.recipe import Recipe

PRICES = {"usd_per_million_read": 1, "usd_per_million_written": 10}


def answer(asked: Asked) -> str:
    """One question in three names its source, and one answer in three is known without a passage."""
    number = zlib.crc32(asked.prompt.encode())
    if "Nothing can be looked up" in asked.prompt:
        return json.dumps({"answer": "by hand" if number % 3 == 0 else "unknown"})
    query = "what does the passage say" if number % 3 == 0 else f"how is number {number} [b]oiled"
    return json.dumps({"query": query, "answer": "by hand"})


def test_the_first_questions_are_shown_with_what_the_filters_say(
    server: FakeOpenAI, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = answer
    recipe = Recipe.model_validate({"name": "t", "questions": {"generator": "teacher"}, "budget": PRICES})
    passages, who = Passages(corpus()), asking.generator(recipe, None)
    found = look(recipe, passages, 20, who, Address("teacher", "m", (server.url,)), tmp_path, threading.Event())
    assert {one.planned.id for one in found.shown} == {row.id for row in plan(recipe, passages, 20)}
    reasons = [one.reason for one in found.shown]
    left_out = sum(map(bool, reasons))
    assert 0 < left_out < 20 and all(reasons[:left_out]) and not any(reasons[left_out:])
    assert {*reasons} == {"", "names_source", "answerable_without"}
    assert (found.passages, found.wanted) == (15, 60) and found.cost_usd and found.calls > 120
    print_preview(found, run="hub-speed run domain")
    out = capsys.readouterr().out
    assert f"{20 - left_out} of 20 kept" in out and "[b]oiled" in out
    said = " ".join(out.split())
    assert "the whole run: 60 questions about 15 passages" in said and f"would take about {found.calls} calls" in said


def test_a_preview_says_what_was_skipped_and_whether_the_language_fits() -> None:
    recipe = Recipe.model_validate({"name": "t", "languages": {"English": 1, "German": 1}})
    skipped = [{"source": f"{i}.txt", "reason": "empty", "detail": "no words"} for i in range(5)]
    (note,) = notes(recipe, Passages(corpus()), skipped)
    assert note == (
        "skipped 0.txt (empty: no words), 1.txt (empty: no words), 2.txt (empty: no words), and 2 more:"
        " the corpus's config skipped"
    )
    (note,) = notes(recipe, Passages([row | {"text": "倉庫の温度は毎朝八時に記録します。"} for row in corpus()]), [])
    assert "not in the script of English or German" in note and "--set languages='{NAME: 1}'" in note
    assert list(notes(recipe, Passages([]), [])) == []


def test_a_preview_says_that_a_script_wrote_the_questions() -> None:
    demo = api.load_recipe("domain-demo")
    (note,) = notes(demo, Passages(corpus()), [])
    assert "a script wrote these questions" in note and "no language model" in note
    for changed in (["teacher.model=real"], ["questions.generator=base"]):
        assert list(notes(api.load_recipe("domain-demo", set=changed), Passages(corpus()), [])) == []


def test_a_recipe_that_is_not_of_documents_has_no_preview() -> None:
    with pytest.raises(RecipeError, match="preview quickstart"):
        api.preview(api.load_recipe("quickstart"), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [0, -3])
def test_a_preview_has_at_least_one_question(rows: int) -> None:
    with pytest.raises(RecipeError, match=rf"preview domain-demo: {rows} questions\n.*at least 1"):
        api.preview(api.load_recipe("domain-demo"), None, rows=rows)  # type: ignore[arg-type]
