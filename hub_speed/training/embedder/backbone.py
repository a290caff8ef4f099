"""A base model as an embedder: pooling, the adapter, and what is published."""

from pathlib import Path
from typing import Any, Literal, cast

import torch
from peft import LoraConfig, PeftModel
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import AutoModel, PreTrainedModel

from hub_speed.recipe import Lora
from hub_speed.training import older_readers
from hub_speed.training.base_model import add_padding, close_with_eos, require_safetensors
from hub_speed.training.process import child
from hub_speed.training.process.settings import PinnedModel

MODES = {"last": "lasttoken", "mean": "mean"}
"""Our names of the poolings → those of sentence-transformers."""
OWN_CODE: dict[str, Any] = {"trust_remote_code": False}
"""No code of a model's repository is run."""


def embedder(
    base: Path, max_length: int, pooling: Literal["last", "mean"] | None = None, *, half: bool = False
) -> SentenceTransformer:
    """An untrained embedder on a base model, with embeddings of unit length.

    Args:
        base: folder of the model.
        max_length: tokens of a text that are read.
        pooling: the last token or the mean; None: last where no token sees those after it (a decoder), else the mean.
        half: load the weights in 16 bits, on a GPU.

    Raises:
        StageError: the weights are not safetensors, or the tokenizer lacks a token that is needed.
    """
    require_safetensors(base, str(base))
    gpu = child.use_gpu()
    transformer = Transformer(
        str(base),
        max_seq_length=max_length,
        model_kwargs={"dtype": torch.bfloat16 if gpu and half else torch.float32, "use_safetensors": True} | OWN_CODE,
        config_kwargs=dict(OWN_CODE),
        processor_kwargs=dict(OWN_CODE),  # a copy: the library writes into it
    )
    tokenizer = transformer.tokenizer
    # Right: positions then count from the text's first token whatever its neighbours' lengths.
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    pooling = pooling or ("mean" if _sees_ahead(transformer.auto_model) else "last")
    if pooling == "last":
        close_with_eos(tokenizer)
    add_padding(tokenizer, str(base))
    pool = Pooling(transformer.get_embedding_dimension(), pooling_mode=MODES[pooling])
    return SentenceTransformer(modules=[transformer, pool, Normalize()], device="cuda" if gpu else "cpu")


def saved(folder: Path, device: str | None = None) -> SentenceTransformer:
    """An embedder as it was published; only safetensors are read."""
    return SentenceTransformer(
        str(folder), device=device, trust_remote_code=False, model_kwargs={"use_safetensors": True}
    )


@torch.inference_mode()
def _sees_ahead(model: PreTrainedModel) -> bool:
    """Whether a token's state depends on those after it: an encoder's does, a decoder's does not."""
    ids = torch.tensor([[1, 2, 3], [1, 2, 4]], device=model.device)
    first, second = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0].float()
    return not torch.allclose(first, second, atol=1e-3)


def transformer_of(model: SentenceTransformer) -> Transformer:
    """The part of an embedder before the pooling."""
    return cast(Transformer, model[0])


def pooling_of(model: SentenceTransformer) -> str:
    """The name of an embedder's pooling: last or mean."""
    mode = cast(Pooling, model[1]).pooling_mode
    return next(name for name, theirs in MODES.items() if theirs == mode)


def add_adapter(model: SentenceTransformer, recipe: Lora) -> None:
    """Add the low-rank adapter to train (E5 §4.2: on every linear layer), in 32 bits whatever the base model has."""
    model.add_adapter(
        LoraConfig(
            task_type="FEATURE_EXTRACTION",
            r=recipe.lora_r,
            lora_alpha=recipe.lora_alpha,
            lora_dropout=recipe.lora_dropout,
            target_modules="all-linear",
        )
    )
    for weights in model.parameters():
        if weights.requires_grad:  # they come in the base model's type, which rounds small steps away
            weights.data = weights.data.float()


def recompute(model: SentenceTransformer) -> None:
    """Keep only each layer's input during training, and compute the rest again for the gradients."""
    model.gradient_checkpointing_enable({"use_reentrant": False})
    transformer_of(model).auto_model.enable_input_require_grads()  # under an adapter the first layer's input has none


def publish(model: SentenceTransformer, out: Path, adapted: PinnedModel | None = None) -> None:
    """Write the embedder for sentence-transformers, transformers and servers, older versions too; an adapter is merged.

    Args:
        model: the trained embedder.
        out: a new folder.
        adapted: the base model, where an adapter was trained. The adapter goes to `adapter/` and is merged into this
            base as it was published; None: all weights were trained.
    """
    if adapted:
        transformer = transformer_of(model)
        config = cast(LoraConfig, transformer.auto_model.peft_config["default"])
        # Names the base model on the Hub, since the adapter's users do not have this folder.
        config.base_model_name_or_path, config.revision = adapted.repo, adapted.commit
        transformer.auto_model.save_pretrained(out / "adapter")
        base = AutoModel.from_pretrained(adapted.folder, dtype=torch.float32, use_safetensors=True, **OWN_CODE)
        transformer.model = PeftModel.from_pretrained(base, out / "adapter").merge_and_unload()
    if child.use_gpu():
        model.to(torch.bfloat16)
    model.save_pretrained(str(out), safe_serialization=True, create_model_card=False)
    older_readers.rename(out, model.tokenizer.model_input_names, model.max_seq_length)
