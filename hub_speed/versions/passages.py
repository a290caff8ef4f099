"""Whether the labels of a release lead to bytes: a passage to its document, the ids of a row to passages.

Documents are read a part at a time; of the passages, a hash each is in memory.
"""

import hashlib
import tempfile
from itertools import groupby, zip_longest
from operator import itemgetter
from pathlib import Path

from hub_speed.hub import Hub
from hub_speed.parquet import read_parquet
from hub_speed.record import Json, Ref

AT_ONCE = 100
"""Documents that are in memory together, as when they were written."""

Hashes = dict[str, bytes]
"""The id of each passage → the hash of its text."""

Found = tuple[list[str], int]
"""What is wrong, and how many were looked at."""


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def hashes(hub: Hub, corpus: Ref) -> Hashes:
    """The passages of a corpus.

    Raises:
        HubError: it cannot be read.
    """
    with tempfile.TemporaryDirectory() as temporary:
        rows = read_parquet(hub.download(corpus, Path(temporary)) / "data", ["id", "text"])
        return {row["id"]: _hash(row["text"]) for row in rows}


def of_corpus(folder: Path) -> Found:
    """Whether each document has its hash, and each passage is the part of a document that it names.

    Both are in the same order, so that one pass over them is enough.
    """
    passages = groupby(read_parquet(folder / "data"), key=itemgetter("document"))
    following = next(passages, None)
    changed = wrong = count = 0
    for document in read_parquet(folder / "documents", at_once=AT_ONCE):
        digest = _hash(document["text"]).hex()
        changed += document["sha256"] != digest or document["id"] != digest[:16]
        if following and following[0] == document["id"]:
            for passage in following[1]:
                count += 1
                wrong += not _is_part(passage, document)
            following = next(passages, None)
    problems = [f"{changed:,} documents have another hash"] if changed else []
    problems += [f"{wrong:,} passages are not the part of a document that they name"] if wrong else []
    problems += [f"passages of {following[0]}, which is no document, or out of order"] if following else []
    return problems, count


def _is_part(passage: Json, document: Json) -> bool:
    start, end = passage["start"], passage["end"]
    same = all(passage[column] == document[column] for column in ("group", "split"))
    named = passage["id"] == f"{document['id']}-{start}-{end}"
    return same and named and bool(passage["text"] == document["text"][start:end])


def of_rows(folder: Path, known: Hashes) -> Found:
    """Whether all ids in the rows, and in a benchmark's corpus, are those of passages, with their texts."""
    count, lost, changed = 0, set[str](), set[str]()

    def look(name: str, text: str | None = None) -> None:
        if name not in known:
            lost.add(name)
        elif text is not None and known[name] != _hash(text):
            changed.add(name)

    for row in read_parquet(folder / "data"):
        for side in ("positive", "negative"):
            ids, texts = row[f"{side}_ids"], row.get(f"{side}s", [row[side]])
            for name, text in zip_longest(ids, texts):
                if name or text:
                    look(name or "(a text without one)", text)
        for name in (*row.get("moved_ids", ()), *row.get("ambiguous_ids", ())):
            look(name)
        count += 1
    for row in read_parquet(folder / "corpus"):
        look(row["_id"], row["text"])
    problems = [f"{len(lost):,} ids are those of no passage: {min(lost)}"] if lost else []
    problems += [f"{len(changed):,} passages have another text: {min(changed)}"] if changed else []
    return problems, count
