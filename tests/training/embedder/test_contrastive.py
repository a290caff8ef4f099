"""Embedder training on tiny models: loss and gradients against float64, pooling by hand, resuming, labelled sets."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from running import Cli  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402
from tiny_models import make_model  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: E402
from transformers import (  # noqa: E402
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaModel,
    LlamaTokenizer,
    PreTrainedTokenizerFast,
    TrainerState,
)

from hub_speed.errors import StageError  # noqa: E402
from hub_speed.pipeline.table import STAGES  # noqa: E402
from hub_speed.recipe import Embedder, Labelled  # noqa: E402
from hub_speed.recipes.loader import load  # noqa: E402
from hub_speed.record import fingerprint_of  # noqa: E402
from hub_speed.stage import FromHub  # noqa: E402
from hub_speed.training.embedder import backbone, batching, contrastive, labelled  # noqa: E402
from hub_speed.training.embedder.infonce import InfoNCE  # noqa: E402
from hub_speed.training.process import child  # noqa: E402
from hub_speed.training.process.checkpoints import last  # noqa: E402

WORDS = ["fox", "dog", "quick", "lazy", "brown", "over", "jumps", "the"]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("decoder"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    names = {name: i for i, name in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "and", "alone", "find"])}
    words = Tokenizer(models.WordLevel(names, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [("[CLS]", 2), ("[SEP]", 3)]
    words.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(names),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    ).save_pretrained(folder)
    return folder


def some_rows(n: int) -> list[dict]:
    return [
        {
            "id": f"{i:03d}",
            "task_type": "retrieval" if i % 3 else "short_matching",
            "instruction": "find it",
            "query": f"{WORDS[i % 8]} {WORDS[i // 8 % 8]}",
            "positive": f"{WORDS[i // 8 % 8]} and {WORDS[i % 8]}" + " the" * (i % 5),
            "negative": f"{WORDS[(i + 1) % 8]} alone" if i % 3 else None,
        }
        for i in range(n)
    ]


def settings(base: Path, tmp_path: Path, **changes: object) -> dict:
    """What the stage hands on: the recipe's fields, and where things are."""
    fields = {"loss_temperature": 0.05, "warmup_steps": 0, "learning_rate": 3e-3, "batch_size": 8, "max_length": 24}
    fields |= {"lora_r": 0, "lora_dropout": 0.0, "weight_decay": 0.0, "epochs": 3}
    fields |= {name: value for name, value in changes.items() if name in Embedder.model_fields}
    return (
        Embedder(**fields).model_dump()
        | {
            "base": str(base),
            "base_name": "me/base",
            "base_revision": "0" * 40,
            "out": str(tmp_path / "out"),
            "work": str(tmp_path / "work"),
            "default_instruction": "find it",
            "mini_batch_size": 32,
            "gradient_checkpointing": False,
            "checkpoint_s": 600,
            "miner": "",
            "data": str(tmp_path / "data"),
        }
        | {name: value for name, value in changes.items() if name not in Embedder.model_fields}
    )


def published(base: Path, tmp_path: Path, **changes: object) -> dict:
    """Train and publish as the stage's process does; returns what was measured."""
    write(some_rows(48), tmp_path / "data")
    return contrastive.train(settings(base, tmp_path, **changes))


def write(rows: list[dict], folder: Path) -> Path:
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000.parquet")
    return folder


# --- the loss -------------------------------------------------------------------------------------------------------


class Lookup(torch.nn.Module):
    """An embedder in float64 that looks a text's vector up by its first token."""

    def __init__(self, vectors: "torch.Tensor") -> None:
        super().__init__()
        self.vectors = torch.nn.Parameter(vectors)

    def forward(self, features: dict) -> dict:
        found = self.vectors[features["input_ids"][:, 0]]
        return features | {"sentence_embedding": torch.nn.functional.normalize(found, dim=-1)}


Groups = list[tuple[tuple[int, int], ...]]  # the text's number and the label's, of each document of each row


def batch_of(groups: Groups) -> dict:
    """A batch whose texts are single tokens (and some padding), numbered in the order query, positive, negative."""
    numbers, examples = iter(range(100)), []
    for i, mine in enumerate(groups):
        texts = tuple([next(numbers)] + [99] * ((i * 7 + k * 3) % 5) for k in range(1 + len(mine)))
        examples.append(batching.Example("any", texts, *zip(*mine, strict=True)))
    return batching.Collate(0)(examples)


def reference(vectors: np.ndarray, groups: Groups, margin: float | None, dimensions: list[int]) -> float:
    """InfoNCE in float64, by its formula."""
    numbers = iter(range(100))
    places = [[next(numbers) for _ in range(1 + len(mine))] for mine in groups]
    losses = []
    for dimension in dimensions:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cut = unit[:, :dimension] / np.linalg.norm(unit[:, :dimension], axis=1, keepdims=True)
        documents = [
            (row[k], mine[k - 1]) for row, mine in zip(places, groups, strict=True) for k in range(1, len(row))
        ]
        for row, mine in zip(places, groups, strict=True):
            own, total = float(cut[row[0]] @ cut[row[1]]), 0.0
            for place, group in documents:
                near = unit[row[0]] @ unit[place] > unit[row[0]] @ unit[row[1]] + (9 if margin is None else margin)
                alike = group[0] == mine[0][0] or group[1] == mine[0][1] >= 0
                if place == row[1] or not (alike or near):
                    total += np.exp(cut[row[0]] @ cut[place] / 0.05)
            losses.append(np.log(total) - own / 0.05)
    return float(np.mean(losses))


TRIPLETS = [((2 * i, -1), (2 * i + 1, -1)) for i in range(10)]
TEXTS = [((i % 3, -1), (2 + i % 2, -1)) for i in range(10)]  # three positives, one of which is a hard negative, too
LABELS = [((i, i % 3), (10 + i, i % 4 - 1)) for i in range(10)]  # three labels, and hard negatives of them and of none
MIXED = [((i, -1),) if i % 2 else ((i, -1), (10 + i, -1)) for i in range(10)]  # half have no hard negative


@pytest.mark.parametrize("groups", [TRIPLETS, TEXTS, LABELS, MIXED])
@pytest.mark.parametrize(("margin", "dimensions"), [(None, [6]), (0.1, [6]), (None, [2, 4, 6])])
def test_info_nce_and_gradcache_equal_a_float64_reference(
    groups: Groups, margin: float | None, dimensions: list[int]
) -> None:
    vectors = torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = reference(vectors.numpy(), groups, margin, dimensions)
    losses, gradients = [], []
    for mini_batch in (64, 3):  # at once, and by GradCache
        model, batch = Lookup(vectors.clone()), batch_of(groups)
        texts = {"input_ids": batch["text_input_ids"], "attention_mask": batch["text_attention_mask"]}
        loss = InfoNCE(model, 0.05, mini_batch, margin, dimensions)([texts], batch["label"])
        loss.backward()
        losses.append(loss.item())
        gradients.append(model.vectors.grad)
    assert np.allclose(losses, expected, atol=1e-5)
    assert torch.allclose(*gradients, atol=1e-5) and gradients[0].abs().max() > 0.01


def test_gradcache_gives_a_real_model_the_same_gradients(decoder: Path, tmp_path: Path) -> None:
    found = []
    for mini_batch in (64, 5):
        model = backbone.embedder(str(decoder), {"max_length": 24}).train()
        examples, _ = batching.encode(some_rows(12), model.tokenizer, 24)
        batch = batching.Collate(0)(examples)
        texts = {"input_ids": batch["text_input_ids"], "attention_mask": batch["text_attention_mask"]}
        InfoNCE(model, 0.05, mini_batch, None, [32])([texts], batch["label"]).backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert (found[0] - found[1]).abs().max() <= 1e-5 * found[0].abs().max()


@pytest.mark.parametrize("lora_r", [0, 4])
@pytest.mark.parametrize("mini_batch", [64, 5])  # at once, and by GradCache
def test_gradient_checkpointing_keeps_less_and_gives_the_same_gradients(
    decoder: Path, lora_r: int, mini_batch: int
) -> None:
    losses, gradients, kept = [], [], []
    for recomputed in (False, True):
        torch.manual_seed(0)
        model = backbone.embedder(str(decoder), {"max_length": 24})
        if lora_r:
            backbone.add_adapter(model, Embedder(lora_r=lora_r, lora_dropout=0.1).model_dump())
            for name, weights in model.named_parameters():
                if "lora_B" in name:  # they begin at zero, and nothing would reach what stands before them
                    torch.nn.init.normal_(weights, std=0.1)
        if recomputed:
            backbone.recompute(model)
        examples, _ = batching.encode(some_rows(12), model.train().tokenizer, 24)
        batch = batching.Collate(0)(examples)
        texts = {"input_ids": batch["text_input_ids"], "attention_mask": batch["text_attention_mask"]}
        sizes: list[int] = []

        def keep(saved: "torch.Tensor", sizes: list[int] = sizes) -> "torch.Tensor":
            sizes.append(saved.numel())
            return saved

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
            loss = InfoNCE(model, 0.05, mini_batch, None, [32])([texts], batch["label"])
            loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad]))
        kept.append(sum(sizes))
        assert np.isfinite(model.encode(["the fox"])).all()
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-5 * gradients[0].abs().max()
    assert gradients[0].abs().max() > 0
    assert kept[1] < kept[0] / 2


def test_a_nearer_document_is_no_negative_when_the_margin_says_so() -> None:
    """The query lies on the other row's positive: with the margin, that one no longer counts against it."""
    query, other = [1.0, 0.0], [0.0, 1.0]
    vectors = torch.tensor([query, [0.8, 0.6], other, query], dtype=torch.float64)
    batch = batch_of([((0, -1),), ((1, -1),)])
    texts = {"input_ids": batch["text_input_ids"], "attention_mask": batch["text_attention_mask"]}
    with_it, without = (InfoNCE(Lookup(vectors), 0.05, 64, m, [2])([texts], batch["label"]).item() for m in (0.1, None))
    assert with_it < without - 1


# --- batches --------------------------------------------------------------------------------------------------------


def test_homogeneous_batches_hold_one_kind_and_every_row_comes_once_an_epoch(decoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    examples, _ = batching.encode(some_rows(50), tokenizer, 24)
    order = batching.batches(examples, 8, 2, mixed=False, rng_seed=1)
    assert all(len({examples[i].kind for i in batch}) == 1 for batch in order)
    for epoch in (order[: len(order) // 2], order[len(order) // 2 :]):
        seen = [i for batch in epoch for i in batch]
        assert len(set(seen)) == len(seen) == 48  # both kinds leave a rest of one row, which has no negatives
    assert order == batching.batches(examples, 8, 2, mixed=False, rng_seed=1)
    assert order != batching.batches(examples, 8, 2, mixed=False, rng_seed=2)
    mixed = batching.batches(examples, 8, 1, mixed=True, rng_seed=1)
    assert any(len({examples[i].kind for i in batch}) == 2 for batch in mixed)
    assert len(batching.batches(examples, 8, 0.5, mixed=True, rng_seed=1)) == round(len(mixed) / 2)


def test_neighbours_in_a_batch_are_of_one_length_and_the_label_leads_back(decoder: Path) -> None:
    rows = some_rows(32)
    examples, _ = batching.encode(rows, AutoTokenizer.from_pretrained(decoder), 24)
    batch = batching.Collate(0)(examples)
    lengths = batch["text_attention_mask"].sum(1)
    assert (lengths.diff() >= 0).all()
    place, group, _ = batch["label"]
    in_order = batch["text_input_ids"][place.argsort()]
    for i, example in enumerate(examples):
        for text, k in zip(example.texts[:2], (i, len(rows) + i), strict=True):
            assert in_order[k][: len(text)].tolist() == text.tolist()
    assert (group[place.argsort()][: len(rows)] == -1).all()


def wrong_negatives(rows: list[dict], decoder: Path) -> list[list[bool]]:
    """For each query: which of the batch's positives, and then of its hard negatives, do not count against it."""
    model = backbone.embedder(str(decoder), {"max_length": 48})
    examples, _ = batching.encode(rows, model.tokenizer, 48)
    batch = batching.Collate(0)(examples)
    labels = batch["label"][1:, batch["label"][0].argsort()][:, len(rows) :]
    vectors = torch.eye(len(rows) + labels.shape[1])
    loss = InfoNCE(model, 0.05, 64, None, [32])
    return loss._not_negatives(vectors[: len(rows)], vectors[len(rows) :], labels).tolist()


def test_documents_of_one_text_or_label_are_no_negatives_and_cut_texts_are_counted(decoder: Path) -> None:
    row = {"task_type": "classification", "instruction": "find it", "query": "fox", "negative": None}
    rows = [row | {"positive": text} for text in ("Brown", " brown ", "lazy", "the " * 60)]
    examples, truncated = batching.encode(rows, AutoTokenizer.from_pretrained(decoder), 48)
    assert truncated == 1 / 8 and max(len(text) for example in examples for text in example.texts) == 48
    assert [sum(wrong) for wrong in wrong_negatives(rows, decoder)] == [1, 1, 0, 0]
    # (positive, hard negative, label)
    given = [("travel", "the fox", 1), ("sport", "Travel", 2), ("a trip", "sport", 1), ("news", None, None)]
    rows = [row | {"positive": p, "negative": n, "label": label} for p, n, label in given]
    rows.append(row | {"task_type": "retrieval", "positive": "dog", "negative": None, "label": 1})
    yes, no = True, False
    assert wrong_negatives(rows, decoder) == [
        [no, no, yes, no, no, no, yes, no],  # "a trip" has its label; "Travel" is its own text
        [no, no, no, no, no, no, no, yes],  # "sport" is its own text
        [yes, no, no, no, no, no, yes, no],  # "Travel" is a text of its label, though not its own
        [no] * 8,
        [no] * 8,  # label 1 of another set
    ]


def test_tokens_are_the_same_however_many_texts_are_tokenised_at_once(
    decoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, rows = AutoTokenizer.from_pretrained(decoder), some_rows(40)
    whole, cut = batching.encode(rows, tokenizer, 12)
    monkeypatch.setattr(batching, "TEXTS_AT_ONCE", 7)
    parts, again = batching.encode(rows, tokenizer, 12)
    assert cut == again > 0
    for one, other, row in zip(whole, parts, rows, strict=True):
        assert [ids.tolist() for ids in one.texts] == [ids.tolist() for ids in other.texts]
        assert one.texts[1].tolist() == tokenizer(row["positive"], truncation=True, max_length=12).input_ids
        assert {ids.dtype.itemsize for ids in one.texts} == {4}


# --- what is published ----------------------------------------------------------------------------------------------


def by_hand(folder: Path, texts: list[str], pooling: str, side: str) -> np.ndarray:
    """Tokenise, forward, pool, normalise: plain transformers."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    tokenizer.padding_side = side
    batch = tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="pt")
    with torch.inference_mode():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"]
    if pooling == "mean":
        vectors = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    else:
        vectors = states[:, -1] if side == "left" else states[torch.arange(len(texts)), mask.sum(1) - 1]
    return torch.nn.functional.normalize(vectors, dim=-1).numpy()


@pytest.mark.parametrize(("kind", "pooling"), [("decoder", "last"), ("encoder", "mean"), ("decoder", "mean")])
def test_the_embedder_learns_and_plain_transformers_gives_the_same_vectors(
    kind: str, pooling: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base = request.getfixturevalue(kind)
    given = {} if (kind, pooling) != ("decoder", "mean") else {"pooling": "mean"}  # else by the architecture
    result = published(base, tmp_path, **given)
    assert (result["rows"], result["dimension"], result["pooling"]) == (48, 32, pooling)
    losses = [loss for _, loss in result["loss_curve"]]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    out = tmp_path / "out"
    assert not [path for path in out.rglob("*") if path.suffix in (".bin", ".pt", ".pth")]
    model = SentenceTransformer(str(out), device="cpu")
    assert model.prompts == {"query": "Instruct: find it\nQuery: ", "document": ""}
    texts = ["the quick brown fox", "dog", "lazy " * 40]
    vectors = model.encode(texts)
    sides = ["right"] if kind == "encoder" else ["left", "right"]  # an encoder counts positions from the left end
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
        assert type(tokenizer) is LlamaTokenizer
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


# --- failures and resuming ------------------------------------------------------------------------------------------


def test_bases_that_cannot_be_used_are_refused(decoder: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for path in decoder.iterdir():
        if path.suffix != ".safetensors":
            (pickled / path.name).write_bytes(path.read_bytes())
    (pickled / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(StageError, match=r"no safetensors weights") as error:
        backbone.embedder(str(pickled), {"max_length": 24})
    assert error.value.got == "pytorch_model.bin"
    endless = tmp_path / "endless"
    endless.mkdir()
    for path in decoder.iterdir():
        (endless / path.name).write_bytes(path.read_bytes())
    config = json.loads((endless / "tokenizer_config.json").read_text())
    config.pop("eos_token"), config.pop("pad_token")
    (endless / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(StageError, match=r"needs an end-of-sequence token"):
        backbone.embedder(str(endless), {"max_length": 24})
    with pytest.raises(StageError, match=r"neither a padding nor an end-of-sequence"):
        backbone.embedder(str(endless), {"max_length": 24, "pooling": "mean"})


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
        contrastive.fit(given | {"gradient_checkpointing": True}, some_rows(24), Hungry())
    assert "gradient_checkpointing" not in error.value.fix


def test_after_memory_ran_out_a_smaller_mini_batch_goes_on_from_the_checkpoint(
    decoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = settings(decoder, tmp_path, mini_batch_size=6, checkpoint_s=0, epochs=1)
    with pytest.raises(StageError, match="memory does not suffice"):
        contrastive.fit(given, some_rows(48), Hungry())
    capsys.readouterr()
    model, measures = contrastive.fit(given | {"mini_batch_size": 3}, some_rows(48), child.Reporter())
    assert '"total": 6, "done": 1' in capsys.readouterr().out and measures["steps"] == 6
    whole, _ = contrastive.fit(given | {"work": str(tmp_path / "whole")}, some_rows(48))
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
    killed = settings(decoder, whole, **changes) | {
        "out": str(tmp_path / "out"),
        "work": str(tmp_path / "work"),
        "checkpoint_s": 0,
    }
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(killed))
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


# --- labelled sets --------------------------------------------------------------------------------------------------


def labelled_set(folder: Path, rows: list[dict]) -> Path:
    write(rows, folder / "data")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/*.parquet\n---\n"
    )
    return folder


def source(folder: Path, **changes: object) -> dict:
    fields = {"repo": "them/set", "instruction": "find it", "license": "mit", "negative": "wrong"}
    given = Labelled(**fields | changes)
    return given.model_dump() | {"kind": given.kind, "folder": str(folder)}


def test_labelled_rows_come_as_often_as_their_weight_says(tmp_path: Path) -> None:
    rows = [{"query": f"q{i}", "positive": [f"p{i}", "other"], "wrong": f"n{i}", "kind": i % 2} for i in range(40)]
    folder = labelled_set(tmp_path / "set", rows)
    for weight, max_rows, count in ((0.25, None, 10), (1.0, None, 40), (2.5, None, 100), (1.0, 7, 7)):
        found, mined = labelled.read(
            {"labelled": [source(folder, weight=weight, max_rows=max_rows, label="kind")], "rng_seed": 1}
            | {"work": str(tmp_path)}
        )
        assert len(found) == count and mined == 0
        times = [sum(row["query"] == f"q{i}" for row in found) for i in range(40)]
        assert max(times) - min(times) <= 1
    assert {row["query"][1:] for row in found} == {row["positive"][1:] for row in found}
    assert all(row["negative"] == f"n{row['query'][1:]}" for row in found)
    assert {row["task_type"] for row in found} == {"them/set"} and {row["label"] for row in found} <= {0, 1}


def test_missing_hard_negatives_are_mined_within_ranks_and_margin(decoder: Path, tmp_path: Path) -> None:
    rows = [{"query": row["query"], "positive": row["positive"]} for row in some_rows(40)]
    folder = labelled_set(tmp_path / "set", rows)
    given = settings(decoder, tmp_path, mine_to=10, mine_margin=0.02) | {"miner": str(decoder)}
    found, mined = labelled.read(given | {"labelled": [source(folder, negative=None)]})
    assert mined == sum(row["negative"] is not None for row in found) > 0
    model = backbone.embedder(str(decoder), {"max_length": 24})
    corpus = sorted({row["positive"] for row in rows})
    documents = dict(zip(corpus, model.encode(corpus), strict=True))
    for row in found:
        if row["negative"] is None:
            continue
        query = model.encode(row["query"])
        own, other = (float(query @ documents[row[side]]) for side in ("positive", "negative"))
        assert row["negative"] != row["positive"] and other <= own - 0.02 * abs(own) + 1e-5
        rank = sum(float(query @ vector) > other + 1e-6 for text, vector in documents.items())
        assert rank <= 11


def test_no_document_of_a_rows_own_label_is_mined_for_it(decoder: Path, tmp_path: Path) -> None:
    classes = ["travel", "sport", "news"]
    rows = [{"query": f"{WORDS[i % 8]} {i}", "positive": f"{classes[i % 3]} {i // 6}"} for i in range(36)]
    rows = [row | {"class": classes[i % 3]} for i, row in enumerate(rows)]
    folder = labelled_set(tmp_path / "set", rows)
    given = settings(decoder, tmp_path, mine_margin=0.0) | {"miner": str(decoder)}
    found, mined = labelled.read(given | {"labelled": [source(folder, negative=None, label="class")]})
    assert mined == sum(row["negative"] is not None for row in found) > 9
    assert not [row for row in found if row["negative"] and row["negative"].split()[0] == row["label"]]
    free, _ = labelled.read(given | {"labelled": [source(folder, negative=None)]})
    assert [row for row in free if row["negative"] and row["negative"].split()[0] == row["positive"].split()[0]]


@pytest.mark.parametrize(
    ("changes", "where", "expected"),
    [
        ({"config": "extra"}, "config: there is no extra", "one of default"),
        ({"split": "test"}, "split: there is no test", "one of train"),
        ({"query": "qury"}, "column of the query: there is no qury", "one of query, positive, wrong"),
        ({"positive": "empty"}, "no row has a query and a positive", "texts in the columns query and empty"),
    ],
)
def test_a_labelled_set_that_cannot_be_read_says_what_is_there(
    tmp_path: Path, changes: dict, where: str, expected: str
) -> None:
    folder = labelled_set(tmp_path / "set", [{"query": "q", "positive": "p", "wrong": "n", "empty": " "}])
    with pytest.raises(StageError) as error:
        labelled.rows_of(source(folder, **changes), tmp_path / "cache")
    assert where in error.value.where and "them/set" in error.value.where
    assert expected in error.value.expected and error.value.fix


def test_labelled_rows_train_beside_the_synthetic_ones(encoder: Path, tmp_path: Path) -> None:
    folder = labelled_set(
        tmp_path / "set",
        [{"query": row["query"], "positive": row["positive"], "wrong": "lazy"} for row in some_rows(20)],
    )
    write(some_rows(24), tmp_path / "data")
    given = settings(encoder, tmp_path) | {"labelled": [source(folder, weight=0.5)]}
    result = contrastive.train(given)
    assert result["mix"] == {"retrieval": 16, "short_matching": 8, "them/set": 10} and result["rows"] == 34


def test_labelled_sets_and_their_miner_are_inputs_of_the_embedder_alone() -> None:
    given = "embedder.labelled=[{repo: them/set, instruction: find it, license: mit}]"
    inputs = STAGES["embedder"].inputs(load("quickstart", [given, "embedder.miner_model=me/miner"]))
    assert inputs["labelled them/set"] == FromHub("dataset", "them/set") and inputs["miner"] == FromHub(
        "model", "me/miner"
    )
    with_negatives = given.replace("find it", "find it, negative: wrong")
    assert "miner" not in STAGES["embedder"].inputs(load("quickstart", [with_negatives]))
    assert set(STAGES["embedder"].inputs(load("quickstart"))) == {"data", "base"}
    assert not [name for name in STAGES["scaling"].inputs(load("quickstart", [given])) if name.startswith("labelled")]


def test_an_adapter_is_trained_in_32_bits_on_a_base_in_16(decoder: Path) -> None:
    model = backbone.embedder(str(decoder), {"max_length": 24}).to(torch.bfloat16)
    backbone.add_adapter(model, Embedder(lora_r=4).model_dump())
    assert {weights.dtype for weights in model.parameters() if weights.requires_grad} == {torch.float32}
    assert {weights.dtype for weights in model.parameters() if not weights.requires_grad} == {torch.bfloat16}
    assert torch.isfinite(torch.tensor(model.encode(["a text"]))).all()


# --- the script that fine-tunes ---------------------------------------------------------------------------------------

FINETUNE = """
import runpy, sys
from huggingface_hub import HfApi
api = HfApi()
for name in ("embedder", "pickled"):
    api.create_repo(f"me/{name}")
    api.upload_folder(repo_id=f"me/{name}", folder_path=f"FOLDER/{name}")
for base, pairs, out, push in (
    ("embedder", "labelled", "first", "mine"),
    ("embedder", "plain", "second", "mine"),
    ("embedder", "plain", "third", "embedder"),
    ("pickled", "plain", "fourth", "other"),
):
    places = ["--out", f"FOLDER/{out}", "--push", f"me/{push}"]
    sys.argv = ["", f"me/{base}", f"FOLDER/{pairs}.csv", *places, "--batch-size", "8", "--learning-rate", "1e-3"]
    try:
        runpy.run_path("SCRIPT", run_name="__main__")
    except (SystemExit, OSError) as error:
        print(f"{out}: {error}")
print("files", *api.list_repo_files("me/mine"))
print("commits", *(len(api.list_repo_commits(f"me/{name}")) for name in ("mine", "embedder")))
"""


def test_the_script_fine_tunes_on_pairs_alone_and_pushes_to_what_it_has_made(
    decoder: Path, tmp_path: Path, cli: Cli
) -> None:
    model = backbone.embedder(str(decoder), {"max_length": 24})
    model.prompts = {"query": "Instruct: find it\nQuery: ", "document": ""}
    backbone.publish(model, {"out": str(tmp_path / "embedder"), "lora_r": 0})
    shutil.copytree(tmp_path / "embedder", tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save(model[0].auto_model.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    lines = [f"{row['query']},{row['positive']}" for row in some_rows(40)]
    (tmp_path / "plain.csv").write_text("\n".join(["query,positive", *lines]))
    (tmp_path / "labelled.csv").write_text("\n".join(["query,positive,label", *(f"{line},1" for line in lines)]))
    script = Path(__file__).parents[3] / "scripts" / "finetune_embedder.py"
    out = cli.python(FINETUNE.replace("FOLDER", str(tmp_path)).replace("SCRIPT", str(script)))
    assert out.count("after:  nDCG@10") == out.count("pushed: me/mine@") == 2
    assert "third: me/embedder is there and not made by this script" in out
    assert "fourth: " in out and "safetensors" in out
    assert not (tmp_path / "third").exists() and not (tmp_path / "fourth").exists()
    base, first, second = (load_file(tmp_path / n / "model.safetensors") for n in ("embedder", "first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in base)  # a column of labels is not read
    assert max((first[name] - base[name]).abs().max() for name in base) > 1e-3
    assert {"README.md", "model.safetensors", "modules.json"} <= set(out.split("files ")[1].split())
    assert out.splitlines()[-1] == "commits 3 2"  # two pushes after the empty first one; none to the base
