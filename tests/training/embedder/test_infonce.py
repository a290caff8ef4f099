"""InfoNCE and GradCache against a float64 reference."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss  # noqa: E402
from tiny_training import some_rows  # noqa: E402

from hub_speed.recipe import Embedder  # noqa: E402
from hub_speed.training.embedder import backbone, batching  # noqa: E402
from hub_speed.training.embedder.infonce import InfoNCE, Teachers  # noqa: E402


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
        examples.append(batching.TokenizedRow("any", texts, *zip(*mine, strict=True), (i, i, *[-1] * (len(mine) - 1))))
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


TEXTS = [((i % 3, -1), (2 + i % 2, -1)) for i in range(10)]  # three positives, one of which is a hard negative as well


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
        model = backbone.embedder(decoder, 24).train()
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
        model = backbone.embedder(decoder, 24)
        if lora_r:
            backbone.add_adapter(model, Embedder(lora_r=lora_r, lora_dropout=0.1))
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


def test_the_loss_of_a_query_with_four_answers_can_end_at_nothing() -> None:
    """As each other's negatives they would hold it at ln 4."""
    places = [[1.0, 0.0]] * 2, [[1.0, 0.0]] * 2, [[1.0, 0.0]] * 2, [[1.0, 0.0]] * 2, [[0.0, 1.0]] * 2
    vectors = torch.tensor([vector for row in places for vector in row], dtype=torch.float64)
    rows = [batching.TokenizedRow("any", ([2 * i], [2 * i + 1]), (i,), (-1,), (i // 4, i // 4)) for i in range(5)]
    batch = batching.Collate(99)(rows)
    texts = {"input_ids": batch["text_input_ids"], "attention_mask": batch["text_attention_mask"]}
    assert InfoNCE(Lookup(vectors), 0.05, 64, None, [2])([texts], batch["label"]).item() < 1e-6


ROWS = [{"positives": 1 + i % 3, "negatives": (i + 1) % 3} for i in range(10)]  # up to three answers, and no negative


def several(dimension: int = 6) -> tuple["torch.Tensor", list[batching.TokenizedRow]]:
    """Vectors, and rows with several positives and negatives, scores and targets; texts are single tokens."""
    numbers, texts, examples = iter(range(100)), iter(range(100)), []
    for i, row in enumerate(ROWS):
        count = row["positives"] + row["negatives"]
        tokens = tuple([next(numbers)] + [99] * (k * i % 3) for k in range(1 + count))
        alike = tuple(next(texts) for _ in range(count))
        own = (i, *[i] * row["positives"], *[-1] * row["negatives"])
        scores = tuple(2.0 - k for k in range(count))
        targets = tuple(ids[0] % 7 for ids in tokens)
        examples.append(
            batching.TokenizedRow("any", tokens, alike, (-1,) * count, own, row["positives"], scores, targets)
        )
    vectors = torch.randn(100, dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return vectors, examples


def loss_of(vectors: "torch.Tensor", examples: list, mini_batch: int, **teachers: Any) -> tuple[float, "torch.Tensor"]:
    """The loss and its gradient."""
    model, batch = Lookup(vectors.clone()), batching.Collate(0)(examples)
    texts = {"input_ids": batch["text_input_ids"], "attention_mask": batch["text_attention_mask"]}
    loss = InfoNCE(model, 0.5, mini_batch, None, [6], Teachers(**teachers))([texts], batch["label"])
    loss.backward()
    return loss.item(), model.vectors.grad


def test_several_positives_and_both_teachers_equal_a_reference_at_once_and_by_gradcache() -> None:
    vectors, examples = several()
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    targets = torch.nn.functional.normalize(torch.randn(7, 4, generator=torch.Generator().manual_seed(1)), dim=-1)
    places = [(example, [ids[0] for ids in example.texts]) for example in examples]
    nce, distances = [], []
    for example, (asked, *own) in places:
        yes = own[: example.positives]
        others = [place for other, mine in places for place in mine[1:] if other is not example] + own[len(yes) :]
        mine = []
        for place in yes:
            scores = unit[[place, *others]] @ unit[asked] / 0.5
            mine.append(float(scores.logsumexp(0) - scores[0]))
        nce.append(np.mean(mine))
        for place, number in zip([asked, *own], example.targets, strict=True):
            cut = torch.nn.functional.normalize(unit[place, :4], dim=-1)
            distances.append(float((cut - targets[number]).square().sum()))
    teachers = {"targets_TD": targets, "weight": 0.3}
    at_once, cached = (loss_of(vectors, examples, size, **teachers) for size in (64, 3))
    assert at_once[0] == pytest.approx(np.mean(nce) + 0.3 * np.mean(distances), abs=1e-5)
    distilled, by_parts = (loss_of(vectors, examples, size, distil=0.7, **teachers) for size in (64, 3))
    for one, other in ((at_once, cached), (distilled, by_parts)):
        assert one[0] == pytest.approx(other[0], abs=1e-5) and torch.allclose(one[1], other[1], atol=1e-5)


def test_the_distance_to_a_reranker_is_that_of_sentence_transformers() -> None:
    """Theirs wants equally many documents a row, and multiplies by the square of the temperature."""
    vectors, _ = several()
    tokens = [tuple([5 * i + k] for k in range(4)) for i in range(6)]
    scores = [tuple(float(x) for x in np.random.default_rng(i).normal(size=3)) for i in range(6)]
    examples = [
        batching.TokenizedRow("any", texts, tuple(range(3 * i, 3 * i + 3)), (-1,) * 3, (i, i, -1, -1), 1, scores[i])
        for i, texts in enumerate(tokens)
    ]
    (both, _), (alone, _) = (loss_of(vectors, examples, 64, distil=weight) for weight in (1.0, 0.0))
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    columns = [{"sentence_embedding": unit[[ids[k][0] for ids in tokens]]} for k in range(4)]
    theirs = DistillKLDivLoss(Given(), student_temperature=0.5, teacher_temperature=1.0)
    expected = theirs(columns, torch.tensor(scores, dtype=torch.float64)).item()
    assert both - alone == pytest.approx(expected / 0.5**2, abs=1e-5)
    plain = [replace(example, scores=()) for example in examples]
    assert loss_of(vectors, plain, 64, distil=1.0)[0] == pytest.approx(alone, abs=1e-6)  # nothing is known of them


class Given(torch.nn.Module):
    """A model whose vectors are given."""

    def forward(self, features: dict) -> dict:
        return features
