"""A base model as an embedder: pooling, the end-of-sequence token, and what is published."""

import json
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers.processors import TemplateProcessing
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from hub_speed.errors import StageError
from hub_speed.record import Json
from hub_speed.training.process import child

MODES = {"last": "lasttoken", "mean": "mean"}
"""Our names of the poolings → those of sentence-transformers."""


def embedder(base: str, settings: Json) -> SentenceTransformer:
    """An untrained embedder on a base model: a decoder's last token or the mean of an encoder's, unit length.

    Args:
        base: folder of the model.
        settings: max_length; pooling (last, mean; None: last where no token sees those after it); lora_r.

    Raises:
        StageError: the weights are no safetensors, or the tokenizer lacks a token that is needed.
    """
    _has_safetensors(Path(base))
    gpu = child.use_gpu()
    # An adapter is trained on 16-bit weights and is 32-bit itself; all weights are trained in 32 bits.
    small = gpu and settings.get("lora_r")
    transformer = Transformer(
        base,
        max_seq_length=settings["max_length"],
        model_kwargs={"dtype": torch.bfloat16 if small else torch.float32, "use_safetensors": True},
    )
    tokenizer = transformer.tokenizer
    # Right: positions then count from the text's first token whatever its neighbours' lengths.
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    pooling = settings.get("pooling") or ("mean" if _sees_ahead(transformer.auto_model) else "last")
    if pooling == "last":
        close_with_eos(tokenizer)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise StageError(
            f"{base}: the tokenizer has neither a padding nor an end-of-sequence token",
            expected="pad_token or eos_token in tokenizer_config.json",
            fix="set it there, to a token of the vocabulary, or choose another base model",
        )
    pool = Pooling(transformer.get_embedding_dimension(), pooling_mode=MODES[pooling])
    return SentenceTransformer(modules=[transformer, pool, Normalize()], device="cuda" if gpu else "cpu")


def _has_safetensors(folder: Path) -> None:
    if not any(folder.glob("*.safetensors")):
        found = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
        raise StageError(
            f"{folder}: there are no safetensors weights",
            expected="*.safetensors; other formats can run code when they are loaded and are never read",
            got=", ".join(found) or "no weights at all",
            fix="choose another base, or have it converted: https://huggingface.co/spaces/safetensors/convert",
        )


@torch.inference_mode()
def _sees_ahead(model: PreTrainedModel) -> bool:
    """Whether a token's state depends on those after it: an encoder's does, a decoder's does not."""
    ids = torch.tensor([[1, 2, 3], [1, 2, 4]], device=model.device)
    first, second = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0].float()
    return not torch.allclose(first, second, atol=1e-3)


def close_with_eos(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the tokenizer end every text with its end-of-sequence token, also after it cut one.

    Last-token pooling reads that token; transformers 5 drops it silently for some tokenizers. Written into the
    tokenizer's own files, so that whoever loads the embedder gets it.

    Raises:
        StageError: the tokenizer has no such token, or cannot be told to add it.
    """
    eos, bos = tokenizer.eos_token, tokenizer.bos_token
    where = f"{tokenizer.name_or_path}: last-token pooling needs an end-of-sequence token after every text"
    if eos is None:
        raise StageError(
            where,
            expected="eos_token in tokenizer_config.json",
            got="none",
            fix="set it there, choose another base model, or take the mean: --set embedder.pooling=mean",
        )
    if tokenizer("a").input_ids[-1] == tokenizer.eos_token_id:
        return
    begins = bos is not None and tokenizer("a").input_ids[0] == tokenizer.bos_token_id
    single = f"{bos} $A {eos}" if begins else f"$A {eos}"
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ([bos, eos] if begins else [eos])]
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=special)
    if tokenizer("a").input_ids[-1] != tokenizer.eos_token_id:
        raise StageError(
            where,
            expected="a tokenizer with a tokenizer.json, which can be told to add it",
            got=type(tokenizer).__name__,
            fix="choose another base model",
        )


def transformer_of(model: SentenceTransformer) -> Transformer:
    """The part of an embedder that is not pooling."""
    return cast(Transformer, model[0])


def pooling_of(model: SentenceTransformer) -> str:
    """Which of our poolings it has: last or mean."""
    mode = cast(Pooling, model[1]).pooling_mode
    return next(name for name, theirs in MODES.items() if theirs == mode)


def add_adapter(model: SentenceTransformer, settings: Json) -> None:
    """Give it the low-rank adapter to train (E5 §4.2: on every linear layer), in 32 bits whatever the base has."""
    model.add_adapter(
        LoraConfig(
            task_type="FEATURE_EXTRACTION",
            r=settings["lora_r"],
            lora_alpha=settings["lora_alpha"],
            lora_dropout=settings["lora_dropout"],
            target_modules="all-linear",
        )
    )
    for weights in model.parameters():
        if weights.requires_grad:  # they come in the base's own type, in which small steps are rounded away
            weights.data = weights.data.float()


def recompute(model: SentenceTransformer) -> None:
    """Let it keep no more than each layer's input while it is trained, and compute the rest again for the gradients."""
    model.gradient_checkpointing_enable({"use_reentrant": False})
    transformer_of(model).auto_model.enable_input_require_grads()  # under an adapter the first layer's input has none


def publish(model: SentenceTransformer, settings: Json) -> None:
    """Write the embedder for sentence-transformers, transformers and others; with an adapter, its merged weights.

    The adapter itself goes to `adapter/`. It is merged into the base as it was published.
    """
    out, gpu = Path(settings["out"]), child.use_gpu()
    if settings["lora_r"]:
        transformer = transformer_of(model)
        config = cast(LoraConfig, transformer.auto_model.peft_config["default"])
        # Its users have no folder of this machine.
        config.base_model_name_or_path, config.revision = settings["base_name"], settings["base_revision"]
        transformer.auto_model.save_pretrained(out / "adapter")
        base = AutoModel.from_pretrained(settings["base"], dtype=torch.float32, use_safetensors=True)
        transformer.model = PeftModel.from_pretrained(base, out / "adapter").merge_and_unload()
    if gpu:
        model.to(torch.bfloat16)
    model.save_pretrained(str(out), safe_serialization=True, create_model_card=False)
    _name_pooling_as_others_do(out / "1_Pooling" / "config.json")


def _name_pooling_as_others_do(path: Path) -> None:
    """Add the older names of the pooling, which text-embeddings-inference and other servers read."""
    config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    flags = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"} | {
        "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
        "weightedmean_tokens": "weightedmean",
        "lasttoken": "lasttoken",
    }
    config |= {f"pooling_mode_{name}": config["pooling_mode"] == mode for name, mode in flags.items()}
    path.write_text(json.dumps(config, indent=4) + "\n", "utf-8")
