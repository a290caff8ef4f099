"""What a base model must have before anything is trained on it: safetensors weights, padding, an end of sequence."""

from pathlib import Path

from peft import LoraConfig
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from hub_speed.errors import StageError
from hub_speed.recipe import ALL_LINEAR, Lora


def require_safetensors(folder: Path, name: str) -> None:
    """Refuse a base model without safetensors weights of its own; `name` is what the message calls it.

    Raises:
        StageError: there are none, or only those of an adapter; says what is there instead.
    """
    if (folder / "adapter_config.json").is_file():
        raise StageError(
            f"{name}: this is an adapter, which needs another model to stand on",
            expected="whole weights",
            got="adapter_config.json",
            fix="merge the adapter into its base model (peft: `merge_and_unload`), publish the result and use that",
        )
    if not any(folder.glob("*.safetensors")):
        found = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
        raise StageError(
            f"{name}: there are no safetensors weights",
            expected="*.safetensors; other formats can run code when they are loaded and are never read",
            got=", ".join(found) or "no weights at all",
            fix="convert it (https://huggingface.co/spaces/safetensors/convert), or choose another base model",
        )


def require_eos(tokenizer: PreTrainedTokenizerBase, where: str, otherwise: str = "") -> None:
    """Refuse a tokenizer without an end-of-sequence token; `where` says what needs it, `otherwise` another way out.

    Raises:
        StageError: it has none.
    """
    if tokenizer.eos_token is None:
        raise StageError(
            where,
            expected="eos_token in tokenizer_config.json",
            got="none",
            fix=f"set it there, to a token of the vocabulary, or choose another base model{otherwise}",
        )


def add_padding(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Let a tokenizer that has no padding token pad with its end-of-sequence token.

    Raises:
        StageError: it has neither.
    """
    if tokenizer.pad_token is None:
        require_eos(tokenizer, f"{name}: the tokenizer has neither a padding nor an end-of-sequence token")
        tokenizer.pad_token = tokenizer.eos_token


def close_with_eos(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the tokenizer end every text with its end-of-sequence token, also a text that it has cut.

    Last-token pooling reads that token; transformers 5 drops it silently for some tokenizers. The rule is written into
    the tokenizer's own files, so that everyone who loads the embedder gets it.

    Raises:
        StageError: the tokenizer has no such token, or cannot be told to add it.
    """
    where = f"{tokenizer.name_or_path}: last-token pooling needs an end-of-sequence token after every text"
    require_eos(tokenizer, where, ", or take the mean: --set embedder.pooling=mean")
    if _ends(tokenizer):
        return
    eos, bos = str(tokenizer.eos_token), tokenizer.bos_token
    begins = bos is not None and tokenizer("a").input_ids[0] == tokenizer.bos_token_id
    single = f"{bos} $A {eos}" if begins else f"$A {eos}"
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ([bos, eos] if begins else [eos])]
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=special)
    if not _ends(tokenizer):
        raise StageError(
            where,
            expected="a tokenizer with a tokenizer.json, which can be told to add it",
            got=type(tokenizer).__name__,
            fix="choose another base model",
        )


def _ends(tokenizer: PreTrainedTokenizerBase) -> bool:
    return bool(tokenizer("a").input_ids[-1] == tokenizer.eos_token_id)


def lora_config(recipe: Lora, model: nn.Module, section: str, task_type: str) -> LoraConfig:
    """The adapter that a recipe's section asks for on this model.

    Raises:
        StageError: the model lacks one of `target_modules`; names the linear layers that are there.
    """
    names = {path.rpartition(".")[2] for path, layer in model.named_modules() if isinstance(layer, nn.Linear | Conv1D)}
    wanted = recipe.target_modules
    if wanted != ALL_LINEAR and (missing := [name for name in wanted if name not in names]):
        raise StageError(
            f"{section}.target_modules: this base model has no linear layer {', '.join(missing)}",
            expected=f"{ALL_LINEAR}, or some of {', '.join(sorted(names))}",
            fix=f"--set {section}.target_modules={ALL_LINEAR}",
        )
    return LoraConfig(
        task_type=task_type,
        r=recipe.lora_r,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=wanted if isinstance(wanted, str) else list(wanted),
    )
