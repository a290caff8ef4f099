"""Writing: which files go to git and which to LFS (preupload), and the commit itself."""

import base64
import contextlib
import io
from collections.abc import Iterator
from functools import partial
from typing import Any

from dulwich.attrs import GitAttributes, Pattern, parse_git_attributes
from dulwich.ignore import IgnoreFilter
from dulwich.objects import Blob
from starlette.routing import Route

from hub_speed.localhub import pulls, trees
from hub_speed.localhub.errors import HttpRefusal, bad_request, revision_not_found
from hub_speed.localhub.git import HEADS, PULLS, GitRepo, commit_info
from hub_speed.localhub.trees import TreeEditor, check_path
from hub_speed.localhub.web import Call, parse_json, route

PREUPLOAD_FILES = 256
GIT_MAX = 10 << 20  # bytes; larger files go to the LFS store, as on the Hub
STARS_MAX = 4  # of a pattern in .gitignore or .gitattributes; those with more match nothing. Assumption
BODY_LIMIT = 4 << 30  # bytes of one commit request; large files are not in it
LINE_LIMIT = 64 << 20  # bytes of one operation: a small file in base64
BATCH = 16 << 20  # bytes of small files held in memory before they are written together


def preupload(call: Call) -> dict[str, Any]:
    """POST preupload: for each file whether it goes through git or LFS, and what is at its path now."""
    repo = call.repo()
    commit = repo.git.resolve(call.params["rev"])
    files = call.list_of_dicts("files")
    if len(files) > PREUPLOAD_FILES:
        raise bad_request(f"preupload: expected at most {PREUPLOAD_FILES} files, got {len(files)}")
    attributes = _attributes(_text(repo.git, commit, ".gitattributes"))
    sent = call.json.get("gitIgnore")
    lines = (sent.encode() if isinstance(sent, str) else _text(repo.git, commit, ".gitignore")).splitlines()
    ignored = IgnoreFilter(line for line in lines if _is_quick(line))
    answer = []
    for item in files:
        path, size = check_path(item.get("path")), item.get("size")
        if not isinstance(size, int) or size < 0:
            raise bad_request(f"preupload: expected 'size' of {path!r} in bytes")
        now = trees.find(repo.git, commit, path)
        answer.append(
            {
                "path": path,
                "uploadMode": "lfs" if _is_large(attributes, path, size, item.get("sample")) else "regular",
                "shouldIgnore": _is_ignored(ignored, path),
                "oid": now.etag if now and not now.is_dir else None,
            }
        )
    return {"files": answer}


def _text(git: GitRepo, commit: str, path: str) -> bytes:
    entry = trees.find(git, commit, path)
    return git.read_blob(entry.oid) if entry and not entry.is_dir and not entry.lfs else b""


def _attributes(text: bytes) -> GitAttributes:
    patterns = []
    for pattern, attributes in parse_git_attributes(io.BytesIO(text)):
        with contextlib.suppress(Exception):  # a malformed pattern matches nothing, as in git
            if _is_quick(pattern):
                patterns.append((Pattern(pattern), attributes))
    return GitAttributes(patterns)


def _is_quick(pattern: bytes) -> bool:
    """Whether a pattern can be matched at once: with eight stars (`a*a*a*…`) it takes 20 s for a name of 60 letters."""
    return pattern.replace(b"**/", b"").replace(b"/**", b"").count(b"*") <= STARS_MAX


def _is_large(attributes: GitAttributes, path: str, size: int, sample: object) -> bool:
    """Whether a file belongs in the LFS store: by .gitattributes, by size, or because it is not text."""
    if size == 0:
        return False
    if size > GIT_MAX or attributes.match_path(path.encode()).get(b"filter") == b"lfs":
        return True
    try:
        return isinstance(sample, str) and b"\0" in base64.b64decode(sample)
    except ValueError:
        raise bad_request(f"preupload: 'sample' of {path!r} is not base64") from None


def _is_ignored(patterns: IgnoreFilter, path: str) -> bool:
    parts = path.split("/")
    folders = ("/".join(parts[:depth]) + "/" for depth in range(1, len(parts)))
    return any(patterns.is_ignored(item) for item in (*folders, path))


def commit(call: Call) -> dict[str, Any]:
    """POST commit: one JSON line per operation, the header first. All of them become one commit, or nothing changes.

    With `create_pr=1` the commit becomes a pull request for the branch, which stays as it is.
    """
    repo, user, opens_pull = call.repo(), call.require_user(), call.flag("create_pr")
    git = repo.git
    branch(git, call.params["rev"], or_pull=not opens_pull)  # fail before the upload, not after it
    lines = _operations(call.pieces(BODY_LIMIT))
    key, header = next(lines, ("", {}))
    if key != "header":
        raise bad_request("commit: expected a header as the first line")
    title, description = (str(header.get(name) or "") for name in ("summary", "description"))
    message = "\n\n".join(filter(None, (title.strip(), description)))
    if not message:
        raise bad_request("commit: expected a non-empty 'summary' in the header")
    # All content is on disk before we take the lock, so that others do not wait for this upload.
    edits = list(_store_content(call, git, lines))
    answer: dict[str, Any] = {"success": True, "hookOutput": ""}
    with repo.lock():
        ref, head = branch(git, call.params["rev"], or_pull=not opens_pull)
        head = _parent(git, head, header.get("parentCommit"), any_commit=opens_pull)
        editor = TreeEditor(git, commit_info(git, head).tree)
        for edit in edits:
            edit(editor)
        oid = git.commit(editor.write(), [head], message)
        if opens_pull:
            number = pulls.open_pull(repo, user, message, description, target=ref, base=head, head=oid)
            answer["pullRequestUrl"] = pulls.url(call, repo, number)
        else:
            if ref.startswith(PULLS):
                pulls.note_commit(repo, user, ref, oid)
            git.set_ref(ref, oid)
    return answer | {"commitOid": oid, "commitUrl": f"{call.endpoint}{repo.url_path}/commit/{oid}"}


def _parent(git: GitRepo, head: str, expected: object, *, any_commit: bool) -> str:
    """The commit that a commit comes after: `head`, which has to be the expected one; a pull request starts anywhere.

    Raises:
        HttpRefusal: 412, or 404 RevisionNotFound for a pull request.
    """
    if expected is None:
        return head
    if any_commit:
        return git.resolve(str(expected))
    if not isinstance(expected, str) or len(expected) < 5 or not head.startswith(expected):
        # Clients match these two sentences.
        stale = "The branch was updated since you opened this page. Please refresh and try again."
        raise HttpRefusal(412, f"{stale} Its head is {head}, not {expected}.")
    return head


def branch(git: GitRepo, revision: str, *, or_pull: bool = False) -> tuple[str, str]:
    """(full name, head commit) of an existing branch, or of a pull request (`refs/pr/1`).

    Raises:
        HttpRefusal: 404 RevisionNotFound, also for a tag or a commit: one cannot commit to these.
    """
    is_full = revision.startswith((HEADS, PULLS) if or_pull else HEADS)
    ref = revision if is_full else HEADS + revision
    head = git.ref(ref)
    if head is None:
        raise revision_not_found(revision)
    return ref, head


def _operations(pieces: Iterator[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(key, value) of each line of the request."""
    for line in _split_lines(pieces):
        try:
            item = parse_json(line)
            key, value = item["key"], item["value"]
        except (HttpRefusal, KeyError, TypeError):
            raise bad_request("commit: expected one JSON object {key, value} per line") from None
        if not isinstance(key, str) or not isinstance(value, dict):
            raise bad_request("commit: expected a string 'key' and an object 'value' in each line")
        yield key, value


def _split_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []  # the pieces of a line that is not complete yet
    for piece in pieces:
        first, *rest = piece.split(b"\n")
        held.append(first)
        if sum(map(len, held)) > LINE_LIMIT:
            raise HttpRefusal(
                413, f"commit: an operation is longer than {LINE_LIMIT} bytes; upload the file through LFS"
            )
        for part in rest:
            if line := b"".join(held).strip():
                yield line
            held = [part]
    if line := b"".join(held).strip():
        yield line


def _store_content(call: Call, git: GitRepo, lines: Iterator[tuple[str, dict[str, Any]]]) -> Iterator[Any]:
    """Write the content that the operations bring, and yield each operation as a function of the editor."""
    batch: list[Blob] = []
    held = 0
    for key, value in lines:
        path = value.get("path")
        path = check_path(path.rstrip("/") if isinstance(path, str) else path)
        if key in ("deletedFile", "deletedFolder"):
            yield partial(TreeEditor.remove, path=path, is_folder=key == "deletedFolder")
            continue
        if key == "file":
            blob = Blob.from_string(_decode(path, value))
        elif key == "lfsFile":
            blob = Blob.from_string(_pointer(call, path, value))
        else:
            raise bad_request(f"commit: unknown operation {key!r}")
        batch.append(blob)
        held += blob.raw_length()
        if held > BATCH:
            git.add(batch)
            batch, held = [], 0
        yield partial(TreeEditor.put, path=path, blob=blob.id.decode())
    git.add(batch)


def _decode(path: str, value: dict[str, Any]) -> bytes:
    content = value.get("content")
    try:
        if isinstance(content, str) and value.get("encoding") == "base64":
            return base64.b64decode(content, validate=True)
    except ValueError:
        pass
    raise bad_request(f"commit: expected the content of {path!r} in base64")


def _pointer(call: Call, path: str, value: dict[str, Any]) -> bytes:
    sha256 = value.get("oid")
    if value.get("algo", "sha256") != "sha256" or not isinstance(sha256, str):
        raise bad_request(f"commit: expected the sha256 of {path!r}")
    size = call.hub.large_files.keep(sha256)
    if size is None or value.get("size") not in (None, size):  # a copy inside the repo comes without size
        raise HttpRefusal(
            400, f"commit: the content of {path!r} ({sha256[:12]}) was not uploaded; upload it, then commit"
        )
    return trees.pointer_text(sha256, size)


def super_squash(call: Call) -> dict[str, Any]:
    """POST super-squash: replace the history of a branch by one commit with the same files."""
    repo = call.repo()
    message = call.text("message")
    with repo.lock():
        ref, head = branch(repo.git, call.params["rev"])
        repo.git.set_ref(ref, repo.git.commit(commit_info(repo.git, head).tree, [], message))
    return {}


ROUTES: list[Route] = [
    route("POST", "/api/{kind}/{namespace}/{name}/preupload/{rev}", preupload),
    route("POST", "/api/{kind}/{namespace}/{name}/commit/{rev}", commit, streams=True),
    route("POST", "/api/{kind}/{namespace}/{name}/super-squash/{rev}", super_squash),
]
