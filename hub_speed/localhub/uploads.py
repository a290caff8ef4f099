"""Routes that upload large files through signed links (git-lfs, transfer "basic")."""

from typing import Any

from starlette.routing import Route

from hub_speed.localhub import auth
from hub_speed.localhub.errors import HttpRefusal, bad_request
from hub_speed.localhub.web import Call, log, route, routes_of_repos

# huggingface_hub refuses to download more than this without Xet, so a larger file could never be read back.
MAX_SIZE = 50_000_000_000


def batch(call: Call) -> dict[str, Any]:
    """POST objects/batch: says which objects have to be uploaded, and where to."""
    call.repo()
    if call.json.get("operation") != "upload":
        raise bad_request("Only uploads go through git-lfs here; download with /resolve/")
    return {"transfer": "basic", "objects": [_upload_action(call, item) for item in call.list_of_dicts("objects")]}


def _upload_action(call: Call, item: dict[str, Any]) -> dict[str, Any]:
    sha256, size = item.get("oid"), item.get("size")
    if not isinstance(sha256, str) or not isinstance(size, int) or size < 0:
        raise bad_request("Invalid object in batch: expected {oid: sha256, size: bytes}")
    answer: dict[str, Any] = {"oid": sha256, "size": size}
    if size > MAX_SIZE:
        message = f"{size} bytes; the local hub takes files of up to {MAX_SIZE}: split it"
        return {**answer, "error": {"code": 422, "message": message}}
    if call.hub.large_files.size(sha256) == size:
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
    *routes_of_repos("POST", "{name}.git/info/lfs/objects/batch", batch),
]
