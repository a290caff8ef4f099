"""Names and instructions from mteb's own register, and Hub datasets that cannot be scored."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from benchmark_sets import CORPUS, LABELLED, QRELS, QUERIES, STS, dataset

from hub_speed.errors import StageError
from hub_speed.evaluation import benchmarks
from hub_speed.evaluation import published_scores as papers
from hub_speed.evaluation.settings import Benchmark
from hub_speed.recipe import Evaluate


def test_the_papers_benchmark_is_the_one_of_mteb() -> None:
    found = {task.metadata.name: task.metadata.type for task in benchmarks.named("MTEB(eng, v1)")}
    assert found == {name: kind for name, (kind, _) in papers.TASKS.items()} and len(found) == 56
    assert len(benchmarks.named("MTEB(eng, v2)")) == 41
    fast = [task.metadata for task in benchmarks.named("fast")]
    assert [metadata.name for metadata in fast] == list(benchmarks.FAST)
    assert {metadata.type for metadata in fast} == set(papers.TYPES)


def test_a_single_task_is_that_of_the_english_benchmark() -> None:
    assert [task.metadata.name for task in benchmarks.named("Banking77Classification")] == ["Banking77Classification"]
    (multilingual,) = benchmarks.named("MassiveIntentClassification")
    assert multilingual.hf_subsets == ["en"] and multilingual.eval_splits == ["test"]
    (other,) = benchmarks.named("GermanSTSBenchmark")  # in neither English benchmark
    assert other.metadata.name == "GermanSTSBenchmark"
    both = benchmarks.tasks([Benchmark(name="mteb:fast"), Benchmark(name="mteb:SciFact"), Benchmark(name="mteb:STS12")])
    assert [task.metadata.name for _, task in both] == [*benchmarks.FAST, "STS12"]  # every task once


@pytest.mark.parametrize(
    ("name", "near"), [("Banking77Clasification", "Banking77Classification"), ("MTEB(eng, v7)", "MTEB(eng, v2)")]
)
def test_an_unknown_name_is_told_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ValueError, match="Did you mean") as told:
        benchmarks.named(name)
    assert near in str(told.value)


def test_instructions_are_those_of_the_paper() -> None:
    """What mteb says of itself and what E5 Table 15 says, on samples of every type (paper-facing: word for word)."""
    known = {task.metadata.name: task.metadata for name in benchmarks.ENGLISH for task in benchmarks.named(name)}
    assert all(benchmarks.instruction(metadata) for metadata in known.values())
    expected = {
        "Banking77Classification": "Given a online banking query, find the corresponding intents",
        "MedrxivClusteringP2P": "Identify the main category of Medrxiv papers based on the titles and abstracts",
        "ArXivHierarchicalClusteringS2S": "Identify the main and secondary category of Arxiv papers based on the"
        " titles",
        "SprintDuplicateQuestions": "Retrieve duplicate questions from Sprint forum",
        "SciDocsRR": "Given a title of a scientific paper, retrieve the titles of other relevant papers",
        "CQADupstackRetrieval": "Given a question, retrieve detailed question descriptions from Stackexchange that are"
        " duplicates to the given question",
        "FEVER": "Given a claim, retrieve documents that support or refute the claim",
        "FEVERHardNegatives": "Given a claim, retrieve documents that support or refute the claim",
        "STS22": "Retrieve semantically similar text.",
        "SummEval": "Given a news summary, retrieve other semantically similar summaries",
    }
    assert {name: benchmarks.instruction(known[name]) for name in expected} == expected


def test_a_task_is_told_from_the_same_in_another_language() -> None:
    english = benchmarks.tasks([Benchmark(name="mteb:MTEB(eng, v1)")])
    assert len(english) == 56 and {benchmarks.title(task) for _, task in english} == set(papers.TASKS)
    both = benchmarks.tasks([Benchmark(name="mteb:MTEB(eng, v1)"), Benchmark(name="mteb:MTEB(deu, v1)")])
    titles = [benchmarks.title(task) for _, task in both]
    assert len(set(titles)) == len(both) == 56 + len(benchmarks.named("MTEB(deu, v1)"))
    assert "MTOPDomainClassification (deu)" in titles


def test_an_instruction_of_the_recipe_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = dataset(
        tmp_path / "labels", classification={"train": LABELLED, "test": LABELLED}, clustering={"test": LABELLED}
    )
    own = [Benchmark(name="me/labels", folder=folder, commit="c", instruction="Name the animal")]
    assert {benchmarks.instruction(task.metadata) for _, task in benchmarks.tasks(own)} == {"Name the animal"}
    with pytest.raises(ValueError, match="did you mean me/labels"):
        Evaluate(benchmarks=("me/labels",), instructions={"me/lables": "Name the animal"})


NO_SCORE = [{"sentence1": "a", "sentence2": "b", "value": 1.0}]


NO_LABEL = [{"text": "a"}]


SEARCH = {"corpus": {"test": CORPUS}, "queries": {"test": QUERIES}, "qrels": {"test": QRELS}}


@pytest.mark.parametrize(
    ("configs", "where", "expected", "got"),
    [
        ({"other": {"test": STS}}, ": no config that can be scored", "corpus + queries + qrels; or ", "other"),
        (
            {"sts": {"test": NO_SCORE}},
            ", config sts, split test: no column score",
            "sentence1, sentence2, score",
            "value",
        ),
        ({"sts": {"dev": STS}}, ", config sts: no split test", "test", "dev"),
        ({"sts": {"test": []}}, ", config sts: it cannot be loaded", "files with at least one row", ""),
        ({"classification": {"test": LABELLED}}, ", config classification: no split train", "train and test", "test"),
        (
            {"classification": {"train": NO_LABEL, "test": NO_LABEL}},
            ", config classification, split train: no column label",
            "text, label",
            "text",
        ),
        (SEARCH | {"qrels": {"train": QRELS, "dev": QRELS}}, ", config qrels: no split test", "test", "train, dev"),
        (
            {"sts": {"test": [*STS, STS[0] | {"sentence2": None}]}},
            ", config sts, split test, column sentence2: 1 of 61 are null",
            "a value in every row",
            "row 60",
        ),
        (
            {"sts": {"test": [row | {"score": str(row["score"])} for row in STS]}},
            ", config sts, split test, column score: the cells are not numbers",
            "numbers",
            "string",
        ),
        (
            {"clustering": {"test": [{"text": i, "label": "a"} for i in range(9)]}},
            ", config clustering, split test, column text: the cells are not texts",
            "texts",
            "int64",
        ),
        (
            SEARCH | {"qrels": {"test": [row | {"score": 0.5} for row in QRELS]}},
            ", config qrels, split test, column score: 24 of 24 are fractions",
            "whole numbers",
            "0.5",
        ),
        (
            {"pair_classification": {"test": [row | {"label": "yes"} for row in STS]}},
            ", config pair_classification, split test, column label: it is not clear which pairs match",
            "two numbers",
            "yes",
        ),
        (
            SEARCH | {"corpus": {"one": [{"id": "d0", "text": "a"}]}},
            ", config corpus, split one: no column _id",
            "_id",
            "id",
        ),
    ],
)
def test_a_dataset_that_is_no_benchmark_is_told_by_what_it_lacks(
    configs: dict[str, Any],
    where: str,
    expected: str,
    got: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")  # it tells folders by their last name
    folder = dataset(tmp_path / "d", **configs)
    with pytest.raises(StageError) as told:
        benchmarks.tasks([Benchmark(name="me/d", folder=folder, commit="c")])
    assert told.value.where == f"benchmark me/d{where}"
    assert expected in told.value.expected and got in told.value.got and "docs/evaluation.md" in told.value.fix


def test_a_file_with_nothing_but_a_header_is_no_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = dataset(tmp_path / "d", sts={"test": STS})
    (folder / "sts" / "test.parquet").unlink()
    (folder / "sts" / "test.csv").write_text("sentence1,sentence2,score\n")
    (folder / "README.md").write_text((folder / "README.md").read_text().replace("parquet", "csv"))
    with pytest.raises(StageError, match=r"config sts: it cannot be loaded\n.*at least one row"):
        benchmarks.tasks([Benchmark(name="me/d", folder=folder, commit="c")])
