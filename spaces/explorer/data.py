"""The Data tab: the published sets and their ledgers page by page; a map of queries; numbers; where all comes from."""

from typing import Any

import figures
import gradio as gr
from handlers import MODELS, READING, endpoint, named, show
from models import Models
from published import Json, NotMade
from rows import MAX_TEXT_CHARS, PARTS, SETS, Rows

from hub_speed.errors import HubSpeedError
from hub_speed.rows import STATES
from hub_speed.text import with_instruction

MAPPED = 400
"""Queries on the map. Assumption: more would cover each other, and a tiny embedder reads them in two seconds."""
SHOWN = [("published rows", ""), ("changed by the revisor", "revised"), ("as drafted", "kept")]
COLOURS = [("task type", "task_type"), ("changed by the revisor", "revised")]
OF_DOCUMENTS = [("style", "style"), ("kind", "kind"), ("split", "split")]
"""What queries about documents are coloured by instead."""
FUNNELS = (("synthesize", "revise"), ("questions", "filter", "mine", "relabel", "benchmark"))
VIEWS = ("rows", "map", "numbers", "lineage")


def build(page: gr.Blocks, rows: Rows, models: Models) -> None:
    """The tab's components, its handlers and /rows."""
    with gr.Tabs(elem_id="sx-data") as views:
        with gr.Tab("Rows", id="rows"):
            _rows(page, rows)
        with gr.Tab("Map", id="map") as mapped:
            _map(page, mapped, rows, models)
        with gr.Tab("Numbers", id="numbers") as counted:
            numbers = gr.HTML(WAIT)
            counted.select(show("data.numbers", lambda: numbers_of(rows)), None, numbers, **READING)
        with gr.Tab("Lineage", id="lineage") as traced:
            lineage = gr.HTML(WAIT)
            traced.select(show("data.lineage", lambda: figures.lineage(rows.published)), None, lineage, **READING)

    def opened(request: gr.Request) -> dict:
        view = asked(request, "view")
        return gr.update(selected=view) if view in VIEWS else gr.skip()

    page.load(opened, None, views, **READING)


WAIT = '<p class="sx-dim">Reading …</p>'


def asked(request: gr.Request, name: str) -> str:
    """A value in the page's address; empty if there is none."""
    return str((request.query_params or {}).get(name, ""))[:MAX_TEXT_CHARS]


def _rows(page: gr.Blocks, rows: Rows) -> None:
    """Filters, a page of rows, and the way to the next page."""
    with gr.Row():
        sets = [(label, name) for name, label in SETS.items()]
        stage = gr.Dropdown(sets, value="revise", label="Set", min_width=150)
        task_type = gr.Dropdown([("all", "")], value="", label="Task type", min_width=140)
        language = gr.Dropdown([("all", "")], value="", label="Language", min_width=120)
        states = [*SHOWN, *((f"ledger: {name}", name) for name in STATES)]
        state = gr.Dropdown(states, value="", label="Show", min_width=170)
        reason = gr.Dropdown([("any", "")], value="", label="Reason for rejection", min_width=150)
        text = gr.Textbox(label="Holds the text", max_length=MAX_TEXT_CHARS, min_width=150)
    with gr.Row(elem_classes="sx-pager"):
        back = gr.Button("◀ Previous", size="sm", min_width=110, scale=0)
        number = gr.Number(1, minimum=1, precision=0, label="Page", min_width=90, scale=0)
        on = gr.Button("Next ▶", size="sm", min_width=90, scale=0)
    listed = gr.HTML(WAIT)
    filters = [stage, task_type, language, state, reason, text]

    def turned(*values: Any) -> tuple[str, dict]:
        """The page that is asked for, and its number: that of the last page where there are not so many."""
        found: Json = {}

        def make(*values: Any) -> Json:
            found.update(rows.page(*values))
            return found

        html = show("data.rows", make)(*values)
        return html, gr.update(value=found.get("page", 1), maximum=found.get("pages"))

    def first(*values: Any) -> tuple[str, dict]:
        return turned(*values, 1)

    def step(by: int) -> Any:
        return lambda *values: turned(*values[:-1], (values[-1] or 1) + by)

    def choices(stage: str) -> tuple[dict, dict, dict, dict]:
        """What a set can be filtered by."""
        try:
            record = rows.published.record(rows.published.ref(stage))
            kinds, languages = list(record.by_task_type), rows.published.languages()
        except HubSpeedError:
            return (gr.skip(),) * 4
        of_rows = SHOWN if stage in ("revise", "synthesize") else SHOWN[:1]
        of_requests = [] if stage == "corpus" else [(f"ledger: {name}", name) for name in STATES]
        return (
            gr.update(choices=[("all", ""), *named(kinds)]),
            gr.update(choices=[("all", ""), *languages]),
            gr.update(choices=[*of_rows, *of_requests]),
            gr.update(choices=[("any", ""), *named(record.rejected)]),
        )

    def opened(request: gr.Request) -> tuple:
        """The filters and the page, or the one row, that the page's address names."""
        values = [asked(request, name) for name in ("set", "type", "language", "state", "reason", "text")]
        page = asked(request, "p")  # gradio has a use of its own for `page`
        if name := asked(request, "id"):
            html = show("data.rows", rows.row)(name, values[0])
            number: dict = gr.skip()
        else:
            html, number = turned(*values, int(page) if page.isdecimal() else 1)
        try:
            values[0] = values[0] or rows.published.training()
            sets = gr.update(choices=rows.sets(), value=values[0])
        except HubSpeedError:
            sets = gr.skip()
        known = (one | {"value": value} for one, value in zip(choices(values[0]), values[1:5], strict=True))
        return html, number, sets, *known, values[5]

    shown, quick = [listed, number], READING | {"trigger_mode": "always_last"}
    changed = [part.input for part in (stage, task_type, language, state, reason)]
    events = [
        gr.on([*changed, text.submit], first, filters, shown, **quick),
        number.input(turned, [*filters, number], shown, **quick),
        back.click(step(-1), [*filters, number], shown, **quick),
        on.click(step(1), [*filters, number], shown, **quick),
    ]
    for event in events:
        event.then(None, [*filters, number], None, js="(...values) => sx.rows(values)")
    stage.input(choices, stage, [task_type, language, state, reason], **READING)
    outputs = [listed, number, stage, task_type, language, state, reason, text]
    page.load(opened, None, outputs, **READING)

    def rows_(
        stage: str = "",
        task_type: str = "",
        language: str = "",
        state: str = "",
        reason: str = "",
        text: str = "",
        page: float = 1,
    ) -> dict:
        return rows.page(stage, task_type, language, state, reason, text, page)

    rows_.__doc__ = rows.page.__doc__
    endpoint(rows_, queue=False)


def _map(page: gr.Blocks, tab: gr.Tab, rows: Rows, models: Models) -> None:
    """A map of queries; the row of the one that is clicked."""
    colour = gr.Radio(COLOURS, value="task_type", label="Colour by")
    drawn = gr.HTML('<p class="sx-dim">The embedder reads some hundreds of queries …</p>', js_on_load=POINTS)
    row = gr.HTML()
    gr.on([tab.select, colour.input], show("data.map", lambda by: query_map(rows, models, by)), colour, drawn, **MODELS)

    def pick(event: gr.EventData) -> str:
        return show("data.rows", rows.row)(str(event.id))

    drawn.select(pick, None, row, **READING)

    def colours() -> dict:
        try:
            found = OF_DOCUMENTS if rows.published.of_documents() else COLOURS
        except HubSpeedError:
            return gr.skip()
        return gr.update(choices=found, value=found[0][1])

    page.load(colours, None, colour, **READING)


POINTS = """
const open = point => { if (point) trigger('select', {id: point.dataset.id}) }
element.addEventListener('click', event => open(event.target.closest('[data-id]')))
element.addEventListener('keydown', event => {
  const points = [...element.querySelectorAll('[data-id]')]
  const at = points.findIndex(point => point.classList.contains('sx-on'))
  const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key]
  if (event.key === 'Enter') open(points[at])
  if (!step) return
  event.preventDefault()
  const next = points[(at + step + points.length) % points.length]
  points[at]?.classList.remove('sx-on')
  next.classList.add('sx-on')
  event.target.setAttribute('aria-activedescendant', next.id)
})
"""
"""Choosing a point of the map, with the mouse or with arrow keys and Enter."""


def query_map(rows: Rows, models: Models, by: str) -> Json:
    """Some hundreds of queries on the two main axes of the embedder's vectors, with what each is coloured by."""
    rows.published.ref("embedder")
    if not rows.published.has_queries():
        raise NotMade("There are no queries to draw", fix=rows.published.how_to_make("questions"))

    def read() -> tuple[list[Json], Any, list[float]]:
        found = rows.sample(MAPPED)
        texts = [with_instruction(row["instruction"], row["query"]) for row in found]
        vectors = models.embedder().encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return found, *figures.plane(vectors)

    found, places, shares = rows.published.keep("map", read)
    value = {"revised": lambda row: "changed" if row["revised"] else "as drafted"}.get(by, lambda row: row[by])
    values = sorted({value(row) for row in found})
    points = [
        {"id": row["id"], "query": row["query"], "x": float(x), "y": float(y), "value": value(row)}
        for row, (x, y) in zip(found, places, strict=True)
    ]
    named = {name: {"tone": i, "count": sum(p["value"] == name for p in points)} for i, name in enumerate(values)}
    ref, embedder = rows.published.ref(rows.published.training()), rows.published.ref("embedder")
    return {"points": points, "values": named, "shares": shares, "from": str(ref), "by": str(embedder)}


def numbers_of(rows: Rows) -> Json:
    """The funnels, lengths, scores, the scaling curve and the effects of a study, as far as they are published."""
    published = rows.published

    def read() -> Json:
        found: Json = {"funnels": [], "scores": [], "scaling": [], "effects": []}
        for kind in sorted(FUNNELS, key=lambda kind: published.training() not in kind):
            found["funnels"] += figures.funnels(published, [name for name in kind if name in published.lineage()])
        some = rows.sample(2000)
        if published.has_queries():
            found["lengths"] = figures.lengths(some, PARTS)
        else:
            found["lengths"] = figures.lengths([row | {"task_type": "passage"} for row in some], ("text",))
        if ref := figures.newest(published, "evaluate"):
            found |= {"scores": figures.scores(published.record(ref)), "scored": ref, "scored_url": published.url(ref)}
        if ref := figures.newest(published, "scaling"):
            record = published.record(ref)
            sentences = [text.replace("**", "") for text in record.measures.sentences]
            found |= {"scaling": figures.scaling(record), "sentences": sentences}
        if study := figures.study(published):
            found["effects"] = figures.effects(study)
        return found

    return published.keep("numbers", read)
