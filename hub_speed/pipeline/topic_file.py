"""A recipe's topic file as a pinned version on the Hub."""

import json
from pathlib import Path

from hub_speed.cards.render import topics_card
from hub_speed.errors import NotFound
from hub_speed.generation import topics
from hub_speed.parquet import write_parquet
from hub_speed.pipeline.plan import pin_repo
from hub_speed.pipeline.session import Session
from hub_speed.recipe import TOPIC_FILES, Recipe
from hub_speed.rows import TopicRow
from hub_speed.stage import FromHub


def with_topics(recipe: Recipe, session: Session, *, publish: bool) -> Recipe:
    """The recipe with its topic file, if it names one, as a pinned version of `<org>/speed-topics`.

    With `publish`, the file is published when it is not there yet; without, the recipe stays as it is then.

    Raises:
        RecipeError: the file cannot be read or is empty.
    """
    name = recipe.brainstorm.topics
    if recipe.brainstorm.tasks or recipe.embedder.of_documents or not name.endswith(TOPIC_FILES):
        return recipe
    paths = topics.read_file(Path(name))

    def make(folder: Path) -> None:
        write_parquet(({"topic": path} for path in paths), TopicRow, folder / "data")
        (folder / "README.md").write_text(topics_card(len(paths), recipe.license), "utf-8")

    repo, content = f"{session.org}/speed-topics", json.dumps(paths)
    ref = (
        session.hub.ensure("dataset", repo, content, make)
        if publish
        else session.hub.find_content("dataset", repo, content)
    )
    if ref is None:
        return recipe
    pinned = recipe.brainstorm.model_copy(update={"topics": f"{ref.repo}@{ref.commit}"})
    return recipe.model_copy(update={"brainstorm": pinned})


def read_topics(recipe: Recipe, session: Session) -> list[str]:
    """The topics there are to brainstorm for; none when they are not on the Hub yet, or may not be read."""
    name = recipe.brainstorm.topics
    if name.endswith(TOPIC_FILES):
        return topics.read_file(Path(name))
    try:
        return topics.read_set(session.hub.fetch(pin_repo(FromHub("dataset", name), session)), name)
    except NotFound:
        return []
