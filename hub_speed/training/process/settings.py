"""What a training process is started with: frozen models, written as JSON by the parent and read by the child."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """The settings of any child process; `work` is a folder of its own that survives a kill."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    work: Path


class TestTextSettings(Settings):
    """What to read the texts of: benchmarks and tasks of mteb (`mteb:…`).

    Attributes:
        out: a folder to fill with `test_texts.TestText`s.
        most: texts of each task; of more, so many that lie evenly among them.
    """

    __test__ = False  # no class of tests, whatever pytest thinks of its name
    names: tuple[str, ...]
    out: Path
    most: int


class Tests(BaseModel):
    """Test texts that may not stand in training rows: a folder of `test_texts.TestText`s, and the recipe's fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    __test__ = False  # as above
    folder: Path
    coverage: float
    drop: tuple[str, ...]


class PinnedModel(BaseModel):
    """A model in a folder of this machine, and where the Hub has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path
    repo: str
    commit: str


class TrainingSettings(Settings):
    """What every training needs; `checkpoint_s` None: no checkpoints are written."""

    base: PinnedModel
    gradient_checkpointing: bool
    checkpoint_s: float | None = None
