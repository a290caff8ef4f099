"""Duplicates among training rows: exact ones, and near ones by MinHash.

Query and positive are compared together: two rows with the same query and different answers are both kept. A row is
compared with all earlier rows, whether these are kept or not, so one number decides about it: a higher threshold can be
applied to a published ledger (`thin`). A chain of near-duplicates is therefore cut down to its first row.
Source: E5 §3.1 (exact match), SPEED App. A (MinHash; threshold, n-grams, field and chains not stated: Assumptions).
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

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
    rows: Iterable[dict[str, Any]], threshold: float, permutations: int, size: int, scratch: Path | None = None
) -> Iterator[Duplicate]:
    """Every row whose word n-grams resemble those of an earlier row.

    Signatures are kept on disk; in memory are some 60 bytes a row, and what is found.

    Args:
        rows: in the order of precedence.
        threshold: estimated Jaccard similarity from which two rows are near-duplicates.
        permutations: length of the MinHash signature.
        size: words of an n-gram.
        scratch: a folder on a disk with 4 bytes a row and permutation to spare, and half as much again; None: the
            system's folder for temporary files.
    """
    with TemporaryDirectory(dir=scratch) as folder:
        kept = _Signatures(Path(folder), permutations, bands(threshold, permutations))
        kept.add(rows, size)
        if kept.count:
            yield from kept.duplicates(threshold)


def bands(threshold: float, permutations: int) -> int:
    """In how many bands a signature is cut: few, so that few rows are compared, but no more than `MISSED` are missed.

    Two rows are compared where one of their bands is the same: with probability 1 - (1 - similarity^length)^bands.
    """
    counts = (count for count in range(1, permutations + 1) if permutations % count == 0)
    few = (count for count in counts if (1 - threshold ** (permutations // count)) ** count <= MISSED)
    return next(few, permutations)


Numbers = np.ndarray[Any, Any]
CHUNK = 10_000
"""Rows whose signatures are made together, and pairs that are compared together."""


class _Signatures:
    """The signatures of rows, on disk, and for each band one number a row that says with whom it is compared.

    Args:
        folder: empty.
        permutations: numbers of a signature.
        bands: in how many parts a signature is cut.
    """

    def __init__(self, folder: Path, permutations: int, bands: int) -> None:
        self._folder, self._permutations, self._bands = folder, permutations, bands
        self.count = 0

    def add(self, rows: Iterable[dict[str, Any]], size: int) -> None:
        """Write the signatures of rows, and what they have in common with equal ones: a band, or all of it."""
        from rensa import RMinHash  # the Space imports the stages, and removes no duplicates

        names = ["ids", "signatures", "whole", *map(str, range(self._bands))]
        with ExitStack() as stack:
            files = {name: stack.enter_context((self._folder / name).open("wb")) for name in names}
            given = iter(rows)
            while some := list(islice(given, CHUNK)):
                self.count += len(some)
                files["ids"].writelines(f"{row['id']}\n".encode() for row in some)
                texts = [shingles(f"{row['query']} {row['positive']}", size) for row in some]
                found = np.array(RMinHash.digests_from_token_sets(texts, self._permutations, 42), np.uint32)
                found.tofile(files["signatures"])
                _mixed(found).tofile(files["whole"])
                for i, band in enumerate(np.split(found, self._bands, axis=1)):
                    _mixed(band).tofile(files[str(i)])

    def duplicates(self, threshold: float) -> Iterator[Duplicate]:
        """Every row that resembles an earlier one with which it shares a band, in order.

        Of rows with the same signature, only the first is compared with others: these resemble all of them as much.
        """
        shape = (self.count, self._permutations)
        signatures = np.memmap(self._folder / "signatures", np.uint32, "r", shape=shape)
        same = np.zeros(self.count, np.int32)  # numbers that are alike in a row and the earlier one most like it
        of = np.zeros(self.count, np.int64)  # that earlier row
        order, alike = self._sorted("whole", np.arange(self.count))
        firsts = np.maximum.accumulate(np.where(alike, 0, np.arange(self.count)))
        _compare(signatures, order[alike], order[firsts][alike], same, of)
        different = np.flatnonzero(same < self._permutations)
        for band in range(self._bands):
            order, alike = self._sorted(str(band), different)
            places, back = np.flatnonzero(alike), 1
            while len(places):  # with the row before it in the band, then the one before that, …
                _compare(signatures, order[places], order[places - back], same, of)
                back += 1
                places = places[alike[places - back + 1]]
        del signatures
        found = np.flatnonzero(same / self._permutations >= threshold)
        names = self._names(np.union1d(found, of[found]))
        for i in found.tolist():
            yield Duplicate(names[i], names[int(of[i])], int(same[i]) / self._permutations)

    def _sorted(self, name: str, rows: Numbers) -> tuple[Numbers, Numbers]:
        """Rows so that equal ones follow each other, in their order; and whether each equals the one before it."""
        values = np.fromfile(self._folder / name, np.uint64)[rows]
        order = np.argsort(values, kind="stable")
        values = values[order]
        return rows[order], np.concatenate([[False], values[1:] == values[:-1]])

    def _names(self, wanted: Numbers) -> dict[int, str]:
        """The ids of some rows, which are given in order."""
        found: dict[int, str] = {}
        left = iter(wanted.tolist())
        following = next(left, None)
        with (self._folder / "ids").open(encoding="utf-8") as lines:
            for i, line in enumerate(lines):
                if i == following:
                    found[i], following = line.rstrip("\n"), next(left, None)
        return found


def _mixed(numbers_RN: Numbers) -> Numbers:
    """One number for each row of numbers: equal rows have the same, others hardly ever (64 bits)."""
    mixed_R = np.zeros(len(numbers_RN), np.uint64)
    for numbers in numbers_RN.T:
        mixed_R = (mixed_R ^ numbers) * np.uint64(0x9E3779B97F4A7C15)  # an odd number with bits all over
        mixed_R ^= mixed_R >> np.uint64(29)
    return mixed_R


def _compare(signatures: Numbers, rows: Numbers, earlier: Numbers, same: Numbers, of: Numbers) -> None:
    """Note of pairs, in each of which the row is another one, where the earlier row is the most like it so far.

    Of several that are as much like it, the first counts.
    """
    for start in range(0, len(rows), CHUNK):
        mine, other = rows[start : start + CHUNK], earlier[start : start + CHUNK]
        count = (signatures[mine] == signatures[other]).sum(1, dtype=np.int32)
        better = (count > same[mine]) | ((count == same[mine]) & (count > 0) & (other < of[mine]))
        same[mine[better]], of[mine[better]] = count[better], other[better]


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
