"""What every tab needs of gradio: API endpoints and handlers whose errors are sentences, and their queues."""

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr
from looks import render
from published import Json, NotMade
from pydantic import ConfigDict, ValidationError, validate_call

from hub_speed.errors import HubError, HubSpeedError
from hub_speed.hub_faults import ON_PUBLIC_HUB

log = logging.getLogger(__name__)

WRITING: Json = {"api_visibility": "private", "concurrency_id": "writing", "concurrency_limit": 8}
"""Of what generator and revisor write: their servers batch. Assumption: with eight nobody waits long for a word."""
MODELS: Json = {"api_visibility": "private", "concurrency_id": "models"}
"""Of the embedder, which runs in this process: one at a time."""
PUSHING: Json = {"api_visibility": "private", "concurrency_id": "pushing", "concurrency_limit": 4}
"""To a visitor's dataset: the Hub does the work."""
READING: Json = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
"""Reading needs no model and waits for nobody."""


def named(task_types: Iterable[str]) -> list[tuple[str, str]]:
    """Task types as choices."""
    return [(name.replace("_", " "), name) for name in task_types]


def sentence(error: Exception) -> HubSpeedError:
    """An error as something to read; what nobody foresaw goes to the log."""
    if isinstance(error, HubError):  # its remedy is meant for a command line
        fix = error.fix.replace("run the same command again", "try again").replace(f"; {ON_PUBLIC_HUB}", "")
        return HubError(error.where, expected=error.expected, got=error.got, fix=fix)
    if isinstance(error, HubSpeedError):
        return error
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        return HubSpeedError(f"{name} is not what it should be", expected=first["msg"], got=repr(first["input"])[:100])
    log.error("not foreseen", exc_info=error)
    return HubSpeedError("Something went wrong that should not have", got=type(error).__name__, fix="see the log")


def endpoint(function: Callable[..., Any], **how: Any) -> Callable[..., Any]:
    """Offer a function as /<its name, without a _ at the end> and as an MCP tool; its errors are sentences.

    Args:
        function: its arguments are checked against their types, so that a text is not read as a list of letters.
        how: its queue, as gradio names it; the embedder's unless another is given.
    """
    checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(function)

    @functools.wraps(function)
    async def safe(*args: Any) -> Any:
        try:
            given = inspect.signature(function).bind(*args).arguments
            if inspect.iscoroutinefunction(function):
                return await checked(**given)
            return await asyncio.to_thread(checked, **given)
        except Exception as error:
            raise gr.Error(str(sentence(error)), print_exception=False) from error

    safe.__name__ = function.__name__.rstrip("_")  # the tool's name
    gr.api(safe, api_name=safe.__name__, **({"concurrency_id": "models"} | how))
    return function


def show(name: str, make: Callable[..., Json]) -> Callable[..., str]:
    """A handler: what `make` returns, as that part of a tab; or what went wrong."""

    def handler(*args: Any) -> str:
        try:
            return render(name, make(*args))
        except Exception as error:
            return problem(error)

    return handler


def problem(error: Exception) -> str:
    """What went wrong, as a part of a tab; that something is not made yet is nothing wrong."""
    return render("page.not_made" if isinstance(error, NotMade) else "page.problem", sentence(error))
