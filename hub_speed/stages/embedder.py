"""Training rows → embedder.

In: the rows (speed-synthetic; speed-drafts or speed-seed in studies), the base model; labelled sets, if there are any,
and the model that mines their hard negatives. Out: speed-embedder.
Source: SPEED §3.3, Eq. 4, App. B; E5 §3.2, §4.2, App. A where SPEED is silent (temperature, learning rate, length,
sampling of labelled sets).
"""

from hub_speed.parquet import count_parquet
from hub_speed.stage import Context
from hub_speed.training.process.launch import launch

DEFAULT_INSTRUCTION = "Given a question, retrieve passages that answer it"
"""The prompt that `encode_query` uses when none is given."""


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the embedder."""
    data, base = ctx.inputs["data"] / "data", ctx.refs["base"]
    recipe, runtime = ctx.recipe.embedder, ctx.recipe.runtime
    settings = recipe.model_dump() | {
        "base": str(ctx.inputs["base"]),
        "base_name": base.repo,
        "base_revision": base.commit,
        "data": str(data),
        "labelled": [
            s.model_dump() | {"kind": s.kind, "folder": str(ctx.inputs[f"labelled {s.repo}"])} for s in recipe.labelled
        ],
        "miner": str(ctx.inputs.get("miner", "")),
        "out": str(ctx.out),
        "default_instruction": DEFAULT_INSTRUCTION,
        "mini_batch_size": runtime.mini_batch_size,
        "gradient_checkpointing": runtime.gradient_checkpointing,
        "checkpoint_s": runtime.checkpoint_s,
    }
    ctx.record.rows_in = count_parquet(data)
    measures = launch(ctx, "training.embedder.contrastive", settings)
    ctx.record.accepted = measures.pop("rows")
    ctx.record.measures |= measures
