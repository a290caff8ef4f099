"""Samples are uniform and always the same; what is not a set of rows is refused."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from row_sets import random_rows, write

from hub_speed.data_quality import sample
from hub_speed.errors import RecipeError


def test_the_sample_is_even_and_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "SAMPLE", 200)
    folder = write(tmp_path, [row | {"id": str(i)} for i, row in enumerate(random_rows(9000, 100))])
    first, second = (sample.Sample(folder) for _ in range(2))
    assert first.rows == second.rows
    places = np.array([int(row["id"]) for row in first.rows["all"]])
    assert len(set(places.tolist())) == 200
    assert abs(places.mean() - 4500) < 4 * 9000 / np.sqrt(12 * 200)  # four standard errors
    assert (np.diff(places) < 0).any()  # shuffled as well: neighbours in the files do not stay together


def test_what_is_no_such_dataset_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match="no parquet file"):
        sample.Sample(tmp_path / "empty")
    pairs = write(tmp_path / "pairs", [{"anchor": "a", "positive": "b", "negative": "c"}])
    with pytest.raises(RecipeError, match="no column query of texts") as error:
        sample.Sample(pairs)
    assert error.value.got == "anchor (string), positive (string), negative (string)"
    (tmp_path / "empty" / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(RecipeError, match=r"a.parquet: cannot be read as parquet"):
        sample.Sample(tmp_path / "empty")
    numbers = write(tmp_path / "numbers", [{"query": 1, "positive": "b", "negative": "c"}])
    with pytest.raises(RecipeError, match="no column query of texts"):
        sample.Sample(numbers)


def test_texts_are_read_as_libraries_write_them(tmp_path: Path) -> None:
    """A first shard without negatives is of type null; pandas writes categories, polars views."""
    shards = [
        {"query": pa.array(["q0", "q1"]), "positive": pa.array(["p0", "p1"]), "negative": pa.nulls(2)},
        {
            "query": pa.array(["q2"], pa.string_view()),
            "positive": pa.array(["p2"]).dictionary_encode(),
            "negative": pa.array(["n2"], pa.large_string()),
            "topic": pa.array(["a/b"], pa.string_view()),
            "task": pa.array(["t"]).dictionary_encode(),
        },
        {"query": pa.nulls(1), "positive": pa.array(["p3"]), "negative": pa.nulls(1)},
    ]
    for number, columns in enumerate(shards):
        pq.write_table(pa.table(columns), tmp_path / f"{number}.parquet")
    found_in = sample.Sample(tmp_path)
    (found,) = found_in.rows.values()
    assert {(row["query"], row["positive"], row["negative"]) for row in found} == {
        ("q0", "p0", None),
        ("q1", "p1", None),
        ("q2", "p2", "n2"),
    }
    assert found_in.coverage == {("all", "a"): 1} and found_in.tasks == {("t", "a/b"): 1}


def test_a_column_of_another_type_is_named_with_its_type(tmp_path: Path) -> None:
    pq.write_table(pa.table({"query": [["a"]], "positive": ["b"], "negative": ["c"]}), tmp_path / "x.parquet")
    with pytest.raises(RecipeError, match="no column query of texts") as caught:
        sample.Sample(tmp_path)
    assert str(tmp_path / "x.parquet") in caught.value.where and "query (list<" in caught.value.got
