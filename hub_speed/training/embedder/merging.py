"""Several embedders of one architecture → one: the mean of their weights, or the point between them on an arc.

Source: model soups (arXiv 2203.05482) for the mean; slerp as in Qwen3 Embedding (arXiv 2506.05176). Of more than two,
slerp goes to each in turn, by its share of the weight so far.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from hub_speed.errors import StageError
from hub_speed.training.embedder.backbone import embedder, pooling_of

PARALLEL = 1e-6
"""Of two weights at a smaller angle (in radians) the arc is a straight line, up to rounding."""


def merge(
    folders: Sequence[Path],
    names: Sequence[str],
    weights: Sequence[float],
    method: Literal["linear", "slerp"],
    max_length: int | None,
) -> SentenceTransformer:
    """The embedder between those in the folders; its tokenizer, prompts and modules are the first one's.

    Args:
        folders: of the embedders.
        names: what messages call them.
        weights: of each; they need not add up to 1.
        method: the mean, or along the arc.
        max_length: see `backbone.embedder`.

    Raises:
        StageError: they are not alike.
    """
    model, total = embedder(folders[0], max_length), weights[0]
    mixed = {name: value.double() for name, value in model.state_dict().items() if value.is_floating_point()}
    for folder, name, weight in zip(folders[1:], names[1:], weights[1:], strict=True):
        other = embedder(folder, max_length)
        _check_alike(model, other, names[0], name)
        total += weight
        theirs = other.state_dict()
        for key, value in mixed.items():
            mixed[key] = between(value, theirs[key].double(), weight / total, method)
    model.load_state_dict({name: value.float() for name, value in mixed.items()}, strict=False)
    return model


def between(one: Tensor, other: Tensor, share: float, method: Literal["linear", "slerp"]) -> Tensor:
    """The point at a share of the way from one tensor to another, straight or along the arc."""
    if method == "linear" or not (one.any() and other.any()):
        return one + share * (other - one)
    cosine = torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0).clamp(-1, 1)
    angle = cosine.arccos()
    if angle < PARALLEL or angle > torch.pi - PARALLEL:
        return one + share * (other - one)
    return (((1 - share) * angle).sin() * one + (share * angle).sin() * other) / angle.sin()


def _check_alike(one: SentenceTransformer, other: SentenceTransformer, first: str, name: str) -> None:
    """Raise StageError where two embedders differ in more than the values of their weights."""
    shapes = [{key: tuple(value.shape) for key, value in model.state_dict().items()} for model in (one, other)]
    differ = sorted(key for key in {**shapes[0], **shapes[1]} if shapes[0].get(key) != shapes[1].get(key))
    got = ""
    if differ:
        key = differ[0]
        got = f"{len(differ)} weights differ; {key}: {shapes[0].get(key, 'none')} and {shapes[1].get(key, 'none')}"
    elif pooling_of(one) != pooling_of(other):
        got = f"pooling {pooling_of(one)} and {pooling_of(other)}"
    elif one.tokenizer.get_vocab() != other.tokenizer.get_vocab():
        got = "different vocabularies"
    if got:
        raise StageError(
            f"embedder.merge: {name} is not like {first}",
            expected="the same architecture, pooling and vocabulary",
            got=got,
            fix="merge embedders that were trained from one base",
        )
