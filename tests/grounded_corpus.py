"""A corpus made for a test: documents of a few passages, each about a thing of its own."""

import hashlib
from typing import Any

from hub_speed.rows import PassageRow

SPLITS = ("train", "train", "dev", "train", "test", "train", "train", "train", "train", "train")


def corpus(documents: int = 5, passages: int = 3) -> list[dict[str, Any]]:
    """The passages of some documents; the splits of ten are train, dev and test as 8 : 1 : 1."""
    return [row for i in range(documents) for row in document(i, [text(i, j) for j in range(passages)])]


def text(number: int, part: int) -> str:
    return f"Pump {number}{part} is oiled every {10 + number} days. Its valve {part} opens at {number + 2} bar."


def document(number: int, texts: list[str], title: str = "") -> list[dict[str, Any]]:
    """The passages of one document with these texts."""
    name, start, found = hashlib.sha256(str(number).encode()).hexdigest()[:16], 0, []
    for each in texts:
        end = start + len(each)
        row = {"id": f"{name}-{start}-{end}", "document": name, "start": start, "end": end, "text": each}
        found.append(row | {"title": title, "group": name, "split": SPLITS[number % 10]})
        PassageRow.model_validate(found[-1])
        start = end + 2
    return found
