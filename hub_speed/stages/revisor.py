"""Revisions → revisor, by supervised fine-tuning of the (unaligned) base model.

In: speed-revision, the base model. Out: speed-revisor.
Source: SPEED §3.2.4, Eq. 3, App. B (10K rows, learning rate 5e-6, batch 24); it does not start from the junior.
"""

from hub_speed.stage import Context
from hub_speed.training.generator import fine_tune


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the revisor."""
    fine_tune.sft(ctx, base="base", data="revision")
