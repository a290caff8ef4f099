"""How well each text of a row answers its query, as a cross-encoder of the Hub sees it: a score between 0 and 1.

A process of its own, like a training; nothing is trained. A run that was stopped goes on where the scores end.
"""

import json
from pathlib import Path
from typing import Any, cast

import torch
from sentence_transformers import CrossEncoder

from hub_speed.errors import StageError
from hub_speed.parquet import read_parquet
from hub_speed.record import Json
from hub_speed.training.base_model import require_safetensors
from hub_speed.training.embedder.backbone import OWN_CODE
from hub_speed.training.embedder.settings import SCORES, RerankSettings
from hub_speed.training.process import child

ROWS_AT_ONCE = 32
"""Rows whose pairs are sorted by length and scored together, and then written."""


def score(settings: RerankSettings) -> Json:
    """Write the scores of all rows into `work`; returns how many pairs were scored now.

    Raises:
        StageError: the model gives a pair no score, or several, or its weights are not safetensors.
    """
    settings.work.mkdir(parents=True, exist_ok=True)
    file = settings.work / SCORES
    done, pairs = _kept(file), 0
    rows = sorted(read_parquet(settings.data), key=lambda row: row["id"])
    child.say(total=len(rows), done=len(done))
    todo = [row for row in rows if row["id"] not in done]
    model = load(settings.model) if todo else None
    with file.open("a", encoding="utf-8") as out:
        for start in range(0, len(todo), ROWS_AT_ONCE):
            part = todo[start : start + ROWS_AT_ONCE]
            for row, scores in zip(part, scored(part, model, settings.batch_size), strict=True):
                out.write(json.dumps([row["id"], scores]) + "\n")
                pairs += len(scores)
            out.flush()
            child.say(step=len(done) + start + len(part))
    return {"pairs": pairs}


def scored(rows: list[Json], model: Any, batch_size: int) -> list[list[float]]:
    """For each row, the scores of its positives and then of its negatives, whatever scale the model itself prefers."""
    texts = [texts_of(row) for row in rows]
    pairs = [(row["query"], text) for row, found in zip(rows, texts, strict=True) for text in found]
    flat = iter(
        model.predict(pairs, batch_size=batch_size, activation_fn=torch.nn.Sigmoid(), show_progress_bar=False).tolist()
    )
    return [[round(next(flat), 6) for _ in found] for found in texts]


def texts_of(row: Json) -> list[str]:
    """The positives of a row, and then its hard negatives: lists of them, or at most one of each."""
    positives, negatives = row.get("positives") or [row["positive"]], row.get("negatives")
    return [*positives, *([row["negative"]] if negatives is None and row["negative"] else negatives or [])]


def load(folder: Path) -> CrossEncoder:
    """A cross-encoder with one score a pair; no code of its repository is run.

    Raises:
        StageError: it has no such score, or its weights are not safetensors.
    """
    require_safetensors(folder, str(folder))
    gpu = child.use_gpu()
    model = CrossEncoder(
        str(folder),
        device="cuda" if gpu else "cpu",
        model_kwargs={"use_safetensors": True, "dtype": torch.bfloat16 if gpu else torch.float32},
        **OWN_CODE,
    )
    if model.num_labels != 1:
        raise StageError(
            f"{folder}: not a reranker",
            expected="a cross-encoder with one score a pair",
            got=f"{model.num_labels} labels",
            fix="choose another one: --set relabel.reranker=org/name",
        )
    return cast(CrossEncoder, model)


def _kept(file: Path) -> set[str]:
    """The rows that an earlier run has scored; a line that was being written is cut off."""
    if not file.exists():
        return set()
    whole = file.read_bytes()
    whole = whole[: whole.rfind(b"\n") + 1]
    file.write_bytes(whole)
    return {json.loads(line)[0] for line in whole.splitlines()}


if __name__ == "__main__":
    child.run(RerankSettings, score)
