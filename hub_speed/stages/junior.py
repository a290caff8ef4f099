"""Seed → junior generator, by supervised fine-tuning of the base model.

In: speed-seed, the base model. Out: speed-junior.
Source: SPEED §3.2.3, Eq. 1, App. B (25K rows, learning rate 1e-4, batch 16).
"""

from hub_speed.generation import estimate, prompts
from hub_speed.recipe import Recipe
from hub_speed.stage import Context, Estimate, FromHub, FromStage, Stage, pick
from hub_speed.training.generator import fine_tune


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the junior."""
    fine_tune.sft(ctx, base="base", data="seed")


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    words = estimate.words(recipe)
    return estimate.trains(
        recipe.generator.base_model, recipe.seed.rows, words.prompt + words.answer, recipe.junior.epochs
    )


STAGE = Stage(
    name="junior",
    version=2,
    kind="model",
    noun="junior",
    purpose="The base model is fine-tuned on the teacher's examples: the junior generator.",
    build=build,
    inputs=lambda recipe: {"seed": FromStage("seed"), "base": FromHub("model", recipe.generator.base_model)},
    fields=lambda recipe: pick(recipe, "rng_seed", "generator.prompt_format") | {"junior": recipe.junior.deciding()},
    prompts=lambda recipe: prompts.system_text(recipe, teacher=False),
    estimate=_estimate,
)
