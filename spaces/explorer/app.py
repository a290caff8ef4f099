"""The explorer Space: write rows with the published models, search with the embedder, look at published rows.

On huggingface.co it shows the repositories of whoever owns the Space. Elsewhere: HUB_SPEED_ORG names the organisation,
HF_ENDPOINT the Hub. Models too large to run here: HUB_SPEED_SENIOR_URL, HUB_SPEED_REVISOR_URL (and ..._KEY as secrets).
`hub-speed space run` sets all of it. One file a tab: its components, its handlers and its API endpoint.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import data
import generate
import gradio as gr
import search
import use
from embedders import Embedders
from handlers import READING, show
from huggingface_hub import set_client_factory
from looks import CSS, SCRIPT
from models import Models
from published import Json, Published, hub_client
from rows import Rows

from hub_speed.errors import HubSpeedError
from hub_speed.hub import Hub

TABS = ("generate", "search", "data", "use")


def build() -> gr.Blocks:
    """The page."""
    set_client_factory(hub_client)
    published = Published(
        Hub(os.environ.get("HF_ENDPOINT", "https://huggingface.co")),
        os.environ.get("HUB_SPEED_ORG") or os.environ.get("SPACE_AUTHOR_NAME") or "speed-demo",
    )
    models, rows = Models(published), Rows(published)
    embedders = Embedders(models)
    models.warm_up(lambda: search.first_example(embedders, rows))
    with gr.Blocks(title="SPEED explorer", delete_cache=(3600, 3600)) as page:
        head = gr.HTML()
        with gr.Tabs() as tabs:
            with gr.Tab("Generate", id="generate", elem_id="sx-generate"):
                generate.build(page, published, models)
            with gr.Tab("Search", id="search"):
                search.build(page, embedders, rows)
            with gr.Tab("Data", id="data"):
                data.build(page, rows, models)
            with gr.Tab("Use it", id="use"):
                use.build(page, published)
        page.load(opened(published), None, tabs, **READING)
        page.load(show("page.head", published.versions), None, head, **READING)
    return page


def opened(published: Published) -> Callable[[gr.Request], dict]:
    """A handler: the tab that the page's address names (`?tab=search`)."""

    def handler(request: gr.Request) -> dict:
        tab = data.asked(request, "tab")
        with suppress(HubSpeedError):  # which the head of the page tells
            if tab in ("", "generate") and not published.can_write():  # which the head of the page hides
                tab = "search" if published.has_embedder() else "data"
        return gr.update(selected=tab) if tab in TABS else gr.skip()

    return handler


if __name__ == "__main__":
    sans, mono = (gr.themes.LocalFont(name, weights=(400, 700)) for name in ("IBM Plex Sans", "IBM Plex Mono"))
    fonts: Json = {"font": [sans, "system-ui", "sans-serif"], "font_mono": [mono, "monospace"]}
    contrast = {"body_text_color_subdued": "*neutral_500", "button_primary_background_fill": "*primary_600"}
    contrast |= {"button_primary_background_fill_hover": "*primary_700", "link_text_color_dark": "*primary_400"}
    build().queue(max_size=32).launch(
        theme=gr.themes.Default(primary_hue="blue", neutral_hue="slate", **fonts).set(**contrast),
        css=CSS,
        head=f"<script>{SCRIPT}</script>",
        # Given as a number, it is this port or none; from the environment alone, gradio would take the next free one.
        server_port=int(os.environ["GRADIO_SERVER_PORT"]) if "GRADIO_SERVER_PORT" in os.environ else None,
        footer_links=["api"],
        mcp_server=find_spec("mcp") is not None,
        ssr_mode=False,
    )
