"""Training rows → embedder.

In: the rows (speed-synthetic; speed-drafts or speed-seed in studies), the base model; labelled sets, if there are any,
and the model that mines their hard negatives. Out: speed-embedder.
Source: SPEED §3.3, Eq. 4, App. B; E5 §3.2, §4.2, App. A where SPEED is silent (temperature, learning rate, length,
sampling of labelled sets).
"""

from hub_speed.parquet import count_parquet
from hub_speed.stage import Context
from hub_speed.training.embedder.settings import EmbedderSettings, LabelledSet
from hub_speed.training.process.launch import launch
from hub_speed.training.process.settings import PinnedModel

DEFAULT_INSTRUCTION = "Given a question, retrieve passages that answer it"
"""The prompt that `encode_query` uses when none is given."""


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the embedder."""
    data, base, runtime = ctx.inputs["data"] / "data", ctx.refs["base"], ctx.recipe.runtime
    settings = EmbedderSettings(
        work=ctx.work / "trainer",
        base=PinnedModel(folder=ctx.inputs["base"], repo=base.repo, commit=base.commit),
        gradient_checkpointing=runtime.gradient_checkpointing,
        checkpoint_s=runtime.checkpoint_s,
        recipe=ctx.recipe.embedder,
        mini_batch_size=runtime.mini_batch_size,
        data=data,
        out=ctx.out,
        labelled=tuple(
            LabelledSet(recipe=one, folder=ctx.inputs[f"labelled {one.repo}"]) for one in ctx.recipe.embedder.labelled
        ),
        miner=ctx.inputs.get("miner"),
        default_instruction=DEFAULT_INSTRUCTION,
    )
    ctx.record.rows_in = count_parquet(data)
    measures = launch(ctx, "training.embedder.contrastive", settings)
    ctx.record.accepted = measures.pop("rows")
    ctx.record.measures |= measures
