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
    curves = {name: [value for _, value in curve] for name, curve in result["reward_curves"].items()}
    assert {name: values[-1] for name, values in curves.items()} == {
        name: result["rewards"][name] for name in ("accuracies", "margins")
    }
    assert curves["margins"][0] < curves["margins"][-1]
    assert result["loss_curve"][0][1] > result["loss_curve"][-1][1]

    def margin(folder: Path) -> float:
        chosen, rejected = (nlls(folder, "say fox [/INST]", text).sum() for text in (' {"word": "fox"}', " fox fox no"))
        return (rejected - chosen).item()

    # The reward is beta times how much likelier an answer has become than it was before.
    gained = margin(tmp_path / "out") - margin(decoder)
    assert gained > 5
    assert (result["rows"], result["steps"]) == (24, 24)


EQUAL = [
    {"id": f"{i:03d}", "prompt": "say it", "chosen": " ".join(words), "rejected": " ".join(reversed(words))}
    for i, words in enumerate([("fox", "dog", "quick"), ("lazy", "brown", "over")] * 2)
]


def test_answers_of_one_length_train_alike_under_both_losses(decoder: Path, tmp_path: Path) -> None:
    """Of answers of n tokens, the loss by token with beta · n is the plain one."""
    tokens = len(nlls(decoder, "say it [/INST]", " fox dog quick"))
    variants = [{}, {"dpo_loss": "sigmoid_norm", "dpo_beta": 0.1 * tokens}]
    for rows, alike in ((EQUAL, True), (PREFERENCES[:4], False)):
        curves = []
        for i, changes in enumerate(variants):
            folder = tmp_path / f"{i} {alike}"
            result = dpo.train(settings(folder, decoder, rows, batch_size=4, epochs=2, **changes))
            curves.append([loss for _, loss in result["loss_curve"]])
        assert curves[0][0] == pytest.approx(0.6931, abs=1e-3)
        assert (curves[1] == pytest.approx(curves[0], abs=2e-4)) is alike


def test_dpo_starts_from_a_loss_of_log_2_against_the_frozen_start(decoder: Path, tmp_path: Path) -> None:
    result = dpo.train(settings(tmp_path, decoder, PREFERENCES[:4], batch_size=4, epochs=1, lora_r=4))
    assert abs(result["loss_curve"][0][1] - 0.6931) < 1e-3
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").is_file()
