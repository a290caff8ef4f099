"""Published models under the names that older libraries and servers read.

transformers 5 and sentence-transformers 6 renamed classes and fields, and read the older names as well. Tried with
transformers 4.57 and sentence-transformers 5.1; text-embeddings-inference 1.9 reads the same files.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from hub_speed.record import Json

MODULES = "modules.json"
"""What an embedder has and a plain language model has not."""

POOLINGS = {
    "cls": "cls_token",
    "mean": "mean_tokens",
    "max": "max_tokens",
    "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "weightedmean": "weightedmean_tokens",
    "lasttoken": "lasttoken",
}
"""Poolings → their flags in older files (`pooling_mode_…`)."""
OUTPUT = "sentence_embedding"
"""What a module reads and writes unless its file says otherwise; older versions have no field for it."""


def rename(folder: Path, input_names: Sequence[str], max_length: int | None = None) -> None:
    """Give the files of a saved model the older names.

    Args:
        folder: a language model, an embedder, or an adapter with its tokenizer.
        input_names: what the tokenizer returns and the model takes: `tokenizer.model_input_names`.
        max_length: tokens of a text that an embedder reads.
    """
    _change(folder / "config.json", _positions)
    if (folder / "tokenizer.json").is_file():
        _change(folder / "tokenizer_config.json", lambda config: _tokenizer(config, input_names))
    if not (folder / MODULES).is_file():
        return
    modules: list[Json] = json.loads((folder / MODULES).read_text("utf-8"))
    for module in modules:
        kind = module["type"].rpartition(".")[2]
        if module["type"].startswith("sentence_transformers."):
            module["type"] = f"sentence_transformers.models.{kind}"
        if kind == "Transformer":
            path = folder / module["path"] / "sentence_bert_config.json"
            _change(path, lambda config: _transformer(config, max_length))
        else:
            _change(folder / module["path"] / "config.json", _pooling if kind == "Pooling" else _without_places)
    (folder / MODULES).write_text(json.dumps(modules, indent=2) + "\n", "utf-8")


def _change(path: Path, change: Callable[[Json], Json]) -> None:
    if path.is_file():
        path.write_text(json.dumps(change(json.loads(path.read_text("utf-8"))), indent=2) + "\n", "utf-8")


def _positions(config: Json) -> Json:
    """Rotary positions in fields of their own: without these, older readers take their defaults and say nothing."""
    rope = config.get("rope_parameters")
    if not rope:
        return config
    if "full_attention" in rope:  # one set of numbers for each type of layer
        full, near = (rope[kind]["rope_theta"] for kind in ("full_attention", "sliding_attention"))
        return (
            config
            | {"rope_theta": full, "global_rope_theta": full}
            | {"rope_local_base_freq": near, "local_rope_theta": near}
        )
    scaling = {name: value for name, value in rope.items() if name not in ("rope_theta", "partial_rotary_factor")}
    given = {name: rope[name] for name in ("rope_theta", "partial_rotary_factor") if name in rope}
    return config | given | {"rope_scaling": None if rope.get("rope_type", "default") == "default" else scaling}


def _tokenizer(config: Json, input_names: Sequence[str]) -> Json:
    """A class that reads everything from tokenizer.json; classes of a model family add tokens of their own."""
    config = {name: value for name, value in config.items() if name not in ("backend", "is_local", "local_files_only")}
    if isinstance(config.get("extra_special_tokens"), list):
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    return config | {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": list(input_names)}


def _transformer(config: Json, max_length: int | None) -> Json:
    """`max_seq_length`; what says only that the module reads texts is left out."""
    text = {"method": "forward", "method_output_name": "last_hidden_state"}
    plain = {"transformer_task": "feature-extraction", "modality_config": {"text": text}}
    plain |= {"module_output_name": "token_embeddings"}
    if all(config.get(name, value) == value for name, value in plain.items()):
        config = {name: value for name, value in config.items() if name not in plain}
    return {"max_seq_length": max_length, "do_lower_case": False} | config


def _pooling(config: Json) -> Json:
    modes = config.pop("pooling_mode")
    modes = [modes] if isinstance(modes, str) else modes
    flags = {f"pooling_mode_{flag}": mode in modes for mode, flag in POOLINGS.items()}
    return {"word_embedding_dimension": config.pop("embedding_dimension")} | flags | config


def _without_places(config: Json) -> Json:
    places = ("module_input_name", "module_output_name")
    return {name: value for name, value in config.items() if name not in places or value != OUTPUT}
