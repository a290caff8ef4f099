"""The test texts of mteb's tasks, for the check of training rows; mteb loads them from the Hub.

Of a search, the queries are test texts, not the corpus: see `training.test_texts`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mteb
from datasets import Dataset, DatasetDict
from mteb.abstasks.retrieval_dataset_loaders import RetrievalDatasetLoader

from hub_speed.evaluation import benchmarks
from hub_speed.parquet import write_parquet
from hub_speed.record import Json
from hub_speed.training.process import child
from hub_speed.training.process.settings import TestTextSettings
from hub_speed.training.test_texts import TestText, spread, texts_of


def read(settings: TestTextSettings) -> Json:
    """Write the texts of all tasks into a folder.

    Returns:
        of: task → how many different texts it has; failed: task or benchmark → why it could not be read.
    """
    failed: dict[str, str] = {}
    of: dict[str, int] = {}
    rows: list[dict[str, str]] = []
    for name in settings.names:
        try:
            tasks = [one for task in benchmarks.named(name.removeprefix("mteb:")) for one in _parts(task)]
        except ValueError as error:
            failed[name] = str(error)
            continue
        for task in tasks:
            try:
                with _no_corpora():
                    found = dict.fromkeys(_texts(task))
            except Exception as error:  # the Hub is away, the set is gated, or needs what is not installed
                failed[benchmarks.title(task)] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                continue
            title = benchmarks.title(task)
            of[title] = len(found)
            rows += [{"set": title, "text": text} for text in spread(found, settings.most)]
    write_parquet(rows, TestText, settings.out)
    return {"of": of, "failed": failed}


@contextmanager
def _no_corpora() -> Iterator[None]:
    """Load searches with an empty corpus: nobody compares it here, and that of MS MARCO has 8.8M passages."""
    load = RetrievalDatasetLoader._load_corpus
    empty = Dataset.from_dict({"id": [], "title": [], "text": []})
    RetrievalDatasetLoader._load_corpus = lambda self, num_proc: empty  # type: ignore[method-assign]
    try:
        yield
    finally:
        RetrievalDatasetLoader._load_corpus = load  # type: ignore[method-assign]


def _parts(task: mteb.AbsTask) -> list[mteb.AbsTask]:
    """The tasks that one task stands for: of CQADupstack, its twelve forums."""
    parts: list[mteb.AbsTask] = getattr(task.metadata, "tasks", None) or getattr(task, "tasks", None) or [task]
    return parts


def _texts(task: mteb.AbsTask) -> Iterator[str]:
    """The texts of the splits that are scored."""
    task.load_data()
    yield from _inside(task.dataset, set(task.eval_splits))
    task.unload_data()


def _inside(data: Any, splits: set[str]) -> Iterator[str]:
    """The texts of a dataset, of those in a tree of configs and splits, or of the queries of a search."""
    if isinstance(data, Dataset):
        for row in data:
            yield from texts_of(dict(row))
    elif isinstance(data, DatasetDict | dict):
        if "queries" in data and "corpus" in data:
            data = {"queries": data["queries"]}
        elif splits & set(data):
            data = {name: part for name, part in data.items() if name in splits}
        for part in data.values():
            yield from _inside(part, splits)


if __name__ == "__main__":
    child.run(TestTextSettings, read)
