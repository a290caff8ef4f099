"""The Use it tab: the lines that load what is published, at these very versions."""

import gradio as gr
from handlers import READING, show
from published import Published


def build(page: gr.Blocks, published: Published) -> None:
    """The tab's components and its handlers."""
    lines = gr.HTML()
    page.load(show("use.lines", lambda: load_lines(published)), None, lines, **READING)


def load_lines(published: Published) -> list[tuple[str, str]]:
    """(title, code) of the lines that load rows and embedder."""
    rows, embedder = published.ref("revise"), published.ref("embedder")
    return [
        (
            "the rows",
            "from datasets import load_dataset\n\n"
            f'rows = load_dataset("{rows.repo}", "retrieval", revision="{rows.commit}", split="train")',
        ),
        (
            "the embedder",
            "from sentence_transformers import SentenceTransformer\n\n"
            f'model = SentenceTransformer("{embedder.repo}", revision="{embedder.commit}")',
        ),
    ]
