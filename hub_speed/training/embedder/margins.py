"""How much nearer to its query the positive of a candidate is than its hard negative, as an embedder sees it.

A process of its own, like a training; nothing is trained. The embedder uses its own prompts for queries and documents.
"""

import json
from typing import Any

import numpy as np

from hub_speed.record import Json
from hub_speed.training.embedder.backbone import saved
from hub_speed.training.embedder.settings import MarginSettings
from hub_speed.training.process import child

QUERIES_AT_ONCE = 256
"""How many queries are compared with all positives in one matrix product."""


def measure(settings: MarginSettings) -> Json:
    """The margin of every candidate, and whether its negative is hard; both are defined in `margins`."""
    found: list[Json] = json.loads(settings.candidates.read_text("utf-8"))
    model = saved(settings.model, "cuda" if child.use_gpu() else "cpu")
    margins_N, hard_N = np.zeros(len(found)), np.ones(len(found), bool)
    child.say(total=len(found))
    for kind in dict.fromkeys(one["task_type"] for one in found):
        places = [i for i, one in enumerate(found) if one["task_type"] == kind]
        margins_N[places], hard_N[places] = margins([found[i] for i in places], model)
    child.say(step=len(found))
    return {"margins": margins_N.tolist(), "hard": hard_N.tolist()}


def margins(rows: list[Json], model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Cosine of query and positive − cosine of query and negative, and whether the negative is hard.

    A negative is hard when it is at least as near to the query as half of the positives of other prompts. Where a task
    type has no negative, the nearest positive of another prompt takes its place.

    Args:
        rows: `prompt`, `query`, `positive` and `negative` of candidates, all of one task type.
        model: has `encode_query` and `encode_document`.
    """
    unit = {"normalize_embeddings": True, "show_progress_bar": False}
    queries_ND = model.encode_query([row["query"] for row in rows], **unit)
    positives_ND = model.encode_document([row["positive"] for row in rows], **unit)
    prompts_N = np.unique([row["prompt"] for row in rows], return_inverse=True)[1]
    parts = []
    for start in range(0, len(rows), QUERIES_AT_ONCE):
        part = slice(start, start + QUERIES_AT_ONCE)
        same_QN = prompts_N[part, None] == prompts_N
        others_QN = np.where(same_QN, -1.0, queries_ND[part] @ positives_ND.T)
        parts.append((others_QN.max(1), np.median(others_QN, 1)))
    nearest_N, middle_N = (np.concatenate(column) for column in zip(*parts, strict=True))
    if rows[0]["negative"] is not None:
        nearest_N = _cosines(queries_ND, model.encode_document([row["negative"] for row in rows], **unit))
    return _cosines(queries_ND, positives_ND) - nearest_N, nearest_N >= middle_N


def _cosines(one_ND: np.ndarray, other_ND: np.ndarray) -> np.ndarray:
    return np.asarray((one_ND * other_ND).sum(1))


if __name__ == "__main__":
    child.run(MarginSettings, measure)
