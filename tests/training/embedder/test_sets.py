"""Labelled sets of several shapes, and what is said of a set that cannot be read."""

import gzip
import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from labelled_sets import judged_set, labelled_set, source
from pydantic import ValidationError
from tiny_training import write

from hub_speed.errors import StageError
from hub_speed.training.embedder import sets


@pytest.mark.parametrize(
    ("changes", "where", "expected"),
    [
        ({"config": "extra"}, "config: there is no extra", "one of default"),
        ({"split": "test"}, "split: there is no test", "one of train"),
        ({"query": "qury"}, "column of the query: there is no qury", "one of query, positive, wrong"),
        ({"where": {"kind": 1}}, "column of a condition: there is no kind", "one of query, positive, wrong"),
        ({"positive": "empty"}, "no row has a query and a positive", "texts in the columns query and empty"),
        ({"files": ["more/*"]}, "these files cannot be read", "files of one kind"),
        ({"files": ["*"]}, "these files cannot be read", "files of one kind"),
        ({"layout": "beir", "negative": None}, "column: there is no query-id", "one of query, positive"),
    ],
)
def test_a_labelled_set_that_cannot_be_read_says_what_is_there(
    tmp_path: Path, changes: dict, where: str, expected: str
) -> None:
    folder = labelled_set(tmp_path / "set", [{"query": "q", "positive": "p", "wrong": "n", "empty": " "}])
    with pytest.raises(StageError) as error:
        sets.read(source(folder, **changes), tmp_path / "cache")
    assert where in error.value.where and "them/set" in error.value.where
    assert expected in error.value.expected and error.value.fix


def test_a_set_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    several = labelled_set(tmp_path / "several", [{"query": "q", "positive": "p", "wrong": "n", "many": [1, 2]}])
    empty, none = tmp_path / "empty", tmp_path / "none"
    for folder in (empty, none):
        folder.mkdir()
    (empty / "train.jsonl").touch()
    for folder, changes in ((several, {"where": {"many": 1}}), (empty, {}), (none, {})):
        with pytest.raises(StageError, match="labelled data them/set, train: cannot be loaded") as error:
            sets.read(source(folder, **changes), tmp_path / "cache")
        assert error.value.got


def test_cells_of_other_shapes_are_read_or_refused_as_in_files_of_pairs(tmp_path: Path) -> None:
    passages = [{"docid": "1", "title": "A title", "text": "and a text"}, {"docid": "2", "title": "", "text": "more"}]
    rows = [
        {"question": "q", "positive_passages": passages, "answers": {"text": ["a", "b"], "answer_start": [0, 1]}},
        {"question": "no passage", "positive_passages": [], "answers": {"text": ["a"], "answer_start": [0]}},
    ]
    folder = labelled_set(tmp_path / "set", [row | {"raw": b"q", "class": float(i - 1)} for i, row in enumerate(rows)])
    named = {"query": "question", "positive": "positive_passages", "negative": "answers", "label": "class"}
    found = sets.read(source(folder, **named), tmp_path / "cache")
    (row,) = found.rows
    assert (row["positive"], row["negative"], row["label"]) == ("A title and a text", "a", None)
    assert found.answers == {"q": {0, 1}} and found.texts([1, 0]) == ["more", "A title and a text"]
    with pytest.raises(StageError) as told:
        sets.read(source(folder, **named | {"positive": "raw"}), tmp_path / "cache")
    assert told.value.where == "labelled data them/set, train, row 1: the column raw cannot be read"
    assert told.value.got == "a value of type bytes"


def test_words_that_look_like_nothing_stay_texts_in_a_csv_of_the_hub(tmp_path: Path) -> None:
    folder = labelled_set(tmp_path / "set", [{"a": "b"}])
    (folder / "data" / "train-00000.parquet").unlink()
    (folder / "data" / "train.csv").write_text("query,positive,wrong\nnull,NA,nan\n7,8,\n")
    (folder / "README.md").write_text((folder / "README.md").read_text().replace("parquet", "csv"))
    for changes in ({}, {"files": ["data/*.csv"]}):
        rows = sets.read(source(folder, **changes), tmp_path / "cache").rows
        assert [(row["query"], row["positive"], row["negative"]) for row in rows] == [
            ("null", "NA", "nan"),
            ("7", "8", None),
        ]


def test_a_cell_too_many_does_not_move_the_others(tmp_path: Path) -> None:
    folder = labelled_set(tmp_path / "set", [{"a": "b"}])
    (folder / "data" / "train.csv").write_text("query,positive,wrong\nred,apple,pear,fruit\nold,oak,elm,tree\n")
    rows = sets.read(source(folder, files=["data/*.csv"]), tmp_path / "cache").rows
    assert [(row["query"], row["negative"]) for row in rows] == [("red", "pear"), ("old", "elm")]


def test_the_premises_of_an_nli_set_get_their_entailments_and_contradictions(tmp_path: Path) -> None:
    labels = {"entailment": 0, "neutral": 1, "contradiction": 2}
    said = [("A man eats.", "He has food.", "entailment"), ("A man eats.", "He is rich.", "neutral")]
    said += [("A man eats.", "He fasts.", "contradiction"), ("A dog runs.", "A dog moves.", "entailment")]
    rows = [{"premise": p, "hypothesis": h, "label": labels[label]} for p, h, label in said]
    folder = labelled_set(
        tmp_path / "set", [*rows, {"premise": "Unlabelled.", "hypothesis": "Nobody knows.", "label": -1}]
    )
    nli = {"query": "premise", "positive": "hypothesis", "negative": None}
    nli |= {"where": {"label": 0}, "negative_where": {"label": 2}}
    given = source(folder, **nli)
    assert not given.recipe.mines
    assert [(row["query"], row["positive"], row["negative"]) for row in sets.read(given, tmp_path / "cache").rows] == [
        ("A man eats.", "He has food.", "He fasts."),
        ("A dog runs.", "A dog moves.", None),
    ]


def test_judgements_are_joined_with_their_queries_and_documents(tmp_path: Path) -> None:
    corpus = {"d0": ("Fox", "It is red."), "d1": (None, "A dog."), "d2": ("Empty", ""), "d3": ("Cat", "It purrs.")}
    queries = {"q0": "what is red?", "q1": "who barks?"}
    judged = [("q1", "d1", 1.0), ("q0", "d0", 2.0), ("q0", "d3", 0.0), ("q0", "d3", 1.0), ("q9", "d0", 1.0)]
    folder = judged_set(tmp_path / "set", corpus, queries, [*judged, ("q1", "gone", 1.0), ("q1", "d3", None)])
    found = sets.read(source(folder, layout="beir", negative=None), tmp_path / "cache")
    rows = [(row["id"], row["query"], row["positive"], row["document"]) for row in found.rows]
    assert rows == [
        ("them/set-0", "who barks?", "A dog.", 1),
        ("them/set-1", "what is red?", "Fox It is red.", 0),
        ("them/set-2", "what is red?", "Cat It purrs.", 3),
    ]
    assert found.documents == 4 and found.texts(range(1, 3)) == ["A dog.", "Empty"]
    assert found.answers == {"who barks?": {1}, "what is red?": {0, 3}}


def test_just_the_files_that_are_named_are_read(tmp_path: Path) -> None:
    """One folder a language; files whose split no card names; a title in a column of its own."""
    folder = tmp_path / "set"
    for language in ("ar", "en"):
        for config in ("triplet", "triplet-all"):
            row = {"anchor": f"{language} {config}", "positive": "p", "name": "T", "negative": "n"}
            write([row], folder / f"{language}-{config}")
    fields = {"query": "anchor", "title": "name", "negative": "negative"}
    given = source(folder, files=["??-triplet/train-*"], **fields)
    rows = sets.read(given, tmp_path / "cache").rows
    assert [row["query"] for row in rows] == ["ar triplet", "en triplet"] and rows[0]["positive"] == "T p"
    assert {row["task_type"] for row in rows} == {"them/set ??-triplet/train-*"}
    passages = {"query": "q", "positive_passages": [{"docid": "1", "title": "A", "text": "b"}], "negative_passages": []}
    (folder / "train.jsonl.gz").write_bytes(gzip.compress(json.dumps(passages).encode()))
    fields = {"positive": "positive_passages", "negative": "negative_passages"}
    (row,) = sets.read(source(folder, files=["train.jsonl.gz"], **fields), tmp_path / "cache").rows
    assert (row["query"], row["positive"], row["negative"]) == ("q", "A b", None)


@pytest.mark.parametrize(
    "changes",
    [{"instruction": []}, {"instruction": ["a", ""]}, {"negative_where": {"label": 2}}, {"layout": "beir"}],
)
def test_a_set_that_contradicts_itself_is_refused(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(ValidationError, match=r"at least one|give one of them|of its own"):
        source(tmp_path, **changes)
