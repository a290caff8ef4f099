"""What the functions that work on a recipe share: a session, and an event that Ctrl-C sets."""

import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hub_speed.api.hubs import OpenHub
from hub_speed.errors import RecipeError

if TYPE_CHECKING:
    from hub_speed.pipeline.session import Session
    from hub_speed.recipe import Recipe
    from hub_speed.stage import Progress


DEFAULT_ORG = "speed-demo"

Pairs = Mapping[str, object] | Sequence[str]
"""Names with values: a mapping, or a list of `name=value` as on the command line."""


@contextmanager
def open_session(
    recipe: "Recipe",
    hub: OpenHub,
    *,
    org: str = DEFAULT_ORG,
    endpoints: Pairs = (),
    progress: "Callable[[str], Progress] | None" = None,
    publish: bool = False,
) -> "Iterator[tuple[Session, Recipe]]":
    """A session, and the recipe with its topic file as a pinned version.

    Args:
        recipe: what to make.
        hub: where everything is read from and published to.
        org: organisation or user that owns the repositories.
        endpoints: where models are.
        progress: stage name → where the stage reports its progress.
        publish: whether the recipe's topic file, and what the quickstart brings along, may be published.

    Raises:
        RecipeError: `org` is not a name of the Hub.
    """
    from hub_speed.llm.addresses import Addresses
    from hub_speed.llm.budget import BudgetMeter
    from hub_speed.pipeline.session import Session
    from hub_speed.pipeline.topic_file import with_topics
    from hub_speed.quickstart import assets

    check_org(org)
    with stopping() as stop:
        given = [f"{name}={url}" for name, url in endpoints.items()] if isinstance(endpoints, Mapping) else endpoints
        address = Addresses(list(given), stop.is_set).open
        session = Session(hub.hub, org, hub.home, address, stop=stop, budget=BudgetMeter(recipe.effective_budget))
        if progress:
            session.progress = progress
        if publish and recipe.offline:
            assets.publish(hub.hub, org)
        yield session, with_topics(recipe, session, publish=publish)


def check_org(org: str, flag: str = "--org") -> None:
    """Raises a RecipeError where no organisation or user of a Hub can have the name that a flag gives."""
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?", org):
        raise RecipeError(f"{flag} {org!r}", expected="the name of an organisation or user: letters, digits and -")


def topics_of(recipe: "Recipe", session: "Session") -> list[str]:
    """The topics there are, also before the quickstart's are on the Hub; none for a recipe with tasks or documents."""
    from hub_speed.pipeline.topic_file import read_topics
    from hub_speed.quickstart import assets

    if recipe.brainstorm.tasks or recipe.embedder.of_documents:
        return []
    return read_topics(recipe, session) or (assets.topics() if recipe.offline else [])


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; another Ctrl-C then raises KeyboardInterrupt.

    Another SIGTERM does not: where a process with many threads is killed, Linux sends one for each to what it started.
    In another thread than the main one, signals are left alone: Python handles them in the main thread only.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, frame: object) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
