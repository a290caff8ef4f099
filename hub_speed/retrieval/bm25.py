"""Search by words: BM25, by bm25s with its usual numbers (k1 = 1.5, b = 0.75)."""

from collections.abc import Iterable

import bm25s
import numpy as np
import Stemmer

from hub_speed.text import words


class Bm25:
    """An index of texts.

    Args:
        texts: what is searched.
        english: words are then reduced to their stems. Scripts without spaces are searched sign by sign.
    """

    def __init__(self, texts: Iterable[str], *, english: bool) -> None:
        self._stemmer = Stemmer.Stemmer("english") if english else None
        self._index = bm25s.BM25()
        known: dict[str, str] = {}  # each word once in memory
        said = [[known.setdefault(word, word) for word in self._words(text)] for text in texts]
        self._index.index(said, show_progress=False)

    def scores(self, query: str) -> np.ndarray:
        """N: how well each text matches; 0 without a common word."""
        said = self._words(query)
        if not said:
            return np.zeros(self._index.scores["num_docs"], np.float32)
        return np.asarray(self._index.get_scores(said))

    def _words(self, text: str) -> list[str]:
        found = list(words(text))
        return self._stemmer.stemWords(found) if self._stemmer else found
