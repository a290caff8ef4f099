"""What the embedded Hub answers when it cannot do what was asked.

HttpRefusal             any refusal: HTTP status, message, and the code that huggingface_hub maps to its own exception
├── repo_not_found      404 RepoNotFound
├── revision_not_found  404 RevisionNotFound
├── entry_not_found     404 EntryNotFound
├── bad_request         400
├── bad_path            422
├── conflict            409
├── not_here            501
└── disk_full           507

Moved                   the repo has another name: the client is sent there (307)
"""

import errno
import re


class HttpRefusal(Exception):
    """A request that is refused: the client gets `message` as JSON and in a header.

    Args:
        status: HTTP status code.
        message: One sentence for a person; huggingface_hub shows it in the exception text.
        code: Value of `X-Error-Code`; clients pick their exception class by it.
        headers: Further response headers.

    Attributes:
        body: The JSON answer; `{"error": message}` unless a field is added.
    """

    def __init__(self, status: int, message: str, *, code: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.body: dict[str, object] = {"error": message}
        # A header is one line of printable ASCII, and names that clients sent may be in the message.
        line = re.sub(r"[^\x21-\x7e]+", " ", message).strip()[:500]
        self.headers = {"X-Error-Message": line, **({"X-Error-Code": code} if code else {}), **(headers or {})}


class Moved(Exception):
    """The repo that was asked for has another name, `repo_id`: it was moved, or it is spelled in other letters."""

    def __init__(self, repo_id: str):
        super().__init__(repo_id)
        self.repo_id = repo_id


def bad_request(message: str) -> HttpRefusal:
    """400: the request itself is wrong."""
    return HttpRefusal(400, message)


def bad_path(message: str) -> HttpRefusal:
    """422: no file may have this path."""
    return HttpRefusal(422, message)


def not_here(message: str) -> HttpRefusal:
    """501: the Hub can do this, the local hub cannot."""
    return HttpRefusal(501, message)


def conflict(message: str) -> HttpRefusal:
    """409: it is there already. Callers add to `body` what an `exist_ok=True` client reads from the answer."""
    return HttpRefusal(409, message)


def repo_not_found(repo_id: str) -> HttpRefusal:
    """404 for a repo that is missing, or private and the caller sent no token: the two must look the same."""
    return HttpRefusal(404, f"Repository not found: {repo_id}", code="RepoNotFound")


def revision_not_found(revision: str) -> HttpRefusal:
    """404 for a branch, tag or commit that is not in the repo."""
    return HttpRefusal(404, f"Invalid rev id: {revision}", code="RevisionNotFound")


def entry_not_found(path: str, commit: str | None = None) -> HttpRefusal:
    """404 for a file or folder. With `commit`, clients remember that this commit has no such file."""
    headers = {"X-Repo-Commit": commit} if commit else {}
    return HttpRefusal(404, f"Entry not found: {path}", code="EntryNotFound", headers=headers)


def disk_full(error: OSError) -> HttpRefusal | None:
    """507 when the operating system had no room for a write; None for any other OSError."""
    # EFBIG: the file-size limit of the process (ulimit -f), which is one more way of having no room.
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return None
    return HttpRefusal(507, f"local hub: no room left to write ({error.strerror}). Free space, then repeat.")
