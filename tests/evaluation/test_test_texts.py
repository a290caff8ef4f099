"""The texts of mteb's tasks, without mteb's data."""

from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch")

from datasets import Dataset, DatasetDict
from mteb.abstasks.retrieval_dataset_loaders import RetrievalDatasetLoader

from hub_speed.evaluation import test_texts
from hub_speed.parquet import read_parquet
from hub_speed.training.process.settings import TestTextSettings


def test_queries_and_texts_of_the_scored_splits_are_found_in_all_shapes_that_mteb_has() -> None:
    one = Dataset.from_dict({"id": ["q1"], "text": ["asked"]})
    search = {"default": {"test": {"queries": one, "corpus": one, "relevant_docs": {"q1": {}}}}}
    assert list(test_texts._inside(search, {"test"})) == ["asked"]
    pairs = Dataset.from_dict({"sentence1": ["a"], "sentence2": ["b"], "score": [1.0]})
    assert list(test_texts._inside(DatasetDict({"test": pairs, "train": one}), {"test"})) == ["a", "b"]
    groups = Dataset.from_dict({"sentences": [["c", "d"]], "labels": [[1, 2]]})
    assert list(test_texts._inside({"en": DatasetDict({"test": groups})}, {"test"})) == ["c", "d", "1", "2"]


def test_a_search_is_read_without_its_corpus_and_mteb_loads_corpora_again_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = {
        "corpus": {"_id": ["d1"], "title": [""], "text": ["dogs bark"]},
        "queries": {"_id": ["q1"], "text": ["who barks"]},
        "qrels": {"query-id": ["q1"], "corpus-id": ["d1"], "score": [1]},
    }
    for name, columns in rows.items():
        Dataset.from_dict(columns).to_parquet(tmp_path / f"{name}.parquet")
    configs = [{"config_name": name, "data_files": [{"split": "test", "path": f"{name}.parquet"}]} for name in rows]
    (tmp_path / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n")
    search = RetrievalDatasetLoader(str(tmp_path), "main")
    with test_texts._no_corpora():
        found = search.load()
    assert found["queries"]["text"] == ["who barks"] and len(found["corpus"]) == 0
    assert search.load()["corpus"]["text"] == ["dogs bark"]


def test_what_mteb_does_not_know_is_a_note_and_no_error(tmp_path: Path) -> None:
    settings = TestTextSettings(work=tmp_path, names=("mteb:NoSuchTask",), out=tmp_path / "out", most=9)
    failed = test_texts.read(settings)["failed"]
    assert failed.keys() == {"mteb:NoSuchTask"} and list(read_parquet(tmp_path / "out")) == []
