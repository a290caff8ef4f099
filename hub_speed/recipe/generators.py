"""The small models that write and revise: how they are asked and trained."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hub_speed.recipe.base import Section

CHAT = "chat"
"""The prompt format that is the tokenizer's own chat template."""


ALL_LINEAR: Literal["all-linear"] = "all-linear"
"""The layers of an adapter that is on every linear layer but the output's."""


class Generator(Section):
    """What junior, senior and revisor have in common: their base and how they are asked."""

    base_model: str = "meta-llama/Meta-Llama-3-8B"  # SPEED §4.1; the revisor starts from it too (§3.2.4)
    prompt_format: str = "{prompt} [/INST]"  # SPEED's released scripts: no chat template; or "chat": the base's own
    sampling_temperature: float = Field(1.0, ge=0)  # SPEED App. B, best of 0.2-1.5 (Fig. 3)
    top_p: float = Field(1.0, gt=0, le=1)  # SPEED App. B
    max_tokens: int = Field(2048, gt=0)  # Assumption: the released scripts' 800 cuts off long documents

    @field_validator("prompt_format")
    @classmethod
    def _has_place(cls, value: str) -> str:
        if value != CHAT and value.count("{prompt}") != 1:
            raise ValueError("must hold {prompt} exactly once, or be the word chat")
        return value


class Lora(Section):
    """Low-rank adapters; r = 0 trains every weight."""

    lora_r: int = Field(16, ge=0)  # SPEED's published revisor adapter; E5 §4.2
    lora_alpha: int = Field(32, ge=1)  # SPEED's published revisor adapter; E5's adapter
    lora_dropout: float = Field(0.1, ge=0, lt=1)  # as above
    target_modules: Literal["all-linear"] | tuple[str, ...] = Field(ALL_LINEAR, min_length=1)  # E5's published adapter:
    # all seven of a layer; or the names of linear layers

    def deciding(self) -> dict[str, Any]:
        """The fields that decide the result of a training; those of an adapter only where there is one."""
        idle = set() if self.lora_r else {"lora_alpha", "lora_dropout"}
        if not self.lora_r or self.target_modules == ALL_LINEAR:  # every adapter was once on all linear layers
            idle |= {"target_modules"}
        return self.model_dump(mode="json", exclude=idle)


class Tuning(Lora):
    """What all fine-tuning of generators has in common."""

    target_modules: Literal["all-linear"] | tuple[str, ...] = Field(
        ("q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), min_length=1
    )  # SPEED's published revisor adapter, which leaves k_proj out; Assumption: junior and senior as well
    batch_size: int = Field(16, ge=1)  # SPEED App. B (junior and senior)
    epochs: float = Field(1, gt=0)  # Assumption: not stated
    max_length: int = Field(4096, ge=16)  # tokens of prompt and answer. Assumption: not stated
    too_long: Literal["drop", "truncate"] = "drop"  # Assumption: an answer that is cut off teaches no end
    warmup_ratio: float = Field(0.03, ge=0, lt=1)  # Assumption: not stated
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"  # Assumption: not stated
    load_in_4bit: bool = False  # QLoRA (arXiv 2305.14314), for small GPUs; SPEED does not say that it does so

    @model_validator(mode="after")
    def _has_adapter(self) -> "Tuning":
        if self.load_in_4bit and not self.lora_r:
            raise ValueError("load_in_4bit needs an adapter: lora_r above 0")
        return self


class Sft(Tuning):
    """Supervised fine-tuning of a generator or the revisor."""

    learning_rate: float = Field(1e-4, gt=0)  # SPEED App. B (junior)
    batching: Literal["by_length", "shuffled", "packed"] = "by_length"  # Assumption: not stated. Less padding
    weight_decay: float = Field(0.0, ge=0)  # Assumption: not stated


class Junior(Sft):
    """Base model + seed → junior generator."""


class Senior(Tuning):
    """Junior + preferences → senior generator, by DPO."""

    dpo_beta: float = Field(0.1, gt=0)  # SPEED App. B, best of 0.05-0.3; Tülu 3 takes 5 for sigmoid_norm
    dpo_loss: Literal["sigmoid", "sigmoid_norm"] = "sigmoid"  # SPEED Eq. 2; sigmoid_norm divides the log-ratio of an
    # answer by its tokens, so that length is no reward in itself (Tülu 3, arXiv 2411.15124)
    learning_rate: float = Field(1e-5, gt=0)  # SPEED App. B
    batching: Literal["by_length", "shuffled"] = "shuffled"  # Assumption: not stated

    def deciding(self) -> dict[str, Any]:
        """The fields that decide the senior; the loss only where it is not SPEED's."""
        found = super().deciding()
        return {name: value for name, value in found.items() if (name, value) != ("dpo_loss", "sigmoid")}


class Revisor(Sft):
    """Base model + revisions → revisor."""

    learning_rate: float = Field(5e-6, gt=0)  # SPEED App. B
    batch_size: int = Field(24, ge=1)  # SPEED App. B
