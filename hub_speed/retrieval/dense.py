"""Search by an embedder: the cosines of queries and passages."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hub_speed.retrieval.passages import Passages
from hub_speed.retrieval.settings import SearchSettings
from hub_speed.training.embedder import nearest
from hub_speed.training.process import child

ROUNDING = 1e-5
"""Two cosines that differ by less are equal: one pair of vectors gives several values in several products."""

Places = list[tuple[int, int]]
"""Pairs of a query and a passage, by their numbers."""


class Dense:
    """Embedded queries and passages; embedding reports the number of passages as steps."""

    def __init__(self, settings: SearchSettings, passages: Passages, queries: list[str]) -> None:
        model, (before_query, before_passage) = nearest.searcher(settings.embedder, settings.prompts, None)
        self._vectors = nearest.documents(
            passages.searched, len(passages), model, before_passage, settings.work, lambda done: child.say(step=done)
        )
        self._asked_QD = nearest.queries(model, queries, before_query)

    def cosines(self, places: Places) -> list[float]:
        """The cosine of each pair."""
        return [value for _, part in _parts(places) for value in self._cosines(part).tolist()]

    def ranks(self, places: Places) -> list[int]:
        """The rank of each pair's passage for its query, counted from 1; of equal passages, each has the best rank."""
        ranks = torch.ones(len(places), dtype=torch.int64)
        own = [self._cosines(part) for _, part in _parts(places)]
        for numbers in nearest.pieces(len(self._vectors)):
            piece_ND = nearest.piece(self._vectors, numbers, self._asked_QD.device)
            for own_P, (start, part) in zip(own, _parts(places), strict=True):
                cosines_PN = self._asked_QD[[query for query, _ in part]] @ piece_ND.T
                ranks[start : start + len(part)] += (cosines_PN > own_P[:, None] + ROUNDING).sum(1).cpu()
        found: list[int] = ranks.tolist()
        return found

    def first(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Q × `most`: cosines and numbers of the passages nearest to each query, the nearest first."""
        shape = (len(self._asked_QD), min(most, len(self._vectors)))
        cosines, numbers = np.full(shape, -np.inf, np.float32), np.zeros(shape, np.int32)
        for some in nearest.pieces(len(self._vectors)):
            piece_ND = nearest.piece(self._vectors, some, self._asked_QD.device)
            for start in range(0, len(cosines), nearest.QUERIES_AT_ONCE):
                part = slice(start, start + nearest.QUERIES_AT_ONCE)
                nearest.keep_best(cosines[part], numbers[part], self._asked_QD[part] @ piece_ND.T, some.start)
        return cosines, numbers

    def _cosines(self, part: Places) -> Tensor:
        passages_PD = nearest.piece(self._vectors, [passage for _, passage in part], self._asked_QD.device)
        return (self._asked_QD[[query for query, _ in part]] * passages_PD).sum(1)


def _parts(places: Places) -> Iterator[tuple[int, Places]]:
    """The pairs, as many as are compared at once, each with the number of its first."""
    for start in range(0, len(places), nearest.QUERIES_AT_ONCE):
        yield start, places[start : start + nearest.QUERIES_AT_ONCE]
