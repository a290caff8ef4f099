"""Junior + preferences → senior generator, by direct preference optimisation.

In: speed-preference, speed-junior. Out: speed-senior.
Source: SPEED §3.2.4, Eq. 2, App. B (10K pairs, beta 0.1, learning rate 1e-5, batch 16; reference: the frozen junior).
"""

from hub_speed.stage import Context
from hub_speed.training.generator import fine_tune


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the senior."""
    fine_tune.dpo(ctx, base="junior", data="preference")
