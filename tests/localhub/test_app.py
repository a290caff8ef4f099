"""What clients would never send: bad paths, foreign hosts, missing tokens, odd ranges, broken bodies."""

import base64
import hashlib
import json
import os
import string
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

REPO = "org/http"
EASY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", autouse=True)
def repo(web):
    web("POST", "/api/repos/create", {"name": "http", "organization": "org", "type": "dataset", "visibility": "public"})


def put(path, content=b"x"):
    value = {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}
    return {"key": "file", "value": value}


def head(web):
    return web("GET", f"/api/datasets/{REPO}").json["sha"]


# Paths

bad_names = st.sampled_from(
    [
        "",
        ".",
        "..",
        ".git",
        ".GIT",
        "git~1",
        ".git.",
        ".g\u200cit",
        ".gitmodules",
        "a\\b",
        "a\0b",
        "a\nb",
        "\x7f",
        "x" * 256,
        "\ud800",
        "d/" * 101,
    ]
)
good_names = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=20
).filter(lambda name: name not in (".", "..") and "git" not in name.lower())


@EASY
@given(before=st.lists(good_names, max_size=2), bad=bad_names, after=st.lists(good_names, min_size=1, max_size=2))
@example(before=["a"], bad="..", after=["b"])
def test_bad_paths_are_refused(web, before, bad, after):
    was = head(web)
    path = "/".join([*before, bad, *after])
    for line in (
        put(path),
        {"key": "deletedFile", "value": {"path": path}},
        {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": "0" * 64}},
    ):
        assert web.commit(REPO, [line]).status in (400, 422)  # 400 for half a surrogate pair: not JSON
    files = [{"path": path, "size": 1, "sample": ""}]
    assert web("POST", f"/api/datasets/{REPO}/preupload/main", {"files": files}).status in (400, 422)
    assert head(web) == was


@EASY
@given(names=st.lists(good_names, min_size=1, max_size=3), content=st.binary(max_size=100))
@example(names=["%2e%2e", "?a=b#c", "ü +&"], content=b"")
def test_any_other_path_comes_back(web, names, content):
    # A folder of its own per path, as a file and a folder cannot have the same name.
    path = "/".join([hashlib.sha1("/".join(names).encode()).hexdigest()[:8], *names])
    assert web.commit(REPO, [put(path, content)]).status == 200
    answer = web("GET", f"/datasets/{REPO}/resolve/main/{quote(path)}")
    assert (answer.status, answer.body) == (200, content)
    one_segment = web("GET", f"/api/datasets/{REPO}/tree/main/{quote(path.rpartition('/')[0], safe='')}")
    assert path in [entry["path"] for entry in one_segment.json]


@pytest.mark.parametrize(
    "path",
    [
        "/datasets/org/http/resolve/main/../../../../token",
        "/datasets/org/http/resolve/main/..%2F..%2F..%2F..%2Ftoken",
        "/datasets/org/http/resolve/main/%2e%2e/%2e%2e/token",
        "/datasets/org/http/resolve/main//etc/passwd",
        "/datasets/org/http/resolve/..%2F..%2Fhub.json/x",
        "/datasets/org/http/resolve/refs%2Fheads%2F..%2F..%2FHEAD/x",
        "/datasets/..%2f..%2Fhub/token/resolve/main/x",
        "/datasets/%2e%2e/%2e%2e/resolve/main/token",
        "/api/datasets/..%2F../http",
        "/api/..%2Ftmp/org/http",
        "/datasets/org/http/tree/main/%2e%2e",
        "/_lfs/..%2F..%2Ftoken",
        "/etc/passwd",
        "//etc/passwd",
    ],
)
def test_traversal_finds_nothing(web, path):
    answer = web("GET", path)
    assert answer.status == 404
    assert web.token.encode() not in answer.body


@EASY
@given(st.text(string.printable, max_size=40))
@example("a/b/c")
@example("../x")
@example("api/x")
@example("org/x.git")
@example("org/a--b")
@example("o" * 97 + "/x")
def test_bad_repo_ids_cannot_be_made(web, hub, repo_id):
    organization, _, name = repo_id.rpartition("/")
    answer = web("POST", "/api/repos/create", {"name": name, "organization": organization or None, "type": "dataset"})
    ids = [item["id"] for item in web("GET", "/api/datasets").json]
    if answer.status == 200:
        assert f"{organization or 'local'}/{name}" in ids
        web("DELETE", "/api/repos/delete", {"name": name, "organization": organization or None, "type": "dataset"})
    else:
        assert answer.status in (400, 409)
    folders = {path.relative_to(hub.home / "hub" / "repos").parts[0] for path in (hub.home / "hub" / "repos").iterdir()}
    assert folders <= {"models", "datasets", "spaces"}


@EASY
@given(st.text(max_size=30) | st.text("a/.@{~^:*?[\\ -", max_size=8))
@example("@")
@example("a/b")
@example("refs/heads/main")
@example("x.lock")
def test_any_branch_name_works_or_is_refused(web, name):
    url = f"/api/datasets/{REPO}/branch/{quote(name, safe='')}"
    made = web("POST", url)
    found = web("GET", f"/api/datasets/{REPO}/revision/{quote(name, safe='')}")
    if made.status == 200:
        assert found.json["sha"] == head(web)
        assert name in [branch["name"] for branch in web("GET", f"/api/datasets/{REPO}/refs").json["branches"]]
        assert web("DELETE", url).status == 200
    else:
        assert made.status in (400, 404, 409) and (found.status == 404 or "main" in name)


@EASY
@given(
    st.lists(
        st.text(max_size=8) | st.sampled_from(["api", "datasets", "org", "http", "tree", "resolve", "main"]), max_size=7
    )
)
def test_any_url_gets_an_answer(web, segments):
    path = "/" + "/".join(quote(segment, safe="") for segment in segments)
    for method in ("GET", "POST", "DELETE"):
        assert web(method, path, anonymous=True).status < 500


# Who may

WRITES = [
    ("POST", "/api/repos/create", {"name": "x", "organization": "org"}),
    ("DELETE", "/api/repos/delete", {"name": "http", "organization": "org", "type": "dataset"}),
    ("POST", "/api/repos/move", {"fromRepo": "org/http", "toRepo": "org/y", "type": "dataset"}),
    ("PUT", f"/api/datasets/{REPO}/settings", {"visibility": "private"}),
    ("POST", f"/api/datasets/{REPO}/preupload/main", {"files": []}),
    ("POST", f"/api/datasets/{REPO}/commit/main", {"key": "header", "value": {"summary": "x"}}),
    ("POST", f"/api/datasets/{REPO}/super-squash/main", {"message": "x"}),
    ("POST", f"/api/datasets/{REPO}/branch/b", {}),
    ("DELETE", f"/api/datasets/{REPO}/branch/b", None),
    ("POST", f"/api/datasets/{REPO}/tag/main", {"tag": "t"}),
    ("DELETE", f"/api/datasets/{REPO}/tag/t", None),
    ("POST", f"/datasets/{REPO}.git/info/lfs/objects/batch", {"operation": "upload", "objects": []}),
    ("POST", "/api/collections", {"title": "x"}),
    ("GET", "/api/whoami-v2", None),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_anonymous_cannot_write(web, method, path, body):
    was = head(web)
    anonymous = web(method, path, body, headers={"Content-Type": "application/json"}, anonymous=True)
    assert anonymous.status == 401 and "token" in anonymous.json["error"]
    wrong = web(method, path, body, headers={"Authorization": "Bearer " + web.token[:-1]})
    assert wrong.status == 401 and wrong.headers["x-error-message"] == "Invalid credentials in Authorization header"
    assert head(web) == was


def test_private_repo_is_as_good_as_missing(web):
    web(
        "POST",
        "/api/repos/create",
        {"name": "hidden", "organization": "org", "type": "dataset", "visibility": "private"},
    )
    web.commit("org/hidden", [put("f.txt", b"secret")])
    for path in (
        "/api/datasets/org/{}",
        "/api/datasets/org/{}/tree/main",
        "/datasets/org/{}/resolve/main/f.txt",
        "/datasets/org/{}",
        "/datasets/org/{}/tree/main",
        "/api/datasets/org/{}/refs",
    ):
        hidden, missing = (web("GET", path.format(name), anonymous=True) for name in ("hidden", "missed"))
        assert hidden.status == missing.status == 404
        assert hidden.body.replace(b"hidden", b"missed") == missing.body
        assert hidden.headers.get("x-error-code") == missing.headers.get("x-error-code")
    assert web("GET", "/datasets/org/hidden/resolve/main/f.txt").body == b"secret"
    assert b"hidden" not in web("GET", "/", anonymous=True).body
    assert "org/hidden" not in [item["id"] for item in web("GET", "/api/datasets", anonymous=True).json]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "", "localhost.", "0.0.0.0"]
)
def test_foreign_host_is_refused(web, host):
    answer = web("GET", f"/api/datasets/{REPO}", headers={"Host": host})
    assert answer.status == 403 and b"sha" not in answer.body


def test_localhost_is_welcome_and_urls_follow_it(web):
    sent = {"name": "http", "organization": "org", "type": "dataset"}
    answer = web("POST", "/api/repos/create", sent, headers={"Host": "localhost:1234"})
    assert answer.status == 409 and answer.json["url"] == "http://localhost:1234/datasets/org/http"


def test_secrets_of_a_space_are_never_told(web, hub):
    sent = {"name": "safe", "organization": "org", "type": "space", "sdk": "docker"}
    answers = [web("POST", "/api/repos/create", {**sent, "secrets": [{"key": "K", "value": "opensesame"}]})]
    answers.append(web("POST", "/api/spaces/org/safe/secrets", {"key": "L", "value": "opensesame"}))
    answers += [web("GET", f"/api/spaces/org/safe{rest}") for rest in ("", "/secrets", "/runtime", "/variables")]
    answers += [web("GET", path) for path in ("/api/spaces", "/spaces/org/safe")]
    assert {answer.status for answer in answers} == {200}
    assert not [answer for answer in answers if b"opensesame" in answer.body]
    assert (hub.home / "hub/repos/spaces/org/safe/hub.json").stat().st_mode & 0o777 == 0o600


def test_the_token_is_in_files_of_the_owner_only(hub):
    for path in (hub.home / "hub" / "token", hub.home / "hf_home" / "token"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert (hub.home / "hub").stat().st_mode & 0o777 == 0o700
    assert (hub.home / "hub" / "token").read_text() not in str(hub.env())


def test_served_files_cannot_run_in_the_browser(web):
    script = b"<script>alert(1)</script>"
    web.commit(REPO, [put(f"x.{end}", script) for end in ("html", "svg", "js", "png", "xhtml", "")])
    for end, kind in (("html", "text/plain; charset=utf-8"), ("js", "text/plain; charset=utf-8"), ("png", "image/png")):
        headers = web("GET", f"/datasets/{REPO}/resolve/main/x.{end}").headers
        assert headers["content-type"] == kind
    for end in ("html", "svg", "xhtml", ""):
        headers = web("GET", f"/datasets/{REPO}/resolve/main/x.{end}").headers
        assert "html" not in headers["content-type"] and headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in headers["content-security-policy"] and "script" not in headers["content-security-policy"]
        assert headers["cross-origin-resource-policy"] == "same-origin" and "access-control-allow-origin" not in headers


# Large files


def lfs_batch(web, content, **changes):
    item = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), **changes}
    body = {"operation": "upload", "transfers": ["basic"], "objects": [item], "hash_algo": "sha256"}
    return web("POST", f"/datasets/{REPO}.git/info/lfs/objects/batch", body)


def upload_link(web, content):
    return lfs_batch(web, content).json["objects"][0]["actions"]["upload"]["href"].partition("/_lfs")[2]


def test_large_file_upload_is_signed_checked_and_kept_once(web):
    content = os.urandom(2_500_000)
    sha256 = hashlib.sha256(content).hexdigest()
    commit_it = [{"key": "lfsFile", "value": {"path": "l.bin", "algo": "sha256", "oid": sha256, "size": len(content)}}]
    assert web.commit(REPO, commit_it).status == 400  # not uploaded
    without_size = [{"key": "lfsFile", "value": {"path": "l.bin", "algo": "sha256", "oid": sha256}}]
    assert web.commit(REPO, without_size).status == 400
    link = "/_lfs" + upload_link(web, content)
    for changed in (link.replace("size=2500000", "size=2500001"), link[:-1] + "_", link.partition("?")[0]):
        assert web("PUT", changed, content, anonymous=True).status == 403
    other = link.replace(sha256, "0" * 64)
    assert web("PUT", other, content, anonymous=True).status == 403
    assert web("PUT", link, content[:-1], anonymous=True).status == 400
    assert web("PUT", link, content[:-1] + bytes([content[-1] ^ 1]), anonymous=True).status == 400
    assert web("PUT", link, content + b"\0", anonymous=True).status == 413
    assert web.commit(REPO, commit_it).status == 400  # nothing of all this was kept
    assert web("PUT", link, content, anonymous=True).status == 200
    assert "actions" not in lfs_batch(web, content).json["objects"][0]
    wrong_size = [{"key": "lfsFile", "value": {"path": "l.bin", "algo": "sha256", "oid": sha256, "size": 1}}]
    assert web.commit(REPO, wrong_size).status == 400
    assert web.commit(REPO, commit_it).status == 200
    answer = web("GET", f"/datasets/{REPO}/resolve/main/l.bin")
    assert answer.body == content and answer.headers["x-linked-etag"] == answer.headers["etag"] == f'"{sha256}"'
    assert answer.headers["x-linked-size"] == str(len(content))
    assert not [name for name in answer.headers if "xet" in name]


def test_batch_refuses_what_it_cannot_keep(web):
    too_large = lfs_batch(web, b"", size=60_000_000_000).json["objects"][0]["error"]
    assert too_large["code"] == 422 and "split" in too_large["message"]
    assert lfs_batch(web, b"", oid="../../token").status == 400
    assert lfs_batch(web, b"", size=-1).status == 400
    assert web("GET", f"/api/models/{REPO}/xet-write-token/main").status == 404


CONTENT = bytes(range(256)) * 8


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("header", "status", "start", "end"),
    [
        ("bytes=0-", 206, 0, 2048),
        ("bytes=10-19", 206, 10, 20),
        ("bytes=2047-", 206, 2047, 2048),
        ("bytes=2000-9999", 206, 2000, 2048),
        ("bytes=-5", 206, 2043, 2048),
        ("bytes=-9999", 206, 0, 2048),
        ("bytes=0-0,5-6", 200, 0, 2048),
        ("bytes=9-3", 200, 0, 2048),
        ("bytes=-", 200, 0, 2048),
        ("lines=1-2", 200, 0, 2048),
        ("bytes=2048-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
    ],
)
def test_ranges(web, large, header, status, start, end):
    name = "large.bin" if large else "small.txt"
    if large:
        if "actions" in lfs_batch(web, CONTENT).json["objects"][0]:
            web("PUT", "/_lfs" + upload_link(web, CONTENT), CONTENT, anonymous=True)
        oid = hashlib.sha256(CONTENT).hexdigest()
        web.commit(REPO, [{"key": "lfsFile", "value": {"path": name, "algo": "sha256", "oid": oid}}])
    else:
        web.commit(REPO, [put(name, CONTENT)])
    answer = web("GET", f"/datasets/{REPO}/resolve/main/{name}", headers={"Range": header})
    assert answer.status == status
    if status == 416:
        assert answer.headers["content-range"] == "bytes */2048"
    else:
        assert answer.body == CONTENT[start:end] and answer.headers["content-length"] == str(end - start)
        assert answer.headers.get("content-range") == (f"bytes {start}-{end - 1}/2048" if status == 206 else None)
    whole = web("HEAD", f"/datasets/{REPO}/resolve/main/{name}")
    assert (whole.status, whole.headers["content-length"], whole.body) == (200, "2048", b"")
    assert whole.headers["x-repo-commit"] == head(web)


@pytest.mark.parametrize(("kind", "prefix"), [("model", "/"), ("dataset", "/datasets/"), ("space", "/spaces/")])
def test_raw_gives_what_git_has(web, kind, prefix):
    web("POST", "/api/repos/create", {"name": "raw", "organization": "org", "type": kind, "sdk": "static"})
    if "actions" in lfs_batch(web, CONTENT).json["objects"][0]:
        web("PUT", "/_lfs" + upload_link(web, CONTENT), CONTENT, anonymous=True)
    large = {"path": "a/l.bin", "algo": "sha256", "oid": hashlib.sha256(CONTENT).hexdigest()}
    lines = [{"key": "header", "value": {"summary": "raw"}}, put("x.html", b"<b>"), {"key": "lfsFile", "value": large}]
    body = "\n".join(map(json.dumps, lines)).encode()
    assert web("POST", f"/api/{kind}s/org/raw/commit/main", body).status == 200
    answer = web("GET", f"{prefix}org/raw/raw/main/x.html", anonymous=True)
    assert (answer.status, answer.body) == (200, b"<b>") and answer.headers["content-type"].startswith("text/plain")
    assert "sandbox" in answer.headers["content-security-policy"] and len(answer.headers["x-repo-commit"]) == 40
    assert b"oid sha256:" in web("GET", f"{prefix}org/raw/raw/main/a%2Fl.bin").body
    assert web("HEAD", f"{prefix}org/raw/raw/main/x.html").status == 200
    assert web("GET", f"{prefix}org/raw/raw/main/none").headers["x-error-code"] == "EntryNotFound"
    assert web("GET", f"{prefix}org/raw/raw/main/a").status == 404


def test_missing_file_names_the_commit(web):
    answer = web("GET", f"/datasets/{REPO}/resolve/main/none.txt")
    assert answer.status == 404 and answer.headers["x-error-code"] == "EntryNotFound"
    assert answer.headers["x-repo-commit"] == head(web)
    assert "no GET /api/none" in web("GET", "/api/none/x/y/z").json["error"]


def test_ids_without_a_namespace_are_missing_repos_on_every_route(web):
    for method, path in (
        ("GET", "/api/models/gpt2"),
        ("GET", "/api/datasets/squad/commits/main"),
        ("GET", "/api/models/gpt2/tree/main/a/b"),
        ("POST", "/api/models/gpt2/preupload/main"),
        ("DELETE", "/api/models/gpt2/branch/x"),
        ("DELETE", "/api/models/gpt2/like"),
        ("GET", "/datasets/squad/resolve/main/README.md"),
        ("HEAD", "/gpt2/raw/main/config.json"),
    ):
        answer = web(method, path)
        assert (answer.status, answer.headers["x-error-code"]) == (404, "RepoNotFound"), path


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/api/settings/webhooks/1", "webhooks"),
        ("/api/buckets/org/x", "buckets"),
        ("/api/users/local/overview", "one user"),
        ("/api/organizations/org/members", "one user"),
        ("/api/jobs/local/1", "jobs"),
        ("/api/kernels/org/x/refs", "kernel"),
        ("/api/datasets/org/http/likers", "likes"),
        ("/api/datasets/org/http/user-access-request/pending", "gated"),
        ("/api/datasets/org/http/lfs-files/duplicate", "between repos"),
    ],
)
def test_what_is_not_here_is_said_in_a_sentence(web, path, word):
    for method in ("GET", "POST", "DELETE"):
        answer = web(method, path)
        assert answer.status == 501 and word in answer.json["error"] == answer.headers["x-error-message"]


def test_every_answer_has_an_id(web):
    paths = ("/", "/api/datasets", "/api/none/x/y/z", f"/datasets/{REPO}/resolve/main/.gitattributes")
    answers = [web("GET", path) for path in paths] + [web("GET", "/", headers={"Host": "evil.example"})]
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


@pytest.mark.parametrize("place", ["resolve", "raw"])
def test_known_content_is_not_sent_again(web, place):
    web.commit(REPO, [put("known.txt", b"known")])
    url = f"/datasets/{REPO}/{place}/main/known.txt"
    etag = web("GET", url).headers["etag"]
    for sent in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = web("GET", url, headers={"If-None-Match": sent})
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
    assert web("GET", url, headers={"If-None-Match": '"other"'}).body == b"known"


def test_a_moved_repo_is_found_by_its_old_name(web):
    """For reading and writing, in any letters; until another repo has the name, and never for who may not see it."""
    web("POST", "/api/repos/create", {"name": "Old", "organization": "moves", "type": "dataset"})
    web.commit("moves/Old", [put("a b.txt", b"here")])
    for step in (("moves/Old", "moves/between"), ("moves/between", "moves/New")):
        web("POST", "/api/repos/move", {"fromRepo": step[0], "toRepo": step[1], "type": "dataset"})
    for place, end in (
        ("/datasets/", "/resolve/main/a%20b.txt?download=true"),
        ("/api/datasets/", "/tree/main"),
        ("/datasets/", ""),
    ):
        answer = web("GET", f"{place}MOVES/old{end}")
        assert (answer.status, answer.headers["location"]) == (307, f"{place}moves/New{end}")
    assert (
        web.commit("moves/old", [put("x", b"1" * 100_000)]).headers["location"] == "/api/datasets/moves/New/commit/main"
    )
    web("PUT", "/api/datasets/moves/New/settings", {"visibility": "private"})
    hidden = web("GET", "/api/datasets/moves/old", anonymous=True)
    assert hidden.status == 404 and b"New" not in hidden.body
    web("POST", "/api/repos/create", {"name": "old", "organization": "moves", "type": "dataset"})
    assert web("GET", "/api/datasets/moves/old").json["id"] == "moves/old"
    for name in ("old", "New"):
        web("DELETE", "/api/repos/delete", {"name": name, "organization": "moves", "type": "dataset"})
    assert web("GET", "/api/datasets/moves/between").status == web("GET", "/api/datasets/moves/old").status == 404


# Broken bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"key": "header"}',
        b'{"key": "header", "value": {}}',
        b'{"key": "file", "value": {"path": "a"}}',
        b'{"key": "header", "value": {"summary": "x"}}\nnot json',
        b'{"key": "header", "value": {"summary": "x"}}\n{"key": "fly", "value": {"path": "a"}}',
        b'{"key": "header", "value": {"summary": "x"}}\n{"key": "file", "value": {"path": "a", "content": 5}}',
        b'{"key": "header", "value": {"summary": "x"}}\n'
        b'{"key": "file", "value": {"path": "a", "content": "?", "encoding": "base64"}}',
        b'{"key": "header", "value": {"summary": "x"}}\n{"key": "lfsFile", "value": {"path": "a", "oid": "0"}}',
        b'{"key": "header", "value": {"summary": "x"}}\n{"key": "deletedFile", "value": {"path": 7}}',
        b'{"key": "header", "value": {"summary": "x", "parentCommit": ["a"]}}',
        b"[" * 100_000,
    ],
)
def test_broken_commits_change_nothing(web, body):
    was = head(web)
    answer = web("POST", f"/api/datasets/{REPO}/commit/main", body)
    assert answer.status in (400, 412) and answer.json["error"]
    assert head(web) == was


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@EASY
@given(data=st.data())
def test_odd_json_is_never_a_crash(web, data):
    keys = [
        "name",
        "organization",
        "type",
        "visibility",
        "sdk",
        "secrets",
        "files",
        "gitIgnore",
        "objects",
        "operation",
    ]
    keys += [
        "tag",
        "startingPoint",
        "message",
        "title",
        "namespace",
        "item",
        "content",
        "gated",
        "fromRepo",
        "key",
        "value",
    ]
    body = data.draw(st.dictionaries(st.sampled_from(keys), json_values, max_size=6))
    method, path, _ = data.draw(st.sampled_from([*WRITES, ("POST", "/api/validate-yaml", None)]))
    answer = web(method, path, json.dumps(body).encode())
    assert answer.status < 500, answer.body


def test_patterns_that_would_take_years_match_nothing(web):
    """In a .gitignore that the client sends, and in both files once they are in the repo."""
    slow = "a*" * 30 + "b\n"
    files = [{"path": "a" * 100, "size": 1, "sample": ""}, {"path": "x.log", "size": 1, "sample": ""}]
    url = "/api/datasets/org/patterns/preupload/main"
    web("POST", "/api/repos/create", {"name": "patterns", "organization": "org", "type": "dataset"})
    answer = web("POST", url, {"files": files, "gitIgnore": f"{slow}*.log\n"}).json["files"]
    assert [item["shouldIgnore"] for item in answer] == [False, True]
    attributes = f"{slow.strip()} filter=lfs\n*.log filter=lfs\n".encode()
    web.commit("org/patterns", [put(".gitignore", slow.encode()), put(".gitattributes", attributes)])
    assert [item["uploadMode"] for item in web("POST", url, {"files": files}).json["files"]] == ["regular", "lfs"]


def test_a_file_is_no_folder(web):
    web.commit(REPO, [put("kind/file.txt")])
    assert "is a file" in web.commit(REPO, [put("kind/file.txt/below")]).json["error"]
    assert "a folder of this name" in web.commit(REPO, [put("kind")]).json["error"]
    replace = [{"key": "deletedFile", "value": {"path": "kind"}}, put("kind", b"now a file")]  # as on the Hub
    assert web.commit(REPO, replace).status == 200
    assert web("GET", f"/datasets/{REPO}/resolve/main/kind").body == b"now a file"
