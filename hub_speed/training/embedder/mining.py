"""Hard negatives that a miner ranks high for a query, out of all documents of a set (E5 App. A).

The documents' embeddings lie on the disk, two bytes a dimension, and are read piece by piece: MS MARCO's 8,841,823
passages at 768 dimensions take 13.6 GB of disk. In memory are one piece, the queries, and the best documents of each
pair so far: 1 GB for 270,000 pairs. A run that was stopped goes on where the embedding was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from hub_speed.recipe import Labelled
from hub_speed.record import digest_of
from hub_speed.training.embedder.backbone import embedder, prompts_of, saved
from hub_speed.training.embedder.sets import Found, Row
from hub_speed.training.embedder.settings import EmbedderSettings
from hub_speed.training.older_readers import MODULES
from hub_speed.training.process import child

DOCUMENTS_AT_ONCE = 50_000
"""How many documents are embedded, and then compared with queries, in one piece."""
PAIRS_AT_ONCE = 256
"""How many queries are compared with a piece of the documents in one matrix product."""
BATCH = 256
"""Texts that the miner embeds at once."""
EMBEDDINGS = "documents.f16"
"""The file of the documents' embeddings."""
UNIT_TENSORS: dict[str, Any] = {"convert_to_tensor": True, "normalize_embeddings": True}


@dataclass(frozen=True)
class Pair:
    """A query, the number of the document that answers it, and the row's label."""

    query: str
    document: int
    label: str | None


def add_negatives(rows: list[Row], found: Found, recipe: Labelled, settings: EmbedderSettings) -> int:
    """Give rows a hard negative: a document of the same set that a miner ranks high for the query; returns how many.

    Candidates are the ranks `mine_from` to `mine_to` among the documents of other queries and, where there are labels,
    of other labels. Those whose similarity comes within `mine_margin` (a share of the positive's) are left out, since
    they may be answers as well. A row that has no candidate stays without.
    """
    pairs = list(dict.fromkeys(Pair(row["query"], row["document"], row["label"]) for row in rows))
    folder = settings.work / "mining" / digest_of([recipe.deciding(), settings.recipe.deciding()])[:16]
    chosen = _cached(folder, lambda: _mine(pairs, found, settings, folder))
    wanted = [int(number) for number in chosen if number >= 0]
    texts = dict(zip(wanted, found.texts(wanted), strict=True))
    negatives = dict(zip(pairs, (texts.get(int(number)) or None for number in chosen), strict=True))
    for row in rows:
        row["negative"] = negatives[Pair(row["query"], row["document"], row["label"])]
    return sum(row["negative"] is not None for row in rows)


def _cached(folder: Path, mine: Callable[[], np.ndarray]) -> np.ndarray:
    """What was mined before a run was stopped, or what is mined now; then the embeddings are not needed any more."""
    file = folder / "negatives.npy"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        found = mine()
        with (folder / "part").open("wb") as out:
            np.save(out, found, allow_pickle=False)
        (folder / "part").replace(file)
        (folder / EMBEDDINGS).unlink(missing_ok=True)
    chosen: np.ndarray = np.load(file, allow_pickle=False)
    return chosen


def _mine(pairs: list[Pair], found: Found, settings: EmbedderSettings, folder: Path) -> np.ndarray:
    """The number of each pair's hard negative, -1 where there is none."""
    recipe, (miner, prompts) = settings.recipe, _miner(settings)
    documents = _embedded(found, miner, prompts[1], folder)
    queries = {query: i for i, query in enumerate(dict.fromkeys(pair.query for pair in pairs))}
    asked_QD = miner.encode_query(list(queries), prompt=prompts[0], batch_size=BATCH, **UNIT_TENSORS).float()
    asked = torch.tensor([queries[pair.query] for pair in pairs], device=asked_QD.device)
    cosines, numbers = _ranked(pairs, found, asked_QD, asked, documents, min(recipe.mine_to, len(documents)))
    chosen = np.full(len(pairs), -1)
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        positives = _piece(documents, [pair.document for pair in pairs[part]], asked_QD.device)
        own = (asked_QD[asked[part]] * positives).sum(1).tolist()
        for i, own_cosine in enumerate(own, start):
            highest = own_cosine - recipe.mine_margin * abs(own_cosine)
            ranked = zip(cosines[i, recipe.mine_from :].tolist(), numbers[i, recipe.mine_from :].tolist(), strict=True)
            if fit := [number for cosine, number in ranked if -np.inf < cosine <= highest]:
                random = Random(f"{recipe.rng_seed} {pairs[i].query} {pairs[i].document}")  # the pair's own
                chosen[i] = random.choice(fit)
    return chosen


def _embedded(found: Found, miner: SentenceTransformer, prompt: str | None, folder: Path) -> np.ndarray:
    """N × D, float16: all documents, at unit length; what an earlier run has embedded is kept."""
    width = miner.get_embedding_dimension()
    assert width is not None
    file, step = folder / EMBEDDINGS, DOCUMENTS_AT_ONCE * width * np.dtype(np.float16).itemsize
    done = file.stat().st_size // step if file.exists() else 0
    with file.open("ab") as out:
        out.truncate(done * step)  # a piece that was being written
        for start in range(done * DOCUMENTS_AT_ONCE, found.documents, DOCUMENTS_AT_ONCE):
            texts = found.texts(range(start, min(start + DOCUMENTS_AT_ONCE, found.documents)))
            vectors = miner.encode_document(texts, prompt=prompt, batch_size=BATCH, **UNIT_TENSORS)
            out.write(vectors.cpu().to(torch.float16).numpy().tobytes())
            child.say(note=f"mining: {start + len(texts):,} of {found.documents:,} documents embedded")
    return np.memmap(file, np.float16, "r", shape=(found.documents, width))


def _ranked(
    pairs: list[Pair], found: Found, asked_QD: Tensor, asked: Tensor, documents: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """P × `most`: cosines and numbers of the documents nearest to each pair's query, the nearest first."""
    cosines, numbers = np.full((len(pairs), most), -np.inf, np.float32), np.zeros((len(pairs), most), np.int32)
    answers = [(document, i) for i, pair in enumerate(pairs) for document in sorted(found.answers[pair.query])]
    barred = np.array(sorted(answers), np.int64)
    alike = {label: np.array(sorted(found.alike[label])) for label in {pair.label for pair in pairs} if label}
    for start in range(0, len(documents), DOCUMENTS_AT_ONCE):
        stop = min(start + DOCUMENTS_AT_ONCE, len(documents))
        piece_ND = _piece(documents, range(start, stop), asked_QD.device)
        here = barred[slice(*np.searchsorted(barred[:, 0], [start, stop]))]
        here = here[here[:, 1].argsort(kind="stable")]
        for first in range(0, len(pairs), PAIRS_AT_ONCE):
            part = slice(first, first + PAIRS_AT_ONCE)
            cosines_PN = asked_QD[asked[part]] @ piece_ND.T
            own = here[slice(*np.searchsorted(here[:, 1], [first, first + PAIRS_AT_ONCE]))]
            cosines_PN[own[:, 1] - first, own[:, 0] - start] = -torch.inf
            for i, pair in enumerate(pairs[part]):
                if pair.label:
                    same = alike[pair.label]
                    cosines_PN[i, same[slice(*np.searchsorted(same, [start, stop]))] - start] = -torch.inf
            _keep_best(cosines[part], numbers[part], cosines_PN, start)
    return cosines, numbers


def _keep_best(cosines: np.ndarray, numbers: np.ndarray, cosines_PN: Tensor, start: int) -> None:
    """Put the best of a piece, whose first document has the number `start`, among the best so far."""
    most = cosines.shape[1]
    top = cosines_PN.topk(min(most, cosines_PN.shape[1]))
    values = torch.cat([torch.from_numpy(cosines), top.values.cpu()], 1)
    places = torch.cat([torch.from_numpy(numbers), top.indices.cpu().int() + start], 1)
    best = values.topk(most)
    cosines[:], numbers[:] = best.values.numpy(), places.gather(1, best.indices).numpy()


def _piece(documents: np.ndarray, numbers: Sequence[int], device: torch.device) -> Tensor:
    """The embeddings of some documents; a range is read in one go."""
    chosen = documents[numbers.start : numbers.stop] if isinstance(numbers, range) else documents[list(numbers)]
    return torch.from_numpy(np.array(chosen)).to(device).float()


def _miner(settings: EmbedderSettings) -> tuple[SentenceTransformer, tuple[str | None, str | None]]:
    """The model that ranks documents, an embedder as it was published or a plain base, and the prompts to give it.

    An embedder that keeps prompts is asked with its own (None); another one with the recipe's.
    """
    assert settings.miner is not None  # an input of the stage where a set has no negatives
    if not (settings.miner / MODULES).is_file():
        return embedder(settings.miner, settings.recipe.max_length), settings.recipe.prompts_of_miner
    miner = saved(settings.miner, dtype=torch.float16 if child.use_gpu() else None)
    return miner, (None, None) if any(prompts_of(miner)) else settings.recipe.prompts_of_miner
