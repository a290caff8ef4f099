"""The stage that scores an embedder."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from fake_openai import FakeOpenAI
from sentence_transformers import SentenceTransformer
from stage_run import Run
from tiny_models import make_model

from hub_speed.errors import StageError
from hub_speed.evaluation.scoring import _load
from hub_speed.evaluation.settings import ScoringSettings
from hub_speed.record import Ref
from hub_speed.stages.evaluate import _bases
from hub_speed.training.embedder.backbone import embedder, pooling_of


def test_a_base_that_is_an_embedder_is_scored_with_its_own_prompts_as_well(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    assert [(s.name, s.kind) for s in _bases(base)] == [("untrained base", "base")]
    embedder(base, 128).save_pretrained(str(tmp_path / "model"))
    kinds = {s.kind: s.folder for s in _bases(tmp_path / "model")}
    assert kinds == {"published": tmp_path / "model", "base": tmp_path / "model"}


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
