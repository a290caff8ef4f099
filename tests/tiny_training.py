"""Rows and settings of trainings that take seconds, and what their weights are compared with."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import WORDS
from transformers import AutoModelForCausalLM, AutoTokenizer

from hub_speed.errors import StageError
from hub_speed.recipe import Embedder, Junior, Senior
from hub_speed.training.embedder.settings import EmbedderSettings
from hub_speed.training.generator.settings import DpoSettings, SftSettings
from hub_speed.training.process.settings import PinnedModel

PAIRS = [(f"say {word}", f'{{"word": "{word}"}}') for word in ("fox", "dog", "quick", "lazy", "brown", "over")] * 4
ROWS = [{"id": f"{i:03d}", "prompt": p, "completion": c} for i, (p, c) in enumerate(PAIRS)]
PREFERENCES = [
    {"id": f"{i:03d}", "prompt": f"say {w}", "chosen": f'{{"word": "{w}"}}', "rejected": f"{w} {w} no"}
    for i, w in enumerate(["fox", "dog", "quick", "lazy"] * 6)
]


def write(rows: list[dict], folder: Path) -> Path:
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000.parquet")
    return folder


def some_rows(n: int) -> list[dict]:
    """Rows of an embedder's training: two kinds, one of them with hard negatives."""
    return [
        {
            "id": f"{i:03d}",
            "task_type": "retrieval" if i % 3 else "short_matching",
            "instruction": "find it",
            "query": f"{WORDS[i % 8]} {WORDS[i // 8 % 8]}",
            "positive": f"{WORDS[i // 8 % 8]} and {WORDS[i % 8]}" + " the" * (i % 5),
            "negative": f"{WORDS[(i + 1) % 8]} alone" if i % 3 else None,
        }
        for i in range(n)
    ]


def embedder_settings(base: Path, folder: Path, **changes: Any) -> EmbedderSettings:
    """What the embedder's stage hands on; `changes` are fields of the settings or of the recipe's section."""
    recipe = {"loss_temperature": 0.05, "warmup_steps": 0, "learning_rate": 3e-3, "batch_size": 8, "max_length": 24}
    recipe |= {"lora_r": 0, "lora_dropout": 0.0, "weight_decay": 0.0, "epochs": 3}
    recipe |= {"data": "relabel"} if "distil" in changes else {}
    recipe |= {name: value for name, value in changes.items() if name not in EmbedderSettings.model_fields}
    fields = {"work": folder / "work", "out": folder / "out", "data": folder / "data", "default_instruction": "find it"}
    fields |= {"mini_batch_size": 32, "gradient_checkpointing": False, "checkpoint_s": 600}
    fields |= {"base": PinnedModel(folder=base, repo="me/base", commit="0" * 40)}
    fields |= {name: value for name, value in changes.items() if name in EmbedderSettings.model_fields}
    return EmbedderSettings(recipe=Embedder(**recipe), **fields)


def generator_settings(
    folder: Path, base: Path, rows: list[dict[str, Any]], **changes: Any
) -> SftSettings | DpoSettings:
    """What a generator's stage hands on for rows, which are written to a folder; `changes` as above."""
    kind, section = (DpoSettings, Senior) if rows and "chosen" in rows[0] else (SftSettings, Junior)
    recipe = {"learning_rate": 3e-3, "batch_size": 8, "epochs": 2, "max_length": 64, "warmup_ratio": 0.0, "lora_r": 0}
    recipe |= {"lora_dropout": 0.0}
    recipe |= {name: value for name, value in changes.items() if name not in kind.model_fields}
    fields = {"work": folder / "work", "out": folder / "out", "data": write(rows, folder / "data"), "rng_seed": 1}
    fields |= {"prompt_format": "{prompt} [/INST]", "micro_batch_size": None, "gradient_checkpointing": True}
    fields |= {"base": PinnedModel(folder=base, repo="org/base", commit="0" * 40), "checkpoint_s": 600}
    fields |= {name: value for name, value in changes.items() if name in kind.model_fields}
    return kind(section=section.__name__.lower(), recipe=section(**recipe), **fields)


def nlls(folder: Path, prompt: str, completion: str) -> torch.Tensor:
    """By hand: what each token of the answer costs, and then the end."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    start = len(tokenizer(prompt).input_ids)
    ids = torch.tensor([[*tokenizer(prompt + completion).input_ids, tokenizer.eos_token_id]])
    with torch.inference_mode():
        logp = torch.log_softmax(model(ids).logits[0, :-1], -1).gather(1, ids[0, 1:, None])[:, 0]
    return -logp[start - 1 :]


def difference(one: Path, other: Path) -> float:
    """The largest difference between the weights in two folders."""
    a, b = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


def refused(module: Any, given: Any) -> StageError:
    """The error with which a training ends before anything is published."""
    with pytest.raises(StageError) as caught:
        module.train(given)
    assert not list(given.out.glob("*"))
    return caught.value
