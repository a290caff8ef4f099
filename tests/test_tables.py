"""Files of rows, read as people have them."""

import gzip
import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub_speed import tables
from hub_speed.errors import StageError

TEVATRON = [{"docid": "7", "title": "Foxes", "text": "They jump."}, {"docid": "9", "title": "", "text": "Dogs lie."}]
CELLS = [
    ["query", "positive"],
    ["null", "NA"],
    ["nan", "007"],
    ["1", "2"],
    ["Grüße, Café", "one\ntwo"],
    ["", "None"],
]


def written(delimiter: str) -> str:
    return "\r\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in CELLS) + "\r\n"


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.csv", written(",").encode()),
        ("a.CSV", written(",").encode("utf-8-sig")),
        ("a.csv", written(";").encode()),
        ("a.csv", written(",").encode("utf-16")),
        ("a.csv", written(",").encode("utf-16-le")),
        ("a.csv", written(",").encode("utf-16-be")),
        ("a.csv.gz", gzip.compress(written(",").encode(), mtime=0)),
        ("a.tsv", written("\t").encode()),
        ("a.TSV.GZ", gzip.compress(written("\t").encode("utf-16"), mtime=0)),
    ],
)
def test_tables_keep_every_cell_as_the_text_it_is(name: str, raw: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(raw)
    expected = [dict(zip(CELLS[0], row, strict=True)) for row in CELLS[1:]]
    assert tables.read_file(tmp_path / name) == expected


def test_other_bytes_than_utf_8_are_read_as_windows_1252_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(written(",").encode("cp1252"))
    with pytest.warns(UserWarning, match=r"a\.csv: not UTF-8; read as Windows-1252"):
        assert tables.read_file(tmp_path / "a.csv")[3]["query"] == "Grüße, Café"


def test_quotes_in_a_tsv_that_are_not_csv_quotes_are_characters(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('query\tpositive\n"fox" jumps\tthe 5" dog\nb\t"c\n')
    assert tables.read_file(tmp_path / "a.tsv") == [
        {"query": '"fox" jumps', "positive": 'the 5" dog'},
        {"query": "b", "positive": '"c'},
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"query": "a\u2028b", "positive": ["c", "d"]}\n\n{"query": 1, "positive": NaN}\n',
        '[{"query": "a\u2028b", "positive": ["c", "d"]}, {"query": 1, "positive": NaN}]',
        '{"data": [{"query": "a\u2028b", "positive": ["c", "d"]}, {"query": 1, "positive": NaN}]}',
    ],
)
def test_json_is_read_by_lines_as_a_list_and_in_an_object(text: str, tmp_path: Path) -> None:
    for name in ("a.json", "a.jsonl", "a.ndjson"):
        (tmp_path / name).write_text(text, "utf-8")
        first, second = tables.read_file(tmp_path / name)
        assert first == {"query": "a\u2028b", "positive": ["c", "d"]} and math.isnan(second["positive"])


def test_parquet_is_read_with_nested_cells(tmp_path: Path) -> None:
    rows = [{"query": "a", "positive": TEVATRON}, {"query": "b", "positive": []}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert tables.read_file(tmp_path / "a.parquet") == rows


@pytest.mark.parametrize(
    ("name", "raw", "where", "got"),
    [
        ("none.csv", None, "there is no such file", ""),
        ("a.xlsx", b"PK", "files of this kind are not read", ""),
        ("a.csv", b"query,positive\na,b,c\n", "the file cannot be read", "line 2 has 3 cells and the header 2"),
        ("a.csv", b"query\n\x81\xff", "the file cannot be read", "codec can't decode"),
        ("a.jsonl", b'{"query": ', "the file cannot be read", "Expecting value"),
        ("a.json", b"[" * 200_000, "the file cannot be read", "recursion"),
        ("a.json", b'["a", "b"]', "the file cannot be read", "not JSON objects"),
        ("a.csv.gz", b"query,positive", "the file cannot be read", "Not a gzipped file"),
        ("a.parquet", b"PAR1", "the file cannot be read", "Parquet"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*read as Windows-1252")
def test_a_file_that_cannot_be_read_says_why(
    name: str, raw: bytes | None, where: str, got: str, tmp_path: Path
) -> None:
    if raw is not None:
        (tmp_path / name).write_bytes(raw)
    with pytest.raises(StageError) as told:
        tables.read_file(tmp_path / name)
    assert told.value.where == f"{tmp_path / name}: {where}" and got in told.value.got


def test_a_file_with_nothing_but_a_header_has_no_rows(tmp_path: Path) -> None:
    for raw in ("", "query,positive\n"):
        (tmp_path / "a.csv").write_text(raw)
        assert tables.read_file(tmp_path / "a.csv") == []
    (tmp_path / "a.jsonl").write_text(json.dumps({"query": "a"}))
    assert tables.read_file(tmp_path / "a.jsonl") == [{"query": "a"}]
