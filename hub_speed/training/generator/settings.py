"""The settings of the processes that fine-tune generators and the revisor."""

from pathlib import Path

from hub_speed.recipe import Senior, Sft
from hub_speed.training.process.settings import TrainingSettings


class GeneratorSettings(TrainingSettings):
    """What SFT and DPO have in common.

    Attributes:
        section: the recipe's section, to say in messages where a field is set.
        recipe: that section.
        data: folder of parquet with id, prompt, and completion (SFT) or chosen and rejected (DPO).
        out: a new folder for the model.
        micro_batch_size: most rows of a batch in memory at once; None: all of them.
    """

    section: str
    recipe: Sft | Senior
    data: Path
    out: Path
    prompt_format: str
    rng_seed: int
    micro_batch_size: int | None
    checkpoint_s: float


class SftSettings(GeneratorSettings):
    """Supervised fine-tuning: a base model and rows with prompt and completion."""

    recipe: Sft


class DpoSettings(GeneratorSettings):
    """Direct preference optimisation: the junior and rows with prompt, chosen and rejected."""

    recipe: Senior
