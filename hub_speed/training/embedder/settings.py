"""The settings of the processes that train an embedder, or measure with one."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveInt

from hub_speed.recipe import Embedder, Labelled
from hub_speed.training.process.settings import PinnedModel, Settings, Tests, TrainingSettings

SCORES = "scores.jsonl"
"""The file of a reranker's scores: a line for each row, [id, [score of each text]]."""


class LabelledSet(BaseModel):
    """A labelled set of the recipe, and the folder its files lie in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Labelled
    folder: Path


class FitSettings(TrainingSettings):
    """What training on rows that are already read needs.

    Attributes:
        mini_batch_size: texts in memory at once (GradCache).
        teacher: folder of the larger embedder to learn from; None without one.
    """

    recipe: Embedder
    mini_batch_size: PositiveInt
    teacher: Path | None = None


class EmbedderSettings(FitSettings):
    """What it takes to read the rows, train and publish.

    Attributes:
        data: folder of parquet with id, task_type, instruction, query, positive and negative, and lists of these.
        out: a new folder for the embedder.
        labelled: sets that are mixed with these rows.
        miner: folder of the model that finds their hard negatives; None where every set brings its own.
        tests: texts that may not stand in the rows; None where that was seen to before, or nobody asks for it.
        default_instruction: what `encode_query` puts before a query when nothing else is given.
        merged: the models of `embedder.merge`, in its order.
    """

    data: Path
    out: Path
    labelled: tuple[LabelledSet, ...] = ()
    miner: Path | None = None
    tests: Tests | None = None
    default_instruction: str
    merged: tuple[PinnedModel, ...] = ()


class RerankSettings(Settings):
    """What it takes to score the texts of rows with a cross-encoder; the scores lie in `work`, see `reranking`.

    Attributes:
        model: folder of a cross-encoder.
        data: folder of parquet with id, query, and positives and negatives (or positive and negative).
        batch_size: texts in memory at once.
    """

    model: Path
    data: Path
    batch_size: PositiveInt


class MarginSettings(Settings):
    """What it takes to measure candidates for training rows.

    Attributes:
        model: folder of an embedder.
        candidates: a JSON list of objects with task_type, prompt, query, positive and negative (null for pairs).
    """

    model: Path
    candidates: Path


def scores_in(work: Path) -> dict[str, list[float]]:
    """Row → the scores of its texts, positives first, as `reranking` has left them in a work folder."""
    lines = (work / SCORES).read_text("utf-8").splitlines()
    return dict(json.loads(line) for line in lines)
