"""Repos as a whole: create, duplicate, delete, move and settings. What clients ask about them is in infos.py."""

import json
from typing import Any

from starlette.routing import Route

from hub_speed.localhub import spaces
from hub_speed.localhub.auth import USER
from hub_speed.localhub.errors import HttpRefusal, bad_request, repo_not_found
from hub_speed.localhub.store import KINDS
from hub_speed.localhub.web import Call, route

VISIBILITIES = ("public", "private")
# File types that go to the LFS store, as in the first commit of a repo on the Hub.
LFS_SUFFIXES = (
    "7z arrow bin bz2 ckpt ftz gz h5 joblib lz4 mds mlmodel model msgpack npy npz onnx ot parquet pb pickle pkl pt pth "
    "rar safetensors tar tflite tgz wasm xz zip zst"
).split()
GITATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)


def create(call: Call) -> dict[str, Any]:
    """POST /api/repos/create. A repo starts with a commit, so that `main` exists."""
    kind, repo_id = _kind(call.json.get("type")), f"{call.json.get('organization') or USER}/{call.text('name')}"
    call.require_namespace(repo_id.partition("/")[0])
    files = {".gitattributes": GITATTRIBUTES.encode()}
    settings: dict[str, Any] = {"private": _private(call.json.get("visibility")), "gated": False}
    if kind == "spaces":
        settings |= spaces.new_settings(call.json)
        title = json.dumps(call.text("name"))
        files["README.md"] = f"---\ntitle: {title}\nsdk: {settings['sdk']}\n---\n".encode()
    try:
        repo = call.hub.create(kind, repo_id, settings, files)
    except HttpRefusal as error:
        raise _with_url(call, error, kind, repo_id) from error
    return {"url": call.endpoint + repo.url_path, "name": repo.id, "private": settings["private"]}


def duplicate(call: Call) -> dict[str, Any]:
    """POST duplicate: a copy under another name, as private as the original unless `visibility` is given."""
    repo, new_id = call.repo(to_read=True), call.text("repository")
    call.require_namespace(new_id.partition("/")[0])
    settings = dict(repo.settings)
    if call.json.get("visibility") is not None:
        settings["private"] = _private(call.json["visibility"])
    if repo.kind == "spaces":
        settings |= spaces.copied_settings(repo.settings, call.json)
    try:
        copy = call.hub.duplicate(repo, new_id, settings)
    except HttpRefusal as error:
        raise _with_url(call, error, repo.kind, new_id) from error
    return {"url": call.endpoint + copy.url_path, "name": copy.id, "private": settings["private"]}


def _with_url(call: Call, error: HttpRefusal, kind: str, repo_id: str) -> HttpRefusal:
    """The refusal, for a 409 with the URL of the repo that is there: `exist_ok=True` takes it from the answer."""
    if error.status == 409:
        error.body["url"] = call.endpoint + call.hub.find(kind, repo_id).url_path
    return error


def _kind(repo_type: object) -> str:
    kind = f"{repo_type or 'model'}s"
    if kind not in KINDS:
        raise bad_request(
            f"Repos of type {repo_type!r} are not supported by the local hub: use model, dataset or space"
        )
    return kind


def _private(visibility: object) -> bool:
    if visibility is not None and visibility not in VISIBILITIES:
        raise bad_request(f"Invalid visibility: expected {' or '.join(VISIBILITIES)}, got {visibility!r}")
    return visibility == "private"


def delete(call: Call) -> dict[str, Any]:
    """DELETE /api/repos/delete."""
    repo_id = f"{call.json.get('organization') or USER}/{call.text('name')}"
    repo = call.find(_kind(call.json.get("type")), repo_id)
    if repo.id.lower() != repo_id.lower():  # it was moved: who deletes the old name means another repo
        raise repo_not_found(repo_id)
    call.require_namespace(repo.namespace)
    call.hub.delete(repo)
    return {}


def move(call: Call) -> dict[str, Any]:
    """POST /api/repos/move."""
    repo, new_id = call.find(_kind(call.json.get("type")), call.text("fromRepo")), call.text("toRepo")
    for namespace in (repo.namespace, new_id.partition("/")[0]):
        call.require_namespace(namespace)
    call.hub.move(repo, new_id)
    return {}


def update_settings(call: Call) -> dict[str, Any]:
    """PUT settings. `gated` is kept and shown, but never enforced: this is the machine of the user."""
    repo = call.repo()
    changes: dict[str, Any] = {}
    if "visibility" in call.json:
        changes["private"] = _private(call.json["visibility"])
    if "gated" in call.json:
        if call.json["gated"] not in ("auto", "manual", False):
            raise bad_request("Invalid 'gated': expected 'auto', 'manual' or false")
        changes["gated"] = call.json["gated"]
    repo.change_settings(lambda settings: settings.update(changes))
    return changes


ROUTES: list[Route] = [
    route("POST", "/api/repos/create", create),
    route("DELETE", "/api/repos/delete", delete),
    route("POST", "/api/repos/move", move),
    route("POST", "/api/{kind}/{namespace}/{name}/duplicate", duplicate),
    route("PUT", "/api/{kind}/{namespace}/{name}/settings", update_settings),
    route("GET", "/api/{kind}/{namespace}/{name}/auth-check", lambda call: {"id": call.repo().id}),
]
