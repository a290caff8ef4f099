"""Kept rows: as files that are read back, and added to a dataset of the visitor's without touching what is there."""

import json
from io import BytesIO
from pathlib import Path

import keeping
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi

from hub_speed.errors import HubSpeedError
from hub_speed.localhub import LocalHub

FLOW = {
    "task_type": "sts",
    "topic": "Arts > Music",
    "task": "Find the same",
    "written_by": "o/a@1 + o/b@2",
    "draft": {"row": {"query": "a", "positive": "b", "negative": None}},
}
ROW = keeping.row_of(FLOW)


def test_the_revised_row_is_kept_or_the_draft_where_there_is_none() -> None:
    assert ROW == ["sts", "a", "b", "", "Find the same", "Arts > Music", "o/a@1 + o/b@2"]
    assert keeping.row_of(FLOW | {"revised": {"row": {"query": "c", "positive": "d", "negative": "e"}}})[1:4] == [
        "c",
        "d",
        "e",
    ]
    assert keeping.row_of(FLOW | {"draft": {"verdict": "rejected"}}) == keeping.row_of({}) == []


def test_files_hold_what_the_table_holds() -> None:
    rows = keeping.checked([ROW, [""] * 7, [None] * 7, ["sts", " Ünï\n", "x", "y", "", "", ""]])
    assert [row["query"] for row in rows] == ["a", "Ünï"] and rows[0]["negative"] is None
    assert [json.loads(line) for line in keeping.as_jsonl(rows).splitlines()] == rows
    assert pq.read_table(BytesIO(keeping.as_parquet(rows))).to_pylist() == rows


@pytest.mark.parametrize("rows", [[], [[""] * 7], [ROW] * (keeping.MAX_KEPT + 1), [["x" * 9000, *ROW[1:]]]])
def test_too_much_or_nothing_is_said(rows: list[list[str]]) -> None:
    with pytest.raises(HubSpeedError, match=r"No rows|too large"):
        keeping.checked(rows)


def test_rows_are_added_to_a_dataset_and_nothing_else_is_touched(local: LocalHub) -> None:
    token = (local.hf_home / "token").read_text().strip()
    api = HfApi(endpoint=str(local.endpoint), token=token)
    api.create_repo("me/mine", repo_type="dataset")
    api.upload_file(path_or_fileobj=b"# Mine", path_in_repo="README.md", repo_id="me/mine", repo_type="dataset")
    rows = keeping.checked([ROW])
    for repo in ("me/mine", "me/new"):
        assert keeping.push(str(local.endpoint), token, repo, rows, private=True)["repo"] == repo
        files = set(api.list_repo_files(repo, repo_type="dataset")) - {".gitattributes"}
        assert "README.md" in files and len(files) == 2
    cards = [api.hf_hub_download(f"me/{name}", "README.md", repo_type="dataset") for name in ("mine", "new")]
    mine, new = (Path(card).read_text("utf-8") for card in cards)
    assert mine == "# Mine" and 'load_dataset("me/new"' in new
    assert api.repo_info("me/new", repo_type="dataset").private


@pytest.mark.parametrize(
    ("token", "repo", "says"),
    [("", "me/x", "login"), ("wrong", "me/x", "401"), ("t", " ", "name"), ("t", "a/b/c", "repository name")],
)
def test_what_cannot_be_pushed_is_said_without_the_token(local: LocalHub, token: str, repo: str, says: str) -> None:
    with pytest.raises(HubSpeedError, match=says) as problem:
        keeping.push(str(local.endpoint), token, repo, keeping.checked([ROW]), private=True)
    assert "wrong" not in str(problem.value)
