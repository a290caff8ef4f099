"""Discussions through unmodified clients, and what is refused."""

import contextlib
import io
import json
from urllib.parse import quote

import pytest

from hub_speed.localhub import discussions

REPO = "/api/models/org/talk"


def talk():
    import warnings

    from huggingface_hub import HfApi

    warnings.simplefilter("ignore")
    api, name = HfApi(), "org/words"
    api.create_repo(name)
    opened = api.create_discussion(name, " A question ", description="**Why?**")
    assert (opened.num, opened.title, opened.status, opened.author) == (1, "A question", "open", "local")
    assert opened.repo_id == name and opened.repo_type == "model" and not opened.is_pull_request
    assert api.get_discussion_details(name, 1) == opened
    assert "<strong>Why?</strong>" in opened.events[0].rendered

    said = api.comment_discussion(name, 1, "Because.\n\n<script>alert(1)</script>")
    assert "script" not in said.rendered and not said.edited
    edited = api.edit_discussion_comment(name, 1, said.id.upper(), "Because of that 🤗")
    assert edited.edited and edited.content == "Because of that 🤗" and edited.id == said.id
    assert edited.number_of_edits == 1 and edited.last_edited_by == "local" and edited.last_edited_at
    hidden = api.hide_discussion_comment(name, 1, said.id)
    assert hidden.hidden and "Because" not in json.dumps(hidden._event)
    renamed = api.rename_discussion(name, 1, "An answer")
    assert (renamed.old_title, renamed.new_title) == ("A question", "An answer")
    closed = api.change_discussion_status(name, 1, "closed", comment="Done")
    assert closed.new_status == "closed"
    now = api.get_discussion_details(name, 1)
    assert (now.title, now.status) == ("An answer", "closed")
    assert [event.type for event in now.events] == ["comment", "comment", "title-change", "comment", "status-change"]
    assert now.events[4] == closed

    api.create_pull_request(name, "A change")
    api.create_discussion(name, "Another question")

    def found(**filters):
        return [discussion.num for discussion in api.get_repo_discussions(name, **filters)]

    assert found() == found(author="local") == found(discussion_status="all", discussion_type="all") == [3, 2, 1]
    assert found(author="nobody") == []
    assert found(discussion_type="pull_request") == [2] and found(discussion_type="discussion") == [3, 1]
    assert found(discussion_status="open") == [3, 2] and found(discussion_status="closed") == [1]


def test_discussions(client):
    client(talk)


def command_line():
    import sys

    from huggingface_hub.cli import hf

    def run(*arguments):
        out, before = io.StringIO(), sys.argv
        sys.argv = ["hf", "discussions", *arguments]
        try:
            with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
                hf.main()
        finally:
            sys.argv = before
        return out.getvalue()

    from huggingface_hub import HfApi

    HfApi().create_repo("org/shell")
    assert "#1" in run("create", "org/shell", "--title", "Broken", "--body", "It is.")
    HfApi().upload_file(path_or_fileobj=b"new\n", path_in_repo="a", repo_id="org/shell", create_pr=True)
    run("comment", "org/shell", "1", "--body", "Mended")
    run("rename", "org/shell", "1", "Mended")
    run("close", "org/shell", "1", "--yes")
    assert "Mended" in run("list", "org/shell", "--status", "closed", "--format", "json")
    assert "+new" in run("diff", "org/shell", "2")
    run("merge", "org/shell", "2", "--yes")
    assert '"merged"' in run("info", "org/shell", "2", "--format", "json")


def test_the_hf_command(client):
    client(command_line)


@pytest.fixture(scope="module")
def talking(web):
    web("POST", "/api/repos/create", {"name": "talk", "organization": "org"})
    assert web("POST", f"{REPO}/discussions", {"title": "t", "description": "d"}).status == 200
    return web


def test_pages(talking, monkeypatch):
    monkeypatch.setattr(discussions, "PAGE", 2)
    talking("POST", "/api/repos/create", {"name": "paged", "organization": "org"})
    for number in range(5):
        talking("POST", "/api/models/org/paged/discussions", {"title": f"t{number}", "description": "d"})
    pages = [talking("GET", f"/api/models/org/paged/discussions?p={page}").json for page in range(4)]
    assert [[item["num"] for item in page["discussions"]] for page in pages] == [[5, 4], [3, 2], [1], []]
    assert [page["start"] for page in pages] == [0, 2, 4, 6] and {page["count"] for page in pages} == {5}


LONG = {"title": "x" * 201, "description": "d"}


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("", LONG, 400, "1 to 200"),
        ("", {"title": "a\nb", "description": "d"}, 400, "one line"),
        ("", {"title": "  ", "description": "d"}, 400, "1 to 200"),
        ("", {"title": "t"}, 400, "description"),
        ("/1/comment", {"comment": "x" * 65_537}, 400, "65536"),
        ("/1/comment", {"comment": 5}, 400, "string"),
        ("/1/comment/0/edit", {"content": "x"}, 404, "no comment '0'"),
        ("/1/title", {"title": ""}, 400, "title"),
        ("/1/status", {"status": "merged"}, 400, "open or closed"),
        ("/1/merge", {}, 400, "not a pull request"),
        ("/2/comment", {"comment": "x"}, 404, "no discussion or pull request '2'"),
        ("/01/comment", {"comment": "x"}, 404, "'01'"),
        ("/%2e%2e%2fhub/comment", {"comment": "x"}, 404, "no discussion"),
    ],
)
def test_what_is_refused(talking, path, body, status, says):
    answer = talking("POST", f"{REPO}/discussions{path}", body)
    assert answer.status == status and says in answer.json["error"]
    anonymous = talking("POST", f"{REPO}/discussions{path}", body, anonymous=True)
    assert anonymous.status == 401


def test_attachments_are_refused_with_a_sentence(talking):
    answer = talking("POST", "/uploads", b"png", headers={"Content-Type": "image/png"})
    assert answer.status == 501 and "commit the file" in answer.json["error"]


def test_bad_filters_and_numbers_are_refused(talking):
    for query in ("p=-1", "p=x", "status=merged", "type=x"):
        assert talking("GET", f"{REPO}/discussions?{query}").status == 400
    for number in ("0", "x", "9" * 10, quote("٣")):
        assert talking("GET", f"{REPO}/discussions/{number}").status == 404


def test_there_is_an_end_to_a_discussion_and_to_their_number(talking, monkeypatch):
    monkeypatch.setattr(discussions, "FILE_MAX", 10)
    full = talking("POST", f"{REPO}/discussions/1/comment", {"comment": "x"})
    assert full.status == 413 and "no room" in full.json["error"]
    assert talking("POST", f"{REPO}/discussions/1/status", {"status": "closed"}).status == 200
    monkeypatch.setattr(discussions, "DISCUSSIONS_MAX", 1)
    refused = talking("POST", f"{REPO}/discussions", {"title": "t", "description": "d"})
    assert refused.status == 403 and "takes no more" in refused.json["error"]
