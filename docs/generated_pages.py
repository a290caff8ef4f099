"""Adds the generated pages: the README as the start page, one page per stage, the Python API, and the notebook.

MkDocs calls the functions named `on_…` while it builds the site (`mkdocs.yml`, hooks).
"""

import inspect
import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from hub_speed.pipeline.table import STAGES
from hub_speed.recipe import Recipe
from hub_speed.recipes.loader import load
from hub_speed.stage import FromStage, Source, Stage

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
    pages |= {"index.md": start, "stages/index.md": stages_page(), "api.md": api_page(), "explore.md": notebook_page()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def stages_page() -> str:
    """Returns the table of all stages."""
    lines = [
        f"| [{name}]({name}.md) | {stage.purpose} | {stage.kind} `speed-{stage.noun}` | {stage.asks or ''} |"
        for name, stage in STAGES.items()
    ]
    head = (
        "# Stages\n\nEach stage writes one Hub repository.\n\n| stage | purpose | writes | asks |\n|---|---|---|---|\n"
    )
    return head + "\n".join(lines) + "\n"


def stage_page(stage: Stage, recipe: Recipe) -> str:
    """Returns the page of a stage: purpose, facts, inputs under recipe `speed`, and the module's docstring."""
    facts = {
        "writes": f"{stage.kind} `<org>/speed-{stage.noun}`",
        "asks": f"the {stage.asks}" if stage.asks else "no model",
        "version": stage.version,
    }
    inputs = {
        name: f"[{source.name}]({source.name}.md)"
        if isinstance(source, FromStage)
        else f"Hub {source.kind} `{source.name}`"
        for name, source in stage.inputs(recipe).items()
    }
    module = import_module(f"hub_speed.stages.{stage.name}")
    table = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    wanted = "\n".join(f"| {name} | {value} |" for name, value in inputs.items())
    return (
        f"# {stage.name}\n\n{stage.purpose}\n\n| | |\n|---|---|\n{table}\n\n"
        f"## Inputs\n\nUnder recipe `speed`:\n\n| input | from |\n|---|---|\n{wanted}\n\n"
        f"## Method\n\n{described(inspect.getdoc(module) or '')}\n"
    )


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
    """Returns the page of the public Python functions."""
    found = find_spec("hub_speed.api") is not None
    return "# Python API\n\n" + ("::: hub_speed.api\n" if found else "`hub_speed.api` is not in this version.\n")


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
