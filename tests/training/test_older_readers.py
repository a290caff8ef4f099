"""Published models under older names: every library, old and new, gets the same numbers from them.

The versions in `older_readers` are tried where HUB_SPEED_OLD_PYTHON names a Python that has them.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sentence_transformers import SentenceTransformer  # noqa: E402
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer  # noqa: E402
from tiny_models import make_encoder, make_model  # noqa: E402
from tiny_training import ROWS, embedder_settings, generator_settings, some_rows, write  # noqa: E402
from transformers import (  # noqa: E402
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    BertTokenizer,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaTokenizer,
    ModernBertConfig,
    Qwen2Tokenizer,
    Qwen3Config,
    XLMRobertaConfig,
    XLMRobertaTokenizer,
)

from hub_speed.training import older_readers  # noqa: E402
from hub_speed.training.base_model import close_with_eos  # noqa: E402
from hub_speed.training.embedder import contrastive  # noqa: E402
from hub_speed.training.generator import sft  # noqa: E402

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = ["the quick brown fox", "dog", "lazy " * 40]
VECTORS = """
import json, sys
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu")
texts = json.loads(sys.argv[2])
print(json.dumps([model.encode(texts).tolist(), model.encode_query(texts).tolist(), model.max_seq_length]))
"""
LOGITS = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer, model = AutoTokenizer.from_pretrained(sys.argv[1]), AutoModelForCausalLM.from_pretrained(sys.argv[1]).eval()
inputs = tokenizer("say fox [/INST]", return_tensors="pt")
answer = model.generate(**inputs, do_sample=False, max_new_tokens=8)
with torch.inference_mode():
    print(json.dumps([model(**inputs).logits[0].tolist(), answer[0].tolist()]))
"""
STATES = """
import json, sys, torch
from transformers import AutoModel
torch.manual_seed(0)
model = AutoModel.from_pretrained(sys.argv[1]).eval()
with torch.inference_mode():
    print(json.dumps(model(torch.arange(3, 63)[None]).last_hidden_state[0].tolist()))
"""


def older(code: str, *arguments: str) -> Any:
    """What the code prints under the older libraries."""
    python = os.environ.get("HUB_SPEED_OLD_PYTHON") or pytest.skip("HUB_SPEED_OLD_PYTHON names no Python")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([python, "-c", code, *arguments], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module", params=["decoder", "adapter", "encoder", "dense"])
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published embedder."""
    folder = tmp_path_factory.mktemp(request.param)
    base = (make_encoder if request.param in ("encoder", "dense") else make_model)(folder / "base")
    if request.param == "adapter":  # the base is a chat model
        (base / "chat_template.jinja").write_text("{% for message in messages %}fox {{ message.content }}{% endfor %}")
    if request.param == "dense":  # the base is an embedder, whose modules are kept
        modules = [Transformer(str(base), max_seq_length=24), Pooling(32, "cls"), Dense(32, 16), Normalize()]
        base = folder / "embedder"
        SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(base))
    write(some_rows(16), folder / "data")
    contrastive.train(embedder_settings(base, folder, epochs=1, lora_r=4 * (request.param == "adapter")))
    return folder / "out"


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published generator."""
    folder = tmp_path_factory.mktemp("generator")
    sft.train(generator_settings(folder, make_model(folder / "base"), ROWS[:8], epochs=1))
    return folder / "out"


def test_an_embedders_files_use_the_names_that_older_readers_know(embedder: Path) -> None:
    kinds = [module["type"].removeprefix("sentence_transformers.models.") for module in read(embedder, "modules.json")]
    assert kinds in (["Transformer", "Pooling", "Normalize"], ["Transformer", "Pooling", "Dense", "Normalize"])
    assert read(embedder, "sentence_bert_config.json") == {"max_seq_length": 24, "do_lower_case": False}
    pooling = read(embedder, "1_Pooling/config.json")
    assert pooling["word_embedding_dimension"] == 32 and "pooling_mode" not in pooling
    assert sum(value is True for name, value in pooling.items() if name.startswith("pooling_mode")) == 1
    tokenizer = read(embedder, "tokenizer_config.json")
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast" and "is_local" not in tokenizer
    assert not (embedder / "chat_template.jinja").exists()


def test_older_libraries_get_the_same_vectors(embedder: Path) -> None:
    texts, queries, length = older(VECTORS, str(embedder), json.dumps(TEXTS))
    model = SentenceTransformer(str(embedder), device="cpu")
    assert np.abs(model.encode(TEXTS) - texts).max() < 1e-5
    assert np.abs(model.encode_query(TEXTS) - queries).max() < 1e-5
    assert length == model.max_seq_length == 24


def test_older_libraries_generate_the_same_answer(generator: Path) -> None:
    assert read(generator, "tokenizer_config.json")["tokenizer_class"] == "PreTrainedTokenizerFast"
    logits, answer = older(LOGITS, str(generator))
    tokenizer, model = AutoTokenizer.from_pretrained(generator), AutoModelForCausalLM.from_pretrained(generator).eval()
    inputs = tokenizer("say fox [/INST]", return_tensors="pt")
    with torch.inference_mode():
        assert (model(**inputs).logits[0] - torch.tensor(logits)).abs().max() < 1e-4
    assert model.generate(**inputs, do_sample=False, max_new_tokens=8)[0].tolist() == answer


WORDS = ["<unk>", "<s>", "</s>", "<pad>", *"\u2581abcdefghijklmnopqrstuvwxyz"]
IDS = """
import json, sys
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
print(json.dumps([tokenizer("a fox"), tokenizer.additional_special_tokens if len(sys.argv) > 2 else []], default=dict))
"""


@pytest.mark.parametrize("family", ["llama", "qwen2", "bert", "xlm-roberta"])
def test_tokenizers_of_every_family_give_the_same_tokens(family: str, tmp_path: Path) -> None:
    """A class of a family adds tokens, or leaves them out, by rules of its own version."""
    numbers = {word: i for i, word in enumerate(WORDS)}
    made: Any = {
        "llama": lambda: LlamaTokenizer(numbers, [], add_bos_token=True, extra_special_tokens=["<x>", "<y>"]),
        "qwen2": lambda: Qwen2Tokenizer(
            {word: i for i, word in enumerate(["<|endoftext|>", "\u0120", *WORDS[5:]])}, []
        ),
        "bert": lambda: BertTokenizer({word: i for i, word in enumerate([*BERT, "a", "fox"])}),
        "xlm-roberta": lambda: XLMRobertaTokenizer(
            [(word, -1.0) for word in ["<s>", "<pad>", "</s>", *WORDS[4:], "<unk>"]]
        ),
    }[family]()
    if family in ("llama", "qwen2"):
        close_with_eos(made)
    made.save_pretrained(tmp_path)
    AutoConfig.for_model(family).save_pretrained(tmp_path)
    before = made("a fox")
    older_readers.rename(tmp_path, made.model_input_names)
    now = AutoTokenizer.from_pretrained(tmp_path)
    assert dict(now("a fox")) == dict(before) and now.extra_special_tokens == made.extra_special_tokens
    found, special = older(IDS, str(tmp_path), "special")
    assert found == dict(before) and special == made.extra_special_tokens


SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "initializer_range": 0.4,
}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
HEADS = {"num_key_value_heads": 2, "head_dim": 8}
SCALED = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SCALED |= {"original_max_position_embeddings": 32, "rope_theta": 500000.0}
BY_LAYER = {
    "full_attention": {"rope_type": "default", "rope_theta": 3e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 700.0},
}
CONFIGS = {
    "llama": LlamaConfig(**SIZES, **HEADS, rope_parameters={"rope_type": "default", "rope_theta": 500.0}),
    "llama3": LlamaConfig(**SIZES, **HEADS, rope_parameters=SCALED),
    "qwen3": Qwen3Config(**SIZES, **HEADS, rope_parameters={"rope_type": "default", "rope_theta": 1e6}),
    "modernbert": ModernBertConfig(
        **SIZES, **TOKENS, global_attn_every_n_layers=2, local_attention=8, rope_parameters=BY_LAYER
    ),
    "gemma3": Gemma3TextConfig(**SIZES, **HEADS, sliding_window=8, sliding_window_pattern=2, rope_parameters=BY_LAYER),
    "xlm-roberta": XLMRobertaConfig(**SIZES),
}


@pytest.fixture(scope="module", params=CONFIGS)
def states(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor]:
    """A saved model of a family, renamed, and what it computed before."""
    folder = tmp_path_factory.mktemp("family")
    torch.manual_seed(0)
    model = AutoModel.from_config(CONFIGS[request.param]).eval()
    with torch.inference_mode():
        found = model(torch.arange(3, 63)[None]).last_hidden_state[0]
    model.save_pretrained(folder)
    older_readers.rename(folder, ["input_ids"])
    return folder, found


def test_rotary_positions_are_the_same_for_every_reader(states: tuple[Path, torch.Tensor]) -> None:
    folder, before = states
    with torch.inference_mode():
        now = AutoModel.from_pretrained(folder).eval()(torch.arange(3, 63)[None]).last_hidden_state[0]
    assert (now - before).abs().max() < 1e-6
    assert (torch.tensor(older(STATES, str(folder))) - before).abs().max() < 1e-4
