"""The texts of a corpus that are nearest to queries, as an embedder sees them.

The documents' embeddings lie on the disk, two bytes a dimension, and are read piece by piece: MS MARCO's 8,841,823
passages at 768 dimensions take 13.6 GB of disk. In memory are one piece, the queries, and the best documents of each
query so far: 1 GB for 270,000 queries. A run that was stopped goes on where the embedding was.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from hub_speed.training.embedder.backbone import embedder, prompts_of, saved
from hub_speed.training.older_readers import MODULES
from hub_speed.training.process import child

EMBEDDED_AT_ONCE = 2_000
"""How many documents are embedded before they are written down: some ten seconds of a small encoder on a CPU."""
DOCUMENTS_AT_ONCE = 50_000
"""How many documents are compared with queries in one piece."""
QUERIES_AT_ONCE = 256
"""How many queries are compared with a piece of the documents in one matrix product."""
BATCH = 256
"""Texts that are embedded at once."""
EMBEDDINGS = "documents.f16"
"""The file of the documents' embeddings."""
UNIT_TENSORS: dict[str, Any] = {"convert_to_tensor": True, "normalize_embeddings": True, "batch_size": BATCH}

Prompts = tuple[str | None, str | None]
"""What goes before queries and documents; None: what the embedder itself has for them."""


def searcher(folder: Path, prompts: tuple[str, str], max_length: int | None) -> tuple[SentenceTransformer, Prompts]:
    """The model that searches, and the prompts to give it.

    An embedder that keeps prompts is asked with its own; one without, or a plain base, with these. A plain base reads
    `max_length` tokens of a text; None: as many as it can.
    """
    if not (folder / MODULES).is_file():
        return embedder(folder, max_length), prompts
    model = saved(folder, "cuda" if child.use_gpu() else "cpu", torch.float16 if child.use_gpu() else None)
    return model, (None, None) if any(prompts_of(model)) else prompts


def queries(model: SentenceTransformer, texts: list[str], prompt: str | None) -> Tensor:
    """Q × D: the embeddings of queries, at unit length."""
    found: Tensor = model.encode_query(texts, prompt=prompt, **UNIT_TENSORS).float()
    return found


def documents(
    texts: Callable[[Sequence[int]], list[str]],
    count: int,
    model: SentenceTransformer,
    prompt: str | None,
    folder: Path,
    done: Callable[[int], None],
) -> np.ndarray:
    """N × D, float16: the embeddings of all documents, at unit length; what an earlier run has embedded is kept.

    Args:
        texts: the documents with these numbers.
        count: how many documents there are.
        model: embeds them.
        prompt: goes before each of them.
        folder: where the file of embeddings is.
        done: is told how many documents are embedded so far.
    """
    width = model.get_embedding_dimension()
    assert width is not None
    folder.mkdir(parents=True, exist_ok=True)
    file, step = folder / EMBEDDINGS, EMBEDDED_AT_ONCE * width * np.dtype(np.float16).itemsize
    whole = file.stat().st_size // step if file.exists() else 0
    with file.open("ab") as out:
        out.truncate(whole * step)  # a piece that was being written
        for start in range(whole * EMBEDDED_AT_ONCE, count, EMBEDDED_AT_ONCE):
            part = texts(range(start, min(start + EMBEDDED_AT_ONCE, count)))
            vectors = model.encode_document(part, prompt=prompt, **UNIT_TENSORS)
            out.write(vectors.cpu().to(torch.float16).numpy().tobytes())
            done(start + len(part))
    return np.memmap(file, np.float16, "r", shape=(count, width))


def piece(found: np.ndarray, numbers: Sequence[int], device: torch.device) -> Tensor:
    """The embeddings of some documents; a range is read in one go."""
    chosen = found[numbers.start : numbers.stop] if isinstance(numbers, range) else found[list(numbers)]
    return torch.from_numpy(np.array(chosen)).to(device).float()


def pieces(count: int) -> list[range]:
    """The numbers of `count` documents, cut into pieces that are compared at once."""
    return [range(start, min(start + DOCUMENTS_AT_ONCE, count)) for start in range(0, count, DOCUMENTS_AT_ONCE)]


def keep_best(cosines: np.ndarray, numbers: np.ndarray, cosines_QN: Tensor, start: int) -> None:
    """Put the best of a piece, whose first document has the number `start`, among the best so far."""
    most = cosines.shape[1]
    top = cosines_QN.topk(min(most, cosines_QN.shape[1]))
    values = torch.cat([torch.from_numpy(cosines), top.values.cpu()], 1)
    places = torch.cat([torch.from_numpy(numbers), top.indices.cpu().int() + start], 1)
    best = values.topk(most)
    cosines[:], numbers[:] = best.values.numpy(), places.gather(1, best.indices).numpy()
