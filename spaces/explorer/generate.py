"""The Generate tab: topic → task → draft → revised, and the rows that a visitor keeps, edits and takes along."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import gradio as gr
import keeping
import outside
from example import example
from gradio.processing_utils import save_bytes_to_cache
from handlers import READING, WRITING, endpoint, named, sentence, show
from looks import render
from models import Models
from published import Json, Published
from visitors import Visitors
from writer import MAX_DOCUMENT_CHARS, Order, Writer

from hub_speed.errors import HubSpeedError
from hub_speed.hosts import is_here
from hub_speed.task_types import TASK_TYPES

ANY_TOPIC, DRAWN = "any topic", "drawn"
SHOWN_S = 0.2  # between two views of a text that grows. Assumption: one reads no faster
MOST_KNOBS = 1 + max(len(kind.knobs) for kind in TASK_TYPES.values())  # and the language
ON_A_SPACE = "SPACE_ID" in os.environ


def build(page: gr.Blocks, published: Published, models: Models) -> None:
    """The tab's components, its handlers and /generate."""
    alone = is_here(os.environ.get("GRADIO_SERVER_NAME", "")) and not ON_A_SPACE
    tab = Tab(Writer(published, models, anywhere=alone))
    stages = gr.HTML()
    with gr.Row():
        task_type = gr.Dropdown(
            named(TASK_TYPES), value="retrieval", label="Task type", info="what a row is for", min_width=130
        )
        topic = _choice("Topic", ANY_TOPIC, scale=2)
        task = _choice("Task", DRAWN, scale=3)
    with gr.Accordion("Knobs of the prompt", open=False), gr.Row():
        knobs = [gr.Dropdown([DRAWN], value=DRAWN, visible=False, min_width=150) for _ in range(MOST_KNOBS)]
    with gr.Accordion("Bring a document, or an endpoint of your own", open=False):
        own = _own(alone)
    with gr.Row():
        go = gr.Button("Write a row", variant="primary", elem_classes="sx-go")
        stop = gr.Button("Stop", elem_classes="sx-go")
        keep = gr.Button("Keep this row", elem_classes="sx-go")
    line, flow, last = gr.HTML(elem_classes="sx-line"), gr.HTML(), gr.State([])
    kept = _kept_rows(published)

    ordered = [task_type, topic, task, *own, *knobs]
    writing = go.click(
        tab.write, ordered, [line, flow, last], show_progress="minimal", show_progress_on=line, **WRITING
    )
    stop.click(tab.stopped, None, [line, flow], cancels=[writing], **READING)
    keep.click(tab.keep, [last, kept], [kept, line], **READING)
    gr.on([page.load, task_type.change], tab.choices, task_type, [topic, task, *knobs], **READING)
    topic.change(tab.tasks, [task_type, topic], task, **READING)
    page.load(tab.task_types, None, task_type, **READING)
    page.load(tab.example, task_type, flow, **READING)
    timer = gr.Timer(1.0)
    gr.on([page.load, timer.tick], tab.loaded, None, [stages, timer], **READING)
    endpoint(tab.generate, concurrency_id=WRITING["concurrency_id"], concurrency_limit=WRITING["concurrency_limit"])


class Tab:
    """What the tab's buttons and choices do."""

    def __init__(self, writer: Writer) -> None:
        self.writer, self.visitors = writer, Visitors()

    async def write(self, request: gr.Request, *values: Any) -> AsyncIterator[tuple[str, str, list[str]]]:
        """What was said about the last row, the flow as it grows, and at its end the row that may be kept."""
        it: Json = {}
        problem, shown = "", 0.0
        try:
            with self.visitors.turn(request):
                async for it in self.writer.write(await asyncio.to_thread(self._order, *values)):
                    if not it.get("writing") or time.monotonic() - shown > SHOWN_S:
                        yield "", render("generate.flow", it), []
                        shown = time.monotonic()
        except Exception as error:
            problem = render("page.problem", sentence(error))
        done = render("generate.flow", it | {"doing": "", "writing": ""}) if it else ""
        yield "", problem + done, keeping.row_of(it)

    def example(self, task_type: str) -> str:
        """The flow of a published row; nothing where no generator wrote the rows, and the tab is hidden."""
        published = self.writer.models.published
        with suppress(HubSpeedError):  # which the example says as well
            if not published.can_write():
                return ""
        return show("generate.flow", lambda: example(published, task_type))()

    def _order(self, task_type: str, *values: str | None) -> Order:
        """What the page's fields say; gradio gives None for one that is empty."""
        topic, task, document, url, model, key, *knobs = (value or "" for value in values)
        place = outside.address(url, model, key, anywhere=self.writer.anywhere) if url.strip() else None
        given = zip(self.writer.knobs(task_type), knobs, strict=False)
        chosen = {name: value for name, value in given if value not in (DRAWN, "")}
        topic, task = ("" if value in (ANY_TOPIC, DRAWN) else value for value in (topic, task))
        return Order(task_type, topic, task, chosen, document, place)

    def stopped(self) -> tuple[str, str]:
        """What Stop leaves on the page."""
        return render("generate.note", "Stopped. Press “Write a row” to begin again."), ""

    def keep(self, row: list[str], rows: list[list[str]]) -> tuple[Any, str]:
        """The kept rows with the last one on top, and what there is to say about it."""
        rows = [each for each in rows if any(each)]
        if not row:
            return gr.skip(), render(
                "generate.note", "There is no row to keep: write one first (rejected rows are not kept)."
            )
        if row in rows:
            return gr.skip(), render("generate.note", "This row is kept already.")
        if len(rows) >= keeping.MAX_KEPT:
            return gr.skip(), render("generate.note", f"At most {keeping.MAX_KEPT} rows can be kept: take some out.")
        return [row, *rows], render("generate.note", f"Kept: {len(rows) + 1} in the table below.")

    def choices(self, task_type: str) -> tuple[Any, ...]:
        """Topics, tasks and knobs to choose from; none where nothing can be read: the button then says why."""
        try:
            topics, tasks = self.writer.topics(task_type), self.writer.tasks(task_type)
            known = self.writer.knobs(task_type)
        except HubSpeedError:
            return (gr.skip(),) * (2 + MOST_KNOBS)
        boxes = [_listed(DRAWN, values, label=name.replace("_", " "), visible=True) for name, values in known.items()]
        boxes += [gr.update(value=DRAWN, visible=False)] * (MOST_KNOBS - len(boxes))
        return _listed(ANY_TOPIC, topics), _listed(DRAWN, tasks), *boxes

    def tasks(self, task_type: str, topic: Any) -> Any:
        """The tasks of a topic to choose from."""
        try:
            return _listed(DRAWN, self.writer.tasks(task_type, "" if topic in (ANY_TOPIC, None) else topic))
        except HubSpeedError:
            return gr.skip()

    def task_types(self) -> Any:
        """The task types to choose from."""
        try:
            return gr.update(choices=named(self.writer.task_types()))
        except HubSpeedError:
            return gr.skip()

    def loaded(self) -> tuple[str, gr.Timer]:
        """How far the models are loaded, and whether to look again."""
        status = self.writer.models.status()
        return render("generate.stages", status), gr.Timer(active=not status["done"])

    async def generate(
        self,
        request: gr.Request,
        task_type: str = "retrieval",
        topic: str = "",
        task: str = "",
        knobs: dict[str, str] | None = None,
        document: str = "",
    ) -> dict:
        """Write one training row for a text embedder: a generator drafts it and a revisor goes over it.

        Args:
            request: who asks.
            task_type: retrieval, classification, sts, short_matching, long_matching or bitext.
            topic: a topic such as "Arts > Instruments"; empty draws one.
            task: the task in one sentence; empty draws a published one of the topic.
            knobs: what else the prompt asks for, such as {"query_length": "less than 5 words"}; the rest is drawn.
            document: a text the row is based on, or empty.
        """
        order = Order(task_type, topic, task, knobs or {}, document)
        with self.visitors.turn(request):
            return [flow async for flow in self.writer.write(order)][-1]


def _choice(label: str, value: str, scale: int) -> gr.Dropdown:
    info = "pick one, or write your own"
    return gr.Dropdown(
        [value], value=value, label=label, info=info, allow_custom_value=True, min_width=160, scale=scale
    )


def _listed(first: str, values: list[str], **more: Any) -> Any:
    return gr.update(choices=[first, *values], value=first, **more)


def _own(alone: bool) -> list[Any]:
    """What a visitor may bring: a document, and an endpoint with its model and key."""
    place = "http or https" if alone else "https, at a public address"
    document = gr.Textbox(
        label="Document", info="the row is based on it", lines=4, max_lines=8, max_length=MAX_DOCUMENT_CHARS
    )
    with gr.Row():
        url = gr.Textbox(
            label="OpenAI-compatible endpoint",
            info=f"{place}; it then drafts and revises",
            placeholder="https://api.example.com/v1",
            max_length=outside.MAX_URL_CHARS,
            scale=2,
        )
        model = gr.Textbox(label="Model", info="empty: the first it lists", max_length=outside.MAX_NAME_CHARS)
        key = gr.Textbox(
            label="Key", info="used for your rows, kept nowhere", type="password", max_length=outside.MAX_KEY_CHARS
        )
    return [document, url, model, key]


def _kept_rows(published: Published) -> gr.Dataframe:
    """The table of kept rows with what can be done with them."""
    gr.HTML('<h2 class="sx-title">kept rows</h2>')
    kept = gr.Dataframe(
        [],
        headers=list(keeping.COLUMNS),
        column_count=len(keeping.COLUMNS),
        column_widths=["120px", "220px", "340px", "340px", "220px", "180px", "200px"],
        datatype="str",
        type="array",
        interactive=True,
        wrap=True,
        max_height=360,
        show_label=False,
    )
    with gr.Row():
        jsonl = gr.DownloadButton("Download JSONL", interactive=False, size="sm")
        parquet = gr.DownloadButton("Download Parquet", interactive=False, size="sm")
    with gr.Accordion("Push the kept rows to a dataset of your own", open=False):
        with gr.Row():
            repo = gr.Textbox(label="Dataset", placeholder="my-rows", max_length=100, scale=2)
            private = gr.Checkbox(True, label="private if it is new")
            token = gr.Textbox(label="Token", info="used once, kept nowhere", type="password", visible=not ON_A_SPACE)
        with gr.Row():
            if ON_A_SPACE:
                gr.LoginButton(size="sm", min_width=160)
            send = gr.Button("Push", size="sm", min_width=160)
        pushed = gr.HTML()

    def files(rows: list[list[str]]) -> tuple[Any, ...]:
        """Both downloads, of the rows as they are now."""
        try:
            found = keeping.checked(rows)
        except HubSpeedError:
            return (gr.update(value=None, interactive=False),) * 2
        written = {"rows.jsonl": keeping.as_jsonl(found), "rows.parquet": keeping.as_parquet(found)}
        paths = [save_bytes_to_cache(data, name, kept.GRADIO_CACHE) for name, data in written.items()]
        return tuple(gr.update(value=path, interactive=True) for path in paths)

    def push(rows: list[list[str]], repo: str, private: bool, token: str) -> Json:
        return keeping.push(published.hub.endpoint, token, repo, keeping.checked(rows), private=private)

    def push_signed_in(rows: list[list[str]], repo: str, private: bool, _: str, token: gr.OAuthToken | None) -> str:
        return show("generate.pushed", push)(rows, repo, private, token.token if token else "")

    kept.change(files, kept, [jsonl, parquet], **READING)
    handler = push_signed_in if ON_A_SPACE else show("generate.pushed", push)
    send.click(
        handler,
        [kept, repo, private, token],
        pushed,
        api_visibility="private",
        concurrency_id="pushing",
        concurrency_limit=4,
    )
    return kept
