"""DPO on a tiny model."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from tiny_training import PREFERENCES, nlls
from tiny_training import generator_settings as settings

from hub_speed.training.generator import dpo


def test_dpo_raises_the_margin_of_the_chosen(decoder: Path, tmp_path: Path) -> None:
    result = dpo.train(settings(tmp_path, decoder, PREFERENCES, epochs=8))
    assert result["rewards"]["margins"] > 0.5 and result["rewards"]["accuracies"] > 0.9
    assert result["loss_curve"][0][1] > result["loss_curve"][-1][1]

    def margin(folder: Path) -> float:
        chosen, rejected = (nlls(folder, "say fox [/INST]", text).sum() for text in (' {"word": "fox"}', " fox fox no"))
        return (rejected - chosen).item()

    # The reward is beta times how much likelier an answer has become than it was before.
    gained = margin(tmp_path / "out") - margin(decoder)
    assert gained > 5
    assert (result["rows"], result["steps"]) == (24, 24)


def test_dpo_starts_from_a_loss_of_log_2_against_the_frozen_start(decoder: Path, tmp_path: Path) -> None:
    result = dpo.train(settings(tmp_path, decoder, PREFERENCES[:4], batch_size=4, epochs=1, lora_r=4))
    assert abs(result["loss_curve"][0][1] - 0.6931) < 1e-3
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").is_file()
