"""Junior + preferences → senior generator, by direct preference optimisation.

In: speed-preference, speed-junior. Out: speed-senior.
Source: SPEED §3.2.4, Eq. 2, App. B (10K pairs, beta 0.1, learning rate 1e-5, batch 16; reference: the frozen junior).
"""

from hub_speed.generation import estimate, prompts
from hub_speed.recipe import Recipe
from hub_speed.stage import Context, Estimate, Stage, from_stages, pick
from hub_speed.training.generator import fine_tune


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the senior."""
    fine_tune.dpo(ctx, base="junior", data="preference")


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    words, pairs = estimate.words(recipe), estimate.signals(recipe, recipe.preference.rows)
    read, passes = 2 * (words.prompt + words.answer), estimate.DPO_PASSES
    return estimate.trains(recipe.generator.base_model, pairs, read, recipe.senior.epochs, passes)


STAGE = Stage(
    name="senior",
    version=2,
    kind="model",
    noun="senior",
    purpose="The junior is trained on these preferences (DPO): the senior generator.",
    build=build,
    inputs=from_stages("preference", "junior"),
    fields=lambda recipe: pick(recipe, "rng_seed", "generator.prompt_format") | {"senior": recipe.senior.deciding()},
    prompts=lambda recipe: prompts.system_text(recipe, teacher=False),
    estimate=_estimate,
)
