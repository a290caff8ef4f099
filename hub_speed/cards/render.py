"""Cards: README.md and figures of every repository, rendered from its record and rows. No number is typed by hand."""

import errno
import json
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hub_speed import parquet, rows
from hub_speed.cards import licences, metadata
from hub_speed.cards.metadata import without_paths
from hub_speed.errors import NoSpace, Stopped
from hub_speed.generation import contamination
from hub_speed.llm import dialects
from hub_speed.mix import joined
from hub_speed.record import Ancestor, Ref, Training, tag_of
from hub_speed.stage import Context, Stage

if TYPE_CHECKING:  # it loads scipy, which takes a while; most who import this render no card
    from hub_speed.data_quality.report import Report

PAPER = {"SPEED": {"calls": 45_000, "tokens": 32_000_000}, "E5-mistral": {"calls": 500_000, "tokens": 180_000_000}}
"""Teacher calls and tokens, SPEED Table 5; brainstorming is not in them."""

FIGURES = ("lineage", "yields", "training", "lengths", "quality", "scores", "questions", "shares", "scaling")

DRAWN_FROM = 1_000
"""A card's examples are drawn from so many first rows of a task type. Assumption: enough for a random one."""

SHOWN = 300
"""Longer texts are cut in a card's examples."""


def templates(kind: str) -> Path:
    """The folder of templates."""
    return Path(__file__).parent / "templates" / f"{kind}_cards"


def environment(kind: str) -> Environment:
    """Where the card templates of models or datasets are rendered."""
    found = Environment(
        loader=FileSystemLoader([templates(kind), templates("dataset")]),  # both have the same last sections
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {
        "number": lambda n: f"{n:,}",
        "short": _short,
        "unplaced": without_paths,
        "percent": lambda x: f"{x:.1%}",
        "literal": lambda text: json.dumps(text, ensure_ascii=False),
        "fenced": _fenced,
    }
    return found


def render(stage: Stage, ctx: Context) -> None:
    """Write README.md and figures/ into `ctx.out`."""
    values, report = _values(stage, ctx), None
    values["quality"] = None
    if {"query", "positive"} <= set(stage.row.model_fields if stage.row else ()):
        with optional("the quality of the rows", ctx.record.notes):
            from hub_speed.data_quality.report import measure

            (report,) = measure([ctx.out])
            ctx.record.measures.quality = report.numbers()
            values["quality"] = _quality(ctx, report)
    values["figures"] = _figures(stage, ctx, report)
    text = environment(stage.kind).get_template(f"{stage.noun}.md").render(values)
    header = yaml.safe_dump(metadata.header(stage, ctx), sort_keys=False)
    (ctx.out / "README.md").write_text(f"---\n{header}---\n\n{text}", "utf-8")


@contextmanager
def optional(part: str, notes: list[str]) -> Iterator[None]:
    """Leaves out a part of a card that cannot be made, and says so in `notes`: rows that are paid for are published.

    A full disk and a stop still end the run.
    """
    try:
        yield
    except (NoSpace, Stopped):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = without_paths(" ".join(str(error).split()))
        notes.append(f"the card is without {part}: {type(error).__name__}: {reason:.300}")


def topics_card(count: int, licence: str) -> str:
    """The card of a published topic file."""
    configs = [{"config_name": "default", "data_files": "data/*.parquet"}]
    sizes = [metadata.size_category(count)]
    fields = {"license": licence, "size_categories": sizes, "configs": configs, "tags": ["hub_speed", "speed"]}
    header = yaml.safe_dump(fields, sort_keys=False)
    return f"---\n{header}---\n\n# Topics\n\n{count:,} topic paths, from broad to narrow, to brainstorm tasks for.\n"


def _values(stage: Stage, ctx: Context) -> dict[str, Any]:
    """What the templates may use."""
    record, facts = ctx.record, stage.facts(ctx)
    command, recipe_file = metadata.reproduce(ctx.recipe)
    return {
        "stage": stage,
        "repo": ctx.repo,
        "org": ctx.repo.split("/")[0],
        "tag": tag_of(record.fingerprint),
        "record": record,
        "recipe": ctx.recipe,
        "teacher": joined(ctx.recipe.teacher.model),
        "generator": joined(ctx.recipe.synthesize.generator),
        "command": command,
        "recipe_file": without_paths(recipe_file),
        "project": metadata.project(),
        "languages": list(ctx.recipe.languages),
        "system": dialects.SYSTEM,
        "columns": rows.columns(stage.row) if stage.row else {},
        "reasons": rows.REASONS,
        "examples": _examples(ctx) if record.by_task_type else {},
        "inputs": {name: str(ref) for name, ref in ctx.refs.items()},
        "refs": ctx.refs,
        "data": next((name for name, ref in ctx.refs.items() if ref.kind == "dataset"), ""),
        "weights": metadata.weights(ctx.out),
        "mteb_names": metadata.mteb_names(ctx.recipe.embedder),
        "mteb_license": record.license if record.license in metadata.MTEB_LICENCES else "",
        "links": {name: _link(ref) for name, ref in ctx.refs.items()},
        "teacher_calls": record.teacher("calls"),
        "brainstorm_calls": record.teacher("calls", "brainstorm"),
        "teacher_tokens": record.teacher("prompt_tokens") + record.teacher("completion_tokens"),
        "paper": PAPER,
        "contamination": _contamination(ctx),
        "kinds": contamination.KINDS,
        "conflicts": _conflicts(ctx, facts.get("licences", [])),
        **facts,
    }


def _contamination(ctx: Context) -> dict[str, Any] | None:
    """What is known of test texts in the rows: found by this stage, or in the data that it starts from."""
    data = ctx.record.lineage.get(ctx.refs["data"].version) if "data" in ctx.refs else None
    found = ctx.record.measures.contamination or (data.contamination if data else None)
    return {"of": {}, "found": {}, "dropped": 0, "rows": []} | found if found else None


def _conflicts(ctx: Context, stated: list[licences.Source]) -> list[str]:
    """Where the recipe's licence asks for less than that of something this version comes from."""
    found = [
        licences.Source(f"{name.partition('@')[0]}@{name.partition('@')[2][:7]}", licence)
        for name, node in ctx.record.lineage.items()
        for licence in node.licences
    ]
    return licences.conflicts(ctx.record.license, list(dict.fromkeys([*found, *stated])))


def _quality(ctx: Context, report: "Report") -> dict[str, Any]:
    """The report as the card shows it, beside the teacher's own rows of this run where there are any before it."""
    from hub_speed.data_quality import measures
    from hub_speed.data_quality.report import ENOUGH
    from hub_speed.data_quality.sample import SAMPLE

    nodes = ctx.record.lineage.values()
    seed = next((node.quality for node in nodes if node.stage == "seed" and node.quality), None)
    numbers = report.numbers()
    mine = measures.overall(numbers, seed) if seed else measures.overall(numbers)
    theirs = measures.overall(seed, numbers) if seed else {}
    tasks = ctx.inputs.get("brainstorm")
    lines = [
        {
            "measure": measure,
            "value": measures.shown(name, mine[name]),
            "reference": measures.shown(name, theirs.get(name)),
            "verdict": measures.verdict(name, mine[name], theirs.get(name)),
        }
        for name, measure in measures.MEASURES.items()
        if mine[name] is not None
    ]
    counted = Counter(line["verdict"] for line in lines)
    return {
        "report": report,
        "limits": {"a type": SAMPLE, "enough": ENOUGH},
        "pool": parquet.count_parquet(tasks / "data") if tasks else None,
        "reference": bool(seed),
        "lines": lines,
        "verdicts": ", ".join(f"{counted[word]} {word}" for word in ("better", "alike", "worse")),
        "examples": {measures.MEASURES[name].label: ids for name, ids in report.examples.items()},
    }


def _examples(ctx: Context) -> dict[str, dict[str, Any]]:
    """A row of every task type, drawn from the first `DRAWN_FROM`; the same for the same fingerprint."""
    found, rng = {}, random.Random(ctx.record.fingerprint)
    with optional("examples", ctx.record.notes):
        for task_type, count in ctx.record.by_task_type.items():
            place = rng.randrange(min(count, DRAWN_FROM)) if count else 0
            for row in islice(parquet.read_parquet(ctx.out / "data" / task_type), place, place + 1):
                found[task_type] = row
    return found


def _link(ref: Ref) -> str:
    """A version as a link to its files; on any Hub, since the link names none."""
    prefix = "" if ref.kind == "model" else f"{ref.kind}s/"
    return f"[`{ref}`](/{prefix}{ref.repo}/tree/{ref.commit})"


def _short(value: Any) -> str:
    """A value as one line of Markdown in which nothing is live, in a table as well.

    Texts are models' or other people's words. In a code span no link, image, HTML or mathematics is read.
    """
    if isinstance(value, bool | int | float) or value == "":
        return str(value)
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
    text = " ".join("".join(" " if _is_unseen(c) else c for c in without_paths(text)).split())
    text = text if len(text) <= SHOWN else text[:SHOWN] + " …"
    text = re.sub(r"\\(?=\|)", r"\\ ", text).replace("|", "\\|")  # one backslash before a bar belongs to the table
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _fenced(text: str, language: str) -> str:
    """A text of several lines as a code block that it cannot end itself."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _is_unseen(character: str) -> bool:
    """Whether a character is a control character, or turns the direction of those around it."""
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or "\u202a" <= character <= "\u202e"
        or ("\u2066" <= character <= "\u2069")
    )


def _figures(stage: Stage, ctx: Context, report: "Report | None") -> dict[str, str]:
    """Draw what there is to draw; name → path inside the repository."""
    from hub_speed.cards import figures  # matplotlib takes half a second to import

    record, folder = ctx.record, ctx.out / "figures"
    drawn: dict[str, Path] = {}
    last = f"{ctx.repo}@{tag_of(record.fingerprint)}"
    inputs = {name: node.inputs for name, node in record.lineage.items()}
    inputs[last] = [ref.version for ref in ctx.refs.values()]
    about = {name: _about(node) for name, node in record.lineage.items()} | {last: "this version"}

    def draw(name: str, figure: Callable[..., Path], *values: Any) -> None:
        with optional(f"the figure {name}", record.notes):
            drawn[name] = figure(*values, folder / f"{name}.png")

    draw("lineage", figures.lineage, inputs, about, last)
    if record.rows_in and record.by_task_type:
        draw("yields", figures.yields, record.rows_in, record.accepted, record.rejected)
    if record.measures.training:
        draw("training", figures.curves, _logged(record.measures.training))
    if report and report.rows:
        in_range = {kind: numbers["in_range"] for kind, numbers in report.by_task_type.items()}
        draw("lengths", figures.lengths, report.lengths)
        draw("quality", figures.quality, report.coverage, in_range, report.overlaps, report.margins)
    with optional("its own figures", record.notes):
        drawn |= stage.figures(ctx, folder)
    return dict.fromkeys(FIGURES, "") | {name: path.relative_to(ctx.out).as_posix() for name, path in drawn.items()}


def _about(node: Ancestor) -> str:
    """A few words on an ancestor: its stage and its rows."""
    trained = "trained on " if node.stage in ("junior", "senior", "revisor", "embedder") else ""
    rows = f"{trained}{node.accepted:,} rows" if node.accepted else ""
    return " · ".join(part for part in (node.stage, rows) if part) or "given"


def _logged(training: Training) -> dict[str, list[tuple[int, float]]]:
    """What a training logged, by title. A DPO run is judged by its rewards first: its loss says little."""
    titles = {"accuracies": "Accuracy (chosen above rejected)", "margins": "Margin (chosen − rejected)"}
    rewards = {titles[name]: curve for name, curve in training.reward_curves.items() if curve}
    return rewards | {"DPO loss" if training.rewards else "Training loss": training.loss_curve}
