"""Labelled sets beside the synthetic rows: drawn by weight, with their instructions and hard negatives (E5 App. A).

Every set is a Hub dataset at a commit; its files are already in a folder.
"""

from random import Random

from hub_speed.training.embedder import mining, sets
from hub_speed.training.embedder.sets import Row
from hub_speed.training.embedder.settings import EmbedderSettings
from hub_speed.training.process import child


def read(settings: EmbedderSettings) -> tuple[list[Row], int]:
    """The rows of all labelled sets, and how many hard negatives were mined for them.

    Raises:
        StageError: a set lacks the config, split, file or column that the recipe names, or is empty.
    """
    rows: list[Row] = []
    mined = 0
    for source in settings.labelled:
        recipe, rng_seed = source.recipe, settings.recipe.rng_seed
        found = sets.read(source, settings.work / "datasets")
        drawn = draw(found.rows, recipe.weight, recipe.max_rows, rng_seed)
        for row in drawn:
            # Drawn by the row's own generator: it has the same instruction whatever other rows are drawn.
            row["instruction"] = Random(f"{rng_seed} {row['id']}").choice(recipe.instructions)
        if recipe.mines:
            mined += mining.add_negatives(drawn, found, recipe, settings)
        rows += drawn
    return rows, mined


def draw(rows: list[Row], weight: float, max_rows: int | None, rng_seed: int) -> list[Row]:
    """Rows as often as `weight` says: 0.1 is a tenth of them, 2 is every one twice; then at most `max_rows`."""
    random, n = Random(rng_seed), round(weight * len(rows))
    drawn: list[Row] = []
    while len(drawn) < n:
        drawn += random.sample(rows, min(n - len(drawn), len(rows)))
    return drawn[:max_rows]


if __name__ == "__main__":  # fills the caches in `work`, before several processes read them
    child.run(EmbedderSettings, lambda settings: {"mined": read(settings)[1]})
