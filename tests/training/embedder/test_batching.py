"""Rows as tokens, and batches of them."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tiny_training import some_rows  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

from hub_speed.text import Instructions  # noqa: E402
from hub_speed.training.embedder import backbone, batching  # noqa: E402
from hub_speed.training.embedder.infonce import Documents, InfoNCE  # noqa: E402


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
    place, group, *_ = batch["label"]
    in_order = batch["text_input_ids"][place.argsort()]
    for i, example in enumerate(examples):
        for text, k in zip(example.texts[:2], (i, len(rows) + i), strict=True):
            assert in_order[k][: len(text)].tolist() == text.tolist()
    assert (group[place.argsort()][: len(rows)] == -1).all()


def wrong_negatives(rows: list[dict], decoder: Path) -> list[list[bool]]:
    """For each query: which of the batch's positives, and then of its hard negatives, do not count against it."""
    model = backbone.embedder(decoder, 48)
    examples, _ = batching.encode(rows, model.tokenizer, 48)
    batch = batching.Collate(0)(examples)
    labels = batch["label"][1:, batch["label"][0].argsort()][:, len(rows) :]
    vectors = torch.eye(len(rows) + labels.shape[1])
    loss = InfoNCE(model, 0.05, 64, None, [32])
    documents = Documents(*labels)
    return loss._not_negatives(vectors[: len(rows)], vectors[len(rows) :], documents).tolist()


def test_documents_of_one_text_or_label_are_no_negatives_and_cut_texts_are_counted(decoder: Path) -> None:
    row = {"task_type": "classification", "instruction": "find it", "negative": None}
    texts = ("Brown", " brown ", "lazy", "the " * 60)
    rows = [row | {"query": f"fox {i}", "positive": text} for i, text in enumerate(texts)]
    examples, truncated = batching.encode(rows, AutoTokenizer.from_pretrained(decoder), 48)
    assert truncated == 1 / 8 and max(len(text) for example in examples for text in example.texts) == 48
    assert [sum(wrong) for wrong in wrong_negatives(rows, decoder)] == [1, 1, 0, 0]
    # (positive, hard negative, label)
    given = [("travel", "the fox", 1), ("sport", "Travel", 2), ("a trip", "sport", 1), ("news", None, None)]
    rows = [row | {"query": p, "positive": p, "negative": n, "label": label} for p, n, label in given]
    rows.append(row | {"task_type": "retrieval", "query": "a", "positive": "dog", "negative": None, "label": 1})
    yes, no = True, False
    assert wrong_negatives(rows, decoder) == [
        [no, no, yes, no, no, no, yes, no],  # "a trip" has its label; "Travel" is its own text
        [no, no, no, no, no, no, no, yes],  # "sport" is its own text
        [yes, no, no, no, no, no, yes, no],  # "Travel" is a text of its label, though not its own
        [no] * 8,
        [no] * 8,  # label 1 of another set
    ]


def test_the_answers_to_one_query_are_no_negatives_of_it(decoder: Path) -> None:
    """Nor is a hard negative that answers the query in another row."""
    row = {"task_type": "retrieval", "instruction": "find it"}
    given = [("fox", "one", "far"), ("Fox ", "two", "One"), ("dog", "one", "two"), ("dog", "three", "far")]
    rows = [row | {"query": q, "positive": p, "negative": n} for q, p, n in given]
    rows.append(row | {"task_type": "sts", "query": "fox", "positive": "four", "negative": None})
    yes, no = True, False
    assert wrong_negatives(rows, decoder) == [
        [no, yes, yes, no, no, no, yes, no, no],  # "two", "one" of the dog's row, and "One"
        [yes, no, no, no, no, no, yes, yes, no],
        [yes, no, no, yes, no, no, yes, no, no],
        [no, no, yes, no, no, no, no, no, no],
        [no] * 9,
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


@pytest.mark.parametrize(
    ("form", "before"),
    [("natural", {"Instruct: find it\nQuery: "}), ("task_type_prefix", {"classify: ", "", "query: "}), ("none", {""})],
)
def test_a_query_is_read_with_what_the_form_puts_before_it(form: Instructions, before: set[str], decoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    row = {"instruction": "find it", "query": "the fox", "positive": "a dog", "negative": None}
    rows = [row | {"task_type": kind} for kind in ("classification", "sts", "retrieval", "org/a labelled set")]
    examples, _ = batching.encode(rows, tokenizer, 48, form)
    assert {tuple(one.texts[0]) for one in examples} == {
        tuple(tokenizer(f"{text}the fox").input_ids) for text in before
    }
    assert {tuple(one.texts[1]) for one in examples} == {tuple(tokenizer("a dog").input_ids)}
