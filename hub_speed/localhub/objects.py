"""Large files: content by sha256, in a folder shared by all repos, uploaded through signed links (git-lfs "basic").

Two repos with the same file keep it once. A file is on disk, complete and checked, before a commit can name it.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from starlette.routing import Route

from hub_speed.localhub import auth
from hub_speed.localhub.disk import Scratch
from hub_speed.localhub.errors import HubError, bad_request
from hub_speed.localhub.web import Call, log, route, routes_of_repos

SHA256 = re.compile(r"[0-9a-f]{64}")
# huggingface_hub refuses to download more than this without Xet, so taking it would be a trap.
MAX_SIZE = 50_000_000_000


class LargeFiles:
    """The large files of a store."""

    def __init__(self, root: Path, scratch: Scratch):
        self.root = root
        self.scratch = scratch

    def path(self, sha256: str) -> Path:
        """Where an object is, or would be.

        Raises:
            HubError: 400 when `sha256` is not 64 lower-case hex digits.
        """
        if not SHA256.fullmatch(sha256):
            raise bad_request("Invalid object id: expected the 64 hex digits of a sha256")
        return self.root / sha256[:2] / sha256[2:4] / sha256

    def size(self, sha256: str) -> int | None:
        """Its length in bytes, None when it is not there."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def receive(self, sha256: str, size: int, pieces: Iterable[bytes]) -> None:
        """Take an object, hashing it on the way.

        Raises:
            HubError: 400 when what comes is not what `sha256` and `size` promise; nothing is kept then.
        """
        digest, received = hashlib.sha256(), 0
        with self.scratch.replacing(self.path(sha256)) as file:
            for piece in pieces:
                digest.update(piece)
                received += len(piece)
                file.write(piece)
            if (digest.hexdigest(), received) != (sha256, size):
                raise bad_request(
                    f"Upload of {sha256[:12]}: expected {size} bytes with this sha256, "
                    f"got {received} bytes with {digest.hexdigest()[:12]}; upload it again"
                )


def batch(call: Call) -> dict[str, Any]:
    """POST objects/batch: says which objects have to be uploaded, and where to."""
    call.repo(write=True)
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
        HubError: 404.
    """
    message = "A client tried to upload with Xet, which the local hub does not have: set HF_HUB_DISABLE_XET=1 for it"
    log.warning(message)
    raise HubError(404, message)


ROUTES: list[Route] = [
    route("GET", "/api/{kind}/{namespace}/{name}/xet-write-token/{rev}", no_xet),
    route("PUT", "/_lfs/{sha256}", upload),
    *routes_of_repos("POST", "{name}.git/info/lfs/objects/batch", batch),
]
