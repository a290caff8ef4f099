"""Cards: README.md and figures of every repository, rendered from its record and rows. No number is typed by hand."""

import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel

from hub_speed import parquet, rows
from hub_speed.cards import licences
from hub_speed.evaluation import published_scores
from hub_speed.llm import dialects
from hub_speed.record import tag_of
from hub_speed.stage import Context, Stage

if TYPE_CHECKING:  # it loads scipy, which takes a while; most who import this render no card
    from hub_speed.data_quality.report import Report

ROW_MODELS: dict[str, type[BaseModel]] = {
    "brainstorm": rows.TaskRow,
    "seed": rows.SeedRow,
    "root": rows.RootRow,
    "preference": rows.PreferenceRow,
    "revision": rows.RevisionRow,
    "synthesize": rows.DraftRow,
    "revise": rows.SyntheticRow,
    "evaluate": rows.ScoreRow,
    "scaling": rows.ScalingRow,
}

PAPER = {"SPEED": {"calls": 45_000, "tokens": 32_000_000}, "E5-mistral": {"calls": 500_000, "tokens": 180_000_000}}
"""Teacher calls and tokens, SPEED Table 5; brainstorming is not in them."""

FIGURES = ("lineage", "yields", "loss", "lengths", "quality", "scores", "scaling")

SHOWN = 300
"""Longer texts are cut in a card's examples."""


def templates(kind: str) -> Path:
    """The folder of templates."""
    return Path(__file__).parent / "templates" / f"{kind}_cards"


def environment(kind: str) -> Environment:
    """Where the card templates of models or datasets are rendered."""
    found = Environment(
        loader=FileSystemLoader(templates(kind)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {"number": lambda n: f"{n:,}", "short": _short, "percent": lambda x: f"{x:.1%}"}
    return found


def render(stage: Stage, ctx: Context) -> None:
    """Write README.md and figures/ into `ctx.out`."""
    report = None
    if {"query", "positive"} <= set(_columns(stage)):
        from hub_speed.data_quality.report import measure

        (report,) = measure([ctx.out])
        ctx.record.measures["quality"] = report.numbers()
    values = _values(stage, ctx) | {"quality": _quality(ctx, report) if report else None}
    values["figures"] = _figures(stage, ctx, report)
    text = environment(stage.kind).get_template(f"{stage.noun}.md").render(values)
    header = yaml.safe_dump(_metadata(stage, ctx), sort_keys=False, allow_unicode=True)
    (ctx.out / "README.md").write_text(f"---\n{header}---\n\n{text}", "utf-8")


def topics_card(count: int) -> str:
    """The card of a published topic file."""
    header = yaml.safe_dump(
        {"configs": [{"config_name": "default", "data_files": "data/*.parquet"}], "tags": ["speed"]}
    )
    return f"---\n{header}---\n\n# Topics\n\n{count:,} topic paths, from broad to narrow, to brainstorm tasks for.\n"


def _values(stage: Stage, ctx: Context) -> dict[str, Any]:
    """What the templates may use."""
    record = ctx.record
    teacher_calls = _teacher(ctx, "calls")
    return {
        "stage": stage,
        "repo": ctx.repo,
        "org": ctx.repo.split("/")[0],
        "tag": tag_of(record.fingerprint),
        "record": asdict(record),
        "recipe": ctx.recipe,
        "system": dialects.SYSTEM,
        "columns": _columns(stage),
        "reasons": rows.REASONS,
        "examples": _examples(ctx) if record.by_task_type else {},
        "inputs": {name: str(ref) for name, ref in ctx.refs.items()},
        "teacher_calls": teacher_calls,
        "teacher_tokens": _teacher(ctx, "prompt_tokens") + _teacher(ctx, "completion_tokens"),
        "paper": PAPER,
        "conflicts": _conflicts(stage, ctx),
        "averages": published_scores.averages(record.measures["scores"]) if stage.name == "evaluate" else {},
    }


def _conflicts(stage: Stage, ctx: Context) -> list[str]:
    """Where the recipe's licence asks for less than that of something this version comes from."""
    found = [
        licences.Source(f"{name.partition('@')[0]}@{name.partition('@')[2][:7]}", licence)
        for name, node in ctx.record.lineage.items()
        for licence in node.get("licences", ())
    ]
    if stage.name == "embedder":
        sets = ctx.recipe.embedder.labelled
        found += [licences.Source(str(ctx.refs[f"labelled {each.repo}"]), each.license.lower()) for each in sets]
    return licences.conflicts(ctx.record.license, list(dict.fromkeys(found)))


def _columns(stage: Stage) -> dict[str, str]:
    return rows.columns(ROW_MODELS[stage.name]) if stage.name in ROW_MODELS else {}


def _quality(ctx: Context, report: "Report") -> dict[str, Any]:
    """The report as the card shows it, beside the teacher's own rows of this run where there are any before it."""
    from hub_speed.data_quality import measures
    from hub_speed.data_quality.report import ENOUGH
    from hub_speed.data_quality.sample import SAMPLE

    nodes = ctx.record.lineage.values()
    seed = next((node["quality"] for node in nodes if node["stage"] == "seed" and "quality" in node), None)
    numbers = report.numbers()
    mine = measures.overall(numbers, seed) if seed else measures.overall(numbers)
    theirs = measures.overall(seed, numbers) if seed else {}
    tasks = ctx.inputs.get("brainstorm")
    return {
        "report": report,
        "limits": {"a type": SAMPLE, "enough": ENOUGH},
        "pool": parquet.count_parquet(tasks / "data") if tasks else None,
        "reference": bool(seed),
        "lines": [
            {
                "measure": measure,
                "value": measures.shown(name, mine[name]),
                "reference": measures.shown(name, theirs.get(name)),
                "verdict": measures.verdict(name, mine[name], theirs.get(name)),
            }
            for name, measure in measures.MEASURES.items()
            if mine[name] is not None
        ],
        "examples": {measures.MEASURES[name].label: ids for name, ids in report.examples.items()},
    }


def _teacher(ctx: Context, field: str) -> int:
    """What the teacher took for this version and all it comes from, as the ledgers counted."""
    own = getattr(ctx.record, field).get("teacher", 0)
    return own + sum(node.get(field, {}).get("teacher", 0) for node in ctx.record.lineage.values())


def _examples(ctx: Context) -> dict[str, dict[str, Any]]:
    """The first row of every task type."""
    found = {}
    for task_type in ctx.record.by_task_type:
        for row in islice(parquet.read_parquet(ctx.out / "data" / task_type), 1):
            found[task_type] = row
    return found


def _short(value: Any) -> str:
    """A value as one line of a table."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
    text = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= SHOWN else text[:SHOWN] + " …"


def _figures(stage: Stage, ctx: Context, report: "Report | None") -> dict[str, str]:
    """Draw what there is to draw; name → path inside the repository."""
    from hub_speed.cards import figures  # matplotlib takes half a second to import

    record, folder = ctx.record, ctx.out / "figures"
    drawn: dict[str, Path] = {}
    last = f"{ctx.repo}@{tag_of(record.fingerprint)[4:]}"
    inputs = [f"{ref.repo}@{ref.commit}" for ref in ctx.refs.values()]
    drawn["lineage"] = figures.lineage(record.lineage, last, inputs, folder / "lineage.png")
    if record.rows_in and record.by_task_type:
        drawn["yields"] = figures.yields(record.rows_in, record.accepted, record.rejected, folder / "yields.png")
    if record.measures.get("loss_curve"):
        drawn["loss"] = figures.loss_curve(record.measures["loss_curve"], folder / "loss.png")
    if report and report.rows:
        in_range = {kind: numbers["in_range"] for kind, numbers in report.by_task_type.items()}
        drawn["lengths"] = figures.lengths(report.lengths, folder / "lengths.png")
        drawn["quality"] = figures.quality(
            report.coverage, in_range, report.overlaps, report.margins, folder / "quality.png"
        )
    if stage.name == "evaluate":
        found = list(parquet.read_parquet(ctx.out / "data"))
        drawn["scores"] = figures.scores(found, folder / "scores.png")
    if stage.name == "scaling":
        from hub_speed.evaluation.scaling_law import shared

        found = shared(list(parquet.read_parquet(ctx.out / "data")))
        drawn["scaling"] = figures.scaling(found, record.measures["fits"], folder / "scaling.png")
    return dict.fromkeys(FIGURES, "") | {name: path.relative_to(ctx.out).as_posix() for name, path in drawn.items()}


def _metadata(stage: Stage, ctx: Context) -> dict[str, Any]:
    """The YAML header, as the Hub reads it."""
    languages = [name for name in ctx.recipe.languages]
    common = {
        "license": ctx.record.license,
        "language": [_CODES[name] for name in languages if name in _CODES] or ["multilingual"],
        "tags": ["speed", "synthetic", "sentence-transformers" if stage.noun == "embedder" else "embeddings"],
    }
    if stage.kind == "model":
        return common | _model_metadata(stage, ctx)
    # The default config comes first and is what load_dataset gives without a name.
    configs: list[dict[str, Any]] = [{"config_name": "default", "data_files": "data/**/*.parquet", "default": True}]
    for task_type, count in ctx.record.by_task_type.items():
        if count:
            configs.append({"config_name": task_type, "data_files": f"data/{task_type}/*.parquet"})
    if (ctx.out / "items").is_dir():
        configs.append({"config_name": "items", "data_files": "items/*.parquet"})
    if (ctx.out / "ledger").is_dir():
        configs.append({"config_name": "ledger", "data_files": "ledger/*.parquet"})
    return common | {"pretty_name": f"SPEED {stage.noun}", "configs": configs}


def _model_metadata(stage: Stage, ctx: Context) -> dict[str, Any]:
    data = [ref.repo for ref in ctx.refs.values() if ref.kind == "dataset"]
    base = ctx.refs.get("base") or ctx.refs["junior"]
    if stage.noun == "embedder":
        return {
            "library_name": "sentence-transformers",
            "pipeline_tag": "sentence-similarity",
            "base_model": base.repo,
            "datasets": data,
        }
    return {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "base_model": base.repo,
        "datasets": data,
    }


_CODES = {"English": "en", "German": "de", "French": "fr", "Spanish": "es", "Italian": "it", "Portuguese": "pt"} | {
    "Dutch": "nl",
    "Polish": "pl",
    "Russian": "ru",
    "Japanese": "ja",
    "Chinese": "zh",
    "Arabic": "ar",
    "Persian": "fa",
    "Indonesian": "id",
}
