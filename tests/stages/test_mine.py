"""The stage that gives questions hard negatives."""

from pathlib import Path
from random import Random

import pytest

pytest.importorskip("torch")

from corpus_rows import passage, published, question
from fake_openai import FakeOpenAI
from stage_run import Run
from tiny_models import WORDS, make_encoder

from hub_speed.cards import render
from hub_speed.pipeline.table import STAGES
from hub_speed.record import Ref


def test_rows_keep_their_columns_and_those_without_a_negative_stay(server: FakeOpenAI, tmp_path: Path) -> None:
    random = Random(0)
    rows = [passage(f"d{i}", 0, " ".join(random.choices(WORDS, k=5)) + f" {i}") for i in range(12)]
    ask = [question(f"q{i:02}", " ".join(random.choices(WORDS, k=2)), row) for i, row in enumerate(rows[:8])]
    ask.append(question("q99", "held out", passage("t", 0, "the fox", split="test")))
    run = Run("mine", tmp_path, server, mine={"negatives": 2, "depth": 6, "least_rows": 0.0, "margin": 0.0})
    run.inputs |= published(tmp_path, [*rows, passage("t", 0, "the fox", split="test")], ask)
    run.inputs["embedder"] = make_encoder(tmp_path / "encoder")
    found = run.build()
    assert [row["id"] for row in found] == [f"q{i:02}" for i in range(8)]
    texts = {row["id"]: row["text"] for row in rows}
    for row, asked in zip(found, ask, strict=False):
        assert {name: row[name] for name in ("query", "positive", "positive_ids", "split")} == {
            name: asked[name] for name in ("query", "positive", "positive_ids", "split")
        }
        assert row["positives"] == [texts[name] for name in row["positive_ids"]]
        assert row["negatives"] == [texts[name] for name in row["negative_ids"]]
        assert row["negative"] == (row["negatives"][0] if row["negatives"] else None)
        assert len(row["negative_scores"]) == len(row["negatives"])
    without = [row["id"] for row in found if not row["negatives"]]
    assert 0 < len(without) < 8
    assert [name for name, entry in run.ledger().items() if entry["detail"]] == without
    assert run.record.rejected == {} and f"{len(without)} of 8 rows have no negative" in run.record.notes
    assert run.record.measures.margins == [
        {"margin": 0.0, "share": 1 - len(without) / 8, "negatives": sum(len(row["negatives"]) for row in found) / 8}
    ]
    run.ctx.refs["embedder"] = Ref("model", "me/searcher", "c" * 40)
    render.render(STAGES["mine"], run.ctx)
    card = (run.ctx.out / "README.md").read_text("utf-8")
    share = 1 - len(without) / 8
    assert f"| 0.0% | {share:.1%} |" in card and "Similar is what `me/searcher@ccccccc` finds similar" in card
