"""Labelled sets as they lie in a folder: pairs in columns, or judgements with queries and a corpus, as in BEIR."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import (
    Dataset,
    get_dataset_config_names,
    get_dataset_split_names,
    load_dataset,
    load_dataset_builder,
)
from datasets.data_files import EmptyDatasetError
from datasets.exceptions import DatasetGenerationError
from datasets.packaged_modules.csv.csv import Csv

from hub_speed.errors import StageError, did_you_mean
from hub_speed.recipe import Labelled
from hub_speed.training.embedder import pairs
from hub_speed.training.embedder.settings import LabelledSet

Row = dict[str, Any]

AT_ONCE = 10_000
"""Texts of a corpus that are read in one go."""

AS_IT_STANDS = {"keep_default_na": False, "index_col": False}
"""How CSV files are read: `null` and `NA` stay the texts they are, and a cell too many does not move the others."""
READERS = {".parquet": "parquet", ".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".tsv": "csv"}
"""Endings of files → the reader of `datasets`."""


@dataclass
class Found:
    """What a labelled set holds.

    Attributes:
        rows: each has id, task_type, query, positive, negative, label, and `document`: the number of its positive.
        documents: how many texts there are to mine hard negatives from.
        texts: the texts of the documents with these numbers.
        answers: query → the documents that answer it, in whatever row.
        alike: label → the documents that have it.
    """

    rows: list[Row] = field(default_factory=list)
    documents: int = 0
    texts: Callable[[Sequence[int]], list[str]] = lambda numbers: []
    answers: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    alike: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def add(self, query: str, documents: Sequence[int], positive: str, negative: str | None, label: str | None) -> None:
        """Add a row: its positive is the first of these documents, all of which answer the query."""
        self.answers[query].update(documents)
        if label is not None:
            self.alike[label].update(documents)
        texts = {"query": query, "positive": positive, "negative": negative, "label": label}
        self.rows.append(texts | {"document": documents[0]})


def read(source: LabelledSet, cache: Path) -> Found:
    """All rows of one set that have a query and a positive; `cache` is filled by `datasets`.

    Of several texts in a cell the first one counts: E5 trains with one positive and one negative.

    Raises:
        StageError: the set lacks the config, the split, a file or a column, cannot be loaded, or holds no pair.
    """
    with _explained(_name(source.recipe)):
        found = (_judged if source.recipe.layout == "beir" else _paired)(source, cache)
    kind = source.recipe.kind
    for i, row in enumerate(found.rows):
        row |= {"id": f"{kind}-{i}", "task_type": kind}
    return found


def _paired(source: LabelledSet, cache: Path) -> Found:
    """A set with a pair in each row; its documents are the positives."""
    recipe, name = source.recipe, _name(source.recipe)
    data = _rows(source, cache)
    columns = recipe.model_dump(include={"query", "positive", "title", "negative", "label"})
    wanted: dict[str, str] = {our: column for our, column in columns.items() if column}
    for our, column in wanted.items():
        _known(f"{name}: column of the {our}", column, data.column_names)
    negatives: dict[str, str] = {}
    if recipe.negative_where:
        for query, texts, _ in _pairs(_where(data, recipe.negative_where, name), wanted, name):
            negatives.setdefault(query, texts[0])
    found, numbers = Found(), dict[str, int]()
    for query, positives, cells in _pairs(_where(data, recipe.where, name), wanted, name):
        own = [numbers.setdefault(text, len(numbers)) for text in positives]
        negative, label = (next(iter(cells.get(our, [])), None) for our in ("negative", "label"))
        found.add(query, own, positives[0], negative or negatives.get(query), label)
    documents = list(numbers)
    found.documents, found.texts = len(documents), lambda chosen: [documents[i] for i in chosen]
    if not found.rows:
        raise _empty(name, f"texts in the columns {wanted['query']} and {wanted['positive']}", len(data))
    return found


def _pairs(data: Dataset, wanted: dict[str, str], name: str) -> Iterator[tuple[str, list[str], dict[str, list[str]]]]:
    """Query, positives with their titles, and all cells, of the rows that have a query and a positive."""
    for cells in pairs.of(data.select_columns(list(dict.fromkeys(wanted.values()))), wanted, name):
        if cells["query"] and cells["positive"]:
            titles = cells.get("title", [])[:1]
            yield cells["query"][0], [" ".join([*titles, text]) for text in cells["positive"]], cells


def _where(data: Dataset, values: dict[str, str | int], name: str) -> Dataset:
    """The rows that have these values; all of them where no value is asked for."""
    if not values:
        return data
    for column in values:
        _known(f"{name}: column of a condition", column, data.column_names)
    asked = [pairs.label(value) for value in values.values()]
    cells = zip(*(data[column] for column in values), strict=True)
    return data.select([i for i, row in enumerate(cells) if [pairs.label(cell) for cell in row] == asked])


def _judged(source: LabelledSet, cache: Path) -> Found:
    """A set as BEIR has it: judgements above 0, joined by id with queries and corpus, which stays on the disk."""
    name, judged = _name(source.recipe), _rows(source, cache)
    for column in ("query-id", "corpus-id", "score"):
        _known(f"{name}: column", column, judged.column_names)
    asked, corpus = (_beside(source, config, cache) for config in ("queries", "corpus"))
    joined = zip(_positions(judged, "query-id", asked), _positions(judged, "corpus-id", corpus), strict=True)
    kept = [
        (query, document)
        for (query, document), score in zip(joined, judged["score"], strict=True)
        if query is not None and document is not None and float(score or 0) > 0
    ]
    queries, texts = asked["text"][:], _corpus(corpus)
    found = Found(documents=len(corpus), texts=texts)
    for start in range(0, len(kept), AT_ONCE):
        part = kept[start : start + AT_ONCE]
        positives = texts([document for _, document in part])
        for (query, document), positive in zip(part, positives, strict=True):
            if positive and (words := pairs.texts(queries[query])):
                found.add(words[0], [document], positive, None, None)
    if not found.rows:
        raise _empty(name, "judgements above 0 whose query and document are there", len(judged))
    return found


def _beside(source: LabelledSet, config: str, cache: Path) -> Dataset:
    """The queries or the corpus of a set as BEIR has it: the only split of this config."""
    folder, name = str(source.folder), _name(source.recipe)
    _known(f"{name}: config", config, get_dataset_config_names(folder))
    data = _load(folder, config, get_dataset_split_names(folder, config)[0], cache)
    for column in ("_id", "text"):
        _known(f"{name}, {config}: column", column, data.column_names)
    return data


def _positions(judged: Dataset, column: str, data: Dataset) -> list[int | None]:
    """For each judgement, the row with this id; None where there is none, or no id."""
    ids, known = (pc.cast(table.data.column(name), pa.string()) for table, name in ((judged, column), (data, "_id")))
    found: list[int | None] = pc.index_in(ids, value_set=known.combine_chunks(), skip_nulls=True).to_pylist()
    return found


def _corpus(corpus: Dataset) -> Callable[[Sequence[int]], list[str]]:
    """Reads documents from the disk, their title before their text as in E5 (its evaluation code)."""
    columns = [column for column in ("title", "text") if column in corpus.column_names]
    read = corpus.select_columns(columns)

    def texts(numbers: Sequence[int]) -> list[str]:
        cells = read[list(numbers)]
        rows = zip(*(cells[column] for column in columns), strict=True)
        return [" ".join(part for value in row for part in pairs.texts(value)) for row in rows]

    return texts


def _rows(source: LabelledSet, cache: Path) -> Dataset:
    """The rows that a set's config and split name, or its files."""
    recipe, folder, name = source.recipe, str(source.folder), _name(source.recipe)
    if recipe.files:
        return _from_files(source, cache, name)
    _known(f"labelled data {recipe.repo}: config", recipe.config, get_dataset_config_names(folder))
    splits = get_dataset_split_names(folder, recipe.config)
    _known(f"labelled data {recipe.repo}: split", recipe.split, splits)
    return _load(folder, recipe.config, recipe.split, cache)


def _from_files(source: LabelledSet, cache: Path, name: str) -> Dataset:
    patterns, folder = source.recipe.files, source.folder
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    chosen = {short: path for short, path in paths.items() if any(fnmatch(short, pattern) for pattern in patterns)}
    endings = {Path(short.removesuffix(".gz")).suffix for short in chosen}
    if len(endings) != 1 or not (reader := READERS.get(ending := endings.pop())):
        raise StageError(
            f"{name}: these files cannot be read",
            expected=f"files of one kind: {', '.join(READERS)}, maybe .gz",
            got=", ".join(list(chosen)[:5]) or "no file has such a name",
            fix="change files in embedder.labelled",
        )
    separator = {"sep": "\t"} if ending == ".tsv" else {}
    as_text = AS_IT_STANDS if reader == "csv" else {}
    files = [str(path) for path in chosen.values()]
    return load_dataset(reader, data_files=files, split="train", cache_dir=str(cache), **separator, **as_text)


def _load(folder: str, config: str, split: str, cache: Path) -> Dataset:
    """A split of a dataset."""
    as_text = AS_IT_STANDS if isinstance(load_dataset_builder(folder, config), Csv) else {}
    return load_dataset(folder, config, split=split, cache_dir=str(cache), **as_text)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Explain an error of `datasets` with the name of the set."""
    try:
        yield
    except (DatasetGenerationError, EmptyDatasetError, ValueError) as error:
        raise StageError(
            f"{name}: cannot be loaded",
            got=" ".join((str(error.__cause__ or "") or str(error)).split())[:300],
            fix="mend the dataset, or take it out of embedder.labelled",
        ) from error


def _name(recipe: Labelled) -> str:
    return f"labelled data {recipe.kind}" + ("" if recipe.files else f", {recipe.split}")


def _known(what: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise StageError(
            f"{what}: there is no {name}",
            expected=f"one of {', '.join(names)}",
            fix=f"{did_you_mean(name, names)} change it in embedder.labelled".strip(),
        )


def _empty(name: str, expected: str, rows: int) -> StageError:
    return StageError(
        f"{name}: no row has a query and a positive",
        expected=expected,
        got=f"{rows} rows",
        fix="name other columns, another split or other values in embedder.labelled",
    )
