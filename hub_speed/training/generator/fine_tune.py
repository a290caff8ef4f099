"""Starts the fine-tuning of a generator or the revisor for a stage."""

from hub_speed.parquet import count_parquet
from hub_speed.record import Training
from hub_speed.stage import Context
from hub_speed.training.generator.settings import DpoSettings, SftSettings
from hub_speed.training.process.launch import launch
from hub_speed.training.process.settings import PinnedModel


def sft(ctx: Context, *, base: str, data: str) -> None:
    """Fine-tune the input `base` on the completions of the input `data` into `ctx.out`; measures go to the record.

    Raises:
        StageError, NoSpace, Stopped: see `launch`.
    """
    _fine_tune(ctx, "sft", SftSettings, base, data)


def dpo(ctx: Context, *, base: str, data: str) -> None:
    """Align the input `base` with the preferences of the input `data` into `ctx.out`; measures go to the record.

    Raises:
        StageError, NoSpace, Stopped: see `launch`.
    """
    _fine_tune(ctx, "dpo", DpoSettings, base, data)


def _fine_tune(ctx: Context, module: str, kind: type[SftSettings] | type[DpoSettings], base: str, data: str) -> None:
    runtime, ref, rows = ctx.recipe.runtime, ctx.refs[base], ctx.inputs[data] / "data"
    settings = kind(
        work=ctx.work / "trainer",
        base=PinnedModel(folder=ctx.inputs[base], repo=ref.repo, commit=ref.commit),
        gradient_checkpointing=runtime.gradient_checkpointing,
        checkpoint_s=runtime.checkpoint_s,
        section=ctx.record.stage,
        recipe=getattr(ctx.recipe, ctx.record.stage),
        data=rows,
        out=ctx.out,
        prompt_format=ctx.recipe.generator.prompt_format,
        rng_seed=ctx.recipe.rng_seed,
        micro_batch_size=runtime.micro_batch_size,
    )
    ctx.record.rows_in = count_parquet(rows)
    measures = launch(ctx, f"training.generator.{module}", settings, runtime.launcher)
    ctx.record.accepted = measures.pop("rows")
    ctx.record.measures.training = Training.model_validate(measures)
