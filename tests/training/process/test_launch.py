"""Training in processes of its own."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

from tiny_training import ROWS, difference, embedder_settings, some_rows, write
from tiny_training import generator_settings as settings

from hub_speed.errors import StageError
from hub_speed.training.embedder import backbone, contrastive
from hub_speed.training.generator import sft
from hub_speed.training.process.launch import environment, launch


class Silent:
    """Progress that only remembers."""

    steps = 0

    def start(self, total: int, unit: str, done: int = 0) -> None: ...

    def advance(self, n: int) -> None:
        self.steps += n

    def note(self, text: str) -> None: ...


def context(folder: Path) -> Any:
    return SimpleNamespace(work=folder / "stage", progress=Silent(), stop=threading.Event(), threads=1)


def test_two_processes_train_together(decoder: Path, tmp_path: Path) -> None:
    ctx = context(tmp_path)
    given = settings(tmp_path / "two", decoder, ROWS, epochs=2)
    result = launch(ctx, "training.generator.sft", given, ["torchrun", "--standalone", "--nproc-per-node", "2"])
    assert (result["steps"], result["devices"], ctx.progress.steps) == (6, "2 x CPU", 6)
    sft.train(settings(tmp_path / "one", decoder, ROWS, epochs=2))
    assert difference(tmp_path / "one/out", tmp_path / "two/out") < 1e-5 < difference(tmp_path / "one/out", decoder)


def test_two_processes_train_an_embedder_as_one_does(decoder: Path, tmp_path: Path) -> None:
    rows = some_rows(23)  # the last batches have an odd number of texts, or fewer than processes
    for i, row in enumerate(rows):
        row |= {"positives": [row["positive"], "the fox"][: 1 + i % 2], "negatives": ["dog", "lazy"][i % 3 :]}
        row |= {"positive_scores": [0.9] * len(row["positives"]), "negative_scores": [0.2] * len(row["negatives"])}
    write(rows, tmp_path / "data")
    backbone.embedder(decoder, 24).save_pretrained(str(tmp_path / "larger"), create_model_card=False)
    same: Any = {"data": tmp_path / "data", "lora_r": 2, "batch_size": 8, "distil": 0.5, "teacher": tmp_path / "larger"}
    given = embedder_settings(decoder, tmp_path / "two", mini_batch_size=2, **same)
    launcher = ["torchrun", "--standalone", "--nproc-per-node", "2"]
    together = launch(context(tmp_path), "training.embedder.contrastive", given, launcher)
    alone = contrastive.train(embedder_settings(decoder, tmp_path / "one", mini_batch_size=32, **same))
    assert together["steps"] == alone["steps"]
    assert together["loss_curve"] == [[step, pytest.approx(loss, abs=1e-5)] for step, loss in alone["loss_curve"]]
    assert together["loss_curve"][0][1] > together["loss_curve"][-1][1]
    assert difference(tmp_path / "one/out", tmp_path / "two/out") < 1e-5


def test_a_training_gets_its_cores_unless_the_user_has_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert environment(3)["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert environment(3)["OMP_NUM_THREADS"] == "1"


def test_without_a_launcher_a_training_sees_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for visible, seen in ((None, "0"), ("2,3", "2"), ("GPU-8f5a,GPU-1c2d", "GPU-8f5a"), ("1", "1"), ("", "")):
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert environment(3)["CUDA_VISIBLE_DEVICES"] == seen
        assert environment(3, ["torchrun"]).get("CUDA_VISIBLE_DEVICES") == visible


def test_an_error_of_a_training_arrives_as_one(decoder: Path, tmp_path: Path) -> None:
    given = settings(tmp_path, decoder, ROWS, prompt_format="chat")
    with pytest.raises(StageError, match="training sft: the base model's tokenizer has no chat template") as caught:
        launch(context(tmp_path), "training.generator.sft", given)
    assert "generator.prompt_format" in caught.value.fix
    with pytest.raises(StageError, match=r"runtime\.launcher: no-such-program is not installed"):
        launch(context(tmp_path), "training.generator.sft", given, ["no-such-program"])
