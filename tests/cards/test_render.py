"""The card of every stage."""

import ast
import json
import re
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import DatasetCardData, ModelCardData
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mteb.models.model_meta import ModelMeta
from safetensors.numpy import save_file

from hub_speed import parquet, rows
from hub_speed.cards import licences, metadata, render
from hub_speed.evaluation.scaling_law import compare
from hub_speed.evaluation.scaling_sentences import describe
from hub_speed.llm import dialects
from hub_speed.localhub import card_rules
from hub_speed.pipeline.table import STAGES
from hub_speed.recipe import Recipe
from hub_speed.recipes.loader import load
from hub_speed.record import Ancestor, Documents, Measures, Ref, RunRecord, Training, fingerprint_of, tag_of
from hub_speed.stage import Context, FromStage

# --- cards ----------------------------------------------------------------------------------------------------------

FAKE_COMMIT = {name: f"{i:040x}" for i, name in enumerate(["hub", *STAGES])}
PLAIN: dict[Any, Any] = {str: "some | text <b>", int: 1234, float: 0.625, bool: True, list[str]: ["a", "b"]}
PLAIN |= {list[int]: [1, 0], list[float]: [0.5, 0.25]}
TRAININGS: dict[str, dict[str, Any]] = {
    "junior": {
        "loss_curve": [[1, 3.0], [2, 2.5], [3, 2.25]],
        "tokens": 123456,
        "steps": 3125,
        "rows_dropped_too_long": 4321,
        "trained": "adapter, r 16",
        "devices": "2 x CPU",
        "device_seconds": 98765.4,
    },
    "senior": {"steps": 2, "loss_curve": [[1, 0.7], [2, 0.5]], "rewards": {"accuracies": 0.75, "margins": 1.5}}
    | {"reward_curves": {"accuracies": [[1, 0.5], [2, 0.75]], "margins": [[1, 0.1], [2, 1.5]]}},
    "revisor": {"steps": 2, "loss_curve": [[1, 3.0], [2, 2.5]]},
    "embedder": {
        "steps": 2,
        "loss_curve": [[1, 3.0], [2, 2.5]],
        "dimension": 96,
        "pooling": "last",
        "modules": "Transformer, Pooling, Normalize",
        "max_length": 512,
        "truncated_share": 0.0123,
        "mix": {"retrieval": 50000},
        "mined_negatives": 0,
    },
}
SCORES = [
    {"subject": s, "task_type": t, "measure": m, "benchmark": b, "dataset": "d@1", "value": v}
    | {"low": low, "high": high, "n": 1500}
    for s, t, m, b, v, low, high in [
        ("embedder", "Retrieval", "nDCG@10", "org/b", 0.654, 0.6, 0.7),
        ("BM25", "Retrieval", "nDCG@10", "org/b", 0.5, None, None),
        ("embedder", "Retrieval", "nDCG@10", "SciFact", 0.3, None, None),
        ("embedder", "STS", "Spearman", "BIOSSES", 0.6, None, None),
        ("embedder", "STS", "Spearman", "STS12", 0.7, None, None),
    ]
]
SHARES = [{"subject": "junior", "measure": "yield", "value": 0.912, "low": 0.88, "high": 0.93, "n": 1500}]
FAILED = [
    {"subject": "embedder", "measure": "Spearman", "benchmark": "SummEval", "reason": "ValueError: no | such file"}
]
ITEM = {"subject": "embedder", "measure": "nDCG@10", "benchmark": "org/b", "item": "q1", "value": 0.5, "gold": None}
RUNS = [
    {"rows": size, "rng_seed": seed, "measure": "nDCG@10", "benchmark": "b", "value": 0.1 * size**0.2 + 0.01 * seed}
    for size in (150, 300, 600)
    for seed in (0, 1)
]
FIT = compare(np.array([run["rows"] for run in RUNS], dtype=float), np.array([run["value"] for run in RUNS]), 0.01)


def context(name: str, recipe: Recipe, folder: Path) -> Context:
    """A stage as if it had just been built."""
    s = STAGES[name]
    refs = {}
    for given_name, source in s.inputs(recipe).items():
        if isinstance(source, FromStage):
            refs[given_name] = Ref(STAGES[source.name].kind, STAGES[source.name].repo("org"), FAKE_COMMIT[source.name])
        else:
            refs[given_name] = Ref(source.kind, source.name.split("@")[0].replace(" ", "-"), FAKE_COMMIT["hub"])
    identity = s.identity(recipe, refs)
    lineage = {
        ref.version: Ancestor(
            stage="x",
            accepted=10,
            calls={"teacher": 1000},
            prompt_tokens={"teacher": 20_000},
            completion_tokens={"teacher": 4000},
        )
        for ref in refs.values()
    }
    record = RunRecord(
        stage=name,
        fingerprint=fingerprint_of(identity),
        recipe=recipe.name,
        identity=identity,
        inputs={},
        lineage=lineage,
        rows_in=54321,
        accepted=50000,
        measures=Measures(training=Training(**TRAININGS[name]) if name in TRAININGS else None),
        seconds=77.0,
        license=recipe.license,
    )
    out = folder / "out"
    out.mkdir()
    ctx = Context(
        recipe=recipe,
        repo=s.repo("org"),
        inputs={},
        refs=refs,
        out=out,
        work=folder,
        record=record,
        progress=None,  # type: ignore[arg-type]
        stop=threading.Event(),
        threads=1,
        address=lambda name, weights: nullcontext(None),  # type: ignore[arg-type,return-value]
    )
    _fill(name, ctx)
    return ctx


def _fill(name: str, ctx: Context) -> None:
    if name == "evaluate":
        parquet.write_parquet(SCORES, rows.ScoreRow, ctx.out / "data")
        parquet.write_parquet([ITEM], rows.ItemScoreRow, ctx.out / "items")
        ctx.record.measures.scores, ctx.record.measures.failed = SCORES, FAILED
    elif name == "scaling":
        parquet.write_parquet(RUNS, rows.ScalingRow, ctx.out / "data")
        failed = [FAILED[0] | {"subject": "30 rows, seed 1"}]
        ctx.record.measures.fits, ctx.record.measures.failed = {"nDCG@10": FIT}, failed
        ctx.record.measures.sentences = describe("nDCG@10", FIT)
    elif name == "corpus":
        row = {field: PLAIN.get(about.annotation, "x") for field, about in rows.PassageRow.model_fields.items()}
        parquet.write_parquet([row], rows.PassageRow, ctx.out / "data")
        one = {"documents": 1, "passages": 1, "groups": 1, "words": 7}
        more = {"splits": {"train": one}, "lengths": {"5%": 7, "median": 7, "95%": 7}, "skipped": {"empty": 2}}
        ctx.record.measures.documents = Documents(**one, **more)
    elif name == "audit":
        parquet.write_parquet(SHARES, rows.AuditRow, ctx.out / "data")
        ctx.record.measures.shares = SHARES
    elif STAGES[name].kind == "dataset":
        kind = STAGES[name].row
        row = {n: PLAIN.get(f.annotation, PLAIN[str]) for n, f in kind.model_fields.items()}
        for task_type in ctx.recipe.mixture:
            mine = row | {"task_type": task_type, **({"knobs": '{"min_words": "2"}'} if "knobs" in row else {})}
            count = 0 if task_type == "long_matching" else 2
            ctx.record.by_task_type[task_type] = parquet.write_parquet(
                [mine] * count, kind, ctx.out / "data" / task_type
            )
        (ctx.out / "ledger").mkdir()
        ctx.record.rejected = {"bad_json": 4000, "near_duplicate": 321}
        ctx.record.calls = {"teacher": 7, "junior": 54321}
        ctx.record.prompt_tokens, ctx.record.completion_tokens = ({"teacher": 100, "junior": 5} for _ in range(2))


Rendered = tuple[dict[str, Any], str, Context]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Rendered]:
    """Header and text of a stage's card under a recipe, rendered once."""

    @cache
    def render_one(name: str, recipe: str) -> Rendered:
        ctx = context(name, load(recipe), tmp_path_factory.mktemp(name))
        render.render(STAGES[name], ctx)
        _, header, text = (ctx.out / "README.md").read_text("utf-8").split("---\n", 2)
        return yaml.safe_load(header), text, ctx

    return lambda name, recipe="quickstart": render_one(name, recipe)


CASES = [(name, "quickstart") for name in STAGES] + [("seed", "e5"), ("revise", "speed"), ("embedder", "speed")]


@pytest.mark.parametrize(("name", "recipe_name"), CASES, ids=["-".join(case) for case in CASES])
def test_the_card_of_a_stage(name: str, recipe_name: str, card: Callable[..., Rendered]) -> None:
    header, text, ctx = card(name, recipe_name)
    s, record, recipe = STAGES[name], ctx.record, ctx.recipe
    # whole: nothing left open, no gap where a value should be
    assert re.match(r"\n# \w.+\n", text)
    prose = re.sub(r"```python.*?```", "", text, flags=re.DOTALL)
    assert not re.search(r"\{\{|\{%|%\}|Undefined|\bNone\b", prose)
    assert "\n\n\n\n" not in text
    # true: what the record says, and nothing typed by hand
    assert f"org/speed-{s.noun}" in text or s.kind == "dataset"
    assert tag_of(record.fingerprint) in text
    assert s.purpose in text
    assert "77 seconds" in text or "| 77 |" in text
    teacher = record.calls.get("teacher", 0) + 1000 * len(record.lineage)
    assert f"{teacher:,}" in text
    linked = {n: ref for n, ref in ctx.refs.items() if n != "miner"}  # nothing was mined
    assert all(f"| {n} | [`{ref}`](/" in text and f"/tree/{ref.commit})" in text for n, ref in linked.items())
    assert "miner" not in text
    assert "| made with | `hub_speed`, recipe" in text and "pip install" in text
    assert "author  = {Chen, Haonan and " in text and "arXiv:2410.18634" in text
    assert "https://arxiv.org/abs/2410.18634" in text or name == "corpus"
    assert f"hub-speed run {recipe_name} --org YOUR_NAME" in text
    assert ("offline teacher" in text) == (recipe.offline and name != "corpus")
    assert header["license"] == recipe.license
    # figures: drawn and there
    figures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert figures
    assert all((ctx.out / path).stat().st_size > 1000 for path in figures)
    assert sorted(figures) == sorted(path.relative_to(ctx.out).as_posix() for path in ctx.out.rglob("*.png"))


@pytest.mark.parametrize("name", [name for name, s in STAGES.items() if s.kind == "dataset"])
def test_a_dataset_card_has_its_columns_configs_and_reasons(name: str, card: Callable[..., Rendered]) -> None:
    header, text, ctx = card(name)
    for column, description in rows.columns(STAGES[name].row).items():
        assert f"| `{column}` | {description} |" in text
    default, *others = header["configs"]
    assert (default["config_name"], default["default"]) == ("questions" if name == "benchmark" else "default", True)
    if name != "benchmark":
        assert default["data_files"] == "data/**/*.parquet"
    else:
        return  # its configs are those of BEIR: tests/stages/test_benchmark.py
    named = [config["config_name"] for config in others]
    filled = [t for t, count in ctx.record.by_task_type.items() if count]
    ledger = ["ledger"] if ctx.record.by_task_type else []
    assert named == [*filled, *(["items"] if name == "evaluate" else []), *ledger]  # none for a type without rows
    for reason in ctx.record.rejected:
        assert f"- `{reason}` ({ctx.record.rejected[reason]:,}): {rows.REASONS[reason]}" in text
    if ctx.record.by_task_type:
        assert "| `task_type` |" in text
        assert "`some \\| text <b>`" in text  # an example cannot break the table
        assert f'load_dataset("{ctx.repo}", "{filled[0]}"' in text


def test_a_card_says_what_was_not_checked_and_what_is_missing(tmp_path: Path) -> None:
    ctx = context("seed", load("speed"), tmp_path)
    ctx.record.measures.unchecked = {"too_short": 1234}
    ctx.record.notes.append("sts: 3 of 9 rows were accepted; 36 were asked for, and at most 36 may be")
    render.render(STAGES["seed"], ctx)
    text = (ctx.out / "README.md").read_text("utf-8")
    assert "`checks: form`" in text and f"- `too_short` (1,234): {rows.REASONS['too_short']}" in text
    assert f"- `{ctx.record.notes[0]}`" in text.split("## Known limits")[1]


@pytest.mark.parametrize("name", [name for name, s in STAGES.items() if s.kind == "model"])
def test_a_model_card_names_its_base_and_its_data(name: str, card: Callable[..., Rendered]) -> None:
    header, text, ctx = card(name)
    base = ctx.refs.get("base") or ctx.refs["junior"]
    assert header["base_model"] == base.repo
    assert header["datasets"] == [ref.repo for ref in ctx.refs.values() if ref.kind == "dataset"] != []
    library = "sentence-transformers" if name == "embedder" else "transformers"
    assert header["library_name"] == library
    settings = getattr(ctx.recipe, name).deciding()
    assert len(settings) > 8
    shown = {n: render._short(v) for n, v in settings.items() if v is not None and v != []}
    assert [n for n, v in shown.items() if f"| `{n}` | {v} |" not in text] == []
    assert "50,000" in text
    if name == "junior":
        for line in ("rows | 50,000", "steps | 3,125", "tokens | 123,456", "rows dropped too long | 4,321"):
            assert f"| {line} |" in text
        for line in ("trained | adapter, r 16", "devices | 2 x CPU", "device seconds | 98,765.4"):
            assert f"| {line} |" in text
        assert "/v1/completions" in text and "print(tokenizer.decode(output[0" in text
    if name == "senior":
        assert "accuracies 0.750, margins 1.500" in text and "Accuracy, margin and loss" in text
    if name == "embedder":
        assert "vector of 96 numbers" in text


def test_the_card_of_a_generator_with_a_chat_template_says_how_to_ask_it(tmp_path: Path) -> None:
    ctx = context("junior", load("speed", ["generator.prompt_format=chat"]), tmp_path)
    render.render(STAGES["junior"], ctx)
    text = (ctx.out / "README.md").read_text("utf-8")
    assert "apply_chat_template" in text and dialects.SYSTEM in text and "/v1/chat/completions" in text
    assert "[/INST]" not in text
    assert "`adapter/`" in text


def test_an_embedder_names_its_labelled_sets_and_how_it_is_used(tmp_path: Path) -> None:
    sets = "[{repo: them/set@main, instruction: [Find it, Seek it], license: cc-by-4.0, weight: 0.5}]"
    flags = [
        f"embedder.labelled={sets}",
        "embedder.matryoshka=[32, 64]",
        "embedder.lora_r=4",
        "embedder.max_length=96",
    ]
    ctx = context("embedder", load("quickstart", flags), tmp_path)
    changed = {"mix": {"retrieval": 49000, "them/set": 1000}, "mined_negatives": 900}
    ctx.record.measures.training = Training(**TRAININGS["embedder"] | changed)
    render.render(STAGES["embedder"], ctx)
    text = (ctx.out / "README.md").read_text("utf-8")
    assert "| 49,000 | retrieval, synthetic | 1 |" in text
    assert (
        "| 1,000 | [them/set](https://huggingface.co/datasets/them/set), labelled | 0.5 | `Find it` or `Seek it` |"
        " `cc-by-4.0` |" in text
    )
    assert f"| miner | [`{ctx.refs['miner']}`](/" in text
    assert f"900 hard negatives were mined with `{ctx.refs['miner']}`: texts at ranks 0 to 100" in text
    assert "| dimensions | 96, can be truncated to: 32, 64 |" in text and "truncate_dim=32" in text
    assert "1.2% of the training texts were longer and were truncated" in text
    assert "`adapter/`" in text and "--pooling last-token" in text


@pytest.mark.parametrize(
    ("form", "said", "text"),
    [
        ("natural", "`Instruct: {the task, in one sentence}`", '["Instruct: Given a question, retrieve passages that'),
        ("task_type_prefix", "`classify: ` before a text to classify", '["query: what is the capital of France"'),
        ("none", "none: it was trained without instructions", '["what is the capital of France"'),
    ],
)
def test_an_embedders_card_shows_the_form_and_the_pooling_it_was_trained_with(
    form: str, said: str, text: str, tmp_path: Path
) -> None:
    ctx = context("embedder", load("quickstart", [f"embedder.instructions={form}"]), tmp_path)
    onnx = {"form": "onnx", "folder": "onnx", "measure": "least cosine", "value": 1.0}
    ctx.record.measures.training = Training(**TRAININGS["embedder"] | {"pooling": "weighted_mean", "exports": [onnx]})
    render.render(STAGES["embedder"], ctx)
    card = (ctx.out / "README.md").read_text("utf-8")
    assert said in card and text in card and ("with your own instruction" in card) == (form == "natural")
    assert "weighted by their place" in card and "torch.arange(1, mask.shape[1] + 1)" in card
    assert 'InferenceSession(f"{folder}/onnx/model.onnx")' in card and "* np.arange(1, mask.shape[1] + 1)" in card
    assert "text-embeddings-router" not in card  # which has no such pooling


def test_scores_and_fits_are_in_their_cards(card: Callable[..., Rendered]) -> None:
    _, text, _ = card("evaluate")
    assert "| nDCG@10 | org/b | BM25 | 0.500 | – | 1,500 |" in text
    assert "| mean | 2 of mteb's tasks | embedder | 0.650 |" in text
    assert "Mean over all 3 of mteb's tasks: **0.533**" in text
    assert "| SummEval | embedder | `ValueError: no \\| such file` |" in text
    _, text, _ = card("audit")
    assert "| yield | junior | 0.912 | 0.880 to 0.930 | 1,500 |" in text
    _, text, _ = card("scaling")
    assert f"**nDCG@10**: {FIT['slope']:+.3f} per tenfold data (95% interval" in text and "6 runs." in text
    assert "\n\n**Not scored.** " in text and "| SummEval | 30 rows, seed 1 | `ValueError: no \\| such file` |" in text


def test_a_card_says_which_licences_it_comes_into_conflict_with(tmp_path: Path) -> None:
    pairs = {"repo": "org/pairs", "instruction": "find", "license": "CC-BY-NC-4.0", "negative": "negative"}
    changed = {"license": "apache-2.0", "embedder": {"base_model": "base", "labelled": [pairs]}}
    ctx = context("embedder", Recipe.model_validate({"name": "r", **changed}), tmp_path)
    ctx.record.lineage[f"org/llama@{'3' * 40}"] = Ancestor(licences=["llama3"])
    render.render(STAGES["embedder"], ctx)
    text = (ctx.out / "README.md").read_text("utf-8")
    section = text[text.index("## Licence") : text.index("## Reproduce")]
    assert section.count("**Conflict:**") == 2
    assert (
        "- **Conflict:** org/llama@3333333 is llama3, which asks for Meta's Llama terms; apache-2.0 does not.\n"
        in section
    )
    assert "- **Conflict:** org/pairs@" in section and "is cc-by-nc-4.0, which asks for no commercial use" in section


def test_a_card_shows_the_quality_of_its_rows_beside_the_teachers(tmp_path: Path) -> None:
    ctx = context("revise", load("quickstart"), tmp_path)
    render.render(STAGES["revise"], ctx)
    alone = (ctx.out / "README.md").read_text("utf-8")
    measured = ctx.record.measures.quality
    assert measured["rows"] == sum(ctx.record.by_task_type.values())
    assert "| measure | here |\n|---|---|\n| length as asked |" in alone
    assert "teacher's rows" not in alone
    seed = json.loads(json.dumps(measured))  # as it stands in the record of the seed
    seed["by_task_type"]["retrieval"]["overlap"] = 0.25
    ctx.record.lineage["org/speed-seed@1"] = Ancestor(stage="seed", quality=seed)
    ctx.record.lineage["org/speed-tasks@1"] = Ancestor(stage="brainstorm", calls={"teacher": 480})
    render.render(STAGES["revise"], ctx)
    text = (ctx.out / "README.md").read_text("utf-8")
    assert "| measure | here | teacher's rows | |\n|---|---|---|---|\n| length as asked |" in text
    assert re.search(r"\| query in positive \| 100.0% \| \d\d.\d% \| worse \|", text)
    assert re.search(r"\(the seed\): \d better, \d+ alike, 1 worse\.", text) and text.count("Worse") == 1
    assert "hub-speed quality org/speed-synthetic" in text
    assert text.count("480 of them to brainstorm tasks") == 2


@pytest.mark.parametrize("topic", ["R$ % $", "$\\frac{$", "x" * 3000])
def test_any_topic_can_be_published(tmp_path: Path, topic: str) -> None:
    ctx = context("revise", load("quickstart"), tmp_path)
    for folder in (ctx.out / "data").iterdir():
        found = [row | {"topic": topic} for row in parquet.read_parquet(folder)]
        parquet.write_parquet(found, rows.SyntheticRow, folder)
    render.render(STAGES["revise"], ctx)
    assert ctx.record.notes == []
    assert (ctx.out / "figures" / "quality.png").stat().st_size > 1000


@pytest.mark.parametrize("name", ["revise", "junior", "audit"])
def test_what_cannot_be_drawn_or_measured_is_left_out_of_the_card_and_said_in_the_record(
    tmp_path: Path, name: str
) -> None:
    """The rows are paid for: no figure and no measure may stop them from being published."""
    ctx = context(name, load("quickstart"), tmp_path)
    ctx.record.measures.training = Training(steps=2, loss_curve=[])
    version = next(iter(ctx.refs.values())).version
    ctx.record.lineage[version] = Ancestor(stage="seed", inputs=[version], quality={"rows": 1})
    for path in (ctx.out / "data").glob("*.parquet"):
        path.write_bytes(b"PAR1")  # what an audit draws
    render.render(STAGES[name], ctx)
    text = (ctx.out / "README.md").read_text("utf-8")
    drawn = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert all((ctx.out / path).exists() for path in drawn)
    assert "figures/lineage.png" not in drawn and "figures/training.png" not in drawn
    assert "\n\n\n\n" not in text
    said = "\n".join(ctx.record.notes)
    assert "the card is without the figure lineage: RecursionError: " in said
    assert "the card is without the figure training: ValueError: " in said
    if name == "revise":
        assert "the card is without the quality of the rows: KeyError: " in said
        assert "## Quality" not in text
    if name == "audit":
        assert "the card is without its own figures: ArrowInvalid: " in said
        assert "figures/shares.png" not in text and "| yield | junior | 0.912 |" in text
    assert RunRecord.model_validate_json(ctx.record.model_dump_json()).notes == ctx.record.notes


def test_languages_are_those_of_the_recipe(card: Callable[..., Rendered]) -> None:
    assert card("brainstorm", "e5")[0]["language"] == ["en"]  # its tasks are for every language
    assert "language" not in card("corpus")[0]  # the recipe's languages are those of the questions
    found = card("seed", "e5")[0]["language"]
    assert {"en", "pl", "de", "zh"} <= set(found)


@pytest.mark.parametrize("name", STAGES)
def test_the_header_of_a_card_is_what_the_hub_and_its_client_take(name: str, card: Callable[..., Rendered]) -> None:
    header, text, ctx = card(name)
    kind = STAGES[name].kind
    given = {key: value for key, value in header.items()}
    parsed = (DatasetCardData if kind == "dataset" else ModelCardData)(**given).to_dict()
    assert {key: parsed[key] for key in header} == header
    verdict = card_rules.check(f"---\n{yaml.safe_dump(header)}---\n{text}", kind)
    assert verdict.errors == verdict.warnings == []
    made = header["hub_speed"]
    assert (made["stage"], made["run"]) == (name, tag_of(ctx.record.fingerprint))
    assert made.get("teacher") == (None if name == "corpus" else ["offline-teacher"])  # nobody is asked for passages
    if kind == "dataset":
        made_up = name != "corpus"  # its texts are people's
        assert header["annotations_creators"] == ["machine-generated" if made_up else "no-annotation"]
        assert header["size_categories"] == ["10K<n<100K"] and ("synthetic" in header["tags"]) == made_up
        assert header["task_categories"]
        assert header["source_datasets"]
    else:
        assert header["base_model_relation"] == "finetune"
        assert ("text-embeddings-inference" in header["tags"]) == (name == "embedder")


def test_sizes_are_named_as_the_hub_names_them(tmp_path: Path) -> None:
    ctx = context("seed", load("quickstart"), tmp_path)
    for rows_, size in ((0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (920_415, "100K<n<1M"), (10**9, "1B<n<10B")):
        ctx.record.accepted = rows_
        assert metadata.header(STAGES["seed"], ctx)["size_categories"] == [size]


def test_a_licence_that_the_hub_does_not_know_is_another_one_with_a_name(tmp_path: Path) -> None:
    ctx = context("seed", load("quickstart", ["license=My Own 2"]), tmp_path)
    header = metadata.header(STAGES["seed"], ctx)
    assert (header["license"], header["license_name"]) == ("other", "my-own-2")
    assert [name for name in card_rules.LICENCES if name in licences.HUB_NAMES] == card_rules.LICENCES


def test_the_judge_is_the_model_that_judged(tmp_path: Path) -> None:
    for flags, judge in (([], "offline-teacher"), (["preference.signal=retrieval", "preference.embedder=a/b"], "a/b")):
        folder = tmp_path / judge
        folder.mkdir(parents=True)
        ctx = context("preference", load("quickstart", flags), folder)
        assert metadata.header(STAGES["preference"], ctx)["hub_speed"]["judge"] == [judge]


def test_a_changed_recipe_is_reproduced_from_a_file_in_the_card(tmp_path: Path) -> None:
    topics = f"org/speed-topics@{'1' * 40}"
    assert metadata.reproduce(load("quickstart")) == ("quickstart", "")
    assert metadata.reproduce(load("speed", [f"brainstorm.topics={topics}"])) == (
        f"speed --set brainstorm.topics={topics}",
        "",
    )
    changed = load("quickstart", ["seed.rows=7", f"brainstorm.topics={topics}", "runtime.jobs=7"])
    command, text = metadata.reproduce(changed)
    path = tmp_path / command
    path.write_text(text, "utf-8")
    again = load(str(path))
    assert {"runtime"} == {n for n in type(changed).model_fields if getattr(again, n) != getattr(changed, n)}
    assert again.runtime.max_reject_rate == changed.runtime.max_reject_rate == 0.7


def test_the_model_meta_in_an_embedders_card_has_the_fields_that_mteb_wants(tmp_path: Path) -> None:
    ctx = context("embedder", load("speed"), tmp_path)
    save_file({"a": np.zeros((3, 5), np.float32), "b": np.zeros(7, np.float32)}, ctx.out / "model.safetensors")
    render.render(STAGES["embedder"], ctx)
    text = (ctx.out / "README.md").read_text("utf-8")
    (snippet,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "ModelMeta(" in code]
    call = next(node for node in ast.walk(ast.parse(snippet)) if isinstance(node, ast.Call) and node.keywords)
    names = {keyword.arg for keyword in call.keywords}
    fields = ModelMeta.model_fields
    assert names <= set(fields) and {name for name, field in fields.items() if field.is_required()} <= names
    assert ast.literal_eval(metadata.mteb_names(load("speed_full").embedder)) >= {"NQ", "MSMARCO", "T2Retrieval"}
    assert metadata.mteb_names(load("speed").embedder) == "set()"
    literal = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg not in ("loader", "training_datasets")}
    meta = ModelMeta(**literal, loader=None, training_datasets=set())
    assert (meta.n_parameters, meta.embed_dim, meta.max_tokens, meta.name) == (22, 96, 512, "org/speed-embedder")


def test_a_card_says_what_the_rows_were_checked_against(tmp_path: Path) -> None:
    ctx = context("embedder", load("e5_msmarco"), tmp_path)
    ctx.record.measures.contamination = {
        "checked": {"org/bench": 1200, "BigTask": 10_000},
        "of": {"BigTask": 700_000},
        "unchecked": {"mteb:SciFact": "OSError: no | network"},
        "found": {"org/bench": {"exact": 2, "near": 1}},
        "dropped": 3,
        "rows": ["synthesize-0000001"],
    }
    render.render(STAGES["embedder"], ctx)
    text = (ctx.out / "README.md").read_text("utf-8")
    assert "`org/bench` (1,200 texts), `BigTask` (10,000 of 700,000 texts)" in text
    assert "| test set | exact | normalised | contained | near |" in text and "| `org/bench` | 2 | 0 | 0 | 1 |" in text
    assert "3 rows were dropped" in text and "**Not checked** against `mteb:SciFact`: `OSError: no \\| network`" in text
    assert 'training_datasets={"MSMARCO"}' in text and "    # `mteb/msmarco" in text


def test_every_template_is_of_a_stage() -> None:
    for kind in ("dataset", "model"):
        found = {path.stem for path in render.templates(kind).iterdir()}
        assert found - {"base", "changes", "contamination", "generator", "release", "reproduce", "study"} == {
            s.noun for s in STAGES.values() if s.kind == kind
        }


def test_long_texts_and_odd_values_fit_into_a_table() -> None:
    assert render._short("a\nb | c <d>") == "`a b \\| c <d>`"
    assert render._short(["é", 1]) == '`["é", 1]`'
    assert len(render._short("x" * 999)) == render.SHOWN + 4
    assert (render._short(True), render._short(2.5), render._short("")) == ("True", "2.5", "")
    assert render._short("a\x00\x1b[31mb\u202ec\u2028d") == "`a [31mb c d`"
    assert render._short("`a``b`") == "``` `a``b` ```"


MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
PIECES = ["`", "``", "|", "\\", "[a](javascript:x)", "![a](http://x/y.png)", "<b>", "<!--", "&lt;", "\n", " ", "a", "*"]
PIECES += ["_", "~~", "$", "# ", "- ", "https://x.org", "<http://x.org>", "[a]: x", "---", ":"]
MARKUP = st.lists(st.sampled_from(PIECES), max_size=12)


@given(MARKUP.map("".join))
def test_no_text_gets_out_of_its_cell(text: str) -> None:
    """Whatever the text is, it is one cell, all of it code: nothing in it is read as Markdown or HTML."""
    html = MARKDOWN.render(f"| a | b |\n|---|---|\n| x | {render._short(text)} |\n| y | z |\n\nafter\n")
    cells = re.findall(r"<td>(.*?)</td>", html, re.DOTALL)
    plain = " ".join(text.split())
    assert cells[0] == "x" and cells[2:] == ["y", "z"] and html.endswith("<p>after</p>\n")
    if plain:
        found = re.fullmatch(r"<code>([^<>]*)</code>", cells[1])
        assert found
        assert unescape(found[1]).replace("\\ |", "\\|") == plain.replace("\\ |", "\\|")


EVIL = [
    "[EVIL](javascript:alert(1))",
    "![EVIL](https://evil.example/pixel.png)",
    "<img src=x onerror=EVIL> <script>EVIL</script> <!-- EVIL",
    "EVIL | `[EVIL](javascript:x)` | \\| [EVIL](javascript:x) |",
    "EVIL`` ` [EVIL](javascript:x) ```\n\n# EVIL\n\n[EVIL]: http://evil.example\n",
    "https://evil.example/EVIL www.evil.example/EVIL EVIL@evil.example <https://evil.example/EVIL>",
    "\x1b]8;;http://EVIL\x07x\x1b]8;;\x07 \u202eEVIL\u2066 \x00EVIL\u2028EVIL $EVIL$ $$EVIL$$",
]


@pytest.mark.parametrize("name", ["seed", "revise", "evaluate", "embedder"])
@pytest.mark.parametrize("text", EVIL)
def test_generated_text_is_inert_in_a_card(tmp_path: Path, name: str, text: str) -> None:
    """Rendered as the Hub does, what a model wrote is inside of code, and nowhere else."""
    pairs = {"repo": "them/set", "instruction": text, "license": text, "negative": "n"}
    changed = {"name": text, "license": "other", "teacher": {"model": text}}
    mixed = Recipe.model_validate(changed | {"embedder": {"base_model": "base", "labelled": [pairs]}})
    ctx = context(name, mixed, tmp_path)
    if name == "embedder":
        changed = {"mix": {"retrieval": 4, "them/set": 1}}
        ctx.record.measures.training = Training(**TRAININGS["embedder"] | changed)
    elif name == "evaluate":
        ctx.record.measures.failed = [FAILED[0] | {"reason": text}]
    else:
        for folder in (ctx.out / "data").iterdir():
            odd = {"query": text, "positive": text, "negative": text, "instruction": text, "topic": text, "task": text}
            found = [{**row, **{n: v for n, v in odd.items() if n in row}} for row in parquet.read_parquet(folder)]
            parquet.write_parquet(found, STAGES[name].row, folder)
    render.render(STAGES[name], ctx)
    _, header, card = (ctx.out / "README.md").read_text("utf-8").split("---\n", 2)
    assert yaml.safe_load(header)["hub_speed"]["teacher"] == [render.without_paths(text)]
    html = MARKDOWN.render(card)
    assert "EVIL" in html and "EVIL" not in re.sub(r"<code[^>]*>[^<>]*</code>", "", html)
    assert all(src.startswith("figures/") for src in re.findall(r'<img src="([^"]*)"', html))
    assert not [c for c in header + card if render._is_unseen(c) and c != "\n"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("FileNotFoundError: /home/me/.hub_speed/work/x.json is gone", "FileNotFoundError: …/x.json is gone"),
        ("/models/qwen-3", "…/qwen-3"),
        ("~/models/qwen", "…/qwen"),
        ("org/name and https://huggingface.co/org/name/tree/x", "org/name and https://huggingface.co/org/name/tree/x"),
        ("and/or, 1/2/3, a /b", "and/or, 1/2/3, a /b"),
    ],
)
def test_folders_of_this_machine_are_in_no_card(text: str, shown: str) -> None:
    assert render.without_paths(text) == shown


def test_a_teacher_that_is_a_folder_is_named_without_its_place(tmp_path: Path) -> None:
    ctx = context("seed", load("e5", ["teacher.model=/home/me/models/qwen"]), tmp_path)
    render.render(STAGES["seed"], ctx)
    text = (ctx.out / "README.md").read_text("utf-8")
    assert "/home/me" not in text and text.count("…/qwen") >= 4


def test_the_card_of_a_topic_file() -> None:
    _, header, text = render.topics_card(1588, "cc-by-4.0").split("---\n", 2)
    found = yaml.safe_load(header)
    assert found["configs"][0]["data_files"] == "data/*.parquet" and found["license"] == "cc-by-4.0"
    assert "1,588 topic paths" in text


def test_a_record_is_the_same_after_it_was_written_and_read(tmp_path: Path) -> None:
    for name in ("senior", "embedder", "evaluate", "scaling", "audit"):
        folder = tmp_path / name
        folder.mkdir()
        record = context(name, load("quickstart", []), folder).record
        again = RunRecord.model_validate_json(record.model_dump_json())
        assert again.model_dump(mode="json") == record.model_dump(mode="json")


@pytest.mark.parametrize(("name", "asked"), [("senior", (0.8, 0.9)), ("revisor", (0.0, 1.0))])
def test_a_generators_card_says_how_the_run_asks_it(
    name: str, asked: tuple[float, float], card: Callable[..., Rendered]
) -> None:
    _, text, ctx = card(name)
    temperature, top_p = asked
    settings = ctx.recipe.revise if name == "revisor" else ctx.recipe.generator
    assert (settings.sampling_temperature, settings.top_p) == asked
    assert f"temperature {temperature} and top_p {top_p}" in text
    assert ("do_sample=False" if not temperature else f"temperature={temperature}, top_p={top_p}, top_k=0") in text
