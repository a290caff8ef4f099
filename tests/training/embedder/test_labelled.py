"""Labelled sets: weights, mined hard negatives, and what is said of a set that cannot be read."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from tiny_models import WORDS
from tiny_training import embedder_settings as settings
from tiny_training import some_rows, write

from hub_speed.errors import StageError
from hub_speed.pipeline.table import STAGES
from hub_speed.recipe import Labelled
from hub_speed.recipes.loader import load
from hub_speed.stage import FromHub
from hub_speed.training.embedder import backbone, contrastive, labelled
from hub_speed.training.embedder.settings import LabelledSet


def labelled_set(folder: Path, rows: list[dict]) -> Path:
    write(rows, folder / "data")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/*.parquet\n---\n"
    )
    return folder


def source(folder: Path, **changes: object) -> LabelledSet:
    fields = {"repo": "them/set", "instruction": "find it", "license": "mit", "negative": "wrong"}
    return LabelledSet(recipe=Labelled(**fields | changes), folder=folder)


def test_labelled_rows_come_as_often_as_their_weight_says(tmp_path: Path) -> None:
    rows = [{"query": f"q{i}", "positive": [f"p{i}", "other"], "wrong": f"n{i}", "kind": i % 2} for i in range(40)]
    folder = labelled_set(tmp_path / "set", rows)
    for weight, max_rows, count in ((0.25, None, 10), (1.0, None, 40), (2.5, None, 100), (1.0, 7, 7)):
        sets = (source(folder, weight=weight, max_rows=max_rows, label="kind"),)
        found, mined = labelled.read(settings(tmp_path, tmp_path, labelled=sets, rng_seed=1))
        assert len(found) == count and mined == 0
        times = [sum(row["query"] == f"q{i}" for row in found) for i in range(40)]
        assert max(times) - min(times) <= 1
    assert {row["query"][1:] for row in found} == {row["positive"][1:] for row in found}
    assert all(row["negative"] == f"n{row['query'][1:]}" for row in found)
    assert {row["task_type"] for row in found} == {"them/set"} and {row["label"] for row in found} <= {"0", "1"}


def test_missing_hard_negatives_are_mined_within_ranks_and_margin(decoder: Path, tmp_path: Path) -> None:
    rows = [{"query": row["query"], "positive": row["positive"]} for row in some_rows(40)]
    folder = labelled_set(tmp_path / "set", rows)
    given = settings(decoder, tmp_path, mine_to=10, mine_margin=0.02, miner=decoder)
    found, mined = labelled.read(given.model_copy(update={"labelled": (source(folder, negative=None),)}))
    assert mined == sum(row["negative"] is not None for row in found) > 0
    model = backbone.embedder(decoder, 24)
    corpus = sorted({row["positive"] for row in rows})
    documents = dict(zip(corpus, model.encode(corpus), strict=True))
    for row in found:
        if row["negative"] is None:
            continue
        query = model.encode(row["query"])
        own, other = (float(query @ documents[row[side]]) for side in ("positive", "negative"))
        assert row["negative"] != row["positive"] and other <= own - 0.02 * abs(own) + 1e-5
        rank = sum(float(query @ vector) > other + 1e-6 for text, vector in documents.items())
        assert rank <= 11


def test_no_document_of_a_rows_own_label_is_mined_for_it(decoder: Path, tmp_path: Path) -> None:
    classes = ["travel", "sport", "news"]
    rows = [{"query": f"{WORDS[i % 8]} {i}", "positive": f"{classes[i % 3]} {i // 6}"} for i in range(36)]
    rows = [row | {"class": classes[i % 3]} for i, row in enumerate(rows)]
    folder = labelled_set(tmp_path / "set", rows)
    given = settings(decoder, tmp_path, mine_margin=0.0, miner=decoder)
    found, mined = labelled.read(given.model_copy(update={"labelled": (source(folder, negative=None, label="class"),)}))
    assert mined == sum(row["negative"] is not None for row in found) > 9
    assert not [row for row in found if row["negative"] and row["negative"].split()[0] == row["label"]]
    free, _ = labelled.read(given.model_copy(update={"labelled": (source(folder, negative=None),)}))
    assert [row for row in free if row["negative"] and row["negative"].split()[0] == row["positive"].split()[0]]


@pytest.mark.parametrize(
    ("changes", "where", "expected"),
    [
        ({"config": "extra"}, "config: there is no extra", "one of default"),
        ({"split": "test"}, "split: there is no test", "one of train"),
        ({"query": "qury"}, "column of the query: there is no qury", "one of query, positive, wrong"),
        ({"positive": "empty"}, "no row has a query and a positive", "texts in the columns query and empty"),
    ],
)
def test_a_labelled_set_that_cannot_be_read_says_what_is_there(
    tmp_path: Path, changes: dict, where: str, expected: str
) -> None:
    folder = labelled_set(tmp_path / "set", [{"query": "q", "positive": "p", "wrong": "n", "empty": " "}])
    with pytest.raises(StageError) as error:
        labelled.rows_of(source(folder, **changes), tmp_path / "cache")
    assert where in error.value.where and "them/set" in error.value.where
    assert expected in error.value.expected and error.value.fix


def test_cells_of_other_shapes_are_read_or_refused_as_in_files_of_pairs(tmp_path: Path) -> None:
    passages = [{"docid": "1", "title": "A title", "text": "and a text"}, {"docid": "2", "title": "", "text": "more"}]
    rows = [
        {"question": "q", "positive_passages": passages, "answers": {"text": ["a", "b"], "answer_start": [0, 1]}},
        {"question": "no passage", "positive_passages": [], "answers": {"text": ["a"], "answer_start": [0]}},
    ]
    folder = labelled_set(tmp_path / "set", [row | {"raw": b"q", "class": float(i - 1)} for i, row in enumerate(rows)])
    named = {"query": "question", "positive": "positive_passages", "negative": "answers", "label": "class"}
    (row,) = labelled.rows_of(source(folder, **named), tmp_path / "cache")
    assert (row["positive"], row["negative"], row["label"]) == ("A title and a text", "a", None)
    with pytest.raises(StageError) as told:
        labelled.rows_of(source(folder, **named | {"positive": "raw"}), tmp_path / "cache")
    assert told.value.where == "labelled data them/set, train, row 1: the column raw cannot be read"
    assert told.value.got == "a value of type bytes"


def test_words_that_look_like_nothing_stay_texts_in_a_csv_of_the_hub(tmp_path: Path) -> None:
    folder = labelled_set(tmp_path / "set", [{"a": "b"}])
    (folder / "data" / "train-00000.parquet").unlink()
    (folder / "data" / "train.csv").write_text("query,positive,wrong\nnull,NA,nan\n7,8,\n")
    (folder / "README.md").write_text((folder / "README.md").read_text().replace("parquet", "csv"))
    rows = labelled.rows_of(source(folder), tmp_path / "cache")
    assert [(row["query"], row["positive"], row["negative"]) for row in rows] == [
        ("null", "NA", "nan"),
        ("7", "8", None),
    ]


def test_labelled_rows_train_beside_the_synthetic_ones(encoder: Path, tmp_path: Path) -> None:
    folder = labelled_set(
        tmp_path / "set",
        [{"query": row["query"], "positive": row["positive"], "wrong": "lazy"} for row in some_rows(20)],
    )
    write(some_rows(24), tmp_path / "data")
    given = settings(encoder, tmp_path, labelled=(source(folder, weight=0.5),))
    result = contrastive.train(given)
    assert result["mix"] == {"retrieval": 16, "short_matching": 8, "them/set": 10} and result["rows"] == 34


def test_labelled_sets_and_their_miner_are_inputs_of_the_embedder_alone() -> None:
    given = "embedder.labelled=[{repo: them/set, instruction: find it, license: mit}]"
    inputs = STAGES["embedder"].inputs(load("quickstart", [given, "embedder.miner_model=me/miner"]))
    assert inputs["labelled them/set"] == FromHub("dataset", "them/set") and inputs["miner"] == FromHub(
        "model", "me/miner"
    )
    with_negatives = given.replace("find it", "find it, negative: wrong")
    assert "miner" not in STAGES["embedder"].inputs(load("quickstart", [with_negatives]))
    assert set(STAGES["embedder"].inputs(load("quickstart"))) == {"data", "base"}
    assert not [name for name in STAGES["scaling"].inputs(load("quickstart", [given])) if name.startswith("labelled")]
