"""SFT on a tiny model: what is learnt, in which format."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tiny_training import ROWS, nlls  # noqa: E402
from tiny_training import generator_settings as settings  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

from hub_speed.training.generator import sft  # noqa: E402


def test_sft_learns_completions_in_the_prompt_format(decoder: Path, tmp_path: Path) -> None:
    result = sft.train(settings(tmp_path, decoder, ROWS, epochs=12))
    assert (result["rows"], result["steps"], result["rows_dropped_too_long"]) == (24, 36, 0)
    assert result["loss_curve"][-1][1] < 0.5 * result["loss_curve"][0][1]
    asked = ("say fox [/INST]", ' {"word": "fox"}')
    assert nlls(tmp_path / "out", *asked).mean() < 0.5 * nlls(decoder, *asked).mean()
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".json"] * 4 + [".safetensors"]
    assert (result["trained"], result["devices"]) == ("all weights", "1 x CPU")
    assert 0 < result["device_seconds"] < 300


def test_the_loss_is_that_of_the_completions_alone(decoder: Path, tmp_path: Path) -> None:
    rows = [ROWS[0], {"id": "x", "prompt": "the lazy dog jumps over", "completion": '{"word": "brown fox"}'}]
    given = settings(tmp_path, decoder, rows, batch_size=2, epochs=1, learning_rate=1e-9)
    expected = torch.cat([nlls(decoder, f"{row['prompt']} [/INST]", f" {row['completion']}") for row in rows])
    result = sft.train(given)
    assert abs(result["loss_curve"][0][1] - expected.mean().item()) < 1e-3
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    lengths = [len(tokenizer(f"{row['prompt']} [/INST] {row['completion']}").input_ids) + 1 for row in rows]
    assert result["tokens"] == sum(lengths)
    assert len(expected) < result["tokens"]


def test_training_with_the_chat_template_is_learnt(chat_base: Path, tmp_path: Path) -> None:
    result = sft.train(settings(tmp_path, chat_base, ROWS, prompt_format="chat", epochs=8, max_length=100))
    assert result["loss_curve"][-1][1] < 0.6 * result["loss_curve"][0][1]
    assert (
        AutoTokenizer.from_pretrained(tmp_path / "out").chat_template
        == AutoTokenizer.from_pretrained(chat_base).chat_template
    )
