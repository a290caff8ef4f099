"""Cards: the README.md of a repo and the YAML between the `---` lines at its top."""

import math
import re
from functools import lru_cache
from typing import Any

import yaml

from hub_speed import safe_yaml
from hub_speed.localhub import trees
from hub_speed.localhub.git import GitRepo

# Fields of dataset cards that the Hub finds datasets by: the arguments of huggingface_hub's list_datasets.
OF_DATASETS = (
    "annotations_creators language_creators multilinguality size_categories source_datasets task_categories task_ids"
).split()
ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})", re.ASCII)
SPACE_SDKS = ("gradio", "streamlit", "docker", "static")


class CardError(ValueError):
    """The YAML of a card is not what the Hub takes; the text says what is wrong."""


def parse(text: str) -> tuple[dict[str, Any], str]:
    """(metadata, Markdown body) of a card; no front matter gives `({}, text)`.

    Raises:
        CardError: The front matter is not a YAML mapping, or beyond the bounds of `safe_yaml`.
    """
    try:
        data, body = safe_yaml.front_matter(text)
    except yaml.YAMLError as error:
        raise CardError(f"Invalid YAML in the metadata of README.md: {error}") from error
    return _as_json(data), body


def _as_json(value: Any) -> Any:
    """A YAML value as clients get it, in JSON: dates become text, keys strings, NaN and infinities null."""
    if isinstance(value, dict):
        return {str(key): _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_as_json(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def of_commit(repo: GitRepo, commit: str) -> tuple[dict[str, Any], str]:
    """(metadata, Markdown body) of the card at a commit; a missing or broken card is empty metadata."""
    entry = trees.find(repo, commit, "README.md")
    if entry is None or entry.is_dir or entry.lfs:
        return {}, ""
    return _of_blob(repo, entry.oid)


@lru_cache(maxsize=256)
def _of_blob(repo: GitRepo, oid: str) -> tuple[dict[str, Any], str]:
    text = repo.read_blob(oid).decode("utf-8", "replace")
    try:
        return parse(text)
    except CardError:
        return {}, text


def hub_tags(data: dict[str, Any], text: str = "") -> list[str]:
    """The tags by which the Hub finds a repo: those of the card, some made from other fields, papers in the text."""
    tags = [str(tag) for tag in as_list(data.get("tags"))]
    tags += [str(data[key]) for key in ("library_name", "pipeline_tag") if data.get(key)]
    for key, prefix in (("datasets", "dataset:"), ("base_model", "base_model:"), ("license", "license:")):
        tags += [f"{prefix}{value}" for value in as_list(data.get(key))]
    if relation := data.get("base_model_relation"):
        tags += [f"base_model:{relation}:{value}" for value in as_list(data.get("base_model"))]
    for key in OF_DATASETS:
        tags += [f"{key}:{value}" for value in as_list(data.get(key))]
    tags += [f"arxiv:{paper}" for paper in ARXIV.findall(text)]
    for language in as_list(data.get("language")):
        tags += [str(language), f"language:{language}"]
    return list(dict.fromkeys(tags))


def as_list(value: Any) -> list[Any]:
    """A metadata field that may be one value or a list, as a list."""
    return [] if value is None else value if isinstance(value, list) else [value]
