"""What every tab needs of gradio: API endpoints and handlers whose errors are sentences, and two queues."""

import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr
from looks import render
from published import Json

from hub_speed.errors import HubSpeedError

log = logging.getLogger(__name__)

MODELS: Json = {"api_visibility": "private", "concurrency_id": "models"}
READING: Json = {"api_visibility": "private", "show_progress": "hidden"}


def named(task_types: Iterable[str]) -> list[tuple[str, str]]:
    """Task types as choices."""
    return [(name.replace("_", " "), name) for name in task_types]


def sentence(error: Exception) -> HubSpeedError:
    """An error as something to read; what nobody foresaw goes to the log."""
    if isinstance(error, HubSpeedError):
        return error
    log.error("not foreseen", exc_info=error)
    return HubSpeedError("Something went wrong that should not have", got=type(error).__name__, fix="see the log")


def endpoint(function: Callable[..., Json]) -> Callable[..., Json]:
    """Offer a function as /<its name, without a _ at the end>; its errors are sentences."""

    @functools.wraps(function)
    def safe(*args: Any) -> Json:
        try:
            return function(*args)
        except Exception as error:
            raise gr.Error(str(sentence(error)), print_exception=False) from error

    gr.api(safe, api_name=function.__name__.rstrip("_"), concurrency_id="models")
    return safe


def show(name: str, make: Callable[..., Json]) -> Callable[..., str]:
    """A handler: what `make` returns, as that part of a tab; or what went wrong."""

    def handler(*args: Any) -> str:
        try:
            return render(name, make(*args))
        except Exception as error:
            return render("page.problem", sentence(error))

    return handler
