"""Passages → questions, from input folders to output folder, against a server that answers as told."""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from fake_openai import Asked, FakeOpenAI, Reply, error
from grounded_corpus import corpus
from stage_run import Run

from hub_speed import rows
from hub_speed.errors import StageError

pytestmark = pytest.mark.usefixtures("short_waits")


def questions(folder: Path, server: FakeOpenAI, documents: int = 5, **settings: Any) -> Run:
    settings = {"generator": "teacher", "rows": 20, "test_rows": 4} | settings
    run = Run("questions", folder, server, questions=settings, teacher={"model": "t"})
    return run.give("corpus", rows.PassageRow, *corpus(documents))


def fresh(asked: Asked) -> str:
    """A good answer that is another one for every prompt."""
    return json.dumps({"query": f"how is number {zlib.crc32(asked.prompt.encode())} oiled", "answer": "by hand"})


def test_questions_are_written_for_passages_of_all_splits(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = fresh
    run = questions(tmp_path, server)
    found, passages = run.build(), {row["id"]: row for row in corpus()}
    assert len(found) == 20 and run.record.by_task_type == {"retrieval": 20}
    assert {row["split"] for row in found} == {"train", "dev", "test"}
    for row in found:
        rows.QuestionRow.model_validate(row)
        assert row["generator"] == "t" and row["positive"] == passages[row["positive_ids"][0]]["text"]
        assert {passages[name]["split"] for name in (*row["positive_ids"], *row["negative_ids"])} == {row["split"]}
    assert all(asked.body["response_format"]["json_schema"]["name"] == "question" for asked in server.asked)


def test_rows_are_accepted_rows_and_a_kill_changes_none(server: FakeOpenAI, tmp_path: Path) -> None:
    def answer(asked: Asked) -> str:
        number = zlib.crc32(asked.prompt.encode())
        if number % 5 == 0:
            return json.dumps({"query": f"What does the document say about {number}?", "answer": "much"})
        return fresh(asked)

    server.answer = answer
    whole = questions(tmp_path / "a", server)
    found = whole.build()
    assert len(found) == 20 and whole.record.rejected.keys() <= {"names_source", "surplus"}
    assert whole.record.rejected["names_source"]

    def breaks(asked: Asked) -> str | Reply:
        return error(400) if len(server.asked) % 2 else answer(asked)

    server.answer = breaks  # some rows fail, as when the run is stopped
    again = questions(tmp_path / "b", server)
    again.build()
    server.answer = answer
    assert again.build() == found


def test_the_same_question_counts_once_and_base_is_asked_by_its_files(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: json.dumps({"query": f"which pump {len(server.asked) % 7}", "answer": "by hand"})
    run = questions(tmp_path, server, generator="base", rows=8)
    run.inputs["generator"] = tmp_path
    found = run.build()
    assert len({row["query"] for row in found}) == len(found) <= 7
    assert run.asked_for == [("base", tmp_path)] and {row["generator"] for row in found} == {"base"}
    assert run.record.rejected["duplicate"] and "retrieval: " in run.record.notes[0]


def test_a_corpus_without_passages_is_an_error(server: FakeOpenAI, tmp_path: Path) -> None:
    run = questions(tmp_path, server)
    (tmp_path / "empty" / "data").mkdir(parents=True)
    run.inputs["corpus"] = tmp_path / "empty"
    with pytest.raises(StageError, match="the corpus has no passage"):
        run.build()
