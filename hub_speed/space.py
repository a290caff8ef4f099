"""The explorer Space: open it on this machine, or publish it as `<org>/speed-explorer`.

The published repository needs nothing but the Hub and a package index: beside the app lie the Python files of this very
package. huggingface.co installs requirements.txt before the repository's own files are there, so a requirement could
not point at them, and no index has to carry hub_speed this way.
"""

import hashlib
import os
import runpy
import shutil
import socket
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import yaml

from hub_speed.errors import HubError, HubSpeedError
from hub_speed.hub import Hub
from hub_speed.pipeline.table import STAGES
from hub_speed.record import Ref

NEEDED = ("gradio", "torch", "sentence_transformers")
SHOWN = (
    *("brainstorm", "senior", "synthesize", "revisor", "revise"),
    *("corpus", "questions", "filter", "mine", "relabel", "benchmark", "embedder"),
)
"""The stages whose repositories the Space's card names."""
ROWS = ("revise", "questions", "corpus")
"""One of these has to be there."""
LEFT_OUT = ("localhub", "quickstart", "spaces")
"""Parts of the package that the app does not need."""


def folder() -> Path:
    """The folder of the app."""
    return Path(__file__).parent / "spaces" / "explorer"


def run(hub: Hub, org: str, port: int | None) -> None:
    """Open the explorer on 127.0.0.1 until Ctrl-C; the app runs in this process, as `python app.py` would.

    Args:
        hub: where the repositories are.
        org: whose they are.
        port: None takes the first free one from 7860.

    Raises:
        HubSpeedError: a package the app needs is not installed, or the port is taken.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise HubSpeedError(
            f"space run: {', '.join(missing)} not installed", fix="pip install 'hub-speed[train,space]'"
        )
    if port is not None:
        _check_free(port)
    before, path = dict(os.environ), [*sys.path]
    os.environ |= {"HF_ENDPOINT": hub.endpoint, "HUB_SPEED_ORG": org, "GRADIO_SERVER_NAME": "127.0.0.1"}
    if port is not None:
        os.environ["GRADIO_SERVER_PORT"] = str(port)
    sys.path.insert(0, str(folder()))
    try:
        runpy.run_path(str(folder() / "app.py"), run_name="__main__")
    finally:
        sys.path[:] = path
        os.environ.clear()
        os.environ |= before


def _check_free(port: int) -> None:
    """Raise HubSpeedError where a port cannot be had: the app would notice after it has loaded torch."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            fix = "choose another one: --port N"
            raise HubSpeedError("space run: the port is taken", got=str(error), fix=fix) from error


def push(hub: Hub, org: str) -> Ref:
    """Publish the explorer of an organisation; returns the version, which may have been there already.

    Raises:
        HubError: something the Space would show is not on the Hub.
    """
    repo = f"{org}/speed-explorer"
    with tempfile.TemporaryDirectory() as work:
        files = Path(work)
        assemble(files, _uses(hub, org))
        digest = hashlib.sha256()
        for path in sorted(files.rglob("*.*")):
            digest.update(f"{path.relative_to(files)}\n".encode() + path.read_bytes() + b"\n")
        tag = f"content-{digest.hexdigest()[:12]}"
        found = hub.find("space", repo, tag)
        if found and found == hub.head("space", repo):
            return found
        return hub.publish("space", repo, files, message="Publish the explorer", tag=tag)


def assemble(files: Path, uses: dict[str, list[str]]) -> None:
    """Fill a folder with what the repository holds; `uses` goes into the front matter of its README.md."""
    for path in folder().iterdir():
        if path.suffix in (".py", ".html", ".css", ".js", ".txt", ".md"):
            shutil.copy(path, files)
    _, header, text = (files / "README.md").read_text("utf-8").split("---\n", 2)
    header = yaml.safe_dump(yaml.safe_load(header) | uses, sort_keys=False, allow_unicode=True)
    (files / "README.md").write_text(f"---\n{header}---\n{text}", "utf-8")
    package = Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] not in LEFT_OUT:
            target = files / "hub_speed" / path.relative_to(package)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def _uses(hub: Hub, org: str) -> dict[str, list[str]]:
    """The repositories the Space shows, by kind."""
    found: dict[str, list[str]] = {"models": [], "datasets": []}
    for name in SHOWN:
        made = STAGES[name]
        if hub.head(made.kind, made.repo(org)):
            found[f"{made.kind}s"].append(made.repo(org))
    if not {STAGES[name].repo(org) for name in ROWS} & {*found["datasets"]}:
        *names, last = (STAGES[name].repo(org) for name in ROWS)
        raise HubError(
            f"neither {' nor '.join(names)} is on {hub.endpoint}, and no {last}: there would be nothing to show",
            fix=f"make it: hub-speed run quickstart --org {org}",
        )
    return found
