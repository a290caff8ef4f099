"""Rows → tokens, once; and tokens → batches that hold one kind of row and little padding."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from hub_speed.text import Instructions, before_query

SMALLEST = 1e-6
"""The last digit of a reranker's scores, as they are kept."""

TEXTS_AT_ONCE = 10_000
"""Texts per call of the tokenizer, whose record of a text takes much more memory than the token ids."""


@dataclass(frozen=True)
class TokenizedRow:
    """The tokens of one row; documents with the same text, label or query are never negatives of each other's queries.

    Attributes:
        kind: a batch holds rows of one kind.
        texts: token ids of the query, the positives and the hard negatives.
        same_text: a number for each document's text.
        same_label: a number for each document's label, -1 where it has none.
        same_query: a number for the query, and for each document that answers this query in some row, else -1.
        positives: how many of the documents are positives; they stand first.
        scores: for each document, how well it answers the query, as a reranker sees it, in logits; () without one.
        targets: for each text, the number of the vector that a larger embedder gave it; () without one.
    """

    kind: str
    texts: tuple[Sequence[int] | np.ndarray, ...]
    same_text: tuple[int, ...]
    same_label: tuple[int, ...]
    same_query: tuple[int, ...]
    positives: int = 1
    scores: tuple[float, ...] = ()
    targets: tuple[int, ...] = ()


def encode(
    rows: Sequence[dict[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    form: Instructions = "natural",
) -> tuple[list[TokenizedRow], float]:
    """Tokenise rows; returns them and the share of their texts that were cut at `max_length` tokens.

    Two texts are the same whatever their case. A row's `label`, where there is one, belongs to its positive and to
    every hard negative with the same text.
    """
    sides = [documents(row) for row in rows]
    columns = [[asked(row, form), *yes, *no] for row, (yes, no) in zip(rows, sides, strict=True)]
    tokens, cut = _tokenise([text for texts in columns for text in texts], tokenizer, max_length)
    labels = {
        (row["task_type"], _plain(row["positive"])): str(row["label"]) for row in rows if row.get("label") is not None
    }
    answers = {
        (row["task_type"], _plain(texts[0]), _plain(text))
        for row, texts, (yes, _) in zip(rows, columns, sides, strict=True)
        for text in yes
    }
    numbers: dict[tuple[str, str], int] = {}
    examples = []
    for row, texts, (yes, _) in zip(rows, columns, sides, strict=True):
        kind, query, *plain = row["task_type"], *map(_plain, texts)
        own = numbers.setdefault((f"query of {kind}", query), len(numbers))
        named = [labels.get((kind, text)) for text in plain]
        if row.get("label") is not None:
            named[0] = str(row["label"])
        examples.append(
            TokenizedRow(
                kind,
                tuple(tokens[text] for text in texts),
                tuple(numbers.setdefault(("text", text), len(numbers)) for text in plain),
                tuple(-1 if n is None else numbers.setdefault((f"label of {kind}", n), len(numbers)) for n in named),
                (own, *(own if (kind, query, text) in answers else -1 for text in plain)),
                len(yes),
                tuple(_logit(score) for score in (*row["positive_scores"], *row["negative_scores"]))
                if "positive_scores" in row
                else (),
            )
        )
    return examples, cut


def documents(row: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The positives and the hard negatives of a row, which has lists of them, or one positive and at most one other."""
    if "positives" in row:
        return row["positives"], row["negatives"]
    return [row["positive"]], [row["negative"]] if row["negative"] else []


def _logit(score: float) -> float:
    """A score between 0 and 1 on the scale that a reranker's own numbers have; kept from the infinite ends."""
    score = min(max(score, SMALLEST), 1 - SMALLEST)
    return math.log(score / (1 - score))


def asked(row: dict[str, Any], form: Instructions) -> str:
    """The query as the embedder reads it; a row without `instruction` has all of it in `query`."""
    query = str(row["query"])
    return before_query(form, row["instruction"], row["task_type"]) + query if "instruction" in row else query


def _plain(text: str) -> str:
    return text.strip().casefold()


def _tokenise(
    texts: list[str], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[dict[str, np.ndarray], float]:
    """Token ids by text, and the share of the texts that were cut."""
    distinct = list(dict.fromkeys(texts))
    tokens: dict[str, np.ndarray] = {}
    cut: set[str] = set()
    for start in range(0, len(distinct), TEXTS_AT_ONCE):
        part = distinct[start : start + TEXTS_AT_ONCE]
        found = tokenizer(part, truncation=True, max_length=max_length, return_attention_mask=False)
        for text, ids, encoding in zip(part, found["input_ids"], found.encodings or [], strict=True):
            tokens[text] = np.array(ids, np.int32)
            if encoding.overflowing:
                cut.add(text)
    return tokens, sum(text in cut for text in texts) / max(1, len(texts))


def batches(
    examples: Sequence[TokenizedRow], batch_size: int, epochs: float, *, mixed: bool, rng_seed: int
) -> list[list[int]]:
    """The example numbers of every step, for all epochs; batches of different kinds alternate at random.

    A last batch of a single row is left out: it would have no negatives. Of the others, at least one is kept.
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
    return found[: max(1, round(epochs * per_epoch))]


@dataclass(frozen=True)
class Collate:
    """Turns examples into what `infonce.InfoNCE` reads: one column of texts, short ones first, padded on the right.

    Neighbours are of about the same length, so a piece of the column, cut to its own longest text, holds little
    padding. The loss does not depend on the order.
    """

    pad_token_id: int

    def __call__(self, examples: Iterable[TokenizedRow]) -> dict[str, Tensor]:
        """text_input_ids and text_attention_mask: M texts × longest; label: 8 × M, see `InfoNCE.calculate_loss`."""
        columns = [_columns(i, example) for i, example in enumerate(examples)]
        texts = [one for found in columns for one in found[:1]]
        texts += [one for found in columns for one in found[1:2]]
        texts += [one for found in columns for one in found[2:]]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i][0]))
        padded = np.full((len(texts), len(texts[order[-1]][0])), self.pad_token_id)
        for ids, i in zip(padded, order, strict=True):
            ids[: len(texts[i][0])] = texts[i][0]
        lengths = torch.tensor([len(texts[i][0]) for i in order])
        return {
            "text_input_ids": torch.from_numpy(padded),
            "text_attention_mask": (torch.arange(padded.shape[1]) < lengths[:, None]).long(),
            "label": torch.tensor([order, *([texts[i][k] for i in order] for k in range(1, 8))]),
        }


def _columns(row: int, example: TokenizedRow) -> list[tuple[Any, ...]]:
    """The texts of a row, each with its column of the label but for the place, which `Collate` gives."""
    count = len(example.texts) - 1
    scores = np.array(example.scores or [math.nan] * count, np.float32).view(np.int32).tolist()
    targets = example.targets or [-1] * (count + 1)
    positive = [i < example.positives for i in range(count)]
    documents = zip(
        example.texts[1:],
        example.same_text,
        example.same_label,
        example.same_query[1:],
        [row] * count,
        positive,
        scores,
        targets[1:],
        strict=True,
    )
    return [(example.texts[0], -1, -1, example.same_query[0], row, False, 0, targets[0]), *documents]
