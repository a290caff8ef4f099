"""The explorer Space: write rows with the published models, search with the embedder, look at published rows.

On huggingface.co it shows the repositories of whoever owns the Space. Elsewhere: HUB_SPEED_ORG names the organisation,
HF_ENDPOINT the Hub. Models too large to run here: HUB_SPEED_SENIOR_URL, HUB_SPEED_REVISOR_URL (and ..._KEY as secrets).
`hub-speed space run` sets all of it. Every tab is also an API endpoint: /generate, /search, /rows.
"""

import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from looks import CSS, render
from published import MAX_LINE_CHARS, Json, Published

from hub_speed.errors import HubSpeedError
from hub_speed.generation.topics import spoken
from hub_speed.hub import Hub
from hub_speed.task_types import TASK_TYPES

ANY_TOPIC = "any topic"
KEPT = 20  # rows shown below the flow

log = logging.getLogger(__name__)
published = Published(
    Hub(os.environ.get("HF_ENDPOINT", "https://huggingface.co")),
    os.environ.get("HUB_SPEED_ORG") or os.environ.get("SPACE_AUTHOR_NAME") or "speed-demo",
)


def named(task_types: Iterable[str]) -> list[tuple[str, str]]:
    """Task types as choices."""
    return [(name.replace("_", " "), name) for name in task_types]


def sentence(error: Exception) -> HubSpeedError:
    """An error as something to read; what nobody foresaw goes to the log."""
    if isinstance(error, HubSpeedError):
        return error
    log.error("not foreseen", exc_info=error)
    return HubSpeedError("Something went wrong that should not have", got=type(error).__name__, fix="see the log")


# --- the API --------------------------------------------------------------------------------------------------------


def endpoint(function: Callable[..., Json]) -> Callable[..., Json]:
    """Offer a function as /<its name>; its errors are sentences."""

    @functools.wraps(function)
    def safe(*args: Any) -> Json:
        try:
            return function(*args)
        except Exception as error:
            raise gr.Error(str(sentence(error)), print_exception=False) from error

    gr.api(safe, api_name=function.__name__, concurrency_id="models")
    return safe


def define_api() -> None:
    """The three endpoints; plain values in, plain values out."""

    @endpoint
    def generate(task_type: str = "retrieval", topic: str = "") -> dict:
        return list(published.generate(task_type, topic))[-1]

    @endpoint
    def search(query: str, texts: list[str], instruction: str = "") -> dict:
        return published.search(query, texts, instruction)

    @endpoint
    def rows(task_type: str = "", rejected: bool = False, page: float = 1) -> dict:
        return published.rows(task_type, rejected, int(page))


# --- the page -------------------------------------------------------------------------------------------------------


def show(name: str, make: Callable[..., Json]) -> Callable[..., str]:
    """A handler: what `make` returns, as that part of the page; or what went wrong."""

    def handler(*args: Any) -> str:
        try:
            return render(name, make(*args))
        except Exception as error:
            return render("problem", sentence(error))

    return handler


def write(task_type: str, topic: str, kept: list[Json]) -> Iterator[tuple[str, str, list[Json]]]:
    """The flow as it grows, and below it the rows that were kept so far."""
    html, flow = "", {}
    try:
        for flow in published.generate(task_type, "" if topic == ANY_TOPIC else topic):
            html = render("flow", {"draft": None, "revised": None} | flow)
            yield html, render("kept", kept), kept
    except Exception as error:
        html += render("problem", sentence(error))
    if row := flow.get("revised", {}).get("row") or flow.get("draft", {}).get("row"):
        kept = [{"task_type": task_type} | row, *kept][:KEPT]
    yield html, render("kept", kept), kept


def topics_of(task_type: str) -> dict:
    """The topics to choose from; none where nothing can be read: the buttons then say why."""
    try:
        found = [(spoken(topic), topic) for topic in published.topics(task_type)]
    except HubSpeedError:
        found = []
    return gr.update(choices=[ANY_TOPIC, *found], value=ANY_TOPIC)


def start() -> tuple[Any, ...]:
    """What can be chosen and what the search begins with, once the page is open."""
    try:
        types, some = named(published.task_types()), published.some_texts()
    except HubSpeedError:
        return (gr.skip(),) * 5
    texts = "\n".join(some["texts"])
    return gr.update(choices=types), gr.update(choices=[("all", ""), *types]), some["instruction"], some["query"], texts


def build() -> gr.Blocks:
    """The page."""
    with gr.Blocks(title="SPEED explorer") as page:
        head = gr.HTML()
        with gr.Tab("Generate"):
            with gr.Row():
                task_type = gr.Dropdown(named(TASK_TYPES), value="retrieval", label="Task type", min_width=130)
                topic = gr.Dropdown([ANY_TOPIC], label="Topic", min_width=160, scale=2)
                go = gr.Button("Write a row", variant="primary", elem_classes="sx-go")
            flow, kept_rows, kept = gr.HTML(), gr.HTML(), gr.State([])
        with gr.Tab("Search"), gr.Row():
            with gr.Column(scale=2, min_width=300):
                instruction = gr.Textbox(label="Instruction (goes before the query)", max_length=MAX_LINE_CHARS)
                query = gr.Textbox(label="Query", max_length=MAX_LINE_CHARS)
                texts = gr.Textbox(label="Texts, one a line", lines=10, max_lines=16)
                find = gr.Button("Search", variant="primary")
            with gr.Column(scale=3, min_width=300):
                ranking = gr.HTML(elem_classes="sx-panel")
        with gr.Tab("Rows"):
            with gr.Row():
                which = gr.Radio([("published", False), ("rejected", True)], value=False, label="Rows", min_width=200)
                of_type = gr.Dropdown([("all", ""), *named(TASK_TYPES)], value="", label="Task type", min_width=160)
                number = gr.Number(1, minimum=1, precision=0, label="Page", min_width=100)
            rows = gr.HTML()

        own: Json = {"api_visibility": "private", "concurrency_id": "models"}
        quick: Json = {"api_visibility": "private", "show_progress": "hidden"}
        go.click(write, [task_type, topic, kept], [flow, kept_rows, kept], show_progress="hidden", **own)
        task_type.change(topics_of, task_type, topic, **quick)
        search = show("ranking", lambda query, texts, how: published.search(query, texts.split("\n"), how))
        gr.on([find.click, query.submit, instruction.submit], search, [query, texts, instruction], ranking, **own)
        listed = show("rows", published.rows)
        gr.on([page.load, which.change, of_type.change, number.change], listed, [of_type, which, number], rows, **quick)
        page.load(show("head", published.versions), None, head, **quick)
        page.load(topics_of, task_type, topic, **quick)
        page.load(start, None, [task_type, of_type, instruction, query, texts], **quick)
        define_api()
    return page


if __name__ == "__main__":
    sans, mono = (gr.themes.LocalFont(name, weights=(400, 700)) for name in ("IBM Plex Sans", "IBM Plex Mono"))
    fonts: Json = {"font": [sans, "system-ui", "sans-serif"], "font_mono": [mono, "monospace"]}
    build().queue(max_size=32).launch(
        theme=gr.themes.Default(primary_hue="blue", neutral_hue="slate", **fonts),
        css=CSS,
        # Given as a number, it is this port or none; from the environment alone, gradio would take the next free one.
        server_port=int(os.environ["GRADIO_SERVER_PORT"]) if "GRADIO_SERVER_PORT" in os.environ else None,
        footer_links=["api"],
        ssr_mode=False,
    )
