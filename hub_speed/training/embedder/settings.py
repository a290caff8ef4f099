"""The settings of the processes that train an embedder, or measure with one."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveInt

from hub_speed.recipe import Embedder, Labelled
from hub_speed.training.process.settings import Settings, Tests, TrainingSettings


class LabelledSet(BaseModel):
    """A labelled set of the recipe, and the folder its files lie in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Labelled
    folder: Path


class FitSettings(TrainingSettings):
    """What training on rows that are already read needs; `mini_batch_size`: texts in memory at once (GradCache)."""

    recipe: Embedder
    mini_batch_size: PositiveInt


class EmbedderSettings(FitSettings):
    """What it takes to read the rows, train and publish.

    Attributes:
        data: folder of parquet with id, task_type, instruction, query, positive and negative.
        out: a new folder for the embedder.
        labelled: sets that are mixed with these rows.
        miner: folder of the model that finds their hard negatives; None where every set brings its own.
        tests: texts that may not stand in the rows; None where that was seen to before, or nobody asks for it.
        default_instruction: what `encode_query` puts before a query when nothing else is given.
    """

    data: Path
    out: Path
    labelled: tuple[LabelledSet, ...] = ()
    miner: Path | None = None
    tests: Tests | None = None
    default_instruction: str


class MarginSettings(Settings):
    """What it takes to measure candidates for training rows.

    Attributes:
        model: folder of an embedder.
        candidates: a JSON list of objects with task_type, prompt, query, positive and negative (null for pairs).
    """

    model: Path
    candidates: Path
