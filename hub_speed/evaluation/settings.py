"""The settings of the processes that score embedders and that measure the scaling law."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hub_speed.recipe import Pooling
from hub_speed.text import Instructions
from hub_speed.training.embedder.settings import FitSettings
from hub_speed.training.process.settings import Settings


class Benchmark(BaseModel):
    """A benchmark or task of mteb, by name (`mteb:…`), or a Hub dataset with its folder, commit and instruction."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    folder: Path | None = None
    commit: str = ""
    instruction: str = ""  # "": the default of the kind of task


class Subject(BaseModel):
    """What is scored: an embedder or its base, each in a folder, or BM25.

    Attributes:
        name: in tables.
        kind: an embedder and a base are given the task's instruction; "published" is an embedder with its own prompts.
        folder: of the model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Literal["embedder", "base", "published", "bm25"]
    folder: Path | None = None


class ScoringSettings(Settings):
    """Which subjects are scored on which benchmarks.

    Attributes:
        items: a folder to fill with one row per query, pair or text.
        max_length: tokens of a text that are read.
        pooling: of the untrained base; None: by its architecture.
        instructions: the form of what the embedder and the untrained base read before a query.
        devices: GPUs; with several, each has a worker of its own.
        bases_everywhere: whether bases are scored on mteb's tasks as well, so that one sees what a training forgets.
    """

    subjects: tuple[Subject, ...]
    benchmarks: tuple[Benchmark, ...]
    items: Path
    max_length: int
    pooling: Pooling | None = None
    instructions: Instructions = "natural"
    devices: tuple[str, ...] = ()
    bases_everywhere: bool = False


class ScalingSettings(FitSettings):
    """One embedder is trained per size and seed, on rows of `data`, and scored on the benchmarks.

    With several GPUs (`devices`), each has a worker of its own.
    """

    data: Path
    benchmarks: tuple[Benchmark, ...]
    sizes: tuple[int, ...]
    rng_seeds: tuple[int, ...]
    devices: tuple[str, ...] = ()
