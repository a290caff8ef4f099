"""Bodies: unfinished ones block nobody, and what JSON cannot hold is refused before anything is stored."""

import json
import socket

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from running import HANG_S
from starlette.applications import Starlette
from starlette.testclient import TestClient

from hub_speed.localhub.errors import repo_not_found
from hub_speed.localhub.store import Store
from hub_speed.localhub.web import route

MORE_THAN_ALL_THREADS = 60
JSON = {"Content-Type": "application/json"}
EASY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", autouse=True)
def repo(web):
    web("POST", "/api/repos/create", {"name": "web", "organization": "org", "type": "dataset"})


def half_sent(web, path, *, token, method="POST"):
    """A connection on which the head of a request and the first byte of its body were sent."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 1000"]
    lines += [f"Authorization: Bearer {web.token}"] if token else []
    connection = socket.create_connection((web.address.hostname, web.address.port), timeout=HANG_S)
    connection.sendall("\r\n".join([*lines, "", "{"]).encode())
    return connection


@pytest.mark.parametrize(
    ("path", "token"),
    [
        ("/api/validate-yaml", False),
        ("/api/datasets/org/web/paths-info/main", False),
        ("/api/repos/create", True),
        ("/api/datasets/org/web/commit/main", True),
        ("/api/datasets/org/web/commit/main", False),
    ],
)
def test_unfinished_bodies_block_nobody(web, path, token):
    waiting = [half_sent(web, path, token=token) for _ in range(MORE_THAN_ALL_THREADS)]
    try:
        assert web("GET", "/api/datasets/org/web").status == 200
        assert web("POST", "/api/validate-yaml", {"content": "---\na: 1\n---\n"}).status == 200
        assert web.commit("org/web", [{"key": "deletedFile", "value": {"path": "none"}}]).status == 404
    finally:
        for connection in waiting:
            connection.close()


@pytest.mark.parametrize("path", ["/api/repos/create", "/api/datasets/org/web/commit/main", "/_lfs/" + "0" * 64])
def test_the_token_is_looked_at_before_the_body(serve, tmp_path, path):
    """The refusal of a long body comes although only its first byte was sent: the rest is waited for, then dropped."""
    web = serve(tmp_path, "import hub_speed.localhub.web as web; web.IDLE_S = 0.2").web
    method = "PUT" if path.startswith("/_lfs") else "POST"
    with half_sent(web, path, token=False, method=method) as connection:
        assert connection.recv(12) == (b"HTTP/1.1 403" if method == "PUT" else b"HTTP/1.1 401")


@pytest.mark.parametrize("path", ["/api/repos/create", "/api/datasets/org/web/commit/main"])
def test_a_client_that_stops_sending_is_let_go(serve, tmp_path, path):
    web = serve(tmp_path, "import hub_speed.localhub.web as web; web.IDLE_S = 0.2").web
    web("POST", "/api/repos/create", {"name": "web", "organization": "org", "type": "dataset"})
    with half_sent(web, path, token=True) as connection:
        answer = b""
        while piece := connection.recv(4096):  # until the server closes the connection
            answer += piece
    assert answer.startswith(b"HTTP/1.1 408") and b"nothing came for" in answer


def test_bodies_without_the_token_are_short(web):
    text = json.dumps({"content": "x" * (3 << 20)}).encode()
    assert web("POST", "/api/validate-yaml", text, headers=JSON, anonymous=True).status == 413
    assert web("POST", "/api/validate-yaml", text, headers=JSON).status == 200


NOT_JSON = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    '"\\ud800"',
    '"a\\udfffb"',
    "9" * 5000,
    "[" * 100_000,
    '{"\\ud800": 1}',
]
PLACES = [
    ("POST", "/api/collections", '{"title": %s}'),
    ("POST", "/api/collections", '{"title": "odd", "description": %s}'),
    ("POST", "/api/repos/create", '{"name": "odd", "type": "space", "sdk": "static", "sleepTimeSeconds": %s}'),
    ("POST", "/api/datasets/org/web/tag/main", '{"tag": "t", "message": %s}'),
    ("POST", "/api/datasets/org/web/commit/main", '{"key": "header", "value": {"summary": %s}}'),
    ("POST", "/api/datasets/org/web/super-squash/main", '{"message": %s}'),
    ("POST", "/api/validate-yaml", '{"content": %s}'),
    ("PUT", "/api/datasets/org/web/settings", '{"gated": %s}'),
    ("POST", "/datasets/org/web.git/info/lfs/objects/batch", '{"operation": "upload", "objects": [{"size": %s}]}'),
]


@pytest.mark.parametrize("value", NOT_JSON)
@pytest.mark.parametrize(("method", "path", "body"), PLACES)
def test_what_json_cannot_hold_is_refused(web, method, path, body, value):
    assert web(method, path, (body % value).encode()).status == 400


@EASY
@given(st.text(st.characters(), max_size=6) | st.floats() | st.integers() | st.text("0123456789", min_size=4000))
@example("\ud800")
@example(float("nan"))
@example(10**4000)
def test_whatever_is_stored_can_be_listed(web, value):
    """A title, a description and a note of a collection; a secret's description; a position; a limit; a range."""
    made = web("POST", "/api/collections", {"title": value, "description": value, "namespace": "odd"})
    assert made.status in (200, 400, 409)
    if made.status == 200:
        items = f"/api/collections/{made.json['slug']}/items"
        added = web("POST", items, {"item": {"type": "paper", "id": value}, "note": value})
        if added.status == 200:
            item = added.json["items"][0]["_id"]
            assert web("PATCH", f"{items}/{item}", {"position": value}).status in (200, 400)
        assert web("GET", f"/collections/{made.json['slug']}").status == 200
    assert web("GET", "/api/collections").status == web("GET", "/").status == 200
    for listing in ("/api/collections", "/api/datasets", "/api/models"):
        assert web("GET", f"{listing}?limit={str(value).encode('ascii', 'ignore').hex()[:9]}").status in (200, 400)


@EASY
@given(
    st.from_regex(r"[0-9]{1,12}", fullmatch=True)
    | st.text("0123456789", min_size=4300, max_size=6000)
    | st.text("-+.eEN", max_size=4)
)
@example("9" * 5000)
@example("1" * 20)
@example("-1")
@example("NaN")
def test_absurd_limits_and_ranges(web, number):
    for listing in ("/api/collections", "/api/datasets"):
        status = web("GET", f"{listing}?limit={number.replace('+', '%2B')}").status
        assert status == (200 if number.isdecimal() and len(number) < 10 else 400)
    path = "/datasets/org/web/resolve/main/.gitattributes"
    size = len(web("GET", path).body)
    for header in (f"bytes={number}-", f"bytes=0-{number}", f"bytes=-{number}", f"bytes={number}-{number}"):
        answer = web("GET", path, headers={"Range": header})
        assert answer.status in (200, 206, 416)
    if len(number) > 4000:
        assert web("GET", path, headers={"Range": f"bytes=0-1{number}"}).status == 206
        assert web("GET", path, headers={"Range": f"bytes=1{number}-"}).status == 416
        assert len(web("GET", path, headers={"Range": f"bytes=-1{number}"}).body) == size


def test_what_older_versions_stored_is_shown(web, hub):
    made = web("POST", "/api/collections", {"title": "old"}).json
    path = hub.home / "hub" / "collections" / f"{made['_id']}.json"
    path.write_text(json.dumps({**made, "title": "old \ud800", "description": float("nan")}))
    try:
        found = web("GET", f"/api/collections/{made['slug']}")
        assert found.status == 200 and found.json["description"] is None
        assert web("GET", "/").status == web("GET", "/api/collections").status == 200
        assert "old \ufffd" in web("GET", f"/collections/{made['slug']}").body.decode()
    finally:
        path.unlink()


@pytest.mark.parametrize("gone", [FileNotFoundError(), KeyError(), repo_not_found("a/b")])
def test_a_listing_begins_again_when_a_repo_that_it_meets_is_gone(tmp_path, gone):
    met = []

    def listing(call):
        met.append(call)
        if len(met) < 3:
            raise gone
        return "all that are there"

    def one(call):
        met.append(call)
        raise repo_not_found("a/b")

    app = Starlette(routes=[route("GET", "/api/all", listing), route("GET", "/api/{name}", one)])
    app.state.store = Store(tmp_path)
    asked = TestClient(app)
    assert asked.get("/api/all").json() == "all that are there" and len(met) == 3
    assert asked.get("/api/one").status_code == 404 and len(met) == 4
    app.state.store.close()
