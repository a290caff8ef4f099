"""The Search tab: texts that a visitor pastes, ranked by the published embedder."""

import gradio as gr
from handlers import MODELS, READING, endpoint, show
from models import Models
from published import Json
from rows import Rows

from hub_speed.errors import HubSpeedError
from hub_speed.text import with_instruction

# How much a visitor may ask for.
MAX_TEXTS, MAX_TEXT_CHARS, MAX_LINE_CHARS = 200, 2000, 500
TEXTS_SHOWN = 24


def build(page: gr.Blocks, models: Models, rows: Rows) -> None:
    """The tab's components, its handlers and /search."""
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            instruction = gr.Textbox(label="Instruction (goes before the query)", max_length=MAX_LINE_CHARS)
            query = gr.Textbox(label="Query", max_length=MAX_LINE_CHARS)
            texts = gr.Textbox(label="Texts, one a line", lines=10, max_lines=16)
            find = gr.Button("Search", variant="primary")
        with gr.Column(scale=3, min_width=300):
            ranking = gr.HTML(elem_classes="sx-panel")

    def start() -> tuple:
        """What the search begins with, once the page is open."""
        try:
            some = some_texts(rows)
        except HubSpeedError:
            return (gr.skip(),) * 3
        return some["instruction"], some["query"], "\n".join(some["texts"])

    handler = show("search.ranking", lambda query, texts, how: ranked(models, query, texts.split("\n"), how))
    gr.on([find.click, query.submit, instruction.submit], handler, [query, texts, instruction], ranking, **MODELS)
    page.load(start, None, [instruction, query, texts], **READING)

    def search(query: str, texts: list[str], instruction: str = "") -> dict:
        """Rank texts by what they mean for a query, best first, with the published embedder.

        Args:
            query: what is searched for.
            texts: what is searched.
            instruction: what the query is for; it goes before the query.
        """
        return ranked(models, query, texts, instruction)

    endpoint(search)


def ranked(models: Models, query: str, texts: list[str], instruction: str = "") -> Json:
    """The texts by their cosine with the query, best first; the instruction goes before the query only."""
    texts = list(dict.fromkeys(filter(None, map(_one_line, texts))))
    query, instruction = _one_line(query), _one_line(instruction)
    if not query or not texts:
        raise HubSpeedError("A query and some texts are needed", fix="write a query, and paste texts, one a line")
    if len(texts) > MAX_TEXTS:
        raise HubSpeedError("Too many texts", expected=f"at most {MAX_TEXTS}", got=f"{len(texts):,}")
    if max(len(query), len(instruction)) > MAX_LINE_CHARS or max(map(len, texts)) > MAX_TEXT_CHARS:
        limits = f"{MAX_TEXT_CHARS:,} characters a text, {MAX_LINE_CHARS} for query and instruction"
        raise HubSpeedError("One of the texts is too long", expected=f"at most {limits}")
    asked = with_instruction(instruction, query) if instruction else query
    vectors = models.embedder().encode([asked, *texts], normalize_embeddings=True, show_progress_bar=False)
    found = sorted(zip((vectors[1:] @ vectors[0]).tolist(), texts, strict=True), reverse=True)
    return {"query": asked, "embedder": str(models.published.ref("embedder")), "found": found}


def some_texts(rows: Rows) -> Json:
    """Something to search: texts, an instruction and a query of published rows."""
    found = [row for row in rows.published_rows() if row["task_type"] == "retrieval"] or rows.published_rows()
    texts = dict.fromkeys(_one_line(row["positive"]) for row in found[:TEXTS_SHOWN])
    first = found[0] if found else {"query": "", "instruction": ""}
    return {"query": first["query"], "instruction": first["instruction"], "texts": list(texts)}


def _one_line(text: str) -> str:
    return " ".join(text.split())
