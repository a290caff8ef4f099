"""`git clone` and `git fetch` over HTTP; read-only, there is no push.

The installed git packs what a client asks for (`git upload-pack`, without the settings of the user or the machine).
Large files come as pointers; git-lfs gets their content through the routes in uploads.py.
"""

import os
import re
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator

from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from hub_speed.localhub.errors import HttpRefusal, bad_request, repo_not_found
from hub_speed.localhub.store import Repo
from hub_speed.localhub.web import BODY_LIMIT, PIECE, Call, routes_of_repos

SERVICE = "git-upload-pack"
# The repos are ours whoever owns their folder (safe.directory), and partial clones are fine.
SETTINGS = ("-c", "safe.directory=*", "-c", "uploadpack.allowFilter=true")


def _for_git(handler: Callable[[Call], Response]) -> Callable[[Call], Response]:
    """A handler whose refusals are plain text, which git shows to its user."""

    def answer(call: Call) -> Response:
        try:
            return handler(call)
        except HttpRefusal as error:
            return PlainTextResponse(error.message + "\n", error.status, error.headers)

    return answer


def advertise(call: Call) -> Response:
    """GET info/refs: the branches and tags, as git asks for them first."""
    if call.query.get("service") != SERVICE:
        raise HttpRefusal(501, "The local hub takes no git push: commit through its API, for example with `hf upload`")
    repo = call.repo(for_git=True)
    done = subprocess.run(
        _command(repo, "--advertise-refs"), env=_environment(call), stdin=subprocess.DEVNULL, capture_output=True
    )
    if done.returncode and not repo.path.exists():  # deleted or moved meanwhile
        raise repo_not_found(repo.id)
    if done.returncode:
        raise HttpRefusal(500, f"local hub: git upload-pack failed: {done.stderr.decode('utf-8', 'replace')[:200]}")
    head = b"" if "version=2" in _protocol(call) else b"001e# service=git-upload-pack\n0000"
    return Response(head + done.stdout, headers=_headers("advertisement"))


def upload_pack(call: Call) -> Response:
    """POST git-upload-pack: the objects that the client has not got yet."""
    repo, body = call.repo(for_git=True), call.body
    if call.request.headers.get("content-encoding") == "gzip":
        unpacker = zlib.decompressobj(wbits=31)
        try:
            body = unpacker.decompress(body, BODY_LIMIT)
        except zlib.error:
            raise bad_request("Invalid request body: expected gzip") from None
        if unpacker.unconsumed_tail:
            raise HttpRefusal(413, f"Request body too large: expected at most {BODY_LIMIT} bytes when unpacked")
    return StreamingResponse(_packed(_command(repo), _environment(call), body), headers=_headers("result"))


def _packed(command: list[str], environment: dict[str, str], request: bytes) -> Iterator[bytes]:
    """What upload-pack answers; the process ends when the client stops reading."""
    with tempfile.TemporaryFile() as stdin:  # not a pipe: it may answer before it has read all
        stdin.write(request)
        stdin.seek(0)
        with subprocess.Popen(
            command, env=environment, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            while piece := process.stdout.read(PIECE):
                yield piece


def _command(repo: Repo, *flags: str) -> list[str]:
    git = shutil.which("git")
    if git is None:
        raise HttpRefusal(501, "git clone needs git on the machine of the local hub: install it, or use `hf download`")
    return [git, *SETTINGS, "upload-pack", "--strict", "--stateless-rpc", *flags, str(repo.path)]


def _environment(call: Call) -> dict[str, str]:
    """No settings of the user or the machine, and the protocol version that the client speaks."""
    nothing = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}
    return {"PATH": os.environ.get("PATH", os.defpath), "GIT_PROTOCOL": _protocol(call), **nothing}


def _protocol(call: Call) -> str:
    sent = call.request.headers.get("git-protocol", "")
    return sent if re.fullmatch(r"version=[0-9]", sent) else ""


def _headers(kind: str) -> dict[str, str]:
    return {"Content-Type": f"application/x-{SERVICE}-{kind}", "Cache-Control": "no-cache"}


ROUTES: list[Route] = [
    found
    for name in ("{name}.git", "{name}")
    for found in (
        *routes_of_repos("GET", f"{name}/info/refs", _for_git(advertise)),
        *routes_of_repos("POST", f"{name}/{SERVICE}", _for_git(upload_pack), anonymous=True),
    )
]
