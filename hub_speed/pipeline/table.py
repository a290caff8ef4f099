"""THE table: every stage, in an order in which they can run.

brainstorm → seed → junior → root ─┬→ preference → senior ─→ synthesize → revise ─┬→ embedder → evaluate
                                   └→ revision → revisor ───────────────↗         ├→ scaling
                                                                                  └→ audit
"""

from hub_speed.errors import RecipeError, did_you_mean
from hub_speed.recipe import Recipe
from hub_speed.stage import FromStage, Stage
from hub_speed.stages import (
    audit,
    benchmark,
    brainstorm,
    corpus,
    embedder,
    evaluate,
    filter,
    junior,
    mine,
    preference,
    questions,
    relabel,
    revise,
    revision,
    revisor,
    root,
    scaling,
    seed,
    senior,
    synthesize,
)

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        brainstorm.STAGE,  # topics → tasks
        seed.STAGE,  # tasks → the teacher's examples
        junior.STAGE,  # examples → junior generator (SFT)
        root.STAGE,  # tasks → several answers of the junior to each prompt
        preference.STAGE,  # answers → best and worst, by the teacher
        senior.STAGE,  # best and worst → senior generator (DPO)
        revision.STAGE,  # answers → revisions, by the teacher
        revisor.STAGE,  # revisions → revisor (SFT)
        synthesize.STAGE,  # tasks → drafts, by the senior
        revise.STAGE,  # drafts → training rows, by the revisor
        corpus.STAGE,  # documents → passages
        questions.STAGE,  # passages → questions, by a generator
        filter.STAGE,  # questions → those that a search can answer, and only with their passage
        benchmark.STAGE,  # questions about held-out documents → queries, corpus and judgements
        mine.STAGE,  # questions about the others → the same with hard negatives
        relabel.STAGE,  # mined texts → positives and negatives, by a reranker or the teacher
        embedder.STAGE,  # rows → embedder (InfoNCE)
        evaluate.STAGE,  # embedder → scores beside baselines
        audit.STAGE,  # rows of each generator → yield and pass rate, by the teacher
        scaling.STAGE,  # embedders on nested subsets → what more rows are worth
    )
}

ASKS = (
    *("brainstorm", "seed", "root", "preference", "revision", "synthesize", "revise", "audit"),
    *("questions", "filter", "relabel"),
)
"""The stages that ask a model for rows, most of them under some recipes only: see `asks`."""


def asks(s: Stage, recipe: Recipe) -> bool:
    """Whether a stage asks a model for rows under a recipe."""
    return s.name in ASKS and s.estimate(recipe, 1).model is not None


def wanted(recipe: Recipe, only: str | None = None) -> list[Stage]:
    """The stages a recipe needs (or those that `only` needs), in an order in which they can run.

    Raises:
        RecipeError: there is no such stage.
    """
    if only is not None and only not in STAGES:
        raise RecipeError(
            f"--only {only}: there is no such stage",
            expected=f"one of {', '.join(STAGES)}",
            fix=did_you_mean(only, STAGES),
        )
    ends = [only] if only else ["evaluate"]
    if not only and recipe.audit.rows and STAGES["audit"].inputs(recipe):
        ends.append("audit")
    if not only and recipe.scaling.sizes:
        ends.append("scaling")
    needed: set[str] = set()

    def need(name: str) -> None:
        if name not in needed:
            needed.add(name)
            for source in STAGES[name].inputs(recipe).values():
                if isinstance(source, FromStage):
                    need(source.name)

    for end in ends:
        need(end)
    return [s for s in STAGES.values() if s.name in needed]


def descendants(name: str, order: list[Stage], recipe: Recipe) -> set[str]:
    """A stage and all that come from it.

    Raises:
        RecipeError: the recipe has no such stage.
    """
    if name not in [s.name for s in order]:
        names = [s.name for s in order]
        raise RecipeError(
            f"--from {name}: no such stage here", expected=f"one of {', '.join(names)}", fix=did_you_mean(name, names)
        )
    found = {name}
    for s in order:
        if any(isinstance(source, FromStage) and source.name in found for source in s.inputs(recipe).values()):
            found.add(s.name)
    return found
