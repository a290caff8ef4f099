"""Margins of candidates, with an embedder whose vectors are known, and with a real one."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import numpy as np
from fake_openai import FakeOpenAI
from stage_run import Run

from hub_speed.rows import RootRow
from hub_speed.training.embedder import backbone, margins
from hub_speed.training.embedder.settings import MarginSettings

ANGLES = {"q": 0, "near": 20, "middle": 50, "far": 80, "away": 170}


class Compass:
    """Embeds the names of `ANGLES` in the plane."""

    def encode_document(self, texts: list[str], **_: Any) -> np.ndarray:
        radians = np.radians([ANGLES[text] for text in texts])
        return np.stack([np.cos(radians), np.sin(radians)], axis=1)

    encode_query = encode_document


def row(prompt: str, query: str, positive: str, negative: str | None) -> dict[str, Any]:
    return {"task_type": "sts", "prompt": prompt, "query": query, "positive": positive, "negative": negative}


def cosine(name: str) -> float:
    return float(np.cos(np.radians(ANGLES[name])))


def test_the_margin_is_over_the_own_negative_and_that_may_be_too_easy() -> None:
    rows = [row("a", "q", "near", "middle"), row("a", "q", "near", "away"), row("a", "q", "middle", "near")]
    rows += [row(name, "q", "far", "far") for name in "bcd"]
    found, hard = margins.margins(rows, Compass())
    assert found[:3] == pytest.approx(
        [cosine("near") - cosine("middle"), cosine("near") - cosine("away"), cosine("middle") - cosine("near")]
    )
    assert hard[:3].tolist() == [True, False, True]


def test_without_negatives_the_nearest_positive_of_another_prompt_counts() -> None:
    rows = [row("a", "q", "middle", None), row("a", "q", "near", None), row("b", "q", "far", None)]
    found, hard = margins.margins(rows, Compass())
    assert found == pytest.approx(
        [cosine("middle") - cosine("far"), cosine("near") - cosine("far"), cosine("far") - cosine("near")]
    )
    assert hard.all()


def test_a_real_embedder_measures_every_candidate_in_order(encoder: Path, tmp_path: Path) -> None:
    backbone.embedder(encoder, 16).save_pretrained(str(tmp_path / "model"))
    rows = [row(str(i), "quick fox", "quick fox", "lazy dog") for i in range(3)]
    rows.insert(1, row("9", "quick fox", "lazy dog", None) | {"task_type": "short_matching"})
    path = tmp_path / "candidates.json"
    path.write_text(json.dumps(rows), "utf-8")
    found = margins.measure(MarginSettings(work=tmp_path, model=tmp_path / "model", candidates=path))
    assert len(found["margins"]) == len(found["hard"]) == 4
    same = [found["margins"][i] for i in (0, 2, 3)]
    assert same == pytest.approx([same[0]] * 3) and same[0] > 0


def test_an_embedder_chooses_and_the_teacher_is_not_asked(encoder: Path, tmp_path: Path, server: FakeOpenAI) -> None:
    backbone.embedder(encoder, 16).save_pretrained(str(tmp_path / "model"))

    def answer(*texts: str) -> str:
        return json.dumps(dict(zip(("S1", "S2", "S3"), texts, strict=True)))

    good, bad = answer("quick fox", "quick fox", "quick dog"), answer("quick fox", "lazy dog", "quick fox")
    found = [
        {name: "" for name in ("task", "topic", "language", "target_language", "knobs")}
        | {"id": f"root-{i:07d}", "task_type": "sts", "prompt": f"prompt {i}"}
        | {"candidates": [bad, good, "no JSON"], "reasons": ["", "", "bad_json" if i else ""], "flaws": [""] * 3}
        for i in range(3)
    ]
    run = Run("preference", tmp_path, server, preference={"signal": "retrieval", "rows": 2})
    run.inputs["embedder"] = tmp_path / "model"
    rows = run.give("root", RootRow, *found).build()
    assert [(row["chosen"], row["rejected"]) for row in rows] == [(good, "no JSON")] * 2
    assert all(row["reason"].startswith("margin 0.") and row["order"] == [] for row in rows)
    assert (server.asked, run.record.calls, run.record.rejected) == ([], {}, {"surplus": 1})
