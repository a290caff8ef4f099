"""Questions that must find their passages, by words or by meaning."""

import json
from pathlib import Path
from random import Random

import pytest

pytest.importorskip("torch")

from corpus_rows import folders, passage, question
from tiny_models import WORDS, make_encoder

from hub_speed.errors import StageError
from hub_speed.retrieval import round_trip
from hub_speed.retrieval.settings import RoundTripSettings
from hub_speed.training.embedder import nearest

CHINESE = ["大熊猫吃竹子", "北京是中国的首都", "长江流入东海"]


def settings(encoder: Path, folder: Path, top_k: int = 2, **given: Path) -> RoundTripSettings:
    return RoundTripSettings(work=folder / "work", embedder=encoder, top_k=top_k, out=folder / "ranks.json", **given)


def test_a_question_finds_its_passage_or_its_rank_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, random = make_encoder(tmp_path / "encoder"), Random(0)
    rows = [passage(f"d{i}", 0, f"{' '.join(random.choices(WORDS, k=5))} item{i}") for i in range(40)]
    asked = [question(f"q{i}", f"running items: item{i}", row) for i, row in enumerate(rows[:5])]
    asked.append(question("both", "item6 or item7", rows[6], rows[7]))
    asked.append(question("half", "item8", rows[8], rows[9]))
    asked.append(question("lost", "of which nobody speaks", rows[10]))
    given = settings(encoder, tmp_path, **folders(tmp_path, rows, asked))
    found = round_trip.run(given)
    ranks = json.loads(given.out.read_text())
    assert [ranks[f"q{i}"][0]["BM25"] for i in range(5)] == [1] * 5
    assert [each["BM25"] for each in ranks["both"]] == [1, 1]
    assert ranks["lost"][0]["BM25"] is None and ranks["lost"][0]["embedder"] >= 1
    assert found["not_found"] == {
        name: worst
        for name, passages in ranks.items()
        if (worst := max(min(filter(None, each.values())) for each in passages)) > 2
    }
    assert found["found"]["either"] == len(asked) - len(found["not_found"]) >= found["found"]["BM25"] >= 6
    for name in ("DOCUMENTS_AT_ONCE", "EMBEDDED_AT_ONCE", "QUERIES_AT_ONCE"):
        monkeypatch.setattr(nearest, name, 7)
    again = given.model_copy(update={"work": tmp_path / "again"})
    assert round_trip.run(again) == found  # pieces change nothing


def test_the_embedders_ranks_are_those_of_its_cosines(tmp_path: Path) -> None:
    encoder, random = make_encoder(tmp_path / "encoder"), Random(1)
    rows = [passage("d", 100 * i, " ".join(random.choices(WORDS, k=6)), title="the fox") for i in range(30)]
    asked = [question(f"q{i}", " ".join(random.choices(WORDS, k=3)), row) for i, row in enumerate(rows)]
    given = settings(encoder, tmp_path, **folders(tmp_path, rows, asked))
    round_trip.run(given)
    model, _ = nearest.searcher(encoder, ("", ""), None)
    cosines = model.encode([q["query"] for q in asked]) @ model.encode([f"the fox {row['text']}" for row in rows]).T
    ranks = json.loads(given.out.read_text())
    for i in range(30):
        above, near = ((cosines[i] > cosines[i, i] + by).sum() + 1 for by in (2e-3, -2e-3))  # 16 bits on the disk
        assert above <= ranks[f"q{i}"][0]["embedder"] <= near


def test_scripts_without_spaces_are_searched(tmp_path: Path) -> None:
    encoder = make_encoder(tmp_path / "encoder")
    rows = [passage(f"d{i}", 0, text) for i, text in enumerate(CHINESE)]
    asked = [question(f"q{i}", q, rows[i], language="Chinese") for i, q in enumerate(["熊猫吃什么?", "首都", "长江"])]
    given = settings(encoder, tmp_path, top_k=1, **folders(tmp_path, rows, asked))
    assert round_trip.run(given)["not_found"] == {}


def test_a_passage_that_the_corpus_does_not_have(tmp_path: Path) -> None:
    rows = [passage("d", 0, "the fox")]
    asked = [question("q", "fox", passage("other", 0, "the dog"))]
    given = settings(tmp_path, tmp_path, **folders(tmp_path, rows, asked))
    with pytest.raises(StageError, match="question q: its passage is not in the corpus"):
        round_trip.run(given)
