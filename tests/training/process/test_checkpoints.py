"""Killed trainings end with the same weights."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tiny_training import PREFERENCES, ROWS, difference  # noqa: E402
from tiny_training import generator_settings as settings  # noqa: E402

from hub_speed.training.generator import dpo, sft  # noqa: E402


def start(module: str, given: Any, folder: Path) -> "subprocess.Popen[str]":
    path = folder / "settings.json"
    path.write_text(given.model_dump_json())
    return subprocess.Popen(
        [sys.executable, "-m", f"hub_speed.training.generator.{module}", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )


def test_a_training_that_was_killed_ends_with_the_same_weights(
    decoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"epochs": 4, "checkpoint_s": 0, "lora_r": 4, "lora_dropout": 0.1}  # dropout: random states matter
    killed = settings(tmp_path / "killed", decoder, ROWS, **changes)
    process = start("sft", killed, tmp_path)
    assert process.stdout
    for line in process.stdout:  # of 12 steps; the second epoch is under way
        if line.startswith("@") and json.loads(line[1:]).get("step") == 5:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not killed.out.exists()
    newest = tmp_path / "killed" / "work" / "checkpoint-9"
    newest.mkdir()  # as if it had been killed while it wrote this one
    (newest / "model.safetensors").write_bytes(b"half of")
    capsys.readouterr()
    resumed = sft.train(killed)
    said = [json.loads(line[1:]) for line in capsys.readouterr().out.splitlines() if line.startswith("@")]
    assert said[0]["total"] == 12 and 4 <= said[0]["done"] < 12  # it went on, and not from the beginning
    assert next(event for event in said if "step" in event)["step"] == said[0]["done"] + 1
    assert not newest.exists() or (newest / "complete.json").is_file()
    whole = sft.train(settings(tmp_path / "whole", decoder, ROWS, **changes))
    assert difference(tmp_path / "killed/out", tmp_path / "whole/out") == 0.0
    assert resumed["loss_curve"] == whole["loss_curve"] and len(whole["loss_curve"]) == 12
    assert resumed["steps"] == 12 and resumed["tokens"] == whole["tokens"]
    # Nothing but tensors and numbers is read from what was kept.
    for path in (tmp_path / "killed" / "work").rglob("*.pt"):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize(("module", "rows"), [(sft, ROWS), (dpo, PREFERENCES)], ids=["sft", "dpo"])
def test_the_last_steps_again_give_the_same_weights(module: Any, rows: list, decoder: Path, tmp_path: Path) -> None:
    given = settings(tmp_path, decoder, rows, epochs=2, checkpoint_s=0)
    first = module.train(given)
    checkpoints = sorted(path.name for path in (tmp_path / "work").glob("checkpoint-*"))
    assert checkpoints == ["checkpoint-4", "checkpoint-5"]  # of six steps, the last two that were before the end
    shutil.move(tmp_path / "out", tmp_path / "before")
    shutil.rmtree(tmp_path / "work" / "checkpoint-5")
    again = module.train(given)
    assert difference(tmp_path / "before", tmp_path / "out") == 0.0
    assert again["loss_curve"] == first["loss_curve"]
    assert again["device_seconds"] >= json.loads((tmp_path / "work/checkpoint-4/complete.json").read_text())["seconds"]


def test_a_smaller_micro_batch_goes_on_from_the_checkpoint(decoder: Path, tmp_path: Path) -> None:
    given = settings(tmp_path, decoder, ROWS, checkpoint_s=0, micro_batch_size=8)
    sft.train(given)
    shutil.move(tmp_path / "out", tmp_path / "before")
    shutil.rmtree(tmp_path / "work" / "checkpoint-5")
    assert len(sft.train(given.model_copy(update={"micro_batch_size": 2}))["loss_curve"]) == 6
    assert difference(tmp_path / "before", tmp_path / "out") < 1e-5
