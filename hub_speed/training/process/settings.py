"""What a training process is started with: frozen models, written as JSON by the parent and read by the child."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """The settings of any child process; `work` is a folder of its own that survives a kill."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    work: Path


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
