"""Adds the generated pages: the README as the start page, one page per stage, the Python API, and the notebook.

MkDocs calls the functions named `on_…` while it builds the site (`mkdocs.yml`, hooks).
"""

import inspect
import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from hub_speed.pipeline.table import STAGES
from hub_speed.recipe import Recipe
from hub_speed.recipes.loader import load
from hub_speed.rows import columns
from hub_speed.stage import FromStage, Source, Stage
from hub_speed.task_types import TASK_TYPES

ROOT = Path(__file__).parent.parent


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the stages in the navigation, in the order in which they run."""
    for entry in config.nav or []:
        if "Stages" in entry:
            entry["Stages"] = ["stages/index.md", *({name: f"stages/{name}.md"} for name in STAGES)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    recipe = load("speed")
    pages = {f"stages/{name}.md": stage_page(stage, recipe) for name, stage in STAGES.items()}
    start = (ROOT / "README.md").read_text("utf-8").replace("](docs/", "](")
    pages |= {
        "index.md": start,
        "stages/index.md": stages_page(recipe),
        "api.md": api_page(),
        "explore.md": notebook_page(),
    }
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def stages_page(recipe: Recipe) -> str:
    """Returns the table of all stages."""
    lines = [
        f"| [{name}]({name}.md) | {stage.purpose} | {stage.kind} `speed-{stage.noun}` | {asked(stage, recipe)} |"
        for name, stage in STAGES.items()
    ]
    head = (
        "# Stages\n\nEach stage writes one Hub repository.\n\n| stage | purpose | writes | asks |\n|---|---|---|---|\n"
    )
    return head + "\n".join(lines) + "\n"


def stage_page(stage: Stage, recipe: Recipe) -> str:
    """Returns the page of a stage: purpose, facts, inputs, what decides its result, columns, and its method."""
    facts = {
        "writes": f"{stage.kind} `<org>/speed-{stage.noun}`",
        "asks": asked(stage, recipe) or "no model",
        "version": stage.version,
    }
    inputs = {name: origin(source) for name, source in stage.inputs(recipe).items()}
    decides = {"recipe fields": ", ".join(f"`{name}`" for name in flat(stage.fields(recipe)))}
    decides |= {"prompts and answers": ", ".join(f"`{name}`" for name in stage.prompts(recipe)) or "none"}
    module = import_module(f"hub_speed.stages.{stage.name}")
    text = (
        f"# {stage.name}\n\n{stage.purpose}\n\n{table('', '', facts)}\n"
        f"## Inputs\n\nUnder recipe `speed`:\n\n{table('input', 'from', inputs)}\n"
        "## What decides the result\n\nThe inputs, the version and, under recipe `speed`, what is listed here. A change"
        f" of one of them runs the stage again, and nothing else does.\n\n{table('', '', decides)}\n"
        f"## Method\n\n{described(inspect.getdoc(module) or '')}\n"
    )
    if stage.row:
        text += f"\n## Columns\n\n{table('column', 'meaning', columns(stage.row))}"
    return text


def table(left: str, right: str, lines: Mapping[str, object]) -> str:
    """Returns a Markdown table of two columns."""
    return f"| {left} | {right} |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in lines.items())


def asked(stage: Stage, recipe: Recipe) -> str:
    """Returns the model a stage asks; empty if it asks none."""
    model = stage.estimate(recipe, 1).model
    return f"the {model}" if model else ""


def flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yields the names of recipe fields; those of a task type's knobs as one."""
    for name, value in fields.items():
        if isinstance(value, Mapping) and not prefix and name not in (*TASK_TYPES, "languages", "mixture"):
            yield from flat(value, f"{name}.")
        else:
            yield prefix + name


def origin(source: Source) -> str:
    """Returns where an input comes from: a link to its stage, or a repository on the Hub."""
    if isinstance(source, FromStage):
        return f"[{source.name}]({source.name}.md)"
    return f"Hub {source.kind} `{source.name}`"


def described(docstring: str) -> str:
    """Returns a module's docstring as Markdown: each of `In:`, `Source:` and `Differs:` starts a paragraph."""
    lines = []
    for line in docstring.replace(". Out: ", ".\nOut: ").splitlines():
        label, colon, rest = line.partition(":")
        lines += ["", f"**{label}:**{rest}"] if colon and label in ("In", "Out", "Source", "Differs") else [line]
    return "\n".join(lines)


def api_page() -> str:
    """The functions for Python users, module by module."""
    modules = ("hubs", "runs", "data", "writing", "sessions")
    return "\n\n".join(["# Python API", "::: hub_speed.api", *(f"::: hub_speed.api.{name}" for name in modules)]) + "\n"


def notebook_page() -> str:
    """Returns `examples/explore.ipynb`, with its outputs, as Markdown."""
    cells = json.loads((ROOT / "examples" / "explore.ipynb").read_text("utf-8"))["cells"]
    parts = []
    for cell in cells:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            text = "".join(output.get("text") or output.get("data", {}).get("text/plain", []))
            parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"
