"""The settings of the processes that search a corpus."""

from pathlib import Path

from pydantic import PositiveInt

from hub_speed.recipe import Mine
from hub_speed.training.process.settings import Settings


class SearchSettings(Settings):
    """What every search needs.

    Attributes:
        questions: folder of parquet with id, query, positive_ids and, where not all are English, language.
        passages: folder of parquet of `rows.PassageRow`.
        embedder: folder of the model that searches.
        prompts: put before queries and passages, where the model keeps no prompts itself.
        out: a file to write what was found.
    """

    questions: Path
    passages: Path
    embedder: Path
    prompts: tuple[str, str] = ("", "")
    out: Path


class RoundTripSettings(SearchSettings):
    """What it takes to see which questions find their passages; `top_k`: among how many first results."""

    top_k: PositiveInt


class MiningSettings(SearchSettings):
    """What it takes to find hard negatives; questions and passages of other splits than train are left out."""

    recipe: Mine
