"""Routes for the large files of git-lfs (transfer "basic"): uploads through signed links, downloads from /resolve/."""

from typing import Any
from urllib.parse import quote

from starlette.routing import Route

from hub_speed.localhub import auth, trees
from hub_speed.localhub.errors import HttpRefusal, bad_request
from hub_speed.localhub.git import HEADS, TAGS
from hub_speed.localhub.store import Repo
from hub_speed.localhub.web import Call, log, route, routes_of_repos

# huggingface_hub refuses to download more than this without Xet, so a larger file could never be read back.
MAX_SIZE = 50_000_000_000


def batch(call: Call) -> dict[str, Any]:
    """POST objects/batch: says which objects have to be uploaded or can be downloaded, and where."""
    repo, objects = call.repo(for_git=True), call.list_of_dicts("objects")
    for item in objects:
        if not isinstance(item.get("oid"), str) or not isinstance(item.get("size"), int) or item["size"] < 0:
            raise bad_request("Invalid object in batch: expected {oid: sha256, size: bytes}")
    if call.json.get("operation") == "download":
        places = _places(repo, {item["oid"] for item in objects})
        return {"transfer": "basic", "objects": [_download_action(call, item, places) for item in objects]}
    call.require_namespace(repo.namespace)
    return {"transfer": "basic", "objects": [_upload_action(call, item) for item in objects]}


def _places(repo: Repo, wanted: set[str]) -> dict[str, str]:
    """sha256 → commit and path of a file of this repo with that content, in the newest commit that has one."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for head in [*repo.git.refs(HEADS).values(), *repo.git.refs(TAGS).values()]:
        for commit in repo.git.log(head):
            if commit.tree in seen or wanted <= found.keys():
                continue
            seen.add(commit.tree)
            for entry in trees.walk(repo.git, commit.tree):
                if entry.lfs and entry.lfs.sha256 in wanted:
                    found.setdefault(entry.lfs.sha256, f"{commit.oid}/{quote(entry.path)}")
    return found


def _download_action(call: Call, item: dict[str, Any], places: dict[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = {"oid": item["oid"], "size": item["size"]}
    if item["oid"] not in places:
        return {**answer, "error": {"code": 404, "message": "No file of this repo has this content"}}
    action: dict[str, Any] = {"href": f"{call.endpoint}{call.repo().url_path}/resolve/{places[item['oid']]}"}
    if authorization := call.request.headers.get("authorization"):
        action["header"] = {"Authorization": authorization}
    return {**answer, "actions": {"download": action}}


def _upload_action(call: Call, item: dict[str, Any]) -> dict[str, Any]:
    sha256, size = item["oid"], item["size"]
    answer: dict[str, Any] = {"oid": sha256, "size": size}
    if size > MAX_SIZE:
        message = f"{size} bytes; the local hub takes files of up to {MAX_SIZE}: split it"
        return {**answer, "error": {"code": 422, "message": message}}
    if call.hub.large_files.keep(sha256) == size:
        return answer  # no actions: it is there already
    href = f"{call.endpoint}/_lfs/{sha256}?{auth.sign(call.hub.token, sha256, size)}"
    return {**answer, "actions": {"upload": {"href": href}}}


def upload(call: Call) -> dict[str, Any]:
    """PUT an object. The client sends no token here, the link is signed instead."""
    sha256 = call.params["sha256"]
    size = auth.check_signature(call.hub.token, sha256, call.query)
    call.hub.large_files.receive(sha256, size, call.pieces(limit=size))
    return {}


def no_xet(call: Call) -> None:
    """Refuse the Xet upload protocol; the client shows nothing of our answer, so the log has to say it.

    Raises:
        HttpRefusal: 404.
    """
    message = "A client tried to upload with Xet, which the local hub does not have: set HF_HUB_DISABLE_XET=1 for it"
    log.warning(message)
    raise HttpRefusal(404, message)


ROUTES: list[Route] = [
    route("GET", "/api/{kind}/{namespace}/{name}/xet-write-token/{rev}", no_xet),
    route("PUT", "/_lfs/{sha256}", upload, anonymous=True, streams=True),
    *routes_of_repos("POST", "{name}.git/info/lfs/objects/batch", batch, anonymous=True),
]
