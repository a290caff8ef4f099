"""The vectors that a larger embedder gives to the training texts, for a smaller one to learn.

They lie on the disk, two bytes a dimension. The larger embedder uses its own prompts where it has any, else the text as
the smaller one reads it. Of its dimensions, the principal ones for these texts are kept, as many as the smaller one has
(sentence-transformers' recipe for distillation): this keeps the angles as well as so few dimensions can.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from sentence_transformers import SentenceTransformer
from torch import Tensor

from hub_speed.record import Json, digest_of
from hub_speed.text import Instructions
from hub_speed.training.embedder import batching
from hub_speed.training.embedder.backbone import prompts_of, saved
from hub_speed.training.process import child

AXES_FROM = 20_000
"""Texts from which the principal dimensions are taken. Assumption: many times as many as there are dimensions."""


def targets(
    rows: list[Json],
    examples: list[batching.TokenizedRow],
    folder: Path,
    dimension: int,
    form: Instructions,
    work: Path,
) -> tuple[list[batching.TokenizedRow], Tensor]:
    """The examples with the numbers of their texts' vectors, and these vectors, T × at most `dimension`, unit length.

    Args:
        rows: what the examples were made of, in the same order.
        examples: see `batching.encode`.
        folder: of the larger embedder.
        dimension: of the smaller one.
        form: of the instructions before a query.
        work: where the vectors are kept; of several processes, the first one makes them.
    """
    texts: list[list[tuple[str, str]]] = []
    for row in rows:
        yes, no = batching.documents(row)
        texts.append([("query", batching.asked(row, form)), *(("document", text) for text in (*yes, *no))])
    distinct = {text: i for i, text in enumerate(dict.fromkeys(text for found in texts for text in found))}
    plain = {("query", batching.asked(row, form)): str(row["query"]) for row in rows}
    file = work / f"teacher-{digest_of([list(distinct), dimension])[:16]}.npy"
    with PartialState().main_process_first():
        if not file.exists():
            work.mkdir(parents=True, exist_ok=True)
            _keep(file, _embedded(folder, list(distinct), plain, dimension))
    vectors = torch.from_numpy(np.load(file, allow_pickle=False))
    numbered = [
        replace(example, targets=tuple(distinct[text] for text in found))
        for example, found in zip(examples, texts, strict=True)
    ]
    return numbered, vectors


def _keep(file: Path, vectors_TD: Tensor) -> None:
    part = file.with_suffix(f".{os.getpid()}.part")  # each of several processes writes the same
    with part.open("wb") as out:
        np.save(out, vectors_TD.to(torch.float16).numpy(), allow_pickle=False)
    part.replace(file)


def _embedded(folder: Path, texts: list[tuple[str, str]], plain: dict[tuple[str, str], str], dimension: int) -> Tensor:
    """The vectors of all texts, cut to their principal dimensions where they have more than `dimension`."""
    child.say(note=f"the teacher embeds {len(texts):,} texts")
    model = saved(folder, "cuda" if child.use_gpu() else "cpu")
    own = any(prompts_of(model))
    queries = [i for i, (side, _) in enumerate(texts) if side == "query"]
    documents = [i for i, (side, _) in enumerate(texts) if side == "document"]
    vectors = torch.zeros(len(texts), _width(model))
    how: dict[str, Any] = {"convert_to_tensor": True, "normalize_embeddings": True, "show_progress_bar": False}
    if queries:
        asked = [plain[texts[i]] if own else texts[i][1] for i in queries]
        vectors[queries] = model.encode_query(asked, **how).float().cpu()
    if documents:
        vectors[documents] = model.encode_document([texts[i][1] for i in documents], **how).float().cpu()
    if vectors.shape[1] > dimension:
        some = vectors[torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))[:AXES_FROM]]
        _, axes_DD = torch.linalg.eigh(some.T @ some)  # in rising order; not centred, so that angles stay
        vectors = vectors @ axes_DD[:, -dimension:].flip(1)
    return torch.nn.functional.normalize(vectors, dim=-1)


def _width(model: SentenceTransformer) -> int:
    found = model.get_embedding_dimension()
    assert found is not None
    return found
