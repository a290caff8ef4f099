"""The Generate tab: topic → task → draft → revised, and the rows that were kept."""

from collections.abc import Iterator

import gradio as gr
from handlers import MODELS, READING, endpoint, named, sentence
from looks import render
from published import Json
from writer import Writer

from hub_speed.errors import HubSpeedError
from hub_speed.generation.topics import spoken
from hub_speed.task_types import TASK_TYPES

ANY_TOPIC = "any topic"
KEPT = 20  # rows shown below the flow


def build(page: gr.Blocks, writer: Writer) -> None:
    """The tab's components, its handlers and /generate."""
    with gr.Row():
        task_type = gr.Dropdown(named(TASK_TYPES), value="retrieval", label="Task type", min_width=130)
        topic = gr.Dropdown([ANY_TOPIC], label="Topic", min_width=160, scale=2)
        go = gr.Button("Write a row", variant="primary", elem_classes="sx-go")
    flow, kept_rows, kept = gr.HTML(), gr.HTML(), gr.State([])

    def write(task_type: str, topic: str, kept: list[Json]) -> Iterator[tuple[str, str, list[Json]]]:
        """The flow as it grows, and below it the rows that were kept so far."""
        html, flow = "", {}
        try:
            for flow in writer.generate(task_type, "" if topic == ANY_TOPIC else topic):
                html = render("generate.flow", {"draft": None, "revised": None} | flow)
                yield html, render("generate.kept", kept), kept
        except Exception as error:
            html += render("page.problem", sentence(error))
        if row := flow.get("revised", {}).get("row") or flow.get("draft", {}).get("row"):
            kept = [{"task_type": task_type} | row, *kept][:KEPT]
        yield html, render("generate.kept", kept), kept

    def topics_of(task_type: str) -> dict:
        """The topics to choose from; none where nothing can be read: the buttons then say why."""
        try:
            found = [(spoken(topic), topic) for topic in writer.topics(task_type)]
        except HubSpeedError:
            found = []
        return gr.update(choices=[ANY_TOPIC, *found], value=ANY_TOPIC)

    def types() -> dict:
        """The task types to choose from."""
        try:
            return gr.update(choices=named(writer.task_types()))
        except HubSpeedError:
            return gr.skip()

    go.click(write, [task_type, topic, kept], [flow, kept_rows, kept], show_progress="hidden", **MODELS)
    gr.on([page.load, task_type.change], topics_of, task_type, topic, **READING)
    page.load(types, None, task_type, **READING)

    @endpoint
    def generate(task_type: str = "retrieval", topic: str = "") -> dict:
        return list(writer.generate(task_type, topic))[-1]
