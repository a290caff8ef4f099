"""The tiny base knows today's prompts, and rewording touches nothing but them."""

import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from hub_speed.generation import prompts  # noqa: E402
from hub_speed.quickstart.assets import BASE  # noqa: E402

SCRIPT = str(Path(__file__).parents[2] / "scripts" / "pretrain_tiny_base.py")
EMBEDDINGS = "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(SCRIPT)


def ids_of(folder: Path, texts: list[str]) -> list[int]:
    """The token of each text, which has to be one."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    assert {text: len(ids) for text, ids in zip(texts, found, strict=True)} == dict.fromkeys(texts, 1)
    return [ids[0] for ids in found]


def test_every_fixed_part_of_a_prompt_or_answer_is_one_token(script: dict[str, Any]) -> None:
    """Else: python scripts/pretrain_tiny_base.py --reword hub_speed/quickstart/tiny_base."""
    parts = script["prompt_text"]() + script["answer_text"]()
    assert len(set(ids_of(BASE, parts))) == len(parts)
    added = json.loads((BASE / "tokenizer.json").read_text("utf-8"))["added_tokens"]
    assert {token["content"] for token in added} == {*parts, "<pad>", "<s>", "</s>"}  # nothing of an older wording


def test_new_words_cost_no_weight_but_their_own(
    script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(BASE, tmp_path / "base")
    monkeypatch.setattr(prompts, "MAY_KEEP", "Should nothing be wrong, say so and repeat the draft.")
    script["reword"](tmp_path / "base")
    answers = script["answer_text"]()
    before, after = (load_file(folder / "model.safetensors") for folder in (BASE, tmp_path / "base"))
    old, new = (torch.tensor(ids_of(folder, answers)) for folder in (BASE, tmp_path / "base"))
    trained = 2048  # of the tokenizer's own words
    assert torch.equal(before[EMBEDDINGS][:trained], after[EMBEDDINGS][:trained])
    assert torch.equal(before[EMBEDDINGS][old], after[EMBEDDINGS][new])
    assert all(torch.equal(before[name], after[name]) for name in before if name != EMBEDDINGS)
    fresh = after[EMBEDDINGS][torch.tensor(ids_of(tmp_path / "base", script["prompt_text"]()))].float()
    known = before[EMBEDDINGS][:trained].float()
    assert 0.8 < fresh.norm(dim=1).mean() / known.norm(dim=1).mean() < 1.25
