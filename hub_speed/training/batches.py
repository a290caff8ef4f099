"""Rows → tokens, once; and tokens → batches that hold one kind of row and little padding."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from hub_speed.instructions import with_instruction


@dataclass(frozen=True)
class Example:
    """One row as tokens.

    Attributes:
        kind: rows of one kind make up a batch.
        texts: token ids of the query, the positive and, where there is one, the hard negative.
        groups: two documents of the same group are never negatives of each other's queries; one per document.
    """

    kind: str
    texts: tuple[list[int], ...]
    groups: tuple[int, ...]


def encode(
    rows: Sequence[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[list[Example], float]:
    """Tokenise rows; returns them and the share of their texts that were cut at `max_length` tokens.

    A row's `label`, where there is one, is the group of its positive (rows of one class are no negatives of each
    other); else the positive's own text is, whatever its case.
    """
    columns = [
        [with_instruction(row["instruction"], row["query"]), row["positive"], *filter(None, [row["negative"]])]
        for row in rows
    ]
    tokens, cut = _tokenise([text for texts in columns for text in texts], tokenizer, max_length)
    groups: dict[tuple[str, str], int] = {}
    examples = []
    for row, texts in zip(rows, columns, strict=True):
        keys = [("text", text.strip().casefold()) for text in texts[1:]]
        if row.get("label") is not None:
            keys[0] = (row["task_type"], str(row["label"]))
        numbers = tuple(groups.setdefault(key, len(groups)) for key in keys)
        examples.append(Example(row["task_type"], tuple(tokens[text] for text in texts), numbers))
    return examples, cut


def _tokenise(
    texts: list[str], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[dict[str, list[int]], float]:
    """Token ids by text, and the share of the texts that were cut."""
    distinct = list(dict.fromkeys(texts))
    found = tokenizer(distinct, truncation=True, max_length=max_length)
    cut = {text for text, encoding in zip(distinct, found.encodings or [], strict=True) if encoding.overflowing}
    share = sum(text in cut for text in texts) / max(1, len(texts))
    return dict(zip(distinct, found["input_ids"], strict=True)), share


def batches(
    examples: Sequence[Example], batch_size: int, epochs: float, *, mixed: bool, rng_seed: int
) -> list[list[int]]:
    """Which examples every step sees, for all epochs; batches of different kinds take turns at random.

    A rest of a single row is left out: it would have no negatives.
    """
    random, found = Random(rng_seed), list[list[int]]()
    kinds: dict[str, list[int]] = defaultdict(list)
    for i, example in enumerate(examples):
        kinds["" if mixed else example.kind].append(i)
    per_epoch = 0
    for _ in range(math.ceil(epochs)):
        epoch: list[list[int]] = []
        for _, indices in sorted(kinds.items()):
            random.shuffle(indices)
            epoch += [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]
        epoch = [batch for batch in epoch if len(batch) > 1]
        random.shuffle(epoch)
        per_epoch = len(epoch)
        found += epoch
    return found[: round(epochs * per_epoch)]


@dataclass(frozen=True)
class Collate:
    """Examples → what `infonce.InfoNCE` reads: one column of texts, the short ones first, padded on the right.

    Neighbours are of about the same length, so a piece of the column, cut to its own longest text, holds little
    padding. The loss does not depend on the order.
    """

    pad_token_id: int

    def __call__(self, examples: Iterable[Example]) -> dict[str, Tensor]:
        """text_input_ids and text_attention_mask: M texts × longest; label: 2 × M, see `InfoNCE.calculate_loss`."""
        examples = list(examples)
        queries = [(example.texts[0], -1) for example in examples]
        positives = [(example.texts[1], example.groups[0]) for example in examples]
        negatives = [(example.texts[2], example.groups[1]) for example in examples if len(example.texts) > 2]
        texts = [*queries, *positives, *negatives]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i][0]))
        width = len(texts[order[-1]][0])
        padded = [texts[i][0] + [self.pad_token_id] * (width - len(texts[i][0])) for i in order]
        lengths = torch.tensor([len(texts[i][0]) for i in order])
        return {
            "text_input_ids": torch.tensor(padded),
            "text_attention_mask": (torch.arange(width) < lengths[:, None]).long(),
            "label": torch.tensor([order, [texts[i][1] for i in order]]),
        }
