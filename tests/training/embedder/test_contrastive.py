"""Training an embedder on tiny models: what is published, what survives a kill, what is said when it cannot work."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402
from tiny_training import embedder_settings as settings  # noqa: E402
from tiny_training import some_rows, write  # noqa: E402
from transformers import AutoModel, AutoTokenizer, LlamaConfig, LlamaModel, LlamaTokenizer, TrainerState  # noqa: E402

from hub_speed.errors import StageError  # noqa: E402
from hub_speed.pipeline.table import STAGES  # noqa: E402
from hub_speed.recipes.loader import load  # noqa: E402
from hub_speed.record import fingerprint_of  # noqa: E402
from hub_speed.training.embedder import contrastive  # noqa: E402
from hub_speed.training.process import child  # noqa: E402
from hub_speed.training.process.checkpoints import last  # noqa: E402


def published(base: Path, tmp_path: Path, **changes: object) -> dict:
    """Train and publish as the stage's process does; returns what was measured."""
    write(some_rows(48), tmp_path / "data")
    return contrastive.train(settings(base, tmp_path, **changes))


def by_hand(folder: Path, texts: list[str], pooling: str, side: str) -> np.ndarray:
    """Tokenise, forward, pool, normalise: plain transformers."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    tokenizer.padding_side = side
    batch = tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="pt")
    with torch.inference_mode():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"]
    if pooling == "weighted_mean":
        mask = mask * torch.arange(1, mask.shape[1] + 1)
    if "mean" in pooling:
        vectors = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    else:
        vectors = states[:, -1] if side == "left" else states[torch.arange(len(texts)), mask.sum(1) - 1]
    return torch.nn.functional.normalize(vectors, dim=-1).numpy()


NATURAL = {"query": "Instruct: find it\nQuery: "}
PREFIXES = {"query": "query: ", "classify": "classify: "}
CASES: list[
    tuple[str, str, dict[str, str], dict[str, str]]
] = [  # the base, its pooling, what the recipe says, the prompts
    ("decoder", "last", {}, NATURAL),  # the pooling by the architecture
    ("encoder", "mean", {"instructions": "none"}, {"query": ""}),
    ("decoder", "mean", {"pooling": "mean"}, NATURAL),
    ("decoder", "weighted_mean", {"pooling": "weighted_mean", "instructions": "task_type_prefix"}, PREFIXES),
]


@pytest.mark.parametrize(("kind", "pooling", "given", "prompts"), CASES)
def test_the_embedder_learns_and_plain_transformers_gives_the_same_vectors(
    kind: str,
    pooling: str,
    given: dict[str, str],
    prompts: dict[str, str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    base = request.getfixturevalue(kind)
    result = published(base, tmp_path, **given)
    assert (result["rows"], result["dimension"], result["pooling"]) == (48, 32, pooling)
    losses = [loss for _, loss in result["loss_curve"]]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    out = tmp_path / "out"
    assert not [path for path in out.rglob("*") if path.suffix in (".bin", ".pt", ".pth")]
    model = SentenceTransformer(str(out), device="cpu")
    assert model.prompts == {"document": ""} | prompts
    texts = ["the quick brown fox", "dog", "lazy " * 40]
    vectors = model.encode(texts)
    # An encoder counts positions from the left end, and so do the weights.
    sides = ["right"] if kind == "encoder" or pooling == "weighted_mean" else ["left", "right"]
    for side in sides:
        assert np.allclose(by_hand(out, texts, pooling, side), vectors, atol=1e-5)
        model.tokenizer.padding_side = side
        assert np.allclose(model.encode(texts), vectors, atol=1e-5)
    older = json.loads((out / "1_Pooling" / "config.json").read_text())
    assert older["pooling_mode_lasttoken"] is (pooling == "last")
    assert older["pooling_mode_mean_tokens"] is (pooling == "mean")
    if pooling == "last":
        tokenizer = AutoTokenizer.from_pretrained(out)
        assert tokenizer("the quick " * 50, truncation=True, max_length=24).input_ids[-1] == tokenizer.eos_token_id


def test_a_tokenizer_that_says_it_adds_no_end_still_ends_every_text_once_it_is_published(tmp_path: Path) -> None:
    """As Mistral's and Llama's say: their class has a flag of its own for it."""
    base = tmp_path / "base"
    names = ["<unk>", "<s>", "</s>", *"▁:abcdefghijklmnopqrstuvwxyz"]
    LlamaTokenizer({name: i for i, name in enumerate(names)}, [], add_bos_token=True).save_pretrained(base)
    config = json.loads((base / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "LlamaTokenizer"
    (base / "tokenizer_config.json").write_text(json.dumps(config | {"add_bos_token": True, "add_eos_token": False}))
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaModel(LlamaConfig(vocab_size=len(names), **sizes)).save_pretrained(base)
    assert AutoTokenizer.from_pretrained(base)("fox").input_ids[-1] != 2
    published(base, tmp_path, epochs=1)
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    for tokenizer in (model.tokenizer, AutoTokenizer.from_pretrained(tmp_path / "out")):
        for ids in (tokenizer("fox").input_ids, tokenizer("fox " * 40, truncation=True, max_length=24).input_ids):
            assert (ids[0], ids[-1], ids.count(2)) == (1, 2, 1)
    assert model.preprocess(["fox " * 40])["input_ids"][0, -1] == 2


def test_merged_weights_equal_base_plus_adapter(decoder: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    published(decoder, tmp_path, lora_r=4)
    out = tmp_path / "out"
    config = json.loads((out / "adapter" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("me/base", "0" * 40)
    merged, untrained = AutoModel.from_pretrained(out), AutoModel.from_pretrained(decoder)
    joined = PeftModel.from_pretrained(AutoModel.from_pretrained(decoder), out / "adapter")
    ids = torch.tensor([[1, 20, 30, 40, 2]])
    with torch.inference_mode():
        states = [model(ids).last_hidden_state for model in (merged, joined, untrained)]
    assert (states[0] - states[1]).abs().max() < 1e-4 < (states[0] - states[2]).abs().max()
    vectors = SentenceTransformer(str(out), device="cpu").encode(["the fox", "dog"])
    assert np.allclose(by_hand(out, ["the fox", "dog"], "last", "right"), vectors, atol=1e-5)


def test_matryoshka_keeps_the_ranking_in_few_dimensions(encoder: Path, tmp_path: Path) -> None:
    rows = [row | {"negative": None, "task_type": "retrieval"} for row in some_rows(64)]
    changes = {"matryoshka": (4, 8), "epochs": 12, "batch_size": 16}
    model, measures = contrastive.fit(settings(encoder, tmp_path, **changes), rows)
    assert measures["dimension"] == 32
    queries = model.encode([f"Instruct: find it\nQuery: {row['query']}" for row in rows])
    documents = model.encode([row["positive"] for row in rows])

    def found(dimension: int) -> float:
        """Share of the queries whose own document is among the nearest eight of 64."""
        scores = (
            queries[:, :dimension]
            @ (documents[:, :dimension] / np.linalg.norm(documents[:, :dimension], axis=1, keepdims=True)).T
        )
        return float(np.mean((scores > scores.diagonal()[:, None]).sum(1) < 8))

    assert found(4) > 0.8 and found(32) > 0.8  # by chance: 0.125
    with pytest.raises(StageError, match=r"matryoshka: this base model's embeddings have 32 dimensions"):
        contrastive.fit(settings(encoder, tmp_path, matryoshka=(64,)), rows)


def test_a_loss_that_is_no_number_names_its_step_and_the_checkpoint_that_is_kept(decoder: Path, tmp_path: Path) -> None:
    given = settings(decoder, tmp_path, learning_rate=1e15, checkpoint_s=0)
    with pytest.raises(StageError, match=r"the loss is nan at step \d+ of 18") as error:
        contrastive.fit(given, some_rows(48))
    assert "--set embedder.learning_rate=5e+14" in error.value.fix
    kept, _ = last(tmp_path / "work")
    assert kept and str(kept) in error.value.got
    assert all(torch.isfinite(tensor).all() for tensor in load_file(kept / "model.safetensors").values())


def test_a_training_with_gradient_checkpointing_ends_with_the_same_weights(decoder: Path, tmp_path: Path) -> None:
    found = []
    for wanted in (False, True):
        changes = {"gradient_checkpointing": wanted, "mini_batch_size": 5, "epochs": 1}
        model, _ = contrastive.fit(settings(decoder, tmp_path, **changes), some_rows(48))
        assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules()) == wanted
        found.append(torch.cat([weights.detach().flatten() for weights in model.parameters()]))
    assert (found[0] - found[1]).abs().max() < 1e-5


class Hungry(child.Reporter):
    """Asks, in the second step of a training, for more memory than there can be."""

    def on_step_begin(self, args: object, state: TrainerState, control: object, **kwargs: object) -> None:
        if state.global_step == 1:
            torch.empty(1 << 50)


@pytest.mark.parametrize(
    ("batch", "mini_batch", "where", "fix"),
    [
        (8, 6, "6 texts", "--set runtime.mini_batch_size=3 (the same"),
        (8, 32, "8 rows", "--set runtime.mini_batch_size=4 (the same"),
        (
            8,
            1,
            "1 text",
            "a smaller embedder.max_length, or a larger GPU, or --set runtime.gradient_checkpointing=true",
        ),
    ],
)
def test_memory_that_runs_out_names_a_smaller_mini_batch(
    batch: int, mini_batch: int, where: str, fix: str, decoder: Path, tmp_path: Path
) -> None:
    given = settings(decoder, tmp_path, batch_size=batch, mini_batch_size=mini_batch)
    with pytest.raises(StageError, match=f"does not suffice for {where} at once") as error:
        contrastive.fit(given, some_rows(24), Hungry())
    assert error.value.fix.startswith(fix) and "allocate memory" in error.value.got
    with pytest.raises(StageError) as error:
        contrastive.fit(given.model_copy(update={"gradient_checkpointing": True}), some_rows(24), Hungry())
    assert "gradient_checkpointing" not in error.value.fix


def test_after_memory_ran_out_a_smaller_mini_batch_goes_on_from_the_checkpoint(
    decoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = settings(decoder, tmp_path, mini_batch_size=6, checkpoint_s=0, epochs=1)
    with pytest.raises(StageError, match="memory does not suffice"):
        contrastive.fit(given, some_rows(48), Hungry())
    capsys.readouterr()
    model, measures = contrastive.fit(given.model_copy(update={"mini_batch_size": 3}), some_rows(48), child.Reporter())
    assert '"total": 6, "done": 1' in capsys.readouterr().out and measures["steps"] == 6
    whole, _ = contrastive.fit(given.model_copy(update={"work": tmp_path / "whole"}), some_rows(48))
    pairs = zip(model.parameters(), whole.parameters(), strict=True)
    assert max((one - other).abs().max() for one, other in pairs) < 1e-5


def test_the_mini_batch_can_be_made_smaller_without_another_identity() -> None:
    smaller = load("small", ["runtime.mini_batch_size=4", "runtime.gradient_checkpointing=false"])
    for name in ("embedder", "scaling"):
        one, other = (STAGES[name].identity(recipe, {}) for recipe in (load("small"), smaller))
        assert fingerprint_of(one) == fingerprint_of(other)


@pytest.mark.parametrize(("lora_r", "recomputed"), [(0, False), (4, True)])
def test_a_killed_training_goes_on_and_ends_with_the_same_weights(
    decoder: Path, tmp_path: Path, lora_r: int, recomputed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"epochs": 2, "lora_r": lora_r, "lora_dropout": 0.1, "gradient_checkpointing": recomputed}
    whole = tmp_path / "whole"
    published(decoder, whole, **changes)
    killed = settings(decoder, tmp_path, data=whole / "data", checkpoint_s=0, **changes)
    path = tmp_path / "settings.json"
    path.write_text(killed.model_dump_json())
    child = subprocess.Popen(
        [sys.executable, "-m", "hub_speed.training.embedder.contrastive", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads()), "HF_HUB_OFFLINE": "1"},
    )
    assert child.stdout
    for line in child.stdout:
        if line == '@{"step": 5}\n':
            child.send_signal(signal.SIGKILL)
            break
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    capsys.readouterr()
    contrastive.train(killed)
    events = [json.loads(line[1:]) for line in capsys.readouterr().out.splitlines() if line.startswith("@")]
    steps = [event["step"] for event in events if "step" in event]
    assert events[0]["done"] >= 4 and steps == list(range(events[0]["done"] + 1, 13))
    for name in ("model.safetensors", *(["adapter/adapter_model.safetensors"] if lora_r else [])):
        first, second = load_file(whole / "out" / name), load_file(tmp_path / "out" / name)
        assert max((first[key] - second[key]).abs().max().item() for key in first) < 1e-6
