"""Tasks, answers and candidates for the stages that ask a model."""

import json
import zlib
from typing import Any

from fake_openai import Asked

TASKS = [{"id": f"t{i}", "task_type": "sts", "task": "Find it", "topic": f"Arts/Topic_{i}"} for i in range(40)]


def sentence(word: str) -> str:
    return f"this is {word}"


def triple(*words: str) -> str:
    return json.dumps(dict(zip(("S1", "S2", "S3"), map(sentence, words), strict=True)))


def fresh(asked: Asked) -> str:
    """A valid answer that is another one for every prompt."""
    name = zlib.crc32(asked.prompt.encode())
    return triple(f"the first text {name}", f"another text {name}", f"one more {name}")


def root_row(i: int, *candidates: str, reasons: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "id": f"root-{i:07d}",
        "task_type": "sts",
        "task": "Find it",
        "topic": "Arts",
        "language": "English",
        "target_language": "",
        "knobs": '{"unit": "sentence"}',
        "prompt": f"prompt {i}",
        "candidates": list(candidates),
        "reasons": list(reasons or [""] * len(candidates)),
        "flaws": [""] * len(candidates),
    }
