"""Revisions → revisor, by supervised fine-tuning of the (unaligned) base model.

In: speed-revision, the base model. Out: speed-revisor.
Source: SPEED §3.2.4, Eq. 3, App. B (10K rows, learning rate 5e-6, batch 24); it does not start from the junior.
"""

from hub_speed.generation import estimate, prompts
from hub_speed.recipe import Recipe
from hub_speed.stage import Context, Estimate, FromHub, FromStage, Stage, pick
from hub_speed.training.generator import fine_tune


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the revisor."""
    fine_tune.sft(ctx, base="base", data="revision")


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    words, rows = estimate.words(recipe), estimate.signals(recipe, recipe.revision.rows)
    read = words.revise + words.answer + estimate.REASON_WORDS
    return estimate.trains(recipe.generator.base_model, rows, read, recipe.revisor.epochs)


STAGE = Stage(
    name="revisor",
    version=2,
    kind="model",
    noun="revisor",
    purpose="The base model is fine-tuned on the teacher's revisions: the revisor.",
    build=build,
    inputs=lambda recipe: {"revision": FromStage("revision"), "base": FromHub("model", recipe.generator.base_model)},
    fields=lambda recipe: pick(recipe, "rng_seed", "generator.prompt_format") | {"revisor": recipe.revisor.deciding()},
    prompts=lambda recipe: prompts.system_text(recipe, teacher=False),
    estimate=_estimate,
)
