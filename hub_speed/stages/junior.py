"""Seed → junior generator, by supervised fine-tuning of the base model.

In: speed-seed, the base model. Out: speed-junior.
Source: SPEED §3.2.3, Eq. 1, App. B (25K rows, learning rate 1e-4, batch 16).
"""

from hub_speed.stage import Context
from hub_speed.training.generator import fine_tune


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the junior."""
    fine_tune.sft(ctx, base="base", data="seed")
