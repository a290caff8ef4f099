"""What ranks texts in the Search tab: the embedder, its base before the training, BM25, or any small model by name."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from models import WEIGHTS, Models

from hub_speed.errors import HubError, HubSpeedError, NotFound
from hub_speed.hub import Ref
from hub_speed.text import with_instruction, words

BASE, BM25 = "base", "bm25"
MAX_BYTES = 700_000_000
"""Weights of a model that a visitor names. Assumption: some 170 million parameters, read in seconds on two cores."""
NAMED_KEPT = 2
"""Such models in memory. Assumption: two of the largest fit a small Space beside its own models."""
BATCH = 32


class Embedders:
    """Scores of texts for queries, by any of the embedders."""

    def __init__(self, models: Models) -> None:
        self.models, self._hub = models, models.published.hub
        self._named: dict[str, Any] = {}

    def title(self, name: str) -> str:
        """What an embedder is called on the page."""
        if name == "embedder":
            return str(self.models.published.ref("embedder"))
        if name == BM25:
            return "BM25 (words in common)"
        return f"{self.base()} before the training" if name == BASE else name

    def base(self) -> Ref:
        """The model that the embedder was trained from."""
        record = self.models.published.record(self.models.published.ref("embedder"))
        return record.inputs["base"]

    def scores(self, name: str, queries: Sequence[str], texts: Sequence[str], instruction: str = "") -> np.ndarray:
        """The score of every text for every query, shape (queries, texts): cosines, or BM25's sums.

        Args:
            name: "embedder", "base", "bm25" or a model on the Hub: org/name or org/name@revision, which reads queries
                with its own prompts and not the instruction.
            queries: what is searched for.
            texts: where it is searched.
            instruction: goes before each query; empty for none.
        """
        if name == BM25:
            return bm25(queries, texts)
        options: dict[str, Any] = {"normalize_embeddings": True, "show_progress_bar": False, "batch_size": BATCH}
        if name in ("embedder", BASE):
            model = self.models.embedder() if name == "embedder" else self._untrained()
            asked = [with_instruction(instruction, query) if instruction else query for query in queries]
            vectors = model.encode([*asked, *texts], **options)
            return np.asarray(vectors[: len(asked)] @ vectors[len(asked) :].T)
        model = self._by_name(name)
        found = model.encode_query(list(queries), **options) @ model.encode_document(list(texts), **options).T
        return np.asarray(found)

    def _untrained(self) -> Any:
        """The embedder with the weights its training began with: the same tokenizer, pooling and length."""
        from transformers import AutoModel

        def load() -> Any:
            model = self.models.load_embedder()
            folder = self._hub.fetch(self.base(), *WEIGHTS)
            weights = AutoModel.from_pretrained(folder, trust_remote_code=False, use_safetensors=True)
            weights.resize_token_embeddings(len(model.tokenizer), mean_resizing=False)
            model[0].auto_model.load_state_dict(weights.state_dict())
            return model

        return self.models.published.keep("untrained base", load)

    def _by_name(self, name: str) -> Any:
        """A SentenceTransformer from the Hub; the one that was used longest ago makes room for it.

        Raises:
            HubSpeedError: there is no such model, it is too large, or its weights are not safetensors.
        """
        from sentence_transformers import SentenceTransformer

        if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", name):
            raise HubSpeedError("This is not the name of a model", expected="org/name", got=name[:100])
        try:
            ref = self._hub.pin("model", name)
        except NotFound as error:  # its remedy is meant for who has this Hub's keys
            where = f"{name} is not on {self._hub.endpoint}, or not for everybody"
            raise HubError(where, fix="name a public model of this Hub, and a version that it has") from error
        if ref.version in self._named:
            self._named[ref.version] = self._named.pop(ref.version)
            return self._named[ref.version]
        weights = {path: size for path, size in self._hub.files(ref).items() if path.endswith(".safetensors")}
        if not weights:
            raise HubError(f"{ref} has no weights in safetensors", fix="name another model")
        if sum(weights.values()) > MAX_BYTES:
            got = f"{sum(weights.values()) / 1e6:,.0f} MB"
            raise HubError(f"{ref} is too large to be run here", expected=f"at most {MAX_BYTES // 10**6} MB", got=got)
        folder, options = self._hub.fetch(ref, *WEIGHTS), {"use_safetensors": True}
        try:
            model = SentenceTransformer(str(folder), device="cpu", trust_remote_code=False, model_kwargs=options)
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise HubError(f"{ref} cannot be used as an embedder", got=reason, fix="name another model") from error
        self._named[ref.version] = model
        while len(self._named) > NAMED_KEPT:
            del self._named[next(iter(self._named))]
        return model


def bm25(queries: Sequence[str], texts: Sequence[str], k1: float = 1.5, b: float = 0.75) -> np.ndarray:
    """BM25 scores in Lucene's form, shape (queries, texts). Source: Robertson & Zaragoza 2009; k1 and b as usual."""
    counts = [Counter(words(text)) for text in texts]
    sizes = np.array([max(1, count.total()) for count in counts])
    held = Counter(word for count in counts for word in count)
    found = np.zeros((len(queries), len(texts)))
    for row, query in zip(found, queries, strict=True):
        for word in words(query):
            weight = np.log(1 + (len(texts) - held[word] + 0.5) / (held[word] + 0.5))
            there = np.array([count[word] for count in counts])
            row += weight * there / (there + k1 * (1 - b + b * sizes / sizes.mean()))
    return found
