"""Drafts → rows: a good revision is taken, the draft is kept otherwise; what is known already is dropped."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_openai import FakeOpenAI
from stage_run import Run
from stage_texts import root_row, sentence, triple

from hub_speed import rows
from hub_speed.record import Ref

pytestmark = pytest.mark.usefixtures("short_waits")


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
