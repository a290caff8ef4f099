"""Questions → those that are kept: asked without the passage, searched for, judged; each with its reason."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("torch")

from fake_openai import Asked, FakeOpenAI, Reply, error
from grounded_corpus import document
from stage_run import Run
from tiny_models import WORDS, make_encoder

from hub_speed import rows

pytestmark = pytest.mark.usefixtures("short_waits")
DRAW = Random(0)
PASSAGES = [row for i in range(10) for row in document(i, [f"{' '.join(DRAW.choices(WORDS, k=6))} item{i}"])]
KNOWN, LOST, UNFIT = "questions-0000001", "questions-0000002", "questions-0000003"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoder") / "model")


def question(number: int) -> dict[str, Any]:
    """A question about a passage, by a word that it alone has; one asks for another passage."""
    passage = PASSAGES[number]
    name = f"questions-{number:07d}"
    query = PASSAGES[-1]["text"] if name == LOST else f"where is item{number}"
    found = {"id": name, "task_type": "retrieval", "split": passage["split"], "group": passage["group"]}
    found |= {"kind": "single", "style": "question", "language": "English", "knobs": "{}", "prompt": "p"}
    found |= {"completion": "{}", "instruction": "i", "query": query, "answer": f"every {number + 10} days"}
    found |= {"positive": passage["text"], "negative": None, "positive_ids": [passage["id"]], "negative_ids": []}
    return rows.QuestionRow.model_validate(found | {"generator": "t"}).model_dump()


ASKED = [question(number) for number in range(6)]


def answer(asked: Asked) -> str:
    """Without a passage one answer is known; of the passages, one does not fit."""
    said = next(row for row in ASKED if f"Query: {row['query']}\n" in asked.prompt)
    if "Nothing can be looked up" in asked.prompt:
        return json.dumps({"answer": said["answer"] if said["id"] == KNOWN else "unknown"})
    assert said["positive"] in asked.prompt
    return json.dumps({"reason": "No word on it.", "fits": said["id"] != UNFIT})


def filtered(folder: Path, server: FakeOpenAI, encoder: Path, **settings: Any) -> Run:
    run = Run("filter", folder, server, questions={"generator": "teacher"}, filter={"top_k": 1} | settings)
    run.inputs["embedder"] = encoder
    return run.give("questions", rows.QuestionRow, *ASKED).give("corpus", rows.PassageRow, *PASSAGES)


def test_each_filter_takes_its_question(server: FakeOpenAI, tmp_path: Path, encoder: Path) -> None:
    server.answer = answer
    run = filtered(tmp_path / "a", server, encoder, judge="teacher")
    found, ledger = run.build(), run.ledger()
    assert [row["id"] for row in found] == [row["id"] for row in ASKED if row["id"] not in (KNOWN, LOST, UNFIT)]
    assert all({**row} in ASKED for row in found)
    reasons = {name: entry["reason"] for name, entry in ledger.items() if not name.endswith("-judged")}
    wanted = {KNOWN: "answerable_without", LOST: "not_found", UNFIT: "unfit_question"}
    assert {name: reason for name, reason in reasons.items() if reason} == wanted
    assert "every 11 days" in ledger[KNOWN]["detail"] and ledger[UNFIT]["detail"] == "No word on it."
    rank = int(ledger[LOST]["detail"].split()[1].rstrip(","))
    assert 1 < rank <= len(PASSAGES) and ledger[LOST]["detail"].endswith("wanted among the first 1")
    assert run.record.calls == {"teacher": 10} and run.record.by_task_type == {"retrieval": 3}


def test_without_a_judge_nobody_is_asked_twice_and_a_stop_changes_nothing(
    server: FakeOpenAI, tmp_path: Path, encoder: Path
) -> None:
    def breaks(asked: Asked) -> str | Reply:
        return error(400) if len(server.asked) % 2 else answer(asked)

    server.answer = breaks
    run = filtered(tmp_path, server, encoder)
    run.build()
    asked = len(server.asked)
    server.answer = answer
    assert [row["id"] for row in run.build()] == [row["id"] for row in ASKED if row["id"] not in (KNOWN, LOST)]
    assert len(server.asked) < asked + len(ASKED)  # what was answered is not asked again
    assert all(asked.body["temperature"] == 0 for asked in server.asked)
