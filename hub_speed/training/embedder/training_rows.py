"""The rows that an embedder is trained on; of drafts, without near-duplicates.

Revised rows are without near-duplicates when they are published. Drafts are published whole, because the revisor gets
all of them. So near-duplicates are left out here: "no revisor" must not mean "no MinHash" as well. The teacher's own
rows are without exact duplicates alone. Of questions about documents, those of split train are taken.
Source: SPEED App. A (MinHash of 1.15M rows); what was done to the sets of Table 2 is not stated: Assumptions.
"""

import shutil
from pathlib import Path

from hub_speed.generation.dedup import near_duplicates
from hub_speed.parquet import read_parquet, write_parquet
from hub_speed.recipe import Recipe
from hub_speed.record import Json
from hub_speed.rows import DraftRow, QuestionRow
from hub_speed.stage import Context, pick


def fields(recipe: Recipe) -> Json:
    """The recipe fields that decide which rows these are, beside the data."""
    if recipe.embedder.data != "synthesize":
        return {}
    return pick(recipe, "revise.dedup_threshold", "revise.dedup_words", "revise.dedup_permutations")


def folder(ctx: Context) -> Path:
    """The folder of the rows; the record says how many near-duplicates were left out."""
    data, kept, how = ctx.inputs["data"] / "data", ctx.work / "rows", ctx.recipe.revise
    if ctx.recipe.embedder.data == "filter":
        shutil.rmtree(kept, ignore_errors=True)
        write_parquet((row for row in read_parquet(data) if row["split"] == "train"), QuestionRow, kept)
        return kept
    if ctx.recipe.embedder.data != "synthesize":
        return data
    rows = sorted(read_parquet(data, ["id", "query", "positive"]), key=lambda row: row["id"])
    found = near_duplicates(rows, how.dedup_threshold, how.dedup_permutations, how.dedup_words, ctx.work)
    dropped = {each.id for each in found}
    shutil.rmtree(kept, ignore_errors=True)
    write_parquet(read_parquet(data, wanted=lambda row_id: row_id not in dropped), DraftRow, kept)
    ctx.record.measures.near_duplicates = len(dropped)
    return kept
