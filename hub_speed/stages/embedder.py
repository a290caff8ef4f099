"""Training rows → embedder.

In: the rows (speed-synthetic; speed-drafts or speed-seed in studies), the base model. Out: speed-embedder.
Source: SPEED §3.3, Eq. 4, App. B; E5 §3.2, §4.2 where SPEED is silent (temperature, learning rate, length).
"""

from hub_speed.rows import count_parquet
from hub_speed.stage import Context
from hub_speed.training.launch import launch

DEFAULT_INSTRUCTION = "Given a question, retrieve passages that answer it"
"""The prompt that `encode_query` uses when none is given."""


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the embedder."""
    data = ctx.inputs["data"] / "data"
    settings = ctx.recipe.embedder.model_dump() | {
        "base": str(ctx.inputs["base"]),
        "data": str(data),
        "out": str(ctx.out),
        "default_instruction": DEFAULT_INSTRUCTION,
    }
    ctx.record.rows_in = count_parquet(data)
    measures = launch(ctx, "contrastive", settings)
    ctx.record.accepted = measures.pop("rows")
    ctx.record.measures |= measures
