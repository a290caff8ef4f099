"""The texts of the test sets of a recipe, and the check that none of them stands in training rows.

Revised rows are checked before they are published: the ledger has what is dropped (`contaminated`). Other rows and
labelled sets are published, or were, as they are; an embedder is trained without what the check finds in them.

Of a Hub dataset, the files of the split test and the queries are read. The corpus of a search is no test text: everyone
who searches knows it, and it is E5's own training data where it is Wikipedia (App. B). mteb loads its tasks in a
process of its own. A set that cannot be read is named in the record with the reason; the rows are published all the
same.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from hub_speed import tables
from hub_speed.errors import HubSpeedError, NoSpace, StageError, Stopped
from hub_speed.generation.contamination import Row, by_row, matches, report
from hub_speed.generation.ledger import Ledger
from hub_speed.parquet import read_parquet, write_parquet
from hub_speed.recipe import Recipe
from hub_speed.record import Json
from hub_speed.stage import OWN_BENCHMARK, Context, FromStage, Source, datasets_among, pick
from hub_speed.training.embedder import pairs
from hub_speed.training.process.launch import launch
from hub_speed.training.process.settings import Tests, TestTextSettings

_OF_TEST = re.compile(r"(^|[^a-z])(test|queries)([^a-z]|$)")
_OF_TRAINING = re.compile(r"(^|[^a-z])(train|dev|validation)([^a-z]|$)")
_OTHER = re.compile(rf"(^|[^a-z])(corpus|qrels|top_ranked)([^a-z]|$)|{_OF_TRAINING.pattern}")
QUOTED = 80
"""Characters of a test text that the ledger quotes."""


class TestText(BaseModel):
    """One text of a test set."""

    __test__ = False  # no class of tests, whatever pytest thinks of its name
    set: str
    text: str


@dataclass(frozen=True)
class _Texts:
    """What could be read of the test sets: set → texts, set → how many it has, and set → why not."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    of: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def inputs(recipe: Recipe) -> dict[str, Source]:
    """The test sets that are Hub datasets, and the benchmark of the run's own documents; mteb pins its own."""
    own: dict[str, Source] = {OWN_BENCHMARK: FromStage("benchmark")} if recipe.embedder.of_documents else {}
    return (own if recipe.decontaminate.against != () else {}) | datasets_among(recipe.test_sets)


def _checked(recipe: Recipe) -> bool:
    """Whether there is a test set to check against."""
    return bool(recipe.test_sets or inputs(recipe))


def fields(recipe: Recipe) -> Json:
    """The recipe fields that decide what is dropped, beside `inputs`; nothing where nothing is checked."""
    if not _checked(recipe):
        return {}
    found = pick(recipe, "decontaminate.coverage", "decontaminate.drop", "decontaminate.max_texts")
    found["decontaminate"]["against"] = [name for name in recipe.test_sets if name.startswith("mteb:")]
    return found


def fetch(ctx: Context) -> Tests | None:
    """Read the test sets into the stage's work folder; the record says which. None where nothing is to be checked.

    Raises:
        NoSpace: the disk is full.
        Stopped: the user wants to stop.
    """
    settings = ctx.recipe.decontaminate
    if not _checked(ctx.recipe):
        return None
    folder, read = ctx.work / "test_texts", _Texts()
    for name, ref in ctx.refs.items():
        if name.startswith("benchmark "):
            _add(read, ref.repo, ctx.inputs[name])
    if names := tuple(name for name in ctx.recipe.test_sets if name.startswith("mteb:")):
        _add_mteb(read, ctx, names, folder.with_name("mteb_texts"))
    kept = {name: spread(texts, settings.max_texts) for name, texts in read.texts.items()}
    of = {name: len(set(texts)) for name, texts in read.texts.items()} | read.of
    write_parquet(({"set": name, "text": text} for name in kept for text in kept[name]), TestText, folder)
    ctx.record.measures.contamination = {
        "checked": {name: len(texts) for name, texts in kept.items()},
        "of": {name: count for name, count in of.items() if count > settings.max_texts},
        "unchecked": read.failed,
    }
    ctx.record.notes += [f"not checked against {name}: {reason}" for name, reason in read.failed.items()]
    return Tests(folder=folder, coverage=settings.coverage, drop=settings.drop)


def spread(texts: Iterable[str], most: int) -> list[str]:
    """The different texts; of more than `most`, so many that lie evenly among them."""
    found = list(dict.fromkeys(texts))
    return found if len(found) <= most else [found[i * len(found) // most] for i in range(most)]


def _add(read: _Texts, name: str, folder: Path) -> None:
    """Add the texts of a Hub dataset in a folder."""
    try:
        if texts := list(texts_in(folder)):
            read.texts[name] = texts
        else:
            read.failed[name] = "no file of its split test, or of queries, holds a text"
    except StageError as error:
        read.failed[name] = f"{error.where.rpartition('/')[2]}; {error.got}"


def texts_in(folder: Path) -> Iterator[str]:
    """The test texts in the files of a Hub dataset: those of the split test and the queries; else all but a corpus.

    Of a search, only the queries that a judgement of the split test names: the others are there to be trained on. What
    else a query's row says (its style, its kind) is no text of the test.

    Raises:
        StageError: a file cannot be read.
    """
    files = {path.relative_to(folder).as_posix().lower(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    data = {name: path for name, path in files.items() if Path(name.removesuffix(".gz")).suffix in tables.KINDS}
    judged = {
        str(row["query-id"])
        for name, path in data.items()
        if "qrels" in name and not _OF_TRAINING.search(name)
        for row in tables.read_file(path)
        if "query-id" in row
    }
    rest = {name: path for name, path in data.items() if not _OTHER.search(name)}
    for name, path in ({name: path for name, path in rest.items() if _OF_TEST.search(name)} or rest).items():
        for row in tables.read_file(path):
            if "positive_ids" in row:  # a question of ours, which stands among the queries as well
                continue
            if "queries" not in name:
                yield from texts_of(row)
            elif not judged or str(row.get("_id", row.get("id"))) in judged:
                yield from texts_of({"text": row["text"]} if "text" in row else row)


def texts_of(row: Row) -> Iterator[str]:
    """The texts of a row, in whatever columns but those of ids."""
    for column, value in row.items():
        if not isinstance(value, int | float) and not re.search(r"(^|[^a-z])ids?$", column.lower()):
            try:
                yield from pairs.texts(value)
            except ValueError:  # a struct or the like
                continue


def _add_mteb(read: _Texts, ctx: Context, names: tuple[str, ...], folder: Path) -> None:
    """Add the texts of mteb's tasks, which a process of its own loads."""
    most = ctx.recipe.decontaminate.max_texts
    try:
        settings = TestTextSettings(work=ctx.work / "trainer", names=names, out=folder, most=most)
        loaded = launch(ctx, "evaluation.test_texts", settings)
    except (NoSpace, Stopped):
        raise
    except HubSpeedError as error:  # mteb is not installed, or has ended by itself
        read.failed.update(dict.fromkeys(names, f"{error.where}: {error.got}"))
        return
    read.of.update(loaded["of"])
    read.failed.update(loaded["failed"])
    for row in read_parquet(folder):
        read.texts.setdefault(row["set"], []).append(row["text"])


def sift(ctx: Context, ledger: Ledger) -> None:
    """Reject the accepted rows of a ledger in which a test text stands; the record says what was found."""
    tests = fetch(ctx)
    if tests is None:
        return
    found = by_row(matches(_read(tests), ledger.rows, tests.coverage))
    details = {
        match.row: f"{match.column}: {match.kind}, {match.coverage:.0%} of a text of {match.set}: {match.text[:QUOTED]}"
        for match in found.values()
        if match.kind in tests.drop
    }
    ledger.reject(((row, "", found[row].coverage) for row in details), "contaminated", details)
    note(ctx, report(found, tests.drop))


def keep(rows: list[Row], tests: Tests | None) -> tuple[list[Row], Json]:
    """The rows that an embedder may be trained on, and what was found in the others; see `contamination.report`."""
    if tests is None:
        return rows, {}
    found = by_row(matches(_read(tests), lambda: rows, tests.coverage))
    dropped = {match.row for match in found.values() if match.kind in tests.drop}
    return [row for row in rows if row["id"] not in dropped], report(found, tests.drop)


def _read(tests: Tests) -> Iterator[tuple[str, str]]:
    return ((row["set"], row["text"]) for row in read_parquet(tests.folder))


def note(ctx: Context, found: Json) -> None:
    """Put what was found into the record, beside what was checked."""
    if found:
        ctx.record.measures.contamination = (ctx.record.measures.contamination or {}) | found
