"""Questions about training documents → the same with hard negatives.

In: speed-filtered-questions, speed-corpus, the embedder that searches. Out: speed-mined.
Source: positive-aware mining, NV-Retriever (arXiv 2407.15831); among the first 100, E5 App. A.
Only passages of training documents are negatives: no text of a held-out document is in the training at all.
A row without a negative is kept, with empty lists: a training can still set it against the rest of its batch.
How they are found: `retrieval/mining.py`.
"""

import json
from collections.abc import Iterator

from hub_speed.generation import dataset, estimate
from hub_speed.generation.jobs import Accepted, not_asked
from hub_speed.generation.ledger import Ledger
from hub_speed.parquet import read_parquet
from hub_speed.recipe import Recipe, usual_prompts
from hub_speed.record import Json
from hub_speed.retrieval.passages import Passages
from hub_speed.retrieval.settings import MiningSettings
from hub_speed.rows import LedgerRow, MinedRow
from hub_speed.stage import Context, Estimate, FromHub, FromStage, Source, Stage
from hub_speed.training.process.launch import launch


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the training questions and their negatives."""
    recipe, corpus = ctx.recipe.mine, ctx.inputs["corpus"] / "data"
    settings = MiningSettings(
        work=ctx.work / "mining",
        questions=ctx.inputs["filter"] / "data",
        passages=corpus,
        embedder=ctx.inputs["embedder"],
        prompts=usual_prompts(recipe.embedder),
        out=ctx.work / "mined.json",
        recipe=recipe,
    )
    ctx.record.measures.margins = launch(ctx, "retrieval.mining", settings)["margins"]
    found, passages = json.loads(settings.out.read_bytes()), Passages.read(corpus, "train")

    def entries() -> Iterator[tuple[LedgerRow, Json]]:
        for question in read_parquet(settings.questions):
            if question["split"] == "train":
                row = mined(question, found[question["id"]], passages)
                note = "" if row["negatives"] else "no passage is both similar enough and clearly below the positive"
                yield not_asked(row["id"], row["task_type"], row["prompt"], Accepted(row, note=note)), row

    with Ledger(ctx.work, ctx.record.identity) as ledger:
        ledger.add(entries())
        dataset.finish(ctx, ledger, None, writers=None, row=MinedRow, task_types=("retrieval",))
        without = sum(not row["negatives"] for row in ledger.rows())
    if without:
        ctx.record.notes.append(f"{without:,} of {ctx.record.accepted:,} rows have no negative")


def mined(question: Json, found: Json, passages: Passages) -> Json:
    """A question with its passages and scores."""
    texts = {
        name: [passages.rows[number]["text"] for number in passages.named(ids, question["id"])]
        for name, ids in (("positives", question["positive_ids"]), ("negatives", found["negative_ids"]))
    }
    return question | found | texts | {"negative": texts["negatives"][0] if texts["negatives"] else None}


def _inputs(recipe: Recipe) -> dict[str, Source]:
    return {
        "filter": FromStage("filter"),
        "corpus": FromStage("corpus"),
        "embedder": FromHub("model", recipe.mine.embedder),
    }


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    """What embedding the questions and a passage for each takes; how large the corpus is, nobody knows before."""
    words = estimate.words(recipe).answer
    return estimate.trains(recipe.mine.embedder, recipe.questions.rows, words, 1, passes=1)


STAGE = Stage(
    name="mine",
    version=1,
    kind="dataset",
    noun="mined",
    purpose="Hard negatives for the questions about training documents are searched among all their passages.",
    build=build,
    inputs=_inputs,
    fields=lambda recipe: {"mine": recipe.mine.model_dump(mode="json", exclude={"embedder"})},
    estimate=_estimate,
    row=MinedRow,
)
