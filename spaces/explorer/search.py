"""The Search tab: texts ranked by the published embedder, beside a second one; for several queries, a heat map."""

import json
import random
from pathlib import Path

import gradio as gr
import numpy as np
from embedders import BASE, BM25, Embedders
from figures import newest
from handlers import MODELS, READING, endpoint, problem, show
from published import Json, Published
from rows import Rows
from tables import Table

from hub_speed.errors import HubSpeedError
from hub_speed.text import with_instruction

# How much a visitor may ask for.
MAX_TEXTS, MAX_TEXT_CHARS, MAX_LINE_CHARS = 200, 2000, 500
MAX_QUERIES = 12
MAX_FILE_BYTES = 1_000_000
EXAMPLES, TEXTS = 8, 100
"""Held-out examples, and the texts of each. Assumption: enough to tell embedders apart, and read in some seconds."""
TEXTS_TAKEN = 24
"""Published rows that are taken at once."""
NEAR = 6
"""Documents before and after the answer: in many corpora these are about the same thing."""
COLUMNS = 8
"""Texts in a heat map."""
MAX_CORPUS = 20_000
"""Documents of a benchmark that examples are taken from. Assumption: some 10 MB."""
QUESTION = "Given a question, retrieve passages that answer it"
"""The instruction that retrieval is scored with (`evaluation.benchmarks`)."""

Answers = dict[str, list[str]]
"""Query → the texts that answer it."""


def build(page: gr.Blocks, embedders: Embedders, rows: Rows) -> None:
    """The tab's components, its handlers and /search."""
    seconds = [("the base before the training", BASE), ("BM25", BM25), ("nothing", "")]
    with gr.Row(elem_classes="sx-pager"):
        example = gr.Dropdown([("…", "")], value="", label="Held-out example", scale=3, min_width=220)
        second = gr.Dropdown(
            seconds,
            value=BASE,
            label="Beside it (or any small model: org/name)",
            allow_custom_value=True,
            scale=2,
            min_width=220,
        )
        find = gr.Button("Search", variant="primary", elem_classes="sx-go")
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            instruction = gr.Textbox(label="Instruction (goes before the query)", max_length=MAX_LINE_CHARS)
            queries = gr.Textbox(label="Query (several, one a line: a heat map)", lines=2, max_lines=8)
            texts = gr.Textbox(label="Texts, one a line", lines=9, max_lines=14)
            with gr.Row():
                take = gr.Button("Take published rows", size="sm", min_width=120)
                upload = gr.UploadButton(
                    "Upload .txt or .jsonl", file_types=[".txt", ".jsonl"], size="sm", min_width=120
                )
        with gr.Column(scale=5, min_width=300):
            ranking = gr.HTML('<p class="sx-dim">Reading the benchmark …</p>', elem_classes="sx-panel")
    right = gr.State({})
    form = [instruction, queries, texts]

    def compare(queries: str, texts: str, instruction: str, second: str, right: Answers) -> Json:
        return compared(embedders, queries.split("\n"), texts.split("\n"), instruction, second or "", right)

    def start() -> tuple:
        """The examples to choose from, the first one of them, and its result."""
        try:
            rows.published.ref("embedder")
            held = held_out(rows)
        except HubSpeedError as error:
            return (gr.skip(),) * 5 + (problem(error),)
        names = [(one["title"], str(i)) for i, one in enumerate(held)]
        html = show("search.results", lambda: first_example(embedders, rows))()
        return gr.update(choices=names, value="0"), *_filled(held[0]), html

    def choose(number: str) -> tuple:
        return _filled(held_out(rows)[int(number)]) if number else (gr.skip(),) * 4

    def taken() -> tuple:
        """Some published rows: their positives as texts, and one of their queries."""
        return _filled(some_rows(rows))

    def read(path: str) -> str:
        try:
            return "\n".join(texts_of(Path(path)))
        except HubSpeedError as error:
            raise gr.Error(str(error), print_exception=False) from error

    handler, asked = show("search.results", compare), [queries, texts, instruction, second, right]
    latest = MODELS | {"trigger_mode": "always_last"}  # a click while another search runs is not lost
    gr.on([find.click, instruction.submit, second.input], handler, asked, ranking, **latest)
    example.input(choose, example, [*form, right], **READING).then(handler, asked, ranking, **MODELS)
    take.click(taken, None, [*form, right], **READING)
    upload.upload(read, upload, texts, **READING)
    page.load(start, None, [example, *form, right, ranking], **READING)

    def search(query: str, texts: list[str], instruction: str = "", second: str = "") -> dict:
        """Texts ranked by the published embedder, best first, and by a second one if it is named.

        Args:
            query: what to search for.
            texts: where to search; at most 200.
            instruction: what is wanted of a text, in one sentence; goes before the query.
            second: base (the model before the training), bm25, or org/name of a small model on the Hub.
        """
        found = compared(embedders, [query], texts, instruction, second)
        first, *others = found["sides"]
        answer = {"query": first["asked"], "embedder": first["title"], "found": _plain(first)}
        return answer | ({"second": others[0]["title"], "second_found": _plain(others[0])} if others else {})

    endpoint(search)


def _plain(side: Json) -> list[tuple[float, str]]:
    return [(line["score"], line["text"]) for line in side["ranking"]]


def _filled(one: Json) -> tuple[str, str, str, Answers]:
    return one["how"], "\n".join(one["queries"]), "\n".join(one["texts"]), one["answers"]


def first_example(embedders: Embedders, rows: Rows) -> Json:
    """The result of the first held-out example, before and after the training; computed once."""

    def make() -> Json:
        one = held_out(rows)[0]
        return compared(embedders, one["queries"], one["texts"], one["how"], BASE, one["answers"])

    return rows.published.keep("first example", make)


def compared(
    embedders: Embedders,
    queries: list[str],
    texts: list[str],
    instruction: str,
    second: str,
    answers: Answers | None = None,
) -> Json:
    """How one or two embedders rank texts: a ranking for one query, a heat map for several.

    Args:
        embedders: where scores come from.
        queries: what is searched for; the embedder reads the instruction before each.
        texts: each counts once.
        instruction: empty for none.
        second: see `Embedders.scores`; empty for none.
        answers: query → the texts that are known to answer it.
    """
    texts = list(dict.fromkeys(filter(None, map(_one_line, texts))))
    queries, instruction = list(dict.fromkeys(filter(None, map(_one_line, queries)))), _one_line(instruction)
    _bounded(queries, texts, instruction)
    names = [name for name in ("embedder", second) if name]
    found = [embedders.scores(name, queries, texts, instruction) for name in names]
    right = np.array([[text in (answers or {}).get(query, ()) for text in texts] for query in queries])
    columns = np.lexsort((-found[0].max(0), np.where(right.any(0), right.argmax(0), len(queries))))[:COLUMNS]
    read = with_instruction(instruction, queries[0]) if instruction else queries[0]
    sides = [
        {"title": embedders.title(name), "asked": read if name in ("embedder", BASE) else queries[0]}
        | _side(scores, right, columns, texts, queries)
        for name, scores in zip(names, found, strict=True)
    ]
    return {"queries": queries, "columns": [texts[i] for i in columns], "texts": len(texts), "sides": sides}


def _bounded(queries: list[str], texts: list[str], instruction: str) -> None:
    """Raise a HubSpeedError if there is nothing to do, or too much."""
    if not queries or not texts:
        raise HubSpeedError("A query and some texts are needed", fix="write a query, and paste texts, one a line")
    if len(texts) > MAX_TEXTS:
        raise HubSpeedError("Too many texts", expected=f"at most {MAX_TEXTS}", got=f"{len(texts):,}")
    if len(queries) > MAX_QUERIES:
        raise HubSpeedError("Too many queries", expected=f"at most {MAX_QUERIES}", got=f"{len(queries):,}")
    if max(map(len, [instruction, *queries])) > MAX_LINE_CHARS or max(map(len, texts)) > MAX_TEXT_CHARS:
        limits = f"{MAX_TEXT_CHARS:,} characters a text, {MAX_LINE_CHARS} for query and instruction"
        raise HubSpeedError("One of the texts is too long", expected=f"at most {limits}")


def _side(scores: np.ndarray, right: np.ndarray, columns: np.ndarray, texts: list[str], queries: list[str]) -> Json:
    """One embedder's result: the ranking for the first query, a heat map, and the places of the right texts.

    Args:
        scores: of every text for every query, shape (queries, texts).
        right: whether the text answers the query, same shape.
        columns: the texts of the heat map, by number; answers first.
        texts: all texts.
        queries: all queries.
    """
    order = np.argsort(-scores[0], kind="stable").tolist()
    ranking = [{"score": float(scores[0, i]), "text": texts[i], "hit": bool(right[0, i])} for i in order]
    shades = (scores - scores.min()) / max(float(scores.max() - scores.min()), 1e-9)
    cells = np.stack([scores, shades, right], 2)[:, columns].tolist()
    places = [int((row > row[hit].max()).sum()) + 1 if hit.any() else 0 for row, hit in zip(scores, right, strict=True)]
    heat = [{"query": q, "cells": c, "place": p} for q, c, p in zip(queries, cells, places, strict=True)]
    return {"ranking": ranking, "heat": heat, "places": [place for place in places if place]}


# --- what can be searched at once -----------------------------------------------------------------------------------


def held_out(rows: Rows) -> list[Json]:
    """Examples that the embedder has not learnt: questions of its benchmark, or rows of a set it was not trained on.

    The first example has several questions, for a heat map; the others have one each.
    """
    published = rows.published

    def read() -> list[Json]:
        found = _of_benchmark(published) or _of_seed(rows)
        if not found:
            raise HubSpeedError("There is no held-out example here", fix="write a query, and paste texts, one a line")
        many = {query: texts for one in found for query, texts in one["answers"].items()}
        texts = list(dict.fromkeys([*(text for mine in many.values() for text in mine), *found[0]["texts"]]))[:TEXTS]
        several = {"title": f"{len(found)} questions at once", "queries": list(many), "texts": texts, "answers": many}
        return [{"how": found[0]["how"]} | several, *found]

    return published.keep("held-out examples", read)


def _of_benchmark(published: Published) -> list[Json]:
    """Questions of a benchmark that is a dataset (corpus, queries, qrels), and texts to find the answers in."""
    scored = newest(published, "evaluate")
    inputs = published.record(scored).inputs if scored else {}
    for ref in (ref for name, ref in inputs.items() if name.startswith("benchmark ") and ref.kind == "dataset"):
        parts = [Table(published.hub, ref, part) for part in ("corpus", "queries", "qrels")]
        if all(table.total for table in parts):
            corpus, queries, qrels = (table.rows(np.arange(min(table.total, MAX_CORPUS))) for table in parts)
            return _questions(corpus, queries, qrels, f"{ref.repo.split('/')[1]}: ")
    return []


def _questions(corpus: list[Json], queries: list[Json], qrels: list[Json], of: str) -> list[Json]:
    """Questions spread over a benchmark, each with its answers, the documents beside them, and some of all others."""
    texts = [_one_line(f"{row.get('title') or ''} {row['text']}") for row in corpus]
    place = {row["_id"]: i for i, row in enumerate(corpus)}
    right: dict[str, list[int]] = {}
    for row in qrels:
        if row["score"] > 0 and row["corpus-id"] in place:
            right.setdefault(row["query-id"], []).append(place[row["corpus-id"]])
    known = [row for row in queries if row["_id"] in right]
    found = []
    for row in known[:: max(1, len(known) // EXAMPLES)][:EXAMPLES]:
        query, answers = _one_line(row["text"]), [texts[i] for i in right[row["_id"]][:3]]
        at = right[row["_id"]][0]
        near, far = texts[max(0, at - NEAR) : at + NEAR + 1], texts[:: max(1, len(texts) // TEXTS)]
        shown = list(dict.fromkeys([*answers, *near, *far]))[:TEXTS]
        one = {"title": of + query, "how": QUESTION, "queries": [query], "texts": sorted(shown)}
        found.append(one | {"answers": {query: answers}})
    return found


def _of_seed(rows: Rows) -> list[Json]:
    """Rows of the teacher, unless the embedder was trained on them."""
    published = rows.published
    if "seed" not in published.lineage():
        return []
    if published.record(published.ref("embedder")).inputs.get("data") == published.ref("seed"):
        return []
    some = [row for row in rows.sample(400, "seed") if row["task_type"] == "retrieval"][:TEXTS]
    texts = [_one_line(row["positive"]) for row in some]
    found = []
    for row in some[:EXAMPLES]:
        query, answers = _one_line(row["query"]), [_one_line(row["positive"])]
        one = {"title": f"a row of the teacher: {query}", "how": row["instruction"], "queries": [query]}
        found.append(one | {"texts": texts, "answers": {query: answers}})
    return found


def some_rows(rows: Rows) -> Json:
    """Published rows, drawn anew each time: their positives as texts, and the query of one of them.

    Where there are passages alone, some of these, and no query.
    """
    if not rows.published.has_queries():
        some = random.sample(found := rows.sample(200), min(TEXTS_TAKEN, len(found)))
        return {"how": QUESTION, "queries": [], "texts": [_one_line(row["text"]) for row in some], "answers": {}}
    some = [row for row in rows.sample(600) if row["task_type"] == "retrieval"] or rows.sample(200)
    some = random.sample(some, min(TEXTS_TAKEN, len(some)))
    texts, query = [_one_line(row["positive"]) for row in some], _one_line(some[0]["query"])
    return {"how": some[0]["instruction"], "queries": [query], "texts": sorted(texts), "answers": {query: [texts[0]]}}


def texts_of(path: Path) -> list[str]:
    """The texts of an uploaded file: its lines, or of JSON lines the field `text`.

    Raises:
        HubSpeedError: it is too large, not UTF-8, or a line is not what it should be.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise HubSpeedError("The file is too large", expected=f"at most {MAX_FILE_BYTES // 1_000_000} MB")
    try:
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
        found = [json.loads(line)["text"] for line in lines] if path.suffix == ".jsonl" else lines
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        expected = "UTF-8 text, one a line; or JSON lines with a field text"
        raise HubSpeedError("The file cannot be read", expected=expected, got=type(error).__name__) from error
    return [_one_line(str(text))[:MAX_TEXT_CHARS] for text in found[:MAX_TEXTS]]


def _one_line(text: str) -> str:
    return " ".join(text.split())
