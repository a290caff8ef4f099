"""What SFT and DPO share: loading the base model, the trainer's arguments, training and saving."""

import importlib.util
import sys
from contextlib import AbstractContextManager

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
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from hub_speed.errors import StageError
from hub_speed.record import Json
from hub_speed.training import older_readers
from hub_speed.training.base_model import add_padding, lora_config, require_eos, require_safetensors
from hub_speed.training.generator import tokens
from hub_speed.training.generator.settings import GeneratorSettings
from hub_speed.training.process import child, failures
from hub_speed.training.process.checkpoints import Keeper, last
from hub_speed.training.process.settings import PinnedModel
from hub_speed.training.process.together import processes


def load(settings: GeneratorSettings) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model and its tokenizer, with a padding token; only safetensors are read.

    Raises:
        StageError: the weights are not safetensors, answers could not end, or 4-bit weights are not possible here.
    """
    name, recipe = settings.base.repo, settings.recipe
    tokenizer = AutoTokenizer.from_pretrained(settings.base.folder, trust_remote_code=False)
    require_eos(tokenizer, f"{name}: the tokenizer has no end-of-sequence token, so an answer could never end")
    add_padding(tokenizer, name)
    # An adapter is trained on 16-bit weights and is 32-bit itself. All weights are trained in 32 bits: at the papers'
    # learning rates a step is smaller than what 16 bits can add.
    dtype = torch.bfloat16 if torch.cuda.is_available() and recipe.lora_r else torch.float32
    packed = recipe.batching == "packed"
    return _weights(settings.base, tokenizer, dtype, _quantisation(settings), packed=packed), tokenizer


def _weights(
    base: PinnedModel,
    tokenizer: PreTrainedTokenizerBase,
    dtype: torch.dtype,
    quantisation: BitsAndBytesConfig | None = None,
    *,
    packed: bool = False,
) -> PreTrainedModel:
    require_safetensors(base.folder, base.repo)
    attention = {"attn_implementation": "flash_attention_2"} if packed else {}
    place = {"device_map": {"": PartialState().local_process_index}} if quantisation else {}
    model = AutoModelForCausalLM.from_pretrained(
        base.folder,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        quantization_config=quantisation,
        **attention,
        **place,
    )
    # A server of the model stops at the token its answers end with.
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if tokenizer.eos_token_id not in ends:
        model.generation_config.eos_token_id = [tokenizer.eos_token_id, *ends]
    return model


def _quantisation(settings: GeneratorSettings) -> BitsAndBytesConfig | None:
    """4-bit weights as in QLoRA (arXiv 2305.14314 §3: NF4, the constants quantised too), or None."""
    if not settings.recipe.load_in_4bit:
        return None
    missing = "" if torch.cuda.is_available() else "a CUDA GPU"
    if not missing and importlib.util.find_spec("bitsandbytes") is None:
        missing = "the package bitsandbytes"
    if missing:
        raise StageError(
            f"{settings.section}.load_in_4bit: needs {missing}, which is not here",
            fix=f"{'pip install bitsandbytes, or ' if 'package' in missing else ''}"
            f"--set {settings.section}.load_in_4bit=false",
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def lora(settings: GeneratorSettings, model: PreTrainedModel) -> LoraConfig | None:
    """The adapter to train, or None to train every weight (lora_r = 0).

    Raises:
        StageError: see `lora_config`.
    """
    recipe = settings.recipe
    return lora_config(recipe, model, settings.section, "CAUSAL_LM") if recipe.lora_r else None


def limit(settings: GeneratorSettings, model: PreTrainedModel) -> int:
    """The most tokens a row may have: `max_length`, or what the base model can read where that is less."""
    return min(settings.recipe.max_length, getattr(model.config, "max_position_embeddings", sys.maxsize))


def micro_batch(settings: GeneratorSettings) -> int:
    """How many rows each process has in memory at once: the largest share of the batch within `micro_batch_size`.

    Raises:
        StageError: the batch cannot be shared out evenly among the processes.
    """
    share, rest = divmod(settings.recipe.batch_size, processes())
    if rest:
        raise StageError(
            f"{settings.section}.batch_size: {settings.recipe.batch_size} rows cannot be shared among"
            f" {processes()} processes",
            fix="another number of processes in runtime.launcher, or another batch size",
        )
    most = min(settings.micro_batch_size or share, share)
    return next(n for n in range(most, 0, -1) if share % n == 0)


def arguments(settings: GeneratorSettings) -> Json:
    """The trainer arguments that SFT and DPO have in common."""
    gpu, rows = torch.cuda.is_available(), micro_batch(settings)
    return {
        "output_dir": str(settings.work),
        "learning_rate": settings.recipe.learning_rate,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": settings.recipe.batch_size // (rows * processes()),
        "num_train_epochs": 1,  # `tokens.order` holds all epochs
        "train_sampling_strategy": "sequential",
        "warmup_steps": settings.recipe.warmup_ratio,  # below 1: a share of all steps
        "lr_scheduler_type": settings.recipe.schedule,
        "seed": settings.rng_seed,
        "bf16": gpu,
        "use_cpu": not gpu,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "save_strategy": "no",  # `Keeper` saves
        "save_total_limit": 2,  # one that is complete, while the next is written
        "report_to": [],
        "logging_steps": 1 / 40,  # points of the loss curve
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
    }


def explained(settings: GeneratorSettings) -> AbstractContextManager[None]:
    """Explains what to do when memory runs out: see `failures.memory`."""
    return failures.memory(
        settings.section,
        "rows",
        micro_batch(settings),
        "micro_batch_size",
        recomputes=settings.gradient_checkpointing,
        can_quantise=True,
    )


def train(trainer: failures.Watched, lengths: list[int], settings: GeneratorSettings) -> Json:
    """Train on rows of these lengths, starting from the last complete checkpoint; returns what was measured."""
    recipe = settings.recipe
    order = tokens.order(
        lengths,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        by_length=recipe.batching == "by_length",
        rng_seed=settings.rng_seed,
    )
    trainer.section = settings.section
    trainer.train_dataset = trainer.train_dataset.select(order, keep_in_memory=True)  # type: ignore[union-attr]
    checkpoint, before = last(settings.work)
    keeper = Keeper(settings.checkpoint_s, before)
    trainer.add_callback(keeper)
    trainer.add_callback(child.Reporter())
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    assert trainer.model is not None
    gpu = torch.cuda.is_available()
    kind = f"adapter, r {recipe.lora_r}" if recipe.lora_r else "all weights"
    return {
        "steps": trainer.state.global_step,
        "loss_curve": [(entry["step"], entry["loss"]) for entry in trainer.state.log_history if "loss" in entry],
        "trained": kind + (", on a base in 4 bits" if recipe.load_in_4bit else ""),
        "trained_weights": sum(_weights_in(p) for p in trainer.model.parameters() if p.requires_grad),
        "devices": f"{processes()} x {torch.cuda.get_device_name() if gpu else 'CPU'}",
        "device_seconds": round(keeper.seconds * processes(), 1),
    }


def _weights_in(parameter: torch.Tensor) -> int:
    """How many weights a parameter has on all devices; DeepSpeed leaves an empty one where it has spread it."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def save(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, settings: GeneratorSettings) -> None:
    """Write the weights as safetensors; with an adapter, the merged weights, and the adapter beside them.

    An adapter is merged into the base as it was published, not into the 4-bit or sharded one it was trained on.
    """
    out, base, adapter = settings.out, settings.base, bool(settings.recipe.lora_r)
    folder = out / "adapter" if adapter else out
    if adapter:  # names the base on the Hub, since its users do not have this folder
        config = trainer.accelerator.unwrap_model(trainer.model).peft_config["default"]
        config.base_model_name_or_path, config.revision = base.repo, base.commit
    trainer.save_model(str(folder))  # gathers what is spread over several devices
    if not trainer.is_world_process_zero():
        return
    unset_hf_deepspeed_config()  # what is read from here on is read by this process alone
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle
    if adapter:
        dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
        PeftModel.from_pretrained(_weights(base, tokenizer, dtype), folder).merge_and_unload().save_pretrained(out)
        tokenizer.save_pretrained(out)
    elif torch.cuda.is_available():
        AutoModelForCausalLM.from_pretrained(
            out, dtype=torch.bfloat16, use_safetensors=True, trust_remote_code=False
        ).save_pretrained(out)
    for saved in {out, folder}:
        older_readers.rename(saved, tokenizer.model_input_names)
