"""Duplicates among training rows: exact ones, and near ones by MinHash.

Query and positive are compared together: two rows with the same query and different answers are both kept. A row is
compared with all earlier rows, whether these are kept or not, so one number decides about it: a higher threshold can be
applied to a published ledger (`thin`). A chain of near-duplicates is therefore cut down to its first row.
Source: E5 §3.1 (exact match), SPEED App. A (MinHash; threshold, n-grams, field and chains not stated: Assumptions).
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

from hub_speed.generation.echo import plain
from hub_speed.rows import ACCEPTED
from hub_speed.text import words

MISSED = 0.02  # of the pairs that are just as similar as the threshold; of others, fewer. Assumption


class Duplicate(NamedTuple):
    """A row that repeats an earlier one.

    Attributes:
        id: the row.
        of: the earlier row it is most similar to; of several, the first.
        similarity: their (estimated) Jaccard similarity, 1 for the same text.
    """

    id: str
    of: str
    similarity: float


def exact_duplicates(rows: Iterable[dict[str, Any]], *columns: str) -> Iterator[Duplicate]:
    """Every row with the same words in these columns as an earlier row; `of` is the first such row."""
    first: dict[bytes, str] = {}
    for row in rows:
        text = "\n".join(plain(row[name]) for name in columns)
        earlier = first.setdefault(blake2b(text.encode(), digest_size=16).digest(), row["id"])
        if earlier != row["id"]:
            yield Duplicate(row["id"], earlier, 1.0)


def near_duplicates(
    rows: Iterable[dict[str, Any]], threshold: float, permutations: int, size: int
) -> Iterator[Duplicate]:
    """Every row whose word n-grams resemble those of an earlier row.

    Args:
        rows: in the order of precedence.
        threshold: estimated Jaccard similarity from which two rows are near-duplicates.
        permutations: length of the MinHash signature.
        size: words of an n-gram.
    """
    ids: list[str] = []
    for row, close in _alike(rows, lambda row: f"{row['query']} {row['positive']}", threshold, permutations, size):
        ids.append(row["id"])
        if close:
            similarity, place = max(close, key=lambda one: (one[0], -one[1]))
            yield Duplicate(row["id"], ids[place], similarity)


def alike(texts: Iterable[str], threshold: float, permutations: int, size: int) -> Iterator[list[int]]:
    """For each text, the places of the earlier ones that it resembles; of equal ones, of the first alone.

    The arguments are those of `near_duplicates`.
    """
    for _, close in _alike(texts, str, threshold, permutations, size):
        yield [place for _, place in close]


_T = TypeVar("_T")


def _alike(
    items: Iterable[_T], text_of: Callable[[_T], str], threshold: float, permutations: int, size: int
) -> Iterator[tuple[_T, list[tuple[float, int]]]]:
    """Each item with the (similarity, place) of the earlier ones that it resembles."""
    from rensa import RMinHash, RMinHashLSH  # the Space imports the stages, and removes no duplicates

    index = RMinHashLSH(threshold, permutations, bands(threshold, permutations))
    signatures: dict[int, RMinHash] = {}
    for place, item in enumerate(items):
        signature = RMinHash(permutations, seed=42)
        signature.update(shingles(text_of(item), size))
        compared = [(signature.jaccard(signatures[other]), other) for other in index.query(signature)]
        close = [(similarity, other) for similarity, other in compared if similarity >= threshold]
        yield item, close
        if all(similarity < 1 for similarity, _ in close):  # what resembles one of two equal ones resembles the other
            index.insert(place, signature)
            signatures[place] = signature


def bands(threshold: float, permutations: int) -> int:
    """In how many bands a signature is cut: few, so that few rows are compared, but no more than `MISSED` are missed.

    Two rows are compared where one of their bands is the same: with probability 1 - (1 - similarity^length)^bands.
    """
    counts = (count for count in range(1, permutations + 1) if permutations % count == 0)
    few = (count for count in counts if (1 - threshold ** (permutations // count)) ** count <= MISSED)
    return next(few, permutations)


def thin(ledger: Iterable[dict[str, Any]], threshold: float) -> Iterator[str]:
    """The ids of the rows that a higher threshold for near-duplicates would have kept.

    Args:
        ledger: `rows.LedgerRow`s of a published set.
        threshold: at least that with which the set was made.
    """
    for entry in ledger:
        restored = entry["reason"] == "near_duplicate" and entry["similarity"] < threshold
        if restored or entry["state"] in ACCEPTED:
            yield entry["id"]


def shingles(text: str, size: int) -> list[str]:
    """Overlapping runs of `size` words; a shorter text is one run."""
    parts = words(text)
    return [" ".join(parts[i : i + size]) for i in range(max(1, len(parts) - size + 1))]
