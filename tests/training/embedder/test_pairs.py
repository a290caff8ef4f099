"""Cells of pairs: what is read, and what is refused with the place and the reason."""

import math
from typing import Any

import pytest

from hub_speed.errors import StageError
from hub_speed.training.embedder import pairs

TEVATRON = [{"docid": "7", "title": "Foxes", "text": "They jump."}, {"docid": "9", "title": "", "text": "Dogs lie."}]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (" the fox ", ["the fox"]),
        ("null", ["null"]),
        ("nan", ["nan"]),
        (7, ["7"]),
        (2.5, ["2.5"]),
        (None, []),
        (math.nan, []),
        ("  ", []),
        (["a", None, "b"], ["a", "b"]),
        (TEVATRON, ["Foxes They jump.", "Dogs lie."]),
        ({"docid": ["7"], "title": ["Foxes"], "text": ["They jump."]}, ["Foxes They jump."]),
        ({"text": ["in 1066", "1066"], "answer_start": [5, 8]}, ["in 1066", "1066"]),
        ({"text": [], "answer_start": []}, []),
    ],
)
def test_cells_of_known_shapes_are_read(value: Any, found: list[str]) -> None:
    assert pairs.texts(value) == found


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (b"fox", "a value of type bytes"),
        ({"role": "user", "content": "fox"}, "a value of type dict with role, content"),
        ([{"docid": "7"}], "a value of type dict with docid"),
        ({}, "a value of type dict with no field"),
    ],
)
def test_cells_of_other_shapes_are_refused_with_row_column_and_type(value: Any, got: str) -> None:
    with pytest.raises(StageError) as told:
        list(pairs.of([{"q": "a", "p": "b"}, {"q": "a", "p": value}], {"query": "q", "positive": "p"}, "pairs.jsonl"))
    assert told.value.where == "pairs.jsonl, row 2: the column p cannot be read" and told.value.got == got


def test_a_missing_label_is_none_and_1_is_1_whatever_its_type() -> None:
    rows = [{"label": value} for value in (None, math.nan, "", " ", -1, -1.0, "-1", 1, 1.0, "1", 0, "no", 1.5)]
    found = [cells["label"] for cells in pairs.of(rows, {"label": "label"}, "set")]
    assert found == [[]] * 7 + [["1"]] * 3 + [["0"], ["no"], ["1.5"]]
    with pytest.raises(StageError, match="row 1: the column label cannot be read"):
        list(pairs.of([{"label": [1, 2]}], {"label": "label"}, "set"))
