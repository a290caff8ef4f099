"""Samples are uniform and always the same; what is not a set of rows is refused."""

from pathlib import Path

import numpy as np
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
    assert error.value.got == "anchor, positive, negative"
    numbers = write(tmp_path / "numbers", [{"query": 1, "positive": "b", "negative": "c"}])
    with pytest.raises(RecipeError, match="no column query of texts"):
        sample.Sample(numbers)
