"""Duplicates among training rows: exact ones, and near ones by MinHash.

What is compared is query and positive together: two rows with the same query but another answer are both kept.
Source: E5 §3.1 (exact match), SPEED App. A (MinHash; threshold, n-grams and field not stated: Assumptions).
"""

from collections.abc import Iterable, Iterator
from typing import Any

from rensa import RMinHash, RMinHashDeduplicator

from hub_speed.text import words


def exact_duplicates(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """(row id, id of the first row that says the same) for every row that repeats an earlier one to the letter."""
    first: dict[tuple[str, str], str] = {}
    for row in rows:
        earlier = first.setdefault((row["query"], row["positive"]), row["id"])
        if earlier != row["id"]:
            yield row["id"], f"same as {earlier}"


def near_duplicates(
    rows: Iterable[dict[str, Any]], threshold: float, permutations: int, size: int
) -> Iterator[tuple[str, str]]:
    """(row id, why) for every row whose word n-grams resemble those of an earlier kept row; the first is kept.

    Args:
        rows: in the order of precedence.
        threshold: estimated Jaccard similarity from which two rows are near-duplicates.
        permutations: length of the MinHash signature.
        size: words of an n-gram.
    """
    index = RMinHashDeduplicator(threshold, permutations, use_lsh=True, num_bands=permutations // 4)
    for row in rows:
        signature = RMinHash(permutations, seed=42)  # the deduplicator's own default seed
        signature.update(shingles(f"{row['query']} {row['positive']}", size))
        if not index.add(row["id"], signature):
            yield row["id"], f"like {min(index.get_duplicates(signature))}"


def shingles(text: str, size: int) -> list[str]:
    """Overlapping runs of `size` words; a shorter text is one run."""
    parts = words(text)
    return [" ".join(parts[i : i + size]) for i in range(max(1, len(parts) - size + 1))]
