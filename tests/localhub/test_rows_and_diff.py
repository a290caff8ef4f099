"""Rows of datasets and what changed between versions: the functions, and the pages that show them."""

import base64
import io
import itertools
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.localhub import diff, trees, viewer
from hub_speed.localhub.store import Store

ROWS = [{"id": f"{i:03}", "text": f"text {i}", "n": i} for i in range(100)]
CARD = """---
configs:
- config_name: default
  data_files:
  - {split: train, path: "data/train-*.parquet"}
  - {split: test, path: ["data/**/test.jsonl"]}
- {config_name: lines, data_files: "data/*/test.jsonl"}
- {config_name: nothing, data_files: "no/*.parquet"}
- 7
---
first line
"""
EVIL = "<script>alert(1)</script>"


def parquet(rows, **options):
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file, **options)
    return file.getvalue()


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def put(path, content):
    return {
        "key": "file",
        "value": {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"},
    }


@pytest.fixture(scope="module")
def repo(web):
    """A dataset in two versions, `v1` and `main`."""
    web("POST", "/api/repos/create", {"name": "rows", "organization": "org", "type": "dataset"})
    files = {
        "README.md": CARD.encode(),
        "data/train-0.parquet": parquet(ROWS[:70], row_group_size=30),
        "data/train-1.parquet": parquet(ROWS[70:]),
        "data/deep/test.jsonl": lines(ROWS[:3]) + b"\n[1]\nnot json\n",
        "broken.parquet": b"PAR1 no",
        "removed.txt": b"x",
    }
    assert web.commit("org/rows", [put(*item) for item in files.items()]).status == 200
    web("POST", "/api/datasets/org/rows/tag/main", {"tag": "v1"})
    changed = [*ROWS[:5], {**ROWS[5], "text": EVIL}, *ROWS[8:70], {"id": EVIL, "text": "new", "n": 1}]
    edits = [
        put("README.md", CARD.replace("first line", f"second {EVIL}").encode()),
        put("data/train-0.parquet", parquet(changed)),
        put("added.txt", b"xy"),
        {"key": "deletedFile", "value": {"path": "removed.txt"}},
    ]
    assert web.commit("org/rows", edits).status == 200
    return "org/rows"


@pytest.fixture(scope="module")
def store(hub):
    store = Store(hub.home / "hub")
    yield store
    store.close()


def page(web, path, status=200):
    answer = web("GET", f"/datasets/org/rows/{path}", anonymous=True)
    assert answer.status == status and answer.headers["content-type"].startswith("text/html")
    text = answer.body.decode()
    assert EVIL not in text
    return text


def test_configs_and_splits_are_those_of_the_card_or_of_the_names(store, repo):
    found = store.find("datasets", repo)
    configs = viewer.configs(found.git, found.git.resolve("v1"))
    names = {
        config: {split: [entry.path for entry in files] for split, files in splits.items()}
        for config, splits in configs.items()
    }
    assert names == {
        "default": {"train": ["data/train-0.parquet", "data/train-1.parquet"], "test": ["data/deep/test.jsonl"]},
        "lines": {"test": ["data/deep/test.jsonl"]},
    }


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("**", "a b/a b/c/a"),
        ("*", "a"),
        ("b/*", "b/a"),
        ("./b/**", "b/a b/c/a"),
        ("**/a", "a b/a b/c/a"),
        ("**/**/c/*", "b/c/a"),
        ("b/**/c/**/a", "b/c/a"),
        ("b/?", "b/a"),
        ("*" * 200 + "x", ""),
        ("*a" * 100, ""),
    ],
)
def test_patterns_of_files(pattern, paths):
    assert [path for path in ("a", "b/a", "b/c/a", "a" * 250 + "b") if viewer._matches(pattern, path)] == [
        *paths.split(),
        *(["a" * 250 + "b"] if pattern in ("**", "*") else []),
    ]


@pytest.mark.parametrize("start", [0, 13, 55, 69, 70, 95, 100, 1000])
def test_a_page_goes_over_row_groups_and_files(store, repo, start):
    found = store.find("datasets", repo)
    files = viewer.configs(found.git, found.git.resolve("v1"))["default"]["train"]
    shown = viewer.read_page(store, found, files, start)
    assert shown.rows == list(enumerate(ROWS))[start : start + 20] and shown.total == 100
    assert shown.then == (start + 20 if start < 80 else None)


@settings(max_examples=20, deadline=None)
@given(start=st.integers(0, 99), wanted=st.integers(-1, 101))
def test_a_value_is_found_wherever_it_is(store, repo, start, wanted):
    found = store.find("datasets", repo)
    files = viewer.configs(found.git, found.git.resolve("v1"))["default"]["train"]
    for search in ({"column": "id", "value": f"{wanted:03}"}, {"column": "n", "value": str(wanted)}):
        shown = viewer.read_page(store, found, files, start, **search)
        assert [at for at, _ in shown.rows] == ([wanted] if start <= wanted < 100 else [])


def test_a_search_is_bounded_and_goes_on(store, repo, monkeypatch):
    monkeypatch.setattr(viewer, "SCAN_ROWS", 30)
    found = store.find("datasets", repo)
    files = viewer.configs(found.git, found.git.resolve("v1"))["default"]["train"]
    start, at = 0, []
    while start is not None:
        shown = viewer.read_page(store, found, files, start, text="TEXT 9")
        assert shown.looked_at <= 30
        at += [position for position, _ in shown.rows]
        start = shown.then
    assert at == [9, *range(90, 100)]


def test_the_page_of_rows(web, repo):
    shown = page(web, "viewer?revision=v1")
    assert "text 19" in shown and "text 20" not in shown and "from=20" in shown and "100 rows" in shown
    assert "/viewer/lines/test?revision=v1" in shown
    assert "text 25" in page(web, "viewer/default/train?revision=v1&from=20")
    found = page(web, "viewer/default/train?column=text&value=" + EVIL.replace("<", "%3C"))
    assert "&lt;script&gt;" in found and "1 found" in found and "row=5" in found
    assert "text 42" in page(web, "viewer/default/train?revision=v1&row=42")
    assert "There is no such row: 4,000." in page(web, "viewer/default/train?row=4000")
    for name, value in itertools.product(("row", "from"), ("-1", "abc", "1.5", "4000", "9" * 40)):
        said = page(web, f"viewer/default/train?revision=v1&{name}={value}")
        assert "There is no such row" in said and "counted from 0" in said and "text 0" not in said, (name, value)
    strange = page(web, "viewer/default/test")
    assert "(unreadable)" in strange and "not json" in strange and "6 rows" in strange
    page(web, "viewer/none/train", 404)


def test_what_cannot_be_read_is_said(store, repo):
    found = store.find("datasets", repo)
    broken = trees.find(found.git, found.git.resolve("v1"), "broken.parquet")
    with pytest.raises(viewer.Unreadable, match=r"broken\.parquet: not a parquet file"):
        viewer.read_page(store, found, [broken])


def test_what_changed_between_two_versions(store, repo, monkeypatch):
    found = store.find("datasets", repo)
    changes = diff.files(found.git, found.git.resolve("v1"), found.git.resolve("main"))
    assert {change.path: change.state for change in changes} == {
        "README.md": "changed",
        "added.txt": "added",
        "data/train-0.parquet": "changed",
        "removed.txt": "removed",
    }
    card, _ = diff.card(found.git, changes[0])
    assert [line for line in card if line[0] in "+-"] == [("-", "first line"), ("+", f"second {EVIL}")]
    [rows] = diff.rows(store, found, changes)
    assert rows.counts == {"added": 1, "removed": 2, "changed": 1, "unchanged": 67} and not rows.note
    assert ("changed", "005", [("text", "text 5", EVIL)]) in rows.examples
    monkeypatch.setattr(diff, "ROWS_MAX", 100)
    [rows] = diff.rows(store, found, changes)
    assert not rows.counts and "139 rows" in rows.note


def test_the_page_of_changes(web, repo):
    for path in ("compare?from=v1&to=main", "commit/main"):
        shown = page(web, path)
        assert "2 removed" in shown and "second &lt;script&gt;" in shown and "added.txt" in shown
    assert "No file changed" in page(web, "compare?from=v1&to=v1")
    sha = web("GET", "/api/datasets/org/rows/commits/main").json[-1]["id"]
    assert "the first commit" in page(web, f"commit/{sha}")
    page(web, "compare?from=v9", 404)
