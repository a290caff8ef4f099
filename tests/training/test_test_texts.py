"""Which texts of a test set are compared, and what an embedder is trained on."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub_speed.parquet import write_parquet
from hub_speed.pipeline.table import STAGES
from hub_speed.recipes.loader import load
from hub_speed.stage import OWN_BENCHMARK, FromStage
from hub_speed.training import test_texts
from hub_speed.training.process.settings import Tests


def write(folder: Path, **files: list[dict[str, Any]]) -> Path:
    """A dataset with these files: name with its folder, `__` for a slash."""
    for name, rows in files.items():
        path = folder / f"{name.replace('__', '/')}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path)
    return folder


def test_of_a_search_only_the_queries_of_the_split_test_are_test_texts(tmp_path: Path) -> None:
    queries = [{"_id": "1", "text": "asked"}, {"_id": "2", "text": "trained on"}]
    folder = write(
        tmp_path,
        corpus__test=[{"_id": "a", "text": "a document"}],
        queries__test=queries,
        qrels__test=[{"query-id": "1", "corpus-id": "a", "score": 1}],
        qrels__train=[{"query-id": "2", "corpus-id": "a", "score": 1}],
        sts__test=[{"sentence1": "one", "sentence2": "other", "score": 2.0}],
    )
    assert list(test_texts.texts_in(folder)) == ["asked", "one", "other"]


def test_of_the_runs_own_benchmark_the_queries_alone_count(tmp_path: Path) -> None:
    queries = [{"_id": "q1", "text": "asked", "style": "keyword", "kind": "single"}]
    folder = write(
        tmp_path,
        **{"data__retrieval__train-00000": [{"id": "q1", "query": "asked", "positive": "a passage"}]},
        **{"ledger__train-00000": [{"id": "q1", "prompt": "a prompt", "detail": "said of it"}]},
        **{"corpus__corpus-00000": [{"_id": "a", "title": "of it", "text": "a passage"}]},
        **{"queries__queries-00000": queries},
        **{"qrels__test-00000": [{"query-id": "q1", "corpus-id": "a", "score": 1}]},
    )
    assert list(test_texts.texts_in(folder)) == ["asked"]


def test_of_other_sets_the_split_test_counts_or_else_all_there_is(tmp_path: Path) -> None:
    rows = [{"text": ["one", "other"], "user_id": "u1", "label": 3}]
    splits = {"data__train-0": [{"text": "no"}], "data__test-0": rows}
    assert list(test_texts.texts_in(write(tmp_path / "a", **splits))) == ["one", "other"]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "all.jsonl").write_text(json.dumps({"question": "why", "answer": {"text": ["so"]}}))
    assert list(test_texts.texts_in(tmp_path / "b")) == ["why", "so"]
    (tmp_path / "b" / "README.md").write_text("nothing to read")
    assert list(test_texts.texts_in(write(tmp_path / "c", train=rows))) == []


def test_of_many_texts_some_that_lie_evenly_are_taken() -> None:
    assert test_texts.spread(["a", "b", "a", "c"], 3) == ["a", "b", "c"]
    assert test_texts.spread(map(str, range(10)), 4) == ["0", "2", "5", "7"]


@pytest.mark.parametrize(("drop", "kept"), [(("exact", "near"), ["r1", "r2"]), (("near",), ["r0", "r1", "r2"])])
def test_an_embedder_is_trained_without_what_is_found(tmp_path: Path, drop: tuple[str, ...], kept: list[str]) -> None:
    leak = "which of the seven old bridges was built before the town had a wall"
    write_parquet([{"set": "org/b", "text": leak}], test_texts.TestText, tmp_path)
    rows = [{"id": f"r{i}", "query": leak if i == 0 else f"something else {i}", "positive": "p"} for i in range(3)]
    left, found = test_texts.keep(rows, Tests(folder=tmp_path, coverage=0.8, drop=drop))
    assert [row["id"] for row in left] == kept
    assert found["found"] == {"org/b": {"exact": 1}} and found["dropped"] == 3 - len(kept)
    assert test_texts.keep(rows, None) == (rows, {})


def test_a_recipe_checks_what_it_scores_on_unless_it_says_otherwise() -> None:
    assert load("speed").test_sets == ("mteb:MTEB(eng, v1)",)
    assert test_texts.inputs(load("quickstart")).keys() == {"benchmark quickstart-benchmark"}
    other = load("quickstart", ["decontaminate.against=[org/b, mteb:SciFact]"])
    assert test_texts.inputs(other).keys() == {"benchmark org/b"}
    assert test_texts.fields(other)["decontaminate"]["against"] == ["mteb:SciFact"]
    assert test_texts.fields(load("quickstart", ["decontaminate.against=[]"])) == {}


def test_questions_about_documents_are_checked_against_those_that_are_held_out() -> None:
    own = {OWN_BENCHMARK: FromStage("benchmark")}
    alone = load("domain-demo", ["evaluate.benchmarks=[]"])
    assert test_texts.inputs(alone) == own and test_texts.fields(alone)["decontaminate"]["against"] == []
    assert own.items() <= STAGES["embedder"].inputs(load("domain-demo")).items()
    assert OWN_BENCHMARK not in STAGES["embedder"].inputs(load("domain-demo", ["decontaminate.against=[]"]))
