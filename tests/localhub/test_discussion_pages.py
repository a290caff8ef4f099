"""The pages of discussions: what is in them, and nothing that runs."""

import base64
import json

API = "/api/datasets/org/forum"
PAGES = "/datasets/org/forum/discussions"


def commit(web, content, query=""):
    value = {"path": "README.md", "content": base64.b64encode(content).decode(), "encoding": "base64"}
    lines = [{"key": "header", "value": {"summary": "Edit"}}, {"key": "file", "value": value}]
    assert web("POST", f"{API}/commit/main{query}", "\n".join(map(json.dumps, lines)).encode()).status == 200


def page(web, path):
    answer = web("GET", path, headers={"Accept": "text/html"}, anonymous=True)
    assert answer.headers["content-type"].startswith("text/html")
    return answer.status, answer.body.decode()


def test_list_and_pages(web):
    web("POST", "/api/repos/create", {"name": "forum", "organization": "org", "type": "dataset"})
    assert "hf discussions create" in page(web, PAGES)[1]
    commit(web, b"one\n")
    commit(web, b"two\n", "?create_pr=1")
    sent = {"title": "<i>Why</i>", "description": "**Because** <script>alert(1)</script>"}
    web("POST", f"{API}/discussions", sent)
    status, listed = page(web, PAGES)
    assert status == 200 and "#2 &lt;i&gt;Why&lt;/i&gt;" in listed and "#1 Edit" in listed
    assert "#1 Edit" not in page(web, f"{PAGES}?type=discussion")[1]
    assert page(web, f"{PAGES}?status=none")[0] == 400
    discussion = page(web, f"{PAGES}/2")[1]
    assert "<strong>Because</strong>" in discussion and "<script" not in discussion and "<i>Why" not in discussion
    pull = page(web, f"{PAGES}/1")[1]
    assert "<del>-one</del>" in pull and "<ins>+two</ins>" in pull and "Conflicts" not in pull
    commit(web, b"three\n")
    conflicting = page(web, f"{PAGES}/1")[1]
    assert "Conflicts with main:</b> README.md" in conflicting
    link = conflicting.partition('href="/datasets/org/forum/compare')[2].partition('"')[0].replace("&amp;", "&")
    assert page(web, f"/datasets/org/forum/compare{link}")[0] == 200
    assert page(web, f"{PAGES}/3")[0] == 404
    web("PUT", f"{API}/settings", {"visibility": "private"})
    assert page(web, PAGES)[0] == page(web, f"{PAGES}/1")[0] == 404
