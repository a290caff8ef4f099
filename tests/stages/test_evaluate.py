"""The stage that scores an embedder."""

from pathlib import Path
from random import Random

import pytest

pytest.importorskip("torch")

from corpus_rows import passage, published, question
from fake_openai import FakeOpenAI
from sentence_transformers import SentenceTransformer
from stage_run import Run
from tiny_models import WORDS, make_model

from hub_speed.cards import render
from hub_speed.errors import StageError
from hub_speed.evaluation.scoring import _load
from hub_speed.evaluation.settings import ScoringSettings
from hub_speed.pipeline.table import STAGES
from hub_speed.record import Ref
from hub_speed.stage import OWN_BENCHMARK, FromStage
from hub_speed.stages.evaluate import _bases
from hub_speed.training.embedder.backbone import embedder, pooling_of

STYLES = ("keyword", "claim")


def test_a_base_that_is_an_embedder_is_scored_with_its_own_prompts_as_well(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    assert [(s.name, s.kind) for s in _bases(base)] == [("untrained base", "base")]
    embedder(base, 128).save_pretrained(str(tmp_path / "model"))
    kinds = {s.kind: s.folder for s in _bases(tmp_path / "model")}
    assert kinds == {"published": tmp_path / "model", "base": tmp_path / "model"}


def test_the_benchmark_of_the_documents_is_scored_by_style(
    server: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After, before and BM25 on the held-out questions."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    random = Random(0)
    rows = [passage(f"d{i}", 0, f"{' '.join(random.choices(WORDS, k=6))} item{i}", split="test") for i in range(9)]
    asked = [question(f"q{i}", f"which item{i}", row, style=STYLES[i % 2]) for i, row in enumerate(rows)]
    held_out = Run("benchmark", tmp_path / "b", server)
    held_out.inputs |= published(tmp_path, rows, asked)
    held_out.build()
    held_out.ctx.refs["corpus"] = Ref("dataset", "me/corpus", "c" * 40)
    render.render(STAGES["benchmark"], held_out.ctx)
    base = make_model(tmp_path / "base")
    embedder(base, 128).save_pretrained(str(tmp_path / "model"))
    run = Run("evaluate", tmp_path / "e", server, evaluate={"benchmarks": []}, embedder={"data": "mine"})
    assert STAGES["evaluate"].inputs(run.recipe)[OWN_BENCHMARK] == FromStage("benchmark")
    run.inputs |= {"embedder": tmp_path / "model", "base": base, OWN_BENCHMARK: held_out.ctx.out}
    run.ctx.refs[OWN_BENCHMARK] = Ref("dataset", "me/speed-benchmark", "c" * 40)
    run.ctx.out.mkdir(parents=True)
    STAGES["evaluate"].build(run.ctx)
    found = {(row["subject"], row["group"]): row for row in run.record.measures.questions}
    subjects = ("embedder", "untrained base", "BM25", "embedder − untrained base")
    assert list(found) == [(s, group) for group in ("all", "keyword", "claim", "single") for s in subjects]
    assert found["embedder − untrained base", "all"]["value"] == pytest.approx(0)  # the same model
    assert found["BM25", "all"]["value"] == 1.0 and found["BM25", "keyword"]["n"] == 5
    overall = {row["subject"]: row["value"] for row in run.record.measures.scores}
    assert found["embedder", "all"]["value"] == pytest.approx(overall["embedder"], abs=1e-4)
    render.render(STAGES["evaluate"], run.ctx)
    card = (run.ctx.out / "README.md").read_text("utf-8")
    assert "| claim | 4 | BM25 | 1.000 | 1.000 to 1.000 |" in card and "(figures/questions.png)" in card
    assert "| all | 9 | embedder − untrained base | +0.000 | 0.000 to 0.000 |" in card


def test_the_stage_fails_when_nothing_could_be_scored(
    server: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    base, model = make_model(tmp_path / "base"), tmp_path / "model"
    embedder(base, 128).save_pretrained(str(model))
    wanted = {"benchmarks": ["mteb:SciFact"]}
    run = Run("evaluate", tmp_path, server, evaluate=wanted, embedder={"pooling": "mean"})
    run.inputs |= {"embedder": model, "base": base}
    with pytest.raises(StageError, match="no benchmark could be scored") as told:
        run.ctx.out.mkdir()
        run.build()
    assert "SciFact" in told.value.got
    asked = ScoringSettings.model_validate_json((run.ctx.work / "scoring.json").read_bytes())
    _load(asked.subjects[1], asked)
    (untrained,) = asked.work.glob("untrained-*")
    assert pooling_of(SentenceTransformer(str(untrained))) == "mean"  # the base pools as the embedder does
    run.ctx.refs["benchmark me/search"] = Ref("dataset", "me/search", "c" * 40)
    run.inputs["benchmark me/search"] = tmp_path
    assert run.ctx.benchmarks()[0] == {"name": "me/search", "folder": str(tmp_path), "commit": "c" * 40} | {
        "instruction": ""
    }
