"""Training in processes of its own."""

import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

from tiny_training import ROWS, difference, embedder_settings, refused, some_rows, write
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
    return SimpleNamespace(work=folder / "stage", progress=Silent(), stop=threading.Event(), threads=1, devices=())


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


@pytest.mark.slow
def test_two_processes_train_without_gradcache_and_resume_bit_for_bit(decoder: Path, tmp_path: Path) -> None:
    write(some_rows(17), tmp_path / "data")
    same: Any = {"data": tmp_path / "data", "mini_batch_size": 32, "epochs": 2}
    given = embedder_settings(decoder, tmp_path / "two", checkpoint_s=0, **same)
    launcher = ["torchrun", "--standalone", "--nproc-per-node", "2"]
    together = launch(context(tmp_path), "training.embedder.contrastive", given, launcher)
    alone = contrastive.train(embedder_settings(decoder, tmp_path / "one", **same))
    assert together["loss_curve"] == [[step, pytest.approx(loss, abs=1e-5)] for step, loss in alone["loss_curve"]]
    assert difference(tmp_path / "one/out", tmp_path / "two/out") < 1e-5
    (tmp_path / "two/out").rename(tmp_path / "whole")
    checkpoints = sorted(given.work.glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    assert len(checkpoints) == 2 and (checkpoints[0] / "complete.json").is_file()
    shutil.rmtree(checkpoints[1])  # as if both had been killed after the one before it
    ctx = context(tmp_path)
    again = launch(ctx, "training.embedder.contrastive", given, launcher)
    assert 1 <= ctx.progress.steps < again["steps"]
    assert again["loss_curve"] == together["loss_curve"] and difference(tmp_path / "whole", tmp_path / "two/out") == 0.0


def test_an_embedder_that_would_be_spread_is_refused(
    decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on GPUs: accelerate turns FSDP on for nothing else."""

    class Spread(contrastive.Trainer):
        def create_accelerator_and_postprocess(self) -> None:
            super().create_accelerator_and_postprocess()
            self.is_fsdp_enabled = True

    monkeypatch.setattr(contrastive, "Trainer", Spread)
    write(some_rows(9), tmp_path / "data")
    told = refused(contrastive, embedder_settings(decoder, tmp_path, data=tmp_path / "data"))
    assert "FSDP or DeepSpeed would spread an embedder" in str(told) and "--multi_gpu" in told.fix


@pytest.mark.parametrize(("name", "kind"), [("fsdp2", "FSDP"), ("zero3", "DEEPSPEED"), ("multi_gpu", "MULTI_GPU")])
def test_accelerate_reads_our_configurations(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.utils import FullyShardedDataParallelPlugin

    path = Path(__file__).parents[3] / "docs" / "accelerate" / f"{name}.yaml"
    found = load_config_from_file(str(path))
    assert (found.distributed_type.value, found.num_processes, found.mixed_precision) == (kind, 8, "bf16")
    if kind == "FSDP":
        for field, value in found.fsdp_config.items():
            monkeypatch.setenv(field.upper(), str(value))  # as `accelerate launch` tells its processes
        plugin = FullyShardedDataParallelPlugin()
        assert plugin.fsdp_version == 2 and plugin.reshard_after_forward and "FULL" in str(plugin.state_dict_type)


def test_a_training_gets_its_cores_unless_the_user_has_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert environment(3)["OMP_NUM_THREADS"] == "3"
    assert "OMP_NUM_THREADS" not in environment(3, ["torchrun"])  # which would start as many for each process
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
    assert environment(3, devices=("5", "6"))["CUDA_VISIBLE_DEVICES"] == "5"  # of a stage beside others


def test_an_error_of_a_training_arrives_as_one(decoder: Path, tmp_path: Path) -> None:
    given = settings(tmp_path, decoder, ROWS, prompt_format="chat")
    with pytest.raises(StageError, match="training sft: the base model's tokenizer has no chat template") as caught:
        launch(context(tmp_path), "training.generator.sft", given)
    assert "generator.prompt_format" in caught.value.fix
    with pytest.raises(StageError, match=r"runtime\.launcher: no-such-program is not installed"):
        launch(context(tmp_path), "training.generator.sft", given, ["no-such-program"])
