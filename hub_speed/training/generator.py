"""What fine-tuning of generators and revisors shares: loading a base, adapters, saving merged weights."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

Json = dict[str, Any]


def load(folder: Path | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model and its tokenizer, with a padding token; safetensors only."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.eos_token is None:
        raise ValueError(f"{folder}: the tokenizer has no end-of-sequence token, so an answer could never end")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True)
    return model, tokenizer


def lora(settings: Json) -> LoraConfig | None:
    """The adapter to train, or None to train every weight (lora_r = 0)."""
    if not settings["lora_r"]:
        return None
    return LoraConfig(
        r=settings["lora_r"],
        lora_alpha=settings["lora_alpha"],
        lora_dropout=settings["lora_dropout"],
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def arguments(settings: Json, steps: float) -> Json:
    """Trainer arguments that SFT and DPO have in common."""
    gpu = torch.cuda.is_available()
    return {
        "output_dir": settings["work"],
        "learning_rate": settings["learning_rate"],
        "per_device_train_batch_size": settings["batch_size"],
        "num_train_epochs": settings["epochs"],
        "warmup_steps": round(settings["warmup_ratio"] * steps),
        "lr_scheduler_type": "cosine",  # Assumption: not stated
        "max_length": settings["max_length"],
        "seed": settings["rng_seed"],
        "data_seed": settings["rng_seed"],
        "bf16": gpu,
        "use_cpu": not gpu,
        "gradient_checkpointing": gpu,
        "save_strategy": "no",
        "report_to": [],
        "logging_steps": max(1, round(steps / 40)),
        "disable_tqdm": True,
    }


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries below use the global generator)
    torch.manual_seed(seed)


def save(trainer: Any, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Write the weights as safetensors; with an adapter, the merged weights, and the adapter beside them."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        model.save_pretrained(out / "adapter")
        model = model.merge_and_unload()
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
