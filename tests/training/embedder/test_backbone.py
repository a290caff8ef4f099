"""Embedders on a base model: which bases are refused, and the adapter."""

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from sentence_transformers import SentenceTransformer  # noqa: E402
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer  # noqa: E402

from hub_speed.errors import StageError  # noqa: E402
from hub_speed.recipe import Embedder  # noqa: E402
from hub_speed.training.embedder import backbone  # noqa: E402


def test_bases_that_cannot_be_used_are_refused(decoder: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for path in decoder.iterdir():
        if path.suffix != ".safetensors":
            (pickled / path.name).write_bytes(path.read_bytes())
    (pickled / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(StageError, match=r"no safetensors weights") as error:
        backbone.embedder(pickled, 24)
    assert error.value.got == "pytorch_model.bin"
    endless = tmp_path / "endless"
    endless.mkdir()
    for path in decoder.iterdir():
        (endless / path.name).write_bytes(path.read_bytes())
    config = json.loads((endless / "tokenizer_config.json").read_text())
    config.pop("eos_token"), config.pop("pad_token")
    (endless / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(StageError, match=r"needs an end-of-sequence token"):
        backbone.embedder(endless, 24)
    with pytest.raises(StageError, match=r"neither a padding nor an end-of-sequence"):
        backbone.embedder(endless, 24, "mean")


def test_the_texts_of_a_chat_models_embedder_are_read_as_they_are(decoder: Path, tmp_path: Path) -> None:
    chats = tmp_path / "chats"
    shutil.copytree(decoder, chats)
    (chats / "chat_template.jinja").write_text("{% for message in messages %}fox {{ message.content }}{% endfor %}")
    plain, made = (backbone.embedder(base, 24).encode(["the lazy dog", "fox"]) for base in (decoder, chats))
    assert (plain == made).all()
    SentenceTransformer(modules=[Transformer(str(chats)), Pooling(32, "lasttoken")]).save_pretrained(str(chats))
    with pytest.raises(StageError, match="cannot be trained") as refused:
        backbone.embedder(chats, 24)
    assert "chat template" in refused.value.got


def test_an_adapter_is_trained_in_32_bits_on_a_base_in_16(decoder: Path) -> None:
    model = backbone.embedder(decoder, 24).to(torch.bfloat16)
    backbone.add_adapter(model, Embedder(lora_r=4))
    assert {weights.dtype for weights in model.parameters() if weights.requires_grad} == {torch.float32}
    assert {weights.dtype for weights in model.parameters() if not weights.requires_grad} == {torch.bfloat16}
    assert torch.isfinite(torch.tensor(model.encode(["a text"]))).all()


def test_an_adapter_is_on_the_layers_that_are_named_and_on_no_others(decoder: Path) -> None:
    named = {name: ["q_proj", "down_proj"] if name == "some" else "all-linear" for name in ("some", "all")}
    layers = {}
    for which, modules in named.items():
        model = backbone.embedder(decoder, 24)
        backbone.add_adapter(model, Embedder(lora_r=4, target_modules=modules))
        layers[which] = {
            name.split(".")[-4]
            for name, weights in model.named_parameters()
            if weights.requires_grad and "lora_A" in name
        }
    assert (
        layers["some"] == {"q_proj", "down_proj"} and {"k_proj", "up_proj"} <= layers["all"] and len(layers["all"]) == 7
    )
    with pytest.raises(StageError) as told:
        backbone.add_adapter(backbone.embedder(decoder, 24), Embedder(lora_r=4, target_modules=["q_proj", "c_attn"]))
    assert told.value.where == "embedder.target_modules: this base model has no linear layer c_attn"
    assert "down_proj, gate_proj, k_proj" in told.value.expected
    assert told.value.fix == "--set embedder.target_modules=all-linear"
