"""A base model as an embedder: pooling, the adapter, and what is published."""

import json
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import PreTrainedModel

from hub_speed.errors import StageError
from hub_speed.recipe import Lora
from hub_speed.recipe import Pooling as Pool
from hub_speed.training import older_readers
from hub_speed.training.base_model import add_padding, close_with_eos, lora_config, require_safetensors
from hub_speed.training.process import child
from hub_speed.training.process.settings import PinnedModel

MODES: dict[Pool, str] = {"last": "lasttoken", "mean": "mean", "weighted_mean": "weightedmean"}
"""Our names of the poolings → those of sentence-transformers."""
DOCUMENT = ("document", "passage", "corpus")
"""The names under which embedders keep the prompt of a document; the first that is not empty counts."""
OWN_CODE: dict[str, Any] = {"trust_remote_code": False}
"""No code of a model's repository is run."""


def embedder(
    base: Path, max_length: int | None, pooling: Pool | None = None, *, half: bool = False
) -> SentenceTransformer:
    """An embedder to train: the base itself where it is an embedder, else an untrained one with vectors of unit length.

    Args:
        base: folder of the model.
        max_length: tokens of a text that are read, and of an embedder at most its own number; None: as the base says.
        pooling: the last token, the mean or the weighted mean, whatever the base is. None: an embedder keeps its
            modules; else last where no token sees those after it (a decoder), else the mean.
        half: load the weights in 16 bits, on a GPU.

    Raises:
        StageError: the weights are not safetensors, the tokenizer lacks a token that is needed, or the base is an
            embedder of a kind that cannot be trained here.
    """
    require_safetensors(base, str(base))
    gpu = child.use_gpu()
    dtype = torch.bfloat16 if gpu and half else torch.float32
    if pooling is None and (base / older_readers.MODULES).is_file():
        return _as_it_is(base, max_length, dtype)
    transformer = Transformer(
        str(base),
        max_seq_length=max_length,
        model_kwargs={"dtype": dtype, "use_safetensors": True} | OWN_CODE,
        config_kwargs=dict(OWN_CODE),
        processor_kwargs=dict(OWN_CODE),  # a copy: the library writes into it
    )
    tokenizer = transformer.tokenizer
    # Texts are read as they are. By a chat template, the library would make a conversation of each.
    tokenizer.chat_template = None
    transformer.modality_config.pop("message", None)
    # Right: positions then count from the text's first token whatever its neighbours' lengths.
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    pooling = pooling or ("mean" if _sees_ahead(transformer.auto_model) else "last")
    if pooling == "last":
        close_with_eos(tokenizer)
    add_padding(tokenizer, str(base))
    pool = Pooling(transformer.get_embedding_dimension(), pooling_mode=MODES[pooling])
    return SentenceTransformer(modules=[transformer, pool, Normalize()], device="cuda" if gpu else "cpu")


def _as_it_is(folder: Path, max_length: int | None, dtype: torch.dtype) -> SentenceTransformer:
    """An embedder with the modules, prompts and dimensions that it was published with."""
    for module in json.loads((folder / older_readers.MODULES).read_text("utf-8")):
        if (folder / module["path"] / "pytorch_model.bin").is_file():
            require_safetensors(folder / module["path"], f"{folder}, module {module['path']}")
    model = saved(folder, "cuda" if child.use_gpu() else "cpu", dtype)
    first, kinds = model[0], ", ".join(type(module).__name__ for module in model)
    if not isinstance(first, Transformer):
        raise _cannot_train(folder, "a Transformer as the first module", kinds)
    if "message" in first.modality_config:
        raise _cannot_train(folder, "texts that are read as they are", "a chat template that makes messages of them")
    if any(isinstance(module, Pooling) and not module.include_prompt for module in model):
        raise _cannot_train(folder, "a pooling that includes the prompt", "include_prompt: false")
    if model.similarity_fn_name != "cosine" and not isinstance(model[-1], Normalize):
        raise _cannot_train(folder, "vectors that are compared by cosine", str(model.similarity_fn_name))
    add_padding(model.tokenizer, str(folder))
    model.max_seq_length = min((n for n in (max_length, model.max_seq_length) if n), default=None)
    return model


def _cannot_train(folder: Path, expected: str, got: str) -> StageError:
    return StageError(
        f"{folder}: an embedder of a kind that cannot be trained here",
        expected=expected,
        got=got,
        fix="choose another one, or replace its pooling: embedder.pooling=mean in a recipe",
    )


def saved(folder: Path, device: str | None = None, dtype: torch.dtype | None = None) -> SentenceTransformer:
    """An embedder as it was published, in its own type or another; only safetensors are read."""
    loaded = {"use_safetensors": True} | ({"dtype": dtype} if dtype else {})
    return SentenceTransformer(str(folder), device=device, trust_remote_code=False, model_kwargs=loaded)


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
    """The name of an embedder's pooling: last, mean, or what sentence-transformers calls it; "none" without one."""
    found = next((module.pooling_mode for module in model if isinstance(module, Pooling)), "none")
    modes = [found] if isinstance(found, str) else found
    ours: dict[str, str] = {theirs: name for name, theirs in MODES.items()}
    return "+".join(ours.get(mode, mode) for mode in modes)


def prompts_of(model: SentenceTransformer) -> tuple[str, str]:
    """What an embedder's own prompts put before a query and before a document."""
    documents = [prompt for name in DOCUMENT if (prompt := model.prompts.get(name))]
    return model.prompts.get("query") or "", documents[0] if documents else ""


def add_adapter(model: SentenceTransformer, recipe: Lora) -> None:
    """Add the low-rank adapter to train, in 32 bits whatever the base model has.

    Raises:
        StageError: see `lora_config`.
    """
    model.add_adapter(lora_config(recipe, transformer_of(model).auto_model, "embedder", "FEATURE_EXTRACTION"))
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
        kind = type(transformer.auto_model)  # of an encoder-decoder, this is the encoder
        base = kind.from_pretrained(adapted.folder, dtype=torch.float32, use_safetensors=True, **OWN_CODE)
        transformer.model = PeftModel.from_pretrained(base, out / "adapter").merge_and_unload()
    if child.use_gpu():
        model.to(torch.bfloat16)
    model.save_pretrained(str(out), safe_serialization=True, create_model_card=False)
    older_readers.rename(out, model.tokenizer.model_input_names, model.max_seq_length)
