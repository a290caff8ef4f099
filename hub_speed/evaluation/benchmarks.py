"""What embedders are scored on: tasks of mteb by name, and any Hub dataset with one of the configs in `KINDS`.

`mteb:MTEB(eng, v1)`, or another benchmark of mteb; `mteb:fast`; `mteb:Banking77Classification`, or another task of
mteb: tables in `docs/evaluation.md`. As a program, this module checks that mteb knows the names in its arguments.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mteb
import pyarrow as pa
import pyarrow.compute as pc
from datasets import get_dataset_config_names, load_dataset
from datasets.exceptions import DatasetGenerationError
from mteb.abstasks import (
    AbsTaskClassification,
    AbsTaskClustering,
    AbsTaskPairClassification,
    AbsTaskRetrieval,
    AbsTaskSTS,
)
from mteb.abstasks.abstask import get_abstask_prompt
from mteb.abstasks.task_metadata import TaskMetadata

from hub_speed.errors import StageError
from hub_speed.evaluation.benchmark_names import UNKNOWN
from hub_speed.evaluation.settings import Benchmark

ENGLISH = ("MTEB(eng, v1)", "MTEB(eng, v2)")
"""SPEED and E5 score on the first, which has 56 tasks."""

FAST = (
    "Banking77Classification",
    "EmotionClassification",
    "TwentyNewsgroupsClustering",
    "SprintDuplicateQuestions",
    "AskUbuntuDupQuestions",
    "NFCorpus",
    "SciFact",
    "BIOSSES",
    "STSBenchmark",
    "SummEval",
)
"""`mteb:fast`: small tasks of every type in MTEB(eng, v1). Assumption: chosen by size, not by score."""

E5_INSTRUCTIONS = {
    "CQADupstack": "Given a question, retrieve detailed question descriptions from Stackexchange that are duplicates to"
    " the given question",
    "ClimateFEVER": "Given a claim about climate change, retrieve documents that support or refute the claim",
    "FEVER": "Given a claim, retrieve documents that support or refute the claim",
    "HotpotQA": "Given a multi-hop question, retrieve documents that can help answer the question",
    "Touche2020": "Given a question, retrieve detailed and persuasive arguments that answer the question",
    "ArXivHierarchicalClusteringP2P": "Identify the main and secondary category of Arxiv papers based on the titles and"
    " abstracts",
    "ArXivHierarchicalClusteringS2S": "Identify the main and secondary category of Arxiv papers based on the titles",
    "SummEval": "Given a news summary, retrieve other semantically similar summaries",
}
"""E5 Table 15, by the beginning of the task's name: only where mteb has no prompt of its own, else they agree."""

RETRIEVAL_INSTRUCTION = "Given a question, retrieve passages that answer it"
STS_INSTRUCTION = "Retrieve semantically similar text"  # the instruction both papers train with (E5 Table 14)


class Search(AbsTaskRetrieval):
    """Retrieval over a Hub dataset: judgements below 0 count as 0, so that the score is the mean of its queries."""

    def load_data(self, *args: Any, **kwargs: Any) -> None:
        """Load corpus, queries and judgements; a title that is null is an empty one."""
        super().load_data(*args, **kwargs)
        assert self.dataset is not None
        for data in self.dataset["default"].values():
            data["relevant_docs"] = {
                query: {document: max(0, gain) for document, gain in gains.items()}
                for query, gains in data["relevant_docs"].items()
            }
            if "title" in data["corpus"].column_names and None in data["corpus"].unique("title"):
                data["corpus"] = data["corpus"].map(lambda title: {"title": title or ""}, input_columns="title")

    def notes(self) -> list[str]:
        """What a reader of the score should know about the judgements."""
        self.load_data()
        assert self.dataset is not None
        data, raw = self.dataset["default"]["test"], _judgements(self.metadata.dataset["path"])
        documents, queries = set(data["corpus"]["id"]), set(data["queries"]["id"])
        counts = {
            "name documents that the corpus does not have: they count as not found": sum(
                document not in documents and gain > 0 for _, document, gain in raw
            ),
            "name queries that are not there: they are left out": sum(query not in queries for query, _, _ in raw),
            "are below 0: they count as 0": sum(gain < 0 for _, _, gain in raw),
        }
        return [f"{count:,} of {len(raw):,} judgements {what}" for what, count in counts.items() if count]


def _judgements(folder: str) -> list[tuple[str, str, int]]:
    """Query, document and gain of each judgement, as they stand in the dataset."""
    splits = load_dataset(folder, "qrels")
    rows = splits["test"] if "test" in splits else next(iter(splits.values()))
    columns = (rows["query-id"], rows["corpus-id"], rows["score"])
    return [(str(query), str(document), gain) for query, document, gain in zip(*columns, strict=True)]


class _TwoClasses(mteb.AbsTask):
    """Two classes of any name are 0 and 1, in their order: for two classes, mteb also computes what needs numbers."""

    label_column_name = "label"

    def load_data(self, *args: Any, **kwargs: Any) -> None:
        """Load the splits."""
        super().load_data(*args, **kwargs)
        assert self.dataset is not None
        found = sorted({label for split in self.dataset.values() for label in split.unique("label")})
        if len(found) == 2 and found != [0, 1]:
            numbers = {label: i for i, label in enumerate(found)}
            for name, split in self.dataset.items():
                labels = [numbers[label] for label in split["label"]]
                self.dataset[name] = split.remove_columns("label").add_column("label", labels)


class Classes(_TwoClasses, AbsTaskClassification):
    """Classification of the texts of a Hub dataset."""


class Matches(_TwoClasses, AbsTaskPairClassification):
    """Pairs of a Hub dataset that match or do not; of two numbers the larger one says that they do."""


@dataclass(frozen=True)
class Kind:
    """One kind of task a Hub dataset can hold, recognised by its configs; the split `test` is scored.

    Attributes:
        name: mteb's type of task.
        columns: config → the columns it must have.
        base: mteb's class of such tasks.
        score: the main score, as mteb names it.
        instruction: the default; the recipe may set another one (`evaluate.instructions`).
        settings: attributes to set on the mteb class.
        splits: those that must exist; in retrieval a single split of any name will do, as in mteb.
    """

    name: str
    columns: dict[str, tuple[str, ...]]
    base: type[mteb.AbsTask]
    score: str
    instruction: str
    settings: tuple[tuple[str, Any], ...] = ()
    splits: tuple[str, ...] = ("test",)


SEARCH = {"corpus": ("_id", "text"), "queries": ("_id", "text"), "qrels": ("query-id", "corpus-id", "score")}
KINDS = (
    Kind(
        "Retrieval",
        SEARCH,
        Search,
        "ndcg_at_10",
        RETRIEVAL_INSTRUCTION,
        (("k_values", (1, 3, 5, 10, 20, 100)),),  # mteb would write down the first 1,000 documents of a query
    ),
    Kind(
        "Reranking",
        SEARCH | {"top_ranked": ("query-id", "corpus-ids")},
        Search,
        "map_at_1000",
        RETRIEVAL_INSTRUCTION,
    ),
    Kind(
        "STS",
        {"sts": ("sentence1", "sentence2", "score")},
        AbsTaskSTS,
        "cosine_spearman",
        STS_INSTRUCTION,
        (("min_score", 0), ("max_score", 5)),  # mteb wants them; the rank correlation does not see them
    ),
    Kind(
        "Classification",
        {"classification": ("text", "label")},
        Classes,
        "accuracy",
        AbsTaskClassification.abstask_prompt,
        splits=("train", "test"),
    ),
    Kind(
        "Clustering",
        {"clustering": ("text", "label")},
        AbsTaskClustering,
        "v_measure",
        AbsTaskClustering.abstask_prompt,
        (
            ("input_column_name", "text"),
            ("label_column_name", "label"),
            ("max_fraction_of_documents_to_embed", None),  # all of them
        ),
    ),
    Kind(
        "PairClassification",
        {"pair_classification": ("sentence1", "sentence2", "label")},
        Matches,
        "max_ap",
        STS_INSTRUCTION,
        (("label_column_name", "label"),),
    ),
)


def named(name: str) -> list[mteb.AbsTask]:
    """The tasks behind `mteb:<name>`. A task of the English benchmarks is the same here: its splits and languages.

    Raises:
        ValueError: mteb has neither a benchmark nor a task of that name; says which is near.
    """
    known = {task.metadata.name: task for name in ENGLISH for task in mteb.get_benchmark(name).tasks}
    if name == "fast":
        return [known[task] for task in FAST]
    if name in known:
        return [known[name]]
    try:
        if "(" in name:
            return list(mteb.get_benchmark(name).tasks)
        return [mteb.get_task(name)]
    except KeyError as error:
        raise ValueError(str(error.args[0]).removeprefix("KeyError: ")) from error


def own(benchmark: Benchmark) -> list[mteb.AbsTask]:
    """The tasks of a Hub dataset.

    Raises:
        StageError: it has none of the configs, or a config lacks a column, a split or rows.
    """
    configs = set(get_dataset_config_names(str(benchmark.folder)))
    kinds = [kind for kind in KINDS if set(kind.columns) <= configs]
    if any(kind.name == "Reranking" for kind in kinds):
        kinds = [kind for kind in kinds if kind.name != "Retrieval"]  # the candidates are given
    if not kinds:
        raise _unfit(
            f"benchmark {benchmark.name}: no config that can be scored",
            "; or ".join(" + ".join(kind.columns) for kind in KINDS),
            ", ".join(sorted(configs)),
        )
    for kind in kinds:
        for config, columns in kind.columns.items():
            _check(f"benchmark {benchmark.name}, config {config}", str(benchmark.folder), config, columns, kind)
    return [_task(benchmark, kind) for kind in kinds]


def _check(where: str, folder: str, config: str, columns: tuple[str, ...], kind: Kind) -> None:
    """Check that a config can be scored; mteb would report it later and less plainly."""
    try:
        found = load_dataset(folder, config)
    except (DatasetGenerationError, ValueError) as error:  # also raised for a split without rows
        reason = " ".join(str(error.__cause__ or error).split())
        raise _unfit(
            f"{where}: it cannot be loaded", "files with at least one row each, all with the same columns", reason
        ) from error
    wanted = tuple(found) if kind.base is Search and len(found) == 1 else kind.splits
    if missing := [split for split in wanted if split not in found]:
        raise _unfit(f"{where}: no split {' and no split '.join(missing)}", " and ".join(wanted), ", ".join(found))
    for split in wanted:
        there = found[split].column_names
        if lacking := [column for column in columns if column not in there]:
            what = f"{where}, split {split}: no column {' and no column '.join(lacking)}"
            raise _unfit(what, ", ".join(columns), ", ".join(there))
        for column in columns:
            _check_cells(f"{where}, split {split}, column {column}", found[split].data.column(column), column, kind)


def _check_cells(where: str, cells: pa.ChunkedArray, column: str, kind: Kind) -> None:
    """Check that the cells of a column are what the kind of task compares or counts."""
    if cells.null_count and len(cells):
        row = pc.index(cells.is_null(), value=True).as_py()
        raise _unfit(f"{where}: {cells.null_count:,} of {len(cells):,} are null", "a value in every row", f"row {row}")
    texts = column in ("text", "sentence1", "sentence2")
    if texts and not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        raise _unfit(f"{where}: the cells are not texts", "texts", str(cells.type))
    if column == "score" and not (pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type)):
        raise _unfit(f"{where}: the cells are not numbers", "numbers", str(cells.type))
    if column == "score" and kind.base is Search and (broken := [gain for gain in cells.to_pylist() if gain % 1]):
        expected = "whole numbers, since nDCG counts them as gains: 0, 1, 2, …"
        raise _unfit(f"{where}: {len(broken):,} of {len(cells):,} are fractions", expected, str(broken[0]))
    if kind.base is Matches and column == "label":
        labels = sorted(cells.unique().to_pylist(), key=str)
        if len(labels) != 2 or any(isinstance(label, str) and not label.isdigit() for label in labels):
            expected = "two numbers, of which the larger one (1) says that the two texts match"
            raise _unfit(f"{where}: it is not clear which pairs match", expected, ", ".join(map(str, labels[:5])))


def _unfit(where: str, expected: str, got: str) -> StageError:
    fix = "repair the dataset, or take it out of evaluate.benchmarks; its layout: docs/evaluation.md"
    return StageError(where, expected=expected, got=got, fix=fix)


def _task(benchmark: Benchmark, kind: Kind) -> mteb.AbsTask:
    config = {} if kind.base is Search else {"name": next(iter(kind.columns))}
    metadata = TaskMetadata(
        name=f"{benchmark.name.replace('/', '--')}-{kind.name}",
        description=f"{kind.name} part of {benchmark.name}",
        dataset={"path": str(benchmark.folder), "revision": benchmark.commit} | config,
        type=kind.name,
        category="t2t",
        modalities=["text"],
        main_score=kind.score,
        prompt=benchmark.instruction or kind.instruction,
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        reference=None,
        date=None,
        domains=None,
        task_subtypes=None,
        license=None,
        annotations_creators=None,
        dialect=None,
        sample_creation=None,
        bibtex_citation=None,
    )
    task: mteb.AbsTask = type(kind.name, (kind.base,), {"metadata": metadata, **dict(kind.settings)})()
    return task


def tasks(benchmarks: Sequence[Benchmark]) -> list[tuple[Benchmark, mteb.AbsTask]]:
    """Every task of the benchmarks, once, with the benchmark it is part of.

    Raises:
        ValueError: mteb does not know a benchmark.
        StageError: a Hub dataset cannot be scored.
    """
    found: dict[str, tuple[Benchmark, mteb.AbsTask]] = {}
    for benchmark in benchmarks:
        mine = own(benchmark) if benchmark.folder else named(benchmark.name.removeprefix("mteb:"))
        for task in mine:
            found.setdefault(title(task), (benchmark, task))
    return list(found.values())


def title(task: mteb.AbsTask) -> str:
    """Mteb's name of a task, with its languages unless that is English alone: mteb has one name for all languages."""
    languages = sorted(set(task.languages))
    if languages in ([], ["eng"]):
        return task.metadata.name
    return f"{task.metadata.name} ({', '.join(languages) if len(languages) <= 3 else f'{len(languages)} languages'})"


def instruction(metadata: TaskMetadata) -> str:
    """What a task asks for, in one sentence: mteb's own prompt, else E5's, else mteb's for the type of task."""
    prompt = metadata.prompt["query"] if isinstance(metadata.prompt, dict) else metadata.prompt
    if prompt:
        return prompt
    for beginning, text in E5_INSTRUCTIONS.items():
        if metadata.name.startswith(beginning):
            return text
    return get_abstask_prompt(metadata.name)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        try:
            named(argument.removeprefix("mteb:"))
        except ValueError as error:
            sys.stdout.write(f"{argument}: {error}")
            sys.exit(UNKNOWN)
