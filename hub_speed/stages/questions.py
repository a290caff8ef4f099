"""Passages of documents → questions about them, written by a generator.

In: speed-corpus, the generator. Out: speed-questions. The passage itself is the positive; the neighbouring passage of a
contrastive question is its hard negative.
Source: queries written for given passages, as in InPars (arXiv 2202.05144) and Promptagator (arXiv 2209.11755). The
kinds, styles and other things that are drawn, and how often: Assumptions (`recipe.Questions`).
"""

from hub_speed.errors import StageError
from hub_speed.generation import dataset, estimate, prompts
from hub_speed.generation.dedup import exact_duplicates
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.quota import Quota
from hub_speed.grounded import asking, planning
from hub_speed.grounded import prompts as wording
from hub_speed.grounded.planning import TASK_TYPE
from hub_speed.recipe import Recipe
from hub_speed.record import TEACHER, Json
from hub_speed.rows import QuestionRow
from hub_speed.stage import Context, Estimate, FromStage, Source, Stage, pick


def build(ctx: Context) -> None:
    """Fill `ctx.out` with questions.

    Raises:
        StageError: the corpus has no passage.
    """
    recipe, passages = ctx.recipe, asking.passages_of(ctx.inputs["corpus"])
    if not passages:
        raise StageError(
            "questions: the corpus has no passage", fix="see what was skipped: the corpus's config skipped"
        )
    who = asking.generator(recipe, ctx.inputs.get("generator"))
    quota = Quota.of({TASK_TYPE: 1}, planning.wanted(recipe.questions, len(passages)))

    def sift(ledger: Ledger) -> None:
        ledger.reject(exact_duplicates(ledger.rows(), "query"), "duplicate")

    dataset.make(
        ctx,
        asking.question_jobs(recipe, passages, lambda: quota.asked[TASK_TYPE]),
        asking.question_reader(recipe, who),
        rows=quota,
        writers=who,
        row=QuestionRow,
        sift=sift,
        task_types=(TASK_TYPE,),
    )


def _inputs(recipe: Recipe) -> dict[str, Source]:
    return {"corpus": FromStage("corpus")} | asking.generator_input(recipe)


def _fields(recipe: Recipe) -> Json:
    return (
        pick(recipe, "rng_seed", "languages")
        | {"questions": recipe.questions.deciding()}
        | asking.generator_fields(recipe)
    )


def _prompts(recipe: Recipe) -> Json:
    return prompts.system_text(recipe, teacher=recipe.questions.generator == TEACHER) | wording.question_texts(
        short=recipe.questions.prompt == "short"
    )


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    words = (wording.QUESTION_WORDS, wording.ANSWER_WORDS)
    mix = recipe.teacher.model if recipe.questions.generator == TEACHER else None
    return estimate.asks(recipe, recipe.questions.generator, recipe.questions.rows, *words, estimate.DRAFT_YIELD, mix)


STAGE = Stage(
    name="questions",
    version=1,
    kind="dataset",
    noun="questions",
    purpose="A generator writes questions about the passages of the documents.",
    build=build,
    inputs=_inputs,
    fields=_fields,
    prompts=_prompts,
    estimate=_estimate,
    row=QuestionRow,
)
