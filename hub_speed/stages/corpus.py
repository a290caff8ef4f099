"""A user's documents → passages: what questions are written for, and what a search finds.

In: a folder or a file on this machine, or a dataset of the Hub. Out: speed-corpus; its config `documents` has the
documents as text, `skipped` those that could not be used.
The papers have no such stage. A local folder is known by the digest of its names and bytes: raw files never leave the
machine. What is published is their text.
"""

import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hub_speed import safe_yaml
from hub_speed.documents import folder as folders
from hub_speed.documents.child import parser
from hub_speed.documents.folder import Folder
from hub_speed.documents.groups import grouped, splits
from hub_speed.documents.parsers import check_installed
from hub_speed.documents.passages import SEPARATOR, cut, length
from hub_speed.documents.reading import Document, Skipped, read
from hub_speed.documents.structure import is_markdown
from hub_speed.errors import StageError, Stopped
from hub_speed.parquet import read_parquet, write_parquet, write_splits
from hub_speed.recipe import Recipe
from hub_speed.record import Documents, Json
from hub_speed.rows import SPLITS, DocumentRow, PassageRow, SkippedRow
from hub_speed.stage import Context, Estimate, FromHub, Source, Stage, pick

AT_ONCE = 100
"""Documents that are in memory together, of which the largest have 20 million characters. Assumption."""

FEW = 20
"""Groups of a split below which its numbers say little. Assumption."""


@dataclass(frozen=True)
class Kept:
    """What a reader should know of documents that are used, by their sources.

    Attributes:
        encodings: encoding → documents that are not UTF-8.
        hidden: documents with words that are left out, because a reader does not see them; the count.
    """

    encodings: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    hidden: dict[str, int] = field(default_factory=dict)

    def add(self, document: Document) -> None:
        """Remember what is to be said of a document."""
        if document.encoding:
            self.encodings[document.encoding].append(document.source)
        if document.hidden:
            self.hidden[document.source] = document.hidden


def build(ctx: Context) -> None:
    """Fill `ctx.out` with passages, documents, and what was skipped."""
    settings, found = ctx.recipe.corpus, _files(ctx)
    as_read, skipped, kept, hashes = ctx.work / "read", list[Skipped](), Kept(), dict[str, str]()
    shutil.rmtree(as_read, ignore_errors=True)
    count = write_parquet(_read(ctx, found, skipped, kept, hashes), DocumentRow, as_read, AT_ONCE)
    if settings.folder:
        folders.check_unchanged(found, settings.folder, ctx.record.identity["recipe"]["corpus"]["digest"], hashes)
    _check_some(count, skipped)
    ctx.progress.note("comparing")
    texts = ((row["id"], row["text"]) for row in _watched(ctx, read_parquet(as_read, ["id", "text"], at_once=AT_ONCE)))
    groups = grouped(texts, settings.group_share)
    split_of = splits(groups.values(), settings.dev_share, settings.test_share)

    def documents(split: str) -> Iterator[Json]:
        for row in _watched(ctx, read_parquet(as_read, at_once=AT_ONCE)):
            group = groups[row["id"]]
            if split_of[group] == split:
                yield row | {"group": group, "split": split}

    def passages(split: str) -> Iterator[Json]:
        return (passage for row in documents(split) for passage in passages_of(row, settings.passage_words))

    ctx.progress.note("cutting")
    write_splits(documents, DocumentRow, ctx.out / "documents", AT_ONCE)
    ctx.record.rows_in = ctx.record.accepted = write_splits(passages, PassageRow, ctx.out / "data")
    if skipped:  # `datasets` cannot load a config without rows
        write_parquet(map(vars, skipped), SkippedRow, ctx.out / "skipped")
    shutil.rmtree(as_read)
    ctx.record.measures.documents = _counts(ctx.out, groups, split_of, skipped)
    ctx.record.notes += _notes(ctx.recipe, found, kept, ctx.record.measures.documents)


def passages_of(document: Json, passage_words: int) -> Iterator[Json]:
    """The passages of a `rows.DocumentRow`, as `rows.PassageRow`s."""
    text, name = document["text"], document["id"]
    for passage in cut(text, passage_words, markdown=is_markdown(document["source"])):
        titles = [document["title"], *passage.headings]
        yield {
            "id": f"{name}-{passage.start}-{passage.end}",
            "document": name,
            "start": passage.start,
            "end": passage.end,
            "title": SEPARATOR.join(title for title in dict.fromkeys(titles) if title),
            "text": text[passage.start : passage.end],
            "group": document["group"],
            "split": document["split"],
        }


def _files(ctx: Context) -> Folder:
    """The files that hold the documents."""
    if path := ctx.recipe.corpus.folder:
        return folders.look(path)
    return _of_dataset(ctx.inputs["documents"])


def _of_dataset(folder: Path) -> Folder:
    """The tables of a dataset: those of its default config, where its card names configs."""
    found = folders.tables_in(folder)
    patterns = _default_patterns(folder / "README.md")
    chosen = [file for file in found if any(fnmatch(file.name, pattern) for pattern in patterns)]
    return Folder(tuple(chosen or found))


def _default_patterns(card: Path) -> list[str]:
    """The file patterns of a dataset's default config; none where its card names none."""
    try:
        configs: Any = safe_yaml.front_matter(card.read_text("utf-8", "replace"))[0].get("configs") or []
        named = [one for one in configs if one.get("default") or one.get("config_name") == "default"] or configs
        files = named[0].get("data_files", []) if named else []
        entries = files if isinstance(files, list) else [files]
        paths = [entry.get("path", []) if isinstance(entry, dict) else entry for entry in entries]
        return [str(path) for one in paths for path in (one if isinstance(one, list) else [one])]
    except (OSError, AttributeError, KeyError, TypeError, yaml.YAMLError):
        return []


def _read(ctx: Context, found: Folder, skipped: list[Skipped], kept: Kept, hashes: dict[str, str]) -> Iterator[Json]:
    """The documents as rows that have no group yet.

    What cannot be used is put into `skipped`, what is to be said of the others into `kept`, what was
    read of each file, as its sha256, into `hashes`.
    """
    seen: dict[str, str] = {}
    ctx.progress.start(len(found.files), "files")
    with parser() as parsing:
        for file in found.files:
            for one in _watched(ctx, read(file, parsing, ctx.recipe.corpus.column, hashes)):
                if isinstance(one, Document):
                    first = seen.setdefault(one.sha256, one.source)
                    if first == one.source:
                        kept.add(one)
                        yield _row(one)
                        continue
                    one = Skipped(one.source, "duplicate", f"the text of {first}")
                skipped.append(one)
            ctx.progress.advance(1)


def _row(document: Document) -> Json:
    sha256 = document.sha256
    about = {
        "source": document.source,
        "title": document.title,
        "text": document.text,
        "encoding": document.encoding or None,
    }
    return {"id": sha256[:16], "sha256": sha256, **about, "group": "", "split": ""}


def _watched(ctx: Context, items: Iterator[Any]) -> Iterator[Any]:
    """The items, until the user wants to stop.

    Raises:
        Stopped: as the user wanted.
    """
    for item in items:
        if ctx.stop.is_set():
            raise Stopped("stopped", fix="run the same command to read the documents again")
        yield item


def _check_some(count: int, skipped: list[Skipped]) -> None:
    if not count:
        reasons = Counter(one.reason for one in skipped)
        raise StageError(
            "corpus: none of the documents could be used",
            expected=f"files that end in {', '.join(sorted(folders.KINDS))}",
            got=", ".join(f"{reason} {n}" for reason, n in reasons.most_common()),
            fix=f"for example {skipped[0].source}: {skipped[0].detail}" if skipped else "",
        )


def _counts(out: Path, groups: dict[str, str], split_of: dict[str, str], skipped: list[Skipped]) -> Documents:
    """What the corpus holds, all together and in each split."""
    by_split = {name: Counter[str](documents=0, passages=0, groups=0, words=0) for name in SPLITS}
    for group in groups.values():
        by_split[split_of[group]]["documents"] += 1
    for split in split_of.values():
        by_split[split]["groups"] += 1
    lengths = []
    for row in read_parquet(out / "data", ["text", "split"]):
        lengths.append(round(length(row["text"])))
        by_split[row["split"]].update(passages=1, words=lengths[-1])
    shortest, median, longest = map(int, np.percentile(lengths, [5, 50, 95])) if lengths else (0, 0, 0)
    return Documents(
        **sum(by_split.values(), Counter[str]()),
        splits={name: dict(counts) for name, counts in by_split.items()},
        lengths={"5%": shortest, "median": median, "95%": longest},
        skipped=dict(Counter(one.reason for one in skipped).most_common()),
    )


def _notes(recipe: Recipe, found: Folder, kept: Kept, counts: Documents) -> list[str]:
    """What a reader should know of these documents."""
    notes = []
    few = {
        name: counts.splits[name]["groups"]
        for name, share in (("dev", recipe.corpus.dev_share), ("test", recipe.corpus.test_share))
        if share and counts.splits[name]["groups"] < FEW
    }
    if few:
        named = " and ".join(f"{count} {'is' if count == 1 else 'are'} in {name}" for name, count in few.items())
        notes.append(
            f"of {counts.groups:,} groups of documents, {named}: below {FEW}, scores say little of other documents;"
            " more, or smaller, documents help"
        )
    if found.left_out:
        left = " and ".join(f"{count:,} {what}" for what, count in found.left_out)
        notes.append(f"not looked at in the folder: {left}")
    for encoding, sources in sorted(kept.encodings.items()):
        notes.append(
            f"read as {encoding}, since it is not UTF-8: {_named(sources)}; save as UTF-8 what was written otherwise"
        )
    if kept.hidden:
        words = sum(kept.hidden.values())
        notes.append(f"words that Word hides are left out ({words:,}): {_named([*kept.hidden])}")
    return notes


def _named(sources: list[str]) -> str:
    """The first few of some documents, and how many more there are."""
    return ", ".join(map(repr, sources[:3])) + (f" and {len(sources) - 3:,} more" if len(sources) > 3 else "")


def _inputs(recipe: Recipe) -> dict[str, Source]:
    if recipe.corpus.folder or not recipe.corpus.source:
        return {}
    files = ("README.md", *(f"*{kind}" for kind in folders.TABLES))
    return {"documents": FromHub("dataset", recipe.corpus.source, files, missing="there is no such folder either")}


def _fields(recipe: Recipe) -> Json:
    """What decides the passages; of a local folder, its digest stands for it.

    Raises:
        RecipeError: the folder is missing or empty, or a parser for its files is not installed.
    """
    names = ["passage_words", "group_share", "dev_share", "test_share", "column"]
    found = pick(recipe, *(f"corpus.{name}" for name in names))
    if path := recipe.corpus.folder:
        check_installed({file.kind for file in folders.look(path).files})
        found["corpus"]["digest"] = folders.digest(path)
    return found


def _facts(ctx: Context) -> Json:
    """Three passages, drawn at random out of the first thousand; the same for the same fingerprint."""
    rows = list(islice(read_parquet(ctx.out / "data"), 1000))
    return {"passages": random.Random(ctx.record.fingerprint).sample(rows, min(3, len(rows)))}


STAGE = Stage(
    name="corpus",
    version=2,
    kind="dataset",
    noun="corpus",
    purpose="Documents become passages, each with its place in its document.",
    build=build,
    inputs=_inputs,
    fields=_fields,
    estimate=lambda recipe, topics: Estimate(None, 0, 0, 0, 0),
    row=PassageRow,
    facts=_facts,
    metadata={
        "tags": ["hub_speed", "embeddings", "passages"],
        "task_categories": ["text-retrieval"],
        "annotations_creators": ["no-annotation"],
        "language_creators": ["found"],
    },
)
