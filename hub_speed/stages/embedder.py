"""Training rows → embedder.

In: the rows (speed-synthetic; speed-drafts or speed-seed in studies), the base model; labelled sets, if there are any,
the model that mines their hard negatives; test sets, where the rows are not checked against them yet. Out:
speed-embedder.
Source: SPEED §3.3, Eq. 4, App. B; E5 §3.2, §4.2, App. A where SPEED is silent (temperature, learning rate, length,
sampling of labelled sets).
"""

from hub_speed.cards import licences
from hub_speed.generation import estimate
from hub_speed.parquet import count_parquet
from hub_speed.recipe import Embedder, Recipe
from hub_speed.record import Json, Training
from hub_speed.stage import Context, Estimate, FromHub, FromStage, Source, Stage, teacher_input
from hub_speed.training import test_texts
from hub_speed.training.embedder import training_rows
from hub_speed.training.embedder.settings import EmbedderSettings, LabelledSet
from hub_speed.training.process.launch import launch
from hub_speed.training.process.settings import PinnedModel

DEFAULT_INSTRUCTION = "Given a question, retrieve passages that answer it"
"""The prompt that `encode_query` uses when none is given."""


def build(ctx: Context) -> None:
    """Fill `ctx.out` with the embedder."""
    data, runtime = training_rows.folder(ctx), ctx.recipe.runtime
    settings = EmbedderSettings(
        work=ctx.work / "trainer",
        base=_pinned(ctx, "base"),
        gradient_checkpointing=runtime.gradient_checkpointing,
        checkpoint_s=runtime.checkpoint_s,
        recipe=ctx.recipe.embedder,
        mini_batch_size=runtime.mini_batch_size,
        data=data,
        out=ctx.out,
        labelled=tuple(
            LabelledSet(recipe=one, folder=ctx.inputs[f"labelled {one.repo}"]) for one in ctx.recipe.embedder.labelled
        ),
        miner=ctx.inputs.get("miner"),
        teacher=ctx.inputs.get("teacher"),
        merged=tuple(_pinned(ctx, f"merge {name}") for name in _merged(ctx.recipe)),
        tests=test_texts.fetch(ctx) if _checks(ctx.recipe) else None,
        default_instruction=DEFAULT_INSTRUCTION,
    )
    ctx.record.rows_in = count_parquet(ctx.inputs["data"] / "data")
    if runtime.launcher and settings.labelled:
        launch(ctx, "training.embedder.labelled", settings)
    measures = launch(ctx, "training.embedder.contrastive", settings, runtime.launcher)
    ctx.record.accepted = measures.pop("rows")
    test_texts.note(ctx, measures.pop("contamination"))
    ctx.record.measures.training = Training.model_validate(measures)


def _inputs(recipe: Recipe) -> dict[str, Source]:
    """The rows, the base, labelled sets and what mines their negatives, the teacher, and what is merged with it all."""
    settings = recipe.embedder
    found: dict[str, Source] = {"data": FromStage(settings.data), "base": FromHub("model", settings.base_model)}
    found |= {f"labelled {repo}": FromHub("dataset", repo, _files(settings, repo)) for repo in _repos(settings)}
    found |= {f"merge {name}": FromHub("model", name) for name in _merged(recipe)} | teacher_input(recipe)
    found |= {"miner": FromHub("model", settings.miner_model)} if settings.mines else {}
    return found | (test_texts.inputs(recipe) if _checks(recipe) else {})


def _checks(recipe: Recipe) -> bool:
    """Whether the rows are looked through for test texts: revised rows were, before they were published."""
    return recipe.embedder.data != "revise" or bool(recipe.embedder.labelled)


def _fields(recipe: Recipe) -> Json:
    checked = test_texts.fields(recipe) if _checks(recipe) else {}
    return {"embedder": recipe.embedder.deciding()} | training_rows.fields(recipe) | checked


def _merged(recipe: Recipe) -> tuple[str, ...]:
    """The models of the Hub that are merged with what is trained."""
    return recipe.embedder.merge.models if recipe.embedder.merge else ()


def _pinned(ctx: Context, name: str) -> PinnedModel:
    ref = ctx.refs[name]
    return PinnedModel(folder=ctx.inputs[name], repo=ref.repo, commit=ref.commit)


def _repos(settings: Embedder) -> list[str]:
    return list(dict.fromkeys(each.repo for each in settings.labelled))


def _files(settings: Embedder, repo: str) -> tuple[str, ...]:
    """Patterns of the files that are needed of a repository; () where some set reads all of it."""
    files = [each.files for each in settings.labelled if each.repo == repo]
    return tuple(dict.fromkeys(pattern for patterns in files for pattern in patterns)) if all(files) else ()


def _facts(ctx: Context) -> Json:
    """The licences that the recipe states for its labelled sets."""
    sets = ctx.recipe.embedder.labelled
    return {
        "licences": [licences.Source(str(ctx.refs[f"labelled {each.repo}"]), each.license.lower()) for each in sets]
    }


def _estimate(recipe: Recipe, topics: int) -> Estimate:
    drawn = estimate.embedder_rows(recipe)
    rows = drawn if recipe.embedder.rows is None else min(recipe.embedder.rows, drawn)
    rows += recipe.embedder.labelled_rows
    return estimate.trains(recipe.embedder.base_model, rows, estimate.words(recipe).answer, recipe.embedder.epochs)


STAGE = Stage(
    name="embedder",
    version=4,
    kind="model",
    noun="embedder",
    purpose="The embedder is trained on the rows.",
    build=build,
    inputs=_inputs,
    fields=_fields,
    estimate=_estimate,
    facts=_facts,
    metadata={"library_name": "sentence-transformers", "pipeline_tag": "sentence-similarity"},
)
