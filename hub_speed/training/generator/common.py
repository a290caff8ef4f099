"""What fine-tuning of generators and revisors shares: the base, the arguments, what is published."""

import importlib.util
import math
import os
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from accelerate import PartialState
from peft import LoraConfig, PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
)

from hub_speed.errors import StageError
from hub_speed.record import Json
from hub_speed.training.generator import tokens
from hub_speed.training.process import child, failures
from hub_speed.training.process.checkpoints import Keeper, last


def load(settings: Json) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model and its tokenizer, with a padding token; safetensors only.

    Raises:
        StageError: the weights are no safetensors, answers could not end, or 4-bit weights are not possible here.
    """
    tokenizer = AutoTokenizer.from_pretrained(settings["base"])
    if tokenizer.eos_token is None:
        raise StageError(
            f"{settings['base_name']}: the tokenizer has no end-of-sequence token, so an answer could never end",
            expected="eos_token in tokenizer_config.json",
            fix="set it there, to a token of the vocabulary, or choose another base model",
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # An adapter is trained on 16-bit weights and is 32-bit itself. All weights are trained in 32 bits: at the papers'
    # learning rates a step is smaller than what 16 bits can add.
    small = torch.cuda.is_available() and settings["lora_r"]
    return _weights(settings, tokenizer, torch.bfloat16 if small else torch.float32, _quantisation(settings)), tokenizer


def _weights(
    settings: Json, tokenizer: PreTrainedTokenizerBase, dtype: torch.dtype, quantisation: BitsAndBytesConfig | None
) -> PreTrainedModel:
    folder = Path(settings["base"])
    if not any(folder.glob("*.safetensors")):
        found = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
        raise StageError(
            f"{settings['base_name']}: there are no safetensors weights",
            expected="*.safetensors; other formats can run code when they are loaded and are never read",
            got=", ".join(found) or "no weights at all",
            fix="convert it (https://huggingface.co/spaces/safetensors/convert), or choose another base model",
        )
    attention = {"attn_implementation": "flash_attention_2"} if settings.get("batching") == "packed" else {}
    place = {"device_map": {"": PartialState().local_process_index}} if quantisation else {}
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, quantization_config=quantisation, **attention, **place
    )
    # Whoever serves the model stops at the token its answers end with.
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if tokenizer.eos_token_id not in ends:
        model.generation_config.eos_token_id = [tokenizer.eos_token_id, *ends]
    return model


def _quantisation(settings: Json) -> BitsAndBytesConfig | None:
    """4-bit weights as in QLoRA (arXiv 2305.14314 §3: NF4, the constants quantised too), or None."""
    if not settings["load_in_4bit"]:
        return None
    missing = "" if torch.cuda.is_available() else "a CUDA GPU"
    if not missing and importlib.util.find_spec("bitsandbytes") is None:
        missing = "the package bitsandbytes"
    if missing:
        raise StageError(
            f"{settings['section']}.load_in_4bit: needs {missing}, which is not here",
            fix=f"{'pip install bitsandbytes, or ' if 'package' in missing else ''}"
            f"--set {settings['section']}.load_in_4bit=false",
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


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


def limit(settings: Json, model: PreTrainedModel) -> int:
    """The most tokens of a row: `max_length`, or what the base model can read."""
    return min(settings["max_length"], getattr(model.config, "max_position_embeddings", math.inf))


def micro_batch(settings: Json) -> int:
    """Rows that each process has in memory at once: the largest share of the batch within `micro_batch_size`.

    Raises:
        StageError: the batch cannot be shared out evenly among the processes.
    """
    share, rest = divmod(settings["batch_size"], processes())
    if rest:
        raise StageError(
            f"{settings['section']}.batch_size: {settings['batch_size']} rows cannot be shared among"
            f" {processes()} processes",
            fix="another number of processes in runtime.launcher, or another batch size",
        )
    most = min(settings["micro_batch_size"] or share, share)
    return next(n for n in range(most, 0, -1) if share % n == 0)


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def arguments(settings: Json) -> Json:
    """Trainer arguments that SFT and DPO have in common."""
    gpu, rows = torch.cuda.is_available(), micro_batch(settings)
    return {
        "output_dir": settings["work"],
        "learning_rate": settings["learning_rate"],
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": settings["batch_size"] // (rows * processes()),
        "num_train_epochs": 1,  # `texts.order` holds all of them
        "train_sampling_strategy": "sequential",
        "warmup_steps": settings["warmup_ratio"],  # below 1: a share of all steps
        "lr_scheduler_type": settings["schedule"],
        "seed": settings["rng_seed"],
        "bf16": gpu,
        "use_cpu": not gpu,
        "gradient_checkpointing": settings["gradient_checkpointing"],
        "save_strategy": "no",  # `Keeper` saves
        "save_total_limit": 2,  # one that is complete, while the next is written
        "report_to": [],
        "logging_steps": 1 / 40,  # points of the loss curve
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
    }


def explained(settings: Json) -> AbstractContextManager[None]:
    """Says what to do about memory that runs out: see `watch.memory`."""
    return failures.memory(settings, "rows", micro_batch(settings), "micro_batch_size")


def train(trainer: failures.Watched, lengths: list[int], settings: Json) -> Json:
    """Train on rows of these lengths, from the last complete checkpoint on; returns what was measured."""
    order = tokens.order(
        lengths,
        epochs=settings["epochs"],
        batch_size=settings["batch_size"],
        by_length=settings["batching"] == "by_length",
        rng_seed=settings["rng_seed"],
    )
    trainer.section = settings["section"]
    trainer.train_dataset = trainer.train_dataset.select(order, keep_in_memory=True)  # type: ignore[union-attr]
    checkpoint, before = last(Path(settings["work"]))
    keeper = Keeper(settings["checkpoint_s"], before)
    trainer.add_callback(keeper)
    trainer.add_callback(child.Reporter())
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    assert trainer.model is not None
    gpu = torch.cuda.is_available()
    kind = f"adapter, r {settings['lora_r']}" if settings["lora_r"] else "all weights"
    return {
        "steps": trainer.state.global_step,
        "loss_curve": [(entry["step"], entry["loss"]) for entry in trainer.state.log_history if "loss" in entry],
        "trained": kind + (", on a base in 4 bits" if settings["load_in_4bit"] else ""),
        "trained_weights": sum(int(p.numel()) for p in trainer.model.parameters() if p.requires_grad),
        "devices": f"{processes()} x {torch.cuda.get_device_name() if gpu else 'CPU'}",
        "device_seconds": round(keeper.seconds * processes(), 1),
    }


def save(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, settings: Json) -> None:
    """Write the weights as safetensors; with an adapter, the merged weights, and the adapter beside them.

    An adapter is merged into the base as it was published, not into the 4-bit or sharded one it was trained on.
    """
    out, adapter = Path(settings["out"]), bool(settings["lora_r"])
    folder = out / "adapter" if adapter else out
    if adapter:  # its users have no folder of this machine
        config = trainer.accelerator.unwrap_model(trainer.model).peft_config["default"]
        config.base_model_name_or_path, config.revision = settings["base_name"], settings["base_revision"]
    trainer.save_model(str(folder))  # gathers what is spread over several devices
    if not trainer.is_world_process_zero():
        return
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle
    if adapter:
        dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
        base = _weights({**settings, "batching": ""}, tokenizer, dtype, None)
        PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(out)
        tokenizer.save_pretrained(out)
    elif torch.cuda.is_available():
        AutoModelForCausalLM.from_pretrained(out, dtype=torch.bfloat16, use_safetensors=True).save_pretrained(out)
