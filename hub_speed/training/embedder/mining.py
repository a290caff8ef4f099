"""Hard negatives that a miner ranks high for a query, out of all documents of a set (E5 App. A).

How the documents are embedded and kept: `nearest.py`. What was mined is kept as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor

from hub_speed.recipe import Labelled
from hub_speed.record import digest_of
from hub_speed.training.embedder import nearest
from hub_speed.training.embedder.sets import Found, Row
from hub_speed.training.embedder.settings import EmbedderSettings
from hub_speed.training.process import child


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
        (folder / nearest.EMBEDDINGS).unlink(missing_ok=True)
    chosen: np.ndarray = np.load(file, allow_pickle=False)
    return chosen


def _mine(pairs: list[Pair], found: Found, settings: EmbedderSettings, folder: Path) -> np.ndarray:
    """The number of each pair's hard negative, -1 where there is none."""
    recipe = settings.recipe
    assert settings.miner is not None  # an input of the stage where a set has no negatives
    miner, prompts = nearest.searcher(settings.miner, recipe.prompts_of_miner, recipe.max_length)
    documents = nearest.documents(
        found.texts,
        found.documents,
        miner,
        prompts[1],
        folder,
        lambda done: child.say(note=f"mining: {done:,} of {found.documents:,} documents embedded"),
    )
    queries = {query: i for i, query in enumerate(dict.fromkeys(pair.query for pair in pairs))}
    asked_QD = nearest.queries(miner, list(queries), prompts[0])
    asked = torch.tensor([queries[pair.query] for pair in pairs], device=asked_QD.device)
    cosines, numbers = _ranked(pairs, found, asked_QD, asked, documents, min(recipe.mine_to, len(documents)))
    chosen = np.full(len(pairs), -1)
    for start in range(0, len(pairs), nearest.QUERIES_AT_ONCE):
        part = slice(start, start + nearest.QUERIES_AT_ONCE)
        positives = nearest.piece(documents, [pair.document for pair in pairs[part]], asked_QD.device)
        own = (asked_QD[asked[part]] * positives).sum(1).tolist()
        for i, own_cosine in enumerate(own, start):
            highest = own_cosine - recipe.mine_margin * abs(own_cosine)
            ranked = zip(cosines[i, recipe.mine_from :].tolist(), numbers[i, recipe.mine_from :].tolist(), strict=True)
            if fit := [number for cosine, number in ranked if -np.inf < cosine <= highest]:
                random = Random(f"{recipe.rng_seed} {pairs[i].query} {pairs[i].document}")  # the pair's own
                chosen[i] = random.choice(fit)
    return chosen


def _ranked(
    pairs: list[Pair], found: Found, asked_QD: Tensor, asked: Tensor, documents: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """P × `most`: cosines and numbers of the documents nearest to each pair's query, the nearest first."""
    cosines, numbers = np.full((len(pairs), most), -np.inf, np.float32), np.zeros((len(pairs), most), np.int32)
    answers = [(document, i) for i, pair in enumerate(pairs) for document in sorted(found.answers[pair.query])]
    barred = np.array(sorted(answers), np.int64)
    alike = {label: np.array(sorted(found.alike[label])) for label in {pair.label for pair in pairs} if label}
    for numbers_N in nearest.pieces(len(documents)):
        start, stop = numbers_N.start, numbers_N.stop
        piece_ND = nearest.piece(documents, numbers_N, asked_QD.device)
        here = barred[slice(*np.searchsorted(barred[:, 0], [start, stop]))]
        here = here[here[:, 1].argsort(kind="stable")]
        for first in range(0, len(pairs), nearest.QUERIES_AT_ONCE):
            part = slice(first, first + nearest.QUERIES_AT_ONCE)
            cosines_PN = asked_QD[asked[part]] @ piece_ND.T
            own = here[slice(*np.searchsorted(here[:, 1], [first, first + nearest.QUERIES_AT_ONCE]))]
            cosines_PN[own[:, 1] - first, own[:, 0] - start] = -torch.inf
            for i, pair in enumerate(pairs[part]):
                if pair.label:
                    same = alike[pair.label]
                    cosines_PN[i, same[slice(*np.searchsorted(same, [start, stop]))] - start] = -torch.inf
            nearest.keep_best(cosines[part], numbers[part], cosines_PN, start)
    return cosines, numbers
