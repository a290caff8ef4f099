"""The Use it tab: lines that load, search, train and serve what is published, each at its version."""

import json

import gradio as gr
from handlers import READING, show
from published import Json, Published

from hub_speed.hub import Ref
from hub_speed.text import before_query

QUESTION = "Given a question, retrieve passages that answer it"
OWN_TAGS = ("run-", "content-")
"""How the tags begin that say how a version was made; other tags are a release's."""
POOLINGS = {"last": "last-token"}


def build(page: gr.Blocks, published: Published) -> None:
    """The tab's components and its handlers."""
    lines = gr.HTML('<p class="sx-dim">Reading …</p>')
    page.load(show("use.lines", lambda: published.keep("lines", lambda: lines_of(published))), None, lines, **READING)


def lines_of(published: Published) -> Json:
    """Title, language, code and a note of each block, the versions they load, and what is not made yet."""
    if not published.has_embedder():
        return _lines_of_rows(published)
    rows, embedder = published.ref(published.training()), published.ref("embedder")
    at = {ref: _revision(published, ref) for ref in (rows, embedder)}
    recipe, training = published.record(embedder).identity["recipe"], published.record(embedder).measures.training
    config = max(published.record(rows).by_task_type.items(), key=lambda item: item[1])[0]
    prompt = before_query(recipe["embedder"].get("instructions", "natural"), QUESTION, "retrieval")
    pooling = (training.pooling if training else None) or "mean"
    here = {"rows": rows, "embedder": embedder, "rows_at": at[rows], "embedder_at": at[embedder], "config": config}
    here |= {
        "prompt": json.dumps(prompt),
        "endpoint": published.hub.endpoint,
        "pooling": POOLINGS.get(pooling, pooling),
    }
    versions = [{"version": ref.repo, "at": at[ref], "url": published.url(ref)} for ref in (rows, embedder)]
    here["tuned_on"] = json.dumps(["query", "positive"] + ["negative"] * (not published.of_documents()))
    blocks = _with_hub(_blocks(here), published.hub.endpoint)
    if published.of_documents() and "benchmark" in published.lineage():
        test = published.ref("benchmark")
        code = BENCHMARK.format(test=test, test_at=_revision(published, test))
        blocks.insert(-4, {"title": "Load the test questions", "code": code, "note": BENCHMARK_NOTE})
    data = published.trained_on()
    apart = {"version": data.version, "url": published.url(data)} if data and data != rows else None
    return {"blocks": blocks, "versions": versions, "apart": apart, "missing": ""}


def _lines_of_rows(published: Published) -> Json:
    """The lines where there is no embedder yet."""
    rows = published.ref(published.training())
    here = {"rows": rows, "rows_at": _revision(published, rows), "endpoint": published.hub.endpoint}
    code, made = PASSAGES, MADE.splitlines()[0]
    if published.has_queries():
        kinds = published.record(rows).by_task_type
        here["config"] = max(kinds, key=lambda name: kinds[name])
        code, made = ROWS, MADE
    blocks = [
        {"title": "Load the rows" if published.has_queries() else "Load the passages", "code": code.format(**here)},
        {"title": "Look at them", "code": made.format(**here), "note": "pip install hub-speed"},
    ]
    versions = [{"version": rows.repo, "at": here["rows_at"], "url": published.url(rows)}]
    shown = _with_hub(blocks, here["endpoint"])
    return {"blocks": shown, "versions": versions, "apart": None, "missing": published.missing()}


def _revision(published: Published, ref: Ref) -> str:
    """A release's tag of a version, or its commit."""
    tags = published.hub.tags(ref.kind, ref.repo).items()
    return next((tag for tag, at in tags if at == ref and not tag.startswith(OWN_TAGS)), ref.commit)


def _with_hub(blocks: list[Json], endpoint: str) -> list[Json]:
    """The blocks, after one that says where the Hub is, if it is another one than clients take it to be."""
    if endpoint.rstrip("/") == "https://huggingface.co":
        return blocks
    first = {"title": "First: where the Hub is", "code": f"export HF_ENDPOINT={endpoint}"}
    return [first | {"note": "Set it before Python starts."}, *blocks]


def _blocks(here: Json) -> list[Json]:
    return [
        {"title": "Load the rows", "code": ROWS.format(**here)},
        {"title": "Search with the embedder", "code": EMBEDDER.format(**here)},
        {"title": "Fine-tune it on the rows, or on your own pairs", "code": TUNE.format(**here)},
        {"title": "Serve it (text-embeddings-inference)", "code": SERVE.format(**here), "note": SERVE_NOTE},
        {"title": "Without Python (curl)", "code": CURL.format(**here)},
        {"title": "How it was made", "code": MADE.format(**here), "note": "pip install hub-speed"},
    ]


ROWS = """\
from datasets import load_dataset

rows = load_dataset("{rows.repo}", "{config}", split="train", revision="{rows_at}")
print(rows[0]["query"], rows[0]["positive"], sep="\\n")

# all task types, row by row, without downloading all of it
stream = load_dataset("{rows.repo}", split="train", streaming=True, revision="{rows_at}")"""

PASSAGES = """\
from datasets import load_dataset

passages = load_dataset("{rows.repo}", revision="{rows_at}")
print(passages)
documents = load_dataset("{rows.repo}", "documents", revision="{rows_at}")"""

BENCHMARK = """\
from datasets import load_dataset

parts = {{"corpus": "corpus", "queries": "queries", "qrels": "test"}}
corpus, queries, qrels = (
    load_dataset("{test.repo}", part, split=split, revision="{test_at}") for part, split in parts.items()
)
print(queries[0]["text"], qrels[0])"""

BENCHMARK_NOTE = "In BEIR's layout: mteb and sentence-transformers' evaluators read it as it is."

EMBEDDER = """\
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{embedder.repo}", revision="{embedder_at}")
queries = model.encode(["what is a seed drill"], prompt={prompt})
texts = model.encode(["A seed drill sows in rows.", "Helium is a gas."])
print(model.similarity(queries, texts))"""

TUNE = """\
from datasets import load_dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

model = SentenceTransformer("{embedder.repo}", revision="{embedder_at}")
rows = load_dataset("{rows.repo}", "retrieval", split="train", revision="{rows_at}")
pairs = rows.map(lambda row: {{"query": f"Instruct: {{row['instruction']}}\\nQuery: {{row['query']}}"}})
trainer = SentenceTransformerTrainer(
    model,
    args=SentenceTransformerTrainingArguments("tuned", per_device_train_batch_size=32, num_train_epochs=1),
    train_dataset=pairs.select_columns({tuned_on}),
    loss=MultipleNegativesRankingLoss(model),
)
trainer.train()
model.save_pretrained("tuned/final")"""

SERVE = """\
text-embeddings-router --model-id {embedder.repo} --revision {embedder_at} --pooling {pooling} --port 8080

curl 127.0.0.1:8080/embed -H 'Content-Type: application/json' \\
    -d '{{"inputs": "what is a seed drill", "prompt_name": "query"}}'"""

SERVE_NOTE = "Version 1.9 or newer, if it supports the architecture of the base model."

CURL = """\
curl -sL {endpoint}/datasets/{rows.repo}/resolve/{rows_at}/data/{config}/train-00000.parquet -o rows.parquet
curl -s {endpoint}/api/datasets/{rows.repo}/tree/{rows_at}/data"""

MADE = """\
hub-speed rows {rows.repo}@{rows_at} -n 3
hub-speed rows {rows.repo}@{rows_at} --state rejected -n 3"""
