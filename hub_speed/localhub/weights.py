"""How many parameters a model has, read from the headers of its safetensors files.

A file starts with 8 bytes (the length of the header, little endian) and the header: JSON, a tensor a key, with its type
and shape. Source: https://huggingface.co/docs/safetensors.
"""

import json
import math
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

from hub_speed.localhub import trees
from hub_speed.localhub.git import GitRepo, commit_info
from hub_speed.localhub.lfs import LargeFiles

# The names under which libraries save a model, whole or in parts. Files in folders belong to parts of it.
WEIGHTS = re.compile(r"(?:adapter_)?model(?:-\d+-of-\d+)?\.safetensors")
HEADER_MAX = 25 << 20  # bytes. Assumption: a model of a thousand layers has a header of 2 MB


def parameters(git: GitRepo, large_files: LargeFiles, commit: str) -> dict[str, Any] | None:
    """`{"parameters": {type: count}, "total": count}` as in model_info; None without readable safetensors files."""
    counts: Counter[str] = Counter()
    for entry in trees.walk(git, commit_info(git, commit).tree, recursive=False):
        if not entry.is_dir and WEIGHTS.fullmatch(entry.path):
            try:
                counts.update(_of_file(large_files.path(entry.lfs.sha256)) if entry.lfs else _of_blob(git, entry.oid))
            except (OSError, ValueError, TypeError, AttributeError, KeyError):
                return None  # deleted for good, cut short, or not safetensors at all
    return {"parameters": dict(counts), "total": counts.total()} if counts else None


@lru_cache(maxsize=1024)
def _of_file(path: Path) -> dict[str, int]:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return _count(file.read(min(length, HEADER_MAX)))


def _of_blob(git: GitRepo, oid: str) -> dict[str, int]:
    content = git.read_blob(oid)
    return _count(content[8 : 8 + int.from_bytes(content[:8], "little")])


def _count(header: bytes) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for name, tensor in json.loads(header).items():
        if name != "__metadata__":
            counts[str(tensor["dtype"])] += math.prod(tensor["shape"])
    return dict(counts)
