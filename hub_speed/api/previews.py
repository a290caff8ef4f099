"""A look at the first questions about somebody's documents, before a run."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hub_speed.api.hubs import OpenHub
from hub_speed.api.sessions import DEFAULT_ORG, Pairs, open_session
from hub_speed.errors import RecipeError

if TYPE_CHECKING:
    from hub_speed.grounded.preview import Preview
    from hub_speed.recipe import Recipe


def preview(
    recipe: "Recipe", hub: OpenHub, *, rows: int = 20, org: str = DEFAULT_ORG, endpoints: Pairs = ()
) -> "Preview":
    """Cut the documents into passages, and ask for the first questions about them.

    The corpus is published as by `run(…, only="corpus")`; the questions are not.

    Args:
        recipe: one about documents.
        hub: where the corpus is kept.
        rows: how many questions are asked for.
        org: organisation or user that owns the corpus.
        endpoints: where models are.

    Raises:
        RecipeError: the recipe is not about documents, its questions are written by a model that is trained first, or
            no question is asked for.

    Example:
        >>> look = preview(load_recipe("domain-demo"), hub, rows=5)
        >>> [one.reason for one in look.shown]
        ['names_source', '', '', '', '']
    """
    from hub_speed.cores import cores
    from hub_speed.generation.writers import Writers
    from hub_speed.grounded import asking
    from hub_speed.grounded.preview import look, notes
    from hub_speed.parquet import read_parquet
    from hub_speed.pipeline import run as pipeline
    from hub_speed.pipeline.plan import pin_repo
    from hub_speed.stage import FromHub

    if not recipe.embedder.of_documents or recipe.questions.generator not in ("teacher", "base"):
        raise RecipeError(
            f"preview {recipe.name}",
            expected="a recipe about documents whose questions.generator is teacher or base",
            got=f"embedder.data {recipe.embedder.data}, questions.generator {recipe.questions.generator}",
            fix="hub-speed preview domain --set corpus.source=FOLDER --hub https://huggingface.co",
        )
    if rows < 1:
        raise RecipeError(f"preview {recipe.name}: {rows} questions", expected="at least 1", fix="-n 20")
    with (
        open_session(recipe, hub, org=org, endpoints=endpoints, publish=True) as (session, pinned),
        tempfile.TemporaryDirectory() as folder,
    ):
        corpus = pipeline.run(pinned, session, only="corpus")[-1]
        documents = session.hub.fetch(corpus.ref)
        passages = asking.passages_of(documents)
        known = list(notes(pinned, passages, read_parquet(documents / "skipped")))
        source = asking.generator_input(pinned).get("generator")
        weights = session.hub.fetch(pin_repo(source, session)) if isinstance(source, FromHub) else None
        writer = asking.generator(pinned, weights).everyone[0]
        who, work = Writers((writer,)), Path(folder)
        with session.address(
            pinned, writer.asked_as, weights, cores(), work / "server.log", session.devices
        ) as address:
            budget = session.budget if writer.teaches else None
            with ThreadPoolExecutor(1) as pool:  # a notebook's own event loop runs in this thread
                asked = pool.submit(look, pinned, passages, rows, who, address, work, session.stop, budget)
                return replace(asked.result(), notes=known)
