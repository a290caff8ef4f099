"""Drafts → revised rows, without near-duplicates and test texts: the published training data.

In: speed-drafts, speed-revisor, test sets. Out: speed-synthetic.
Source: SPEED §3.3 (one pass, the prompt of the teacher's revisions) and App. A (MinHash, 1.15M → 920K); E5 App. B for
the look at test texts, which SPEED does not report.
Differs: if the revision fails the check, the draft is kept (not stated); duplicates are looked
for after revision (not stated).
"""

from collections.abc import Iterator

from hub_speed.generation import dataset, estimate, examples, prompts, writers
from hub_speed.generation.dedup import near_duplicates
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.parsing import Rejected
from hub_speed.llm.dialects import Completion, Sampling
from hub_speed.parquet import count_parquet, read_parquet
from hub_speed.recipe import Recipe
from hub_speed.rows import SyntheticRow
from hub_speed.stage import Context, Estimate, Stage, from_stages, pick
from hub_speed.training import test_texts


def build(ctx: Context) -> None:
    """Fill `ctx.out` with synthetic rows."""
    settings = ctx.recipe.revise
    sampling = Sampling(settings.sampling_temperature, settings.top_p, ctx.recipe.generator.max_tokens)
    drafts, may_keep = ctx.inputs["synthesize"] / "data", ctx.recipe.revision.may_keep

    def jobs(todo: Todo) -> Iterator[Job]:
        for row in read_parquet(drafts, wanted=todo):
            prompt = prompts.revision(row["prompt"], row["completion"], may_keep=may_keep)
            request = examples.revision_request(row["task_type"], prompt, sampling)
            yield Job(row["id"], row["task_type"], request, source=row)

    def read(job: Job, completion: Completion) -> Outcome:
        row, revised = examples.read_revised_draft(job.source, completion, ctx.recipe.checks)
        if isinstance(revised, Rejected):
            return Accepted(row, note=f"draft kept: {revised.reason}")
        return Accepted(row, revised.repaired)

    def sift(ledger: Ledger) -> None:
        how = (settings.dedup_threshold, settings.dedup_permutations, settings.dedup_words)
        ledger.reject(near_duplicates(ledger.rows(), *how, ctx.work), "near_duplicate")
        test_texts.sift(ctx, ledger)

    dataset.make(
        ctx,
        jobs,
        read,
        rows=count_parquet(drafts),
        writers=writers.one("revisor", ctx.inputs["revisor"]),
        row=SyntheticRow,
        sift=sift,
    )


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    words = estimate.words(recipe)
    written = words.answer + estimate.REASON_WORDS
    return estimate.asks(recipe, "revisor", recipe.synthesize.rows, words.revise, written)


STAGE = Stage(
    name="revise",
    version=3,
    kind="dataset",
    noun="synthetic",
    purpose="The revisor rewrites every draft once; near-duplicates and rows with test texts are dropped.",
    build=build,
    inputs=lambda recipe: from_stages("synthesize", "revisor")(recipe) | test_texts.inputs(recipe),
    fields=lambda recipe: (
        pick(recipe, "checks", "generator.prompt_format", "generator.max_tokens", "revision.may_keep", "revise")
        | test_texts.fields(recipe)
    ),
    prompts=lambda recipe: (
        prompts.system_text(recipe, teacher=False) | prompts.revision_texts(recipe, may_keep=recipe.revision.may_keep)
    ),
    estimate=_estimate,
    row=SyntheticRow,
)
