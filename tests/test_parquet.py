"""Rows written to parquet files and read again."""

import random
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from hub_speed import parquet, rows

KINDS = [kind for kind in vars(rows).values() if isinstance(kind, type) and issubclass(kind, BaseModel)]
KINDS = [kind for kind in KINDS if kind.__module__ == rows.__name__]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def value_for(annotation: Any) -> st.SearchStrategy[Any]:
    if isinstance(annotation, UnionType):
        return st.one_of(*(st.none() if a is type(None) else value_for(a) for a in get_args(annotation)))
    if get_origin(annotation) is list:
        return st.lists(value_for(get_args(annotation)[0]), max_size=3)
    plain = {
        str: st.text(max_size=20),
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False),
        bool: st.booleans(),
    }
    return plain[annotation]


def rows_of(kind: type[BaseModel]) -> st.SearchStrategy[list[dict[str, Any]]]:
    fields = {field.alias or name: value_for(field.annotation) for name, field in kind.model_fields.items()}
    return st.lists(st.fixed_dictionaries(fields), max_size=4)


@every_kind
def test_every_column_has_a_type(kind: type[BaseModel]) -> None:
    assert parquet.schema(kind).names == list(rows.columns(kind))


def test_only_what_may_be_missing_is_nullable() -> None:
    schema = parquet.schema(rows.SyntheticRow)
    assert schema.field("negative").nullable
    assert not schema.field("positive").nullable


@every_kind
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(data=st.data())
def test_rows_come_back_as_they_were(kind: type[BaseModel], data: st.DataObject, tmp_path: Path) -> None:
    written = data.draw(rows_of(kind))
    assert parquet.write_parquet(iter(written), kind, tmp_path) == len(written) == parquet.count_parquet(tmp_path)
    assert list(parquet.read_parquet(tmp_path)) == written
    (path,) = tmp_path.glob("*.parquet")
    assert path.name == "train-00000.parquet"
    assert pq.read_schema(path) == parquet.schema(kind)
    first = next(iter(rows.columns(kind)))
    assert list(parquet.read_parquet(tmp_path, [first])) == [{first: row[first]} for row in written]


@pytest.mark.parametrize("given", [["test", "train", "test"], ["dev"], []])
def test_each_split_with_rows_has_files_of_its_name(given: list[str], tmp_path: Path) -> None:
    passages = [
        dict.fromkeys(rows.PassageRow.model_fields, "") | {"id": str(i), "start": 0, "end": 0, "split": split}
        for i, split in enumerate(given)
    ]
    written = parquet.write_splits(
        lambda split: [p for p in passages if p["split"] == split], rows.PassageRow, tmp_path
    )
    assert written == len(given)
    names = {path.name.partition("-")[0] for path in tmp_path.iterdir()}
    assert names == (set(given) or {"train"})
    for name in names:
        table = pq.read_table(tmp_path / f"{name}-00000.parquet")
        assert set(table["split"].to_pylist()) <= {name}


@pytest.mark.parametrize(
    ("count", "files"), [(0, [0]), (9, [9]), (10, [10]), (11, [10, 1]), (30, [10] * 3), (75, [10] * 3 + [30, 15])]
)
def test_files_are_full_and_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int, files: list[int]
) -> None:
    monkeypatch.setattr(parquet, "ROWS_PER_FILE", 10)
    monkeypatch.setattr(parquet, "MANY_FILES", 3)
    monkeypatch.setattr(parquet, "LARGER", 3)
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 5)
    written = [{"topic": f"t{i}"} for i in range(count)]
    assert parquet.write_parquet(written, rows.TopicRow, tmp_path / "a") == count
    names = sorted(path.name for path in tmp_path.rglob("*.parquet"))
    assert names == [f"train-{i:05d}.parquet" for i in range(len(files))]
    assert [pq.read_metadata(tmp_path / "a" / name).num_rows for name in names] == files
    assert list(parquet.read_parquet(tmp_path)) == written  # also from a folder above


@pytest.mark.parametrize("bad", [{}, {"topic": None}, {"topic": 5}, {"topic": ["a"]}])
def test_a_row_that_is_none_is_not_written(tmp_path: Path, bad: dict[str, Any]) -> None:
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        parquet.write_parquet([{"topic": "a"}, bad], rows.TopicRow, tmp_path)


def test_there_is_nothing_to_read_where_nothing_is(tmp_path: Path) -> None:
    assert (list(parquet.read_parquet(tmp_path)), parquet.count_parquet(tmp_path)) == ([], 0)


def test_rows_are_read_by_their_ids(tmp_path: Path) -> None:
    written = [{"id": f"r{i}", "task_type": "sts", "task": "t", "topic": f"topic {i}"} for i in range(5)]
    parquet.write_parquet(written, rows.TaskRow, tmp_path)
    found = parquet.read_parquet(tmp_path, ["topic"], wanted=lambda row_id: row_id in ("r1", "r4"))
    assert list(found) == [{"topic": "topic 1"}, {"topic": "topic 4"}]
    assert list(parquet.read_parquet(tmp_path, wanted=lambda row_id: False)) == []


# --- how the Hub likes them -------------------------------------------------------------------------------------------


def texts(count: int) -> list[dict[str, str]]:
    rng = random.Random(0)
    return [{"topic": rng.randbytes(400).hex()} for _ in range(count)]


def test_row_groups_are_as_large_as_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(parquet, "GROUP_BYTES", 100_000)
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 10)
    parquet.write_parquet(texts(500), rows.TopicRow, tmp_path)
    file = pq.ParquetFile(tmp_path / "train-00000.parquet")
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    assert [group.num_rows for group in groups] == [130, 130, 130, 110]  # 804 bytes a row, ten rows at once
    assert all(group.column(0).has_offset_index and group.column(0).has_column_index for group in groups)
    ids = [{"id": f"r{i}", "task_type": "sts", "task": "t" * 800, "topic": ""} for i in range(500)]
    parquet.write_parquet(ids, rows.TaskRow, tmp_path / "tasks")
    found = parquet.read_parquet(tmp_path / "tasks", ["id"], wanted=lambda row_id: row_id.endswith("77"))
    assert [row["id"] for row in found] == ["r77", "r177", "r277", "r377", "r477"]


def test_the_same_rows_are_the_same_bytes_and_one_row_less_leaves_most_of_them(tmp_path: Path) -> None:
    """The pages are cut where the texts say so, not by their number."""
    written = texts(4000)
    for name, part in {"a": written, "b": written, "c": written[1:]}.items():
        parquet.write_parquet(part, rows.TopicRow, tmp_path / name)
    same, again, less = ((tmp_path / name / "train-00000.parquet").read_bytes() for name in "abc")
    assert same == again
    middle = len(same) // 2
    assert same[middle : middle + len(same) // 4] in less
