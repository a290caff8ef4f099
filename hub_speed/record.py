"""How one version was made, and the index it is found by."""

import hashlib
import json
import platform
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import hub_speed

Json = dict[str, Any]
"""A JSON object of no fixed shape."""


@dataclass
class RunRecord:
    """How one version was made: `speed_run.json`. Every number of a card comes from here.

    Attributes:
        identity: what the fingerprint is the hash of.
        lineage: repository@commit → its stage, its inputs, what it took, and the licences of what no stage of the run
            made; this version's ancestors, itself left out.
        rows_in, accepted, rejected: counts, the last by reason.
        calls, prompt_tokens, completion_tokens: per model asked ("teacher", "junior", ...).
        measures: other numbers (losses, scores, lengths), by name.
    """

    stage: str
    fingerprint: str
    recipe: str
    identity: dict[str, Any]
    inputs: dict[str, dict[str, str]]
    lineage: dict[str, dict[str, Any]]
    rows_in: int = 0
    accepted: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    by_task_type: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    prompt_tokens: dict[str, int] = field(default_factory=dict)
    completion_tokens: dict[str, int] = field(default_factory=dict)
    measures: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    license: str = "other"
    packages: dict[str, str] = field(default_factory=dict)


def fingerprint_of(identity: dict[str, Any]) -> str:
    """The index of an identity: 12 hex digits, 48 bits."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def tag_of(fingerprint: str) -> str:
    """The tag a finished stage is found by."""
    return f"run-{fingerprint}"


def packages() -> dict[str, str]:
    """The versions that made a result."""
    names = ("torch", "transformers", "trl", "peft", "sentence-transformers", "mteb", "datasets", "huggingface_hub")
    found = {"python": platform.python_version(), "hub_speed": hub_speed.__version__}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
