"""Who may call: pages of other sites may not, in any of the ways a browser would send their requests."""

import json
import socket

import pytest
from running import HANG_S

CREATE = {"name": "foreign", "organization": "org", "type": "dataset"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},  # DNS rebinding
    ],
)
def test_pages_of_other_sites_may_not_call(web, headers):
    """Not even with the token: a page that learnt it would be a page of another site still."""
    requests = [("GET", "/api/datasets", None), ("GET", "/", None), ("POST", "/api/repos/create", CREATE)]
    requests += [("POST", "/api/validate-yaml", {"content": "x"}), ("DELETE", "/api/repos/delete", CREATE)]
    for method, path, body in requests:
        answer = web(method, path, body, headers=headers)
        assert answer.status == 403 and "access-control-allow-origin" not in answer.headers
    assert web("OPTIONS", "/api/repos/create", headers=headers).status == 403  # a browser asks before it sends JSON
    assert web("POST", "/api/datasets/org/x/y", headers={**headers, "Sec-Fetch-Mode": "navigate"}).status == 403


def test_links_to_the_hub_and_its_own_pages_work(web):
    host = f"{web.address.hostname}:{web.address.port}"
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert web("GET", "/", headers=link, anonymous=True).status == 200
    own = {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    assert web("GET", "/api/datasets", headers=own, anonymous=True).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; x=y", ""])
def test_without_the_token_only_json_is_read(web, kind):
    """The content types that a page may send to any server without asking it first."""
    body = json.dumps({"content": "---\na: 1\n---\n", "repoType": "model"}).encode()
    headers = {"Content-Type": kind} if kind else {}
    assert web("POST", "/api/validate-yaml", body, headers=headers, anonymous=True).status == 415
    assert web("POST", "/api/validate-yaml", body, headers=headers).status == 200
    json_kind = {"Content-Type": "application/json; charset=utf-8"}
    assert web("POST", "/api/validate-yaml", body, headers=json_kind, anonymous=True).status == 200


def test_two_hosts_in_one_request_are_refused(web):
    with socket.create_connection((web.address.hostname, web.address.port), timeout=HANG_S) as connection:
        connection.sendall(b"GET /api/datasets HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert connection.recv(20).startswith(b"HTTP/1.1 400")


def test_a_token_of_one_organisation_opens_nothing_else(web, hub):
    folder = hub.home / "hub" / "tokens"
    folder.mkdir()
    (folder / "acme").write_text("only_acme_" + "x" * 20 + "\n")
    (folder / "short").write_text("")
    bearer = {"Authorization": "Bearer only_acme_" + "x" * 20, "Content-Type": "application/json"}
    for organization in ("acme", "rival"):
        sent = {"name": "hidden", "organization": organization, "type": "dataset", "visibility": "private"}
        web("POST", "/api/repos/create", sent)
        web("POST", "/api/collections", {"title": "secret", "namespace": organization, "private": True})

    def status(method, path, body=None):
        return web(method, path, body, headers=bearer).status

    def api(organization):
        return f"/api/datasets/{organization}/hidden"

    def collection(organization):
        return web("GET", f"/api/collections?owner={organization}").json[0]["slug"]

    for organization, answers in (("acme", (200, 200, 200, 200, 200)), ("rival", (403, 404, 404, 404, 404))):
        new = {"name": "new", "organization": organization, "type": "dataset"}
        assert status("POST", "/api/repos/create", new) == answers[0]
        assert status("GET", api(organization)) == answers[1]
        assert status("POST", f"{api(organization)}/branch/b") == answers[2]
        assert status("GET", f"/api/collections/{collection(organization)}") == answers[3]
        assert status("DELETE", "/api/repos/delete", {**new, "name": "hidden"}) == answers[4]
    move = {"fromRepo": "acme/new", "toRepo": "rival/taken", "type": "dataset"}
    web("POST", "/api/repos/create", {"name": "open", "organization": "rival", "type": "dataset"})
    assert status("GET", "/api/datasets/rival/open") == 200
    assert status("POST", "/api/datasets/rival/open/branch/b") == status("POST", "/api/repos/move", move) == 403
    batch = {"operation": "upload", "objects": [{"oid": "0" * 64, "size": 1}]}
    assert status("POST", "/datasets/rival/open.git/info/lfs/objects/batch", batch) == 403
    assert status("POST", "/datasets/acme/new.git/info/lfs/objects/batch", batch) == 200
    copy = {"repository": "acme/copy"}
    assert status("POST", "/api/datasets/rival/open/duplicate", copy) == 200
    assert status("POST", "/api/datasets/acme/copy/duplicate", {"repository": "rival/copy"}) == 403
    me = web("GET", "/api/whoami-v2", headers=bearer).json
    assert [org["name"] for org in me["orgs"]] == ["acme"]
    listed = {item["id"] for item in web("GET", "/api/datasets", headers=bearer).json}
    assert "acme/new" in listed and "rival/open" in listed and "rival/hidden" not in listed
    mine = {item["id"] for item in web("GET", "/api/settings/repositories", headers=bearer).json}
    assert mine == {"acme/new", "acme/copy"}
    for wrong in ("", "short", "only_acme_"):
        assert web("GET", "/api/whoami-v2", headers={"Authorization": f"Bearer {wrong}"}).status == 401
