"""What SFT and DPO share: settings that change no result, and what is refused."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from tiny_training import PREFERENCES, ROWS, difference, refused  # noqa: E402
from tiny_training import generator_settings as settings  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from hub_speed.errors import StageError  # noqa: E402
from hub_speed.training.generator import common, dpo, sft  # noqa: E402
from hub_speed.training.process.checkpoints import last  # noqa: E402

LONG = {"id": "long", "prompt": "say it", "completion": "fox " * 60}


def test_an_adapter_is_published_beside_merged_weights_that_equal_base_plus_adapter(
    decoder: Path, tmp_path: Path
) -> None:
    from peft import PeftModel

    result = sft.train(settings(tmp_path, decoder, ROWS, lora_r=4, lora_dropout=0.1))
    assert result["trained"] == "adapter, r 4"
    adapter = tmp_path / "out" / "adapter"
    assert not list(tmp_path.glob("out/**/*.bin"))
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/base", "0" * 40)
    assert len(config["target_modules"]) == 6 and "k_proj" not in config["target_modules"]  # as SPEED published one
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    joined = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(decoder), adapter)
    untrained = AutoModelForCausalLM.from_pretrained(decoder)
    ids = torch.tensor([[1, 20, 30, 40, 50]])
    with torch.inference_mode():
        difference = (merged(ids).logits - joined(ids).logits).abs().max().item()
        moved = (merged(ids).logits - untrained(ids).logits).abs().max().item()
    assert difference < 1e-4 < moved


@pytest.mark.parametrize(
    ("schedule", "share"),
    [
        ("cosine", lambda done: (1 + math.cos(math.pi * done)) / 2),
        ("linear", lambda done: 1 - done),
        ("constant_with_warmup", lambda done: 1),
    ],
)
def test_the_learning_rate_follows_the_schedule(schedule: str, share: Any, decoder: Path, tmp_path: Path) -> None:
    sft.train(settings(tmp_path, decoder, ROWS, checkpoint_s=0, schedule=schedule))  # six steps
    kept, _ = last(tmp_path / "work")
    assert kept
    log = json.loads((kept / "trainer_state.json").read_text())["log_history"]
    assert [entry["learning_rate"] / 3e-3 for entry in log] == pytest.approx([share(i / 6) for i in range(5)])


@pytest.mark.parametrize(("module", "rows"), [(sft, ROWS), (dpo, PREFERENCES)], ids=["sft", "dpo"])
def test_gradient_checkpointing_changes_no_result(module: Any, rows: list, decoder: Path, tmp_path: Path) -> None:
    changes = {"lora_r": 4, "lora_dropout": 0.1, "epochs": 1}
    module.train(settings(tmp_path / "kept", decoder, rows, gradient_checkpointing=False, **changes))
    module.train(settings(tmp_path / "again", decoder, rows, gradient_checkpointing=True, **changes))
    assert difference(tmp_path / "kept/out", tmp_path / "again/out") < 1e-5 < difference(tmp_path / "kept/out", decoder)


@pytest.mark.parametrize(("module", "rows"), [(sft, ROWS), (dpo, PREFERENCES)], ids=["sft", "dpo"])
def test_a_micro_batch_changes_no_result_but_rounding(module: Any, rows: list, decoder: Path, tmp_path: Path) -> None:
    whole = settings(tmp_path / "whole", decoder, rows, batch_size=8, epochs=1)
    parts = settings(tmp_path / "parts", decoder, rows, batch_size=8, epochs=1, micro_batch_size=3)
    assert common.arguments(parts)["per_device_train_batch_size"] == 2  # the largest share of 8 that is not above 3
    assert common.arguments(parts)["gradient_accumulation_steps"] == 4
    module.train(whole)
    module.train(parts)
    assert difference(tmp_path / "whole/out", tmp_path / "parts/out") < 1e-5
    assert difference(tmp_path / "whole/out", decoder) > 1e-3


def test_no_row_is_longer_than_what_the_base_reads(decoder: Path, tmp_path: Path) -> None:
    given = settings(tmp_path, decoder, [*ROWS[:7], LONG | {"completion": "fox " * 200}], max_length=4096, epochs=1)
    assert sft.train(given)["rows_dropped_too_long"] == 1  # the base reads 128 tokens


def test_weights_that_are_pickles_are_never_loaded(decoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    AutoTokenizer.from_pretrained(decoder).save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(decoder)
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    error = refused(sft, settings(tmp_path, folder, ROWS))
    assert "org/base: there are no safetensors weights" in str(error) and error.got == "pytorch_model.bin"


def test_a_base_whose_answers_could_not_end_is_refused_and_padding_is_not_needed(decoder: Path, tmp_path: Path) -> None:
    for missing in ("pad_token", "eos_token"):
        folder = tmp_path / missing
        AutoModelForCausalLM.from_pretrained(decoder).save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(decoder)
        setattr(tokenizer, missing, None)
        tokenizer.save_pretrained(folder)
    assert sft.train(settings(tmp_path / "a", tmp_path / "pad_token", ROWS[:8], epochs=1))["rows"] == 8
    error = refused(sft, settings(tmp_path / "b", tmp_path / "eos_token", ROWS))
    assert "no end-of-sequence token" in str(error) and "eos_token" in error.expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="is possible there")
def test_what_needs_a_gpu_says_so(decoder: Path, tmp_path: Path) -> None:
    error = refused(sft, settings(tmp_path / "a", decoder, ROWS, batching="packed"))
    assert "needs FlashAttention 2" in str(error) and error.fix == "--set junior.batching=by_length"
    error = refused(sft, settings(tmp_path / "b", decoder, ROWS, lora_r=4, load_in_4bit=True))
    assert "needs a CUDA GPU" in str(error) and error.fix == "--set junior.load_in_4bit=false"


def test_a_loss_that_is_no_number_stops_with_its_step_and_keeps_the_checkpoint(decoder: Path, tmp_path: Path) -> None:
    given = settings(tmp_path, decoder, ROWS, epochs=4, learning_rate=1e12, checkpoint_s=0)
    error = refused(sft, given)
    assert "the loss is nan at step " in error.where or "the loss is inf at step " in error.where
    assert error.fix == "lower the learning rate, which is 1e+12: --set junior.learning_rate=5e+11"
    kept, _ = last(tmp_path / "work")
    assert kept and str(kept) in error.got
    assert all(torch.isfinite(tensor).all() for tensor in load_file(kept / "model.safetensors").values())


@pytest.mark.parametrize(("rows", "fix"), [(8, "--set runtime.micro_batch_size=4"), (1, "a smaller junior.max_length")])
def test_memory_that_runs_out_names_a_smaller_micro_batch(rows: int, fix: str, decoder: Path, tmp_path: Path) -> None:
    given = settings(tmp_path, decoder, ROWS, batch_size=8, micro_batch_size=rows)
    with pytest.raises(StageError, match=f"does not suffice for {rows} row") as caught, common.explained(given):
        torch.empty(1 << 50)
    assert caught.value.fix.startswith(fix) and "allocate memory" in caught.value.got
    with pytest.raises(RuntimeError, match="else"), common.explained(given):
        raise RuntimeError("something else")
