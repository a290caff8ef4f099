"""The Data tab: the published rows page by page, and what was rejected."""

import gradio as gr
from handlers import READING, endpoint, named, show
from rows import Rows

from hub_speed.errors import HubSpeedError
from hub_speed.task_types import TASK_TYPES


def build(page: gr.Blocks, rows: Rows) -> None:
    """The tab's components, its handlers and /rows."""
    with gr.Row():
        which = gr.Radio([("published", False), ("rejected", True)], value=False, label="Rows", min_width=200)
        of_type = gr.Dropdown([("all", ""), *named(TASK_TYPES)], value="", label="Task type", min_width=160)
        number = gr.Number(1, minimum=1, precision=0, label="Page", min_width=100)
    listed = gr.HTML()

    def types() -> dict:
        """The task types to choose from."""
        try:
            return gr.update(choices=[("all", ""), *named(rows.published.recipe().mixture)])
        except HubSpeedError:
            return gr.skip()

    changes = [page.load, which.change, of_type.change, number.change]
    gr.on(changes, show("data.rows", rows.page), [of_type, which, number], listed, **READING)
    page.load(types, None, of_type, **READING)

    def rows_(task_type: str = "", rejected: bool = False, page: float = 1) -> dict:
        """Read published rows, or what was rejected with the reasons, ten a page.

        Args:
            task_type: retrieval, classification, sts, short_matching, long_matching or bitext; empty for all.
            rejected: whether to read what was rejected instead.
            page: counts from 1.
        """
        return rows.page(task_type, rejected, int(page))

    endpoint(rows_, queue=False)
