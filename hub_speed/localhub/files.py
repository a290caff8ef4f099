"""Reading: folder listings, path lookups, and downloads with ranges."""

import mimetypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from hub_speed.localhub import trees
from hub_speed.localhub.errors import HttpRefusal, entry_not_found
from hub_speed.localhub.git import CommitInfo
from hub_speed.localhub.store import Repo, iso
from hub_speed.localhub.trees import Entry
from hub_speed.localhub.web import PIECE, Call, route, routes_of_repos

RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
# Anything that a browser could run is shown as text; the sandbox below is a second safeguard.
SHOWN_AS_IS = ("image/", "audio/", "video/", "application/pdf")
SANDBOX = "default-src 'none'; img-src 'self'; media-src 'self'; sandbox"
TEXT = ("text/", "application/json", "application/xml", "application/yaml", "application/javascript")


def as_json(entry: Entry, last: CommitInfo | None = None) -> dict[str, Any]:
    """An entry as the tree and paths-info routes give it."""
    if entry.is_dir:
        item: dict[str, Any] = {"type": "directory", "oid": entry.oid, "size": 0, "path": entry.path}
    else:
        item = {"type": "file", "oid": entry.oid, "size": entry.size, "path": entry.path}
    if entry.lfs:
        item["lfs"] = {"oid": entry.lfs.sha256, "size": entry.lfs.size, "pointerSize": entry.lfs.pointer_size}
    if last:
        item["lastCommit"] = {"id": last.oid, "title": last.title, "date": iso(last.time)}
    return item


def _listed(repo: Repo, commit: str, entries: list[Entry], expand: bool) -> list[dict[str, Any]]:
    last = trees.last_commits(repo.git, commit, [entry.path for entry in entries]) if expand else {}
    return [as_json(entry, last.get(entry.path)) for entry in entries]


def tree(call: Call) -> list[dict[str, Any]]:
    """GET tree: the content of a folder, in one answer."""
    repo = call.repo()
    commit = repo.git.resolve(call.params["rev"])
    path = call.params.get("path", "").strip("/")
    folder = trees.find(repo.git, commit, path)
    if folder is None or not folder.is_dir:
        raise entry_not_found(path, commit)
    prefix = f"{path}/" if path else ""
    entries = list(trees.walk(repo.git, folder.oid, prefix, recursive=call.flag("recursive")))
    return _listed(repo, commit, entries, call.flag("expand"))


def paths_info(call: Call) -> list[dict[str, Any]]:
    """POST paths-info: the entries among the given paths that exist."""
    repo = call.repo()
    commit = repo.git.resolve(call.params["rev"])
    form = call.form()
    paths = dict.fromkeys(path.strip("/") for path in form.get("paths", []))
    entries = [entry for path in paths if path and (entry := trees.find(repo.git, commit, path))]
    return _listed(repo, commit, entries, form.get("expand", [""])[-1].lower() in ("1", "true"))


def _file(call: Call) -> tuple[Repo, str, Entry]:
    """(repo, commit, entry) of the file that the path names."""
    repo, path = call.repo(), call.params["path"]
    commit = repo.git.resolve(call.params["rev"])
    entry = trees.find(repo.git, commit, path)
    if entry is None or entry.is_dir:
        raise entry_not_found(path, commit)
    return repo, commit, entry


def raw(call: Call) -> Response:
    """GET raw: a file as git has it, so of a large file its pointer."""
    repo, commit, entry = _file(call)
    headers = {"X-Repo-Commit": commit, "ETag": f'"{entry.oid}"', "Cache-Control": "no-cache"}
    headers |= {"Content-Security-Policy": SANDBOX, "Content-Type": "text/plain; charset=utf-8"}
    if _is_known(call, headers["ETag"]):
        return Response(None, 304, headers)
    return Response(repo.git.read_blob(entry.oid), headers=headers)


def resolve(call: Call) -> Response:
    """GET or HEAD resolve: a file at a revision."""
    repo, commit, entry = _file(call)
    path = entry.path
    headers = {
        "X-Repo-Commit": commit,
        "ETag": f'"{entry.etag}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-cache",
        "Content-Security-Policy": SANDBOX,
        "Content-Disposition": _disposition(path, download=call.flag("download")),
        "Content-Type": _content_type(path),
    }
    if entry.lfs:
        headers |= {"X-Linked-Etag": f'"{entry.lfs.sha256}"', "X-Linked-Size": str(entry.lfs.size)}
    if _is_known(call, headers["ETag"]):
        return Response(None, 304, headers)
    if entry.lfs and call.hub.large_files.size(entry.lfs.sha256) is None:
        raise entry_not_found(f"{path} (its content was deleted for good)", commit)
    start, end, partial = _range(call.request.headers.get("range"), entry.size)
    headers["Content-Length"] = str(end - start)
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{entry.size}"
    status = 206 if partial else 200
    if call.request.method == "HEAD":
        return Response(None, status, headers)
    if entry.lfs:
        pieces = _read(call.hub.large_files.path(entry.lfs.sha256), start, end)
        return StreamingResponse(pieces, status, headers)
    return Response(repo.git.read_blob(entry.oid)[start:end], status, headers)


def _is_known(call: Call, etag: str) -> bool:
    """Whether the client says that it has this content already (`If-None-Match`)."""
    known = call.request.headers.get("if-none-match", "")
    return known.strip() == "*" or etag in [item.strip().removeprefix("W/") for item in known.split(",")]


def _range(header: str | None, size: int) -> tuple[int, int, bool]:
    """(first byte, end, whether it is only a part of the file). Anything but one plain range means the whole file.

    Raises:
        HttpRefusal: 416 when the range starts after the end; clients stop reading there.
    """
    match = RANGE.fullmatch(header.strip()) if header else None
    if not match or match.groups() == ("", ""):
        return 0, size, False
    first, last = match.groups()
    if first:
        start, end = _bytes(first), min(_bytes(last) + 1, size) if last else size
        if last and _bytes(last) < start:
            return 0, size, False
    else:  # "-500": the last 500 bytes
        start, end = max(size - _bytes(last), 0), size
    if start >= size:
        raise HttpRefusal(416, f"Range starts at {start} of {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return start, end, True


def _bytes(digits: str) -> int:
    """A number of bytes; of one with thousands of digits, which Python would not read, the first 19 are enough."""
    return int(digits.lstrip("0")[:19] or "0")


def _read(path: Path, start: int, end: int) -> Iterator[bytes]:
    with open(path, "rb") as file:
        file.seek(start)
        while start < end:
            piece = file.read(min(PIECE, end - start))
            if not piece:
                raise OSError(f"{path}: shorter than the commit says")
            yield piece
            start += len(piece)


def _content_type(path: str) -> str:
    guess = mimetypes.guess_type(path)[0] or ("text/plain" if "." not in path.rpartition("/")[2] else "")
    if guess.startswith(SHOWN_AS_IS):
        return guess
    if guess.startswith(TEXT) or path.endswith((".md", ".jsonl", ".yaml", ".yml", ".toml", ".cfg", ".gitattributes")):
        return "text/plain; charset=utf-8"
    return "application/octet-stream"


def _disposition(path: str, *, download: bool) -> str:
    name = quote(path.rpartition("/")[2], safe="")
    return f"{'attachment' if download else 'inline'}; filename*=UTF-8''{name}"


ROUTES: list[Route] = [
    route("GET", "/api/{kind}/{namespace}/{name}/tree/{rev}", tree),
    route("GET", "/api/{kind}/{namespace}/{name}/tree/{rev}/{path:path}", tree),
    route("POST", "/api/{kind}/{namespace}/{name}/paths-info/{rev}", paths_info, anonymous=True),
    *routes_of_repos("GET", "{name}/resolve/{rev}/{path:path}", resolve),
    *routes_of_repos("GET", "{name}/raw/{rev}/{path:path}", raw),
]
