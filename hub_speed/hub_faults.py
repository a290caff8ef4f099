"""What goes wrong at the Hub: which error it is for a user, whether another try is of use, and when."""

import json
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers

from hub_speed.errors import HubError, NotFound, StaleParent
from hub_speed.hosts import is_here

T = TypeVar("T")

WAITS_S = (1, 2, 4, 8, 16)
"""Before another try to publish, where the Hub does not say how long. Assumption: half a minute outlasts a restart."""

LONGEST_WAIT_S = 300
"""The Hub counts requests in windows of five minutes (huggingface.co/docs/hub/rate-limits)."""

PASSING = frozenset((408, 409, 412, 429, 500, 502, 503, 504))
"""Answers that may be others a moment later: busy, restarting, or somebody else wrote in between."""


def unheard(text: str) -> None:
    """Nobody is told."""


def patiently(work: Callable[[], T], note: Callable[[str], None] = unheard) -> T:
    """What `work` returns. It is tried again where the Hub is busy or away, or somebody else wrote in between."""
    for wait in WAITS_S:
        try:
            return work()
        except (HTTPError, OSError, RuntimeError, ValueError) as error:
            cause = _cause(error)
            pause = _pause(cause, wait)
            if pause is None:
                raise
            said = f"answers {cause.response.status_code}" if isinstance(cause, HfHubHTTPError) else "does not answer"
            note(f"the Hub {said}: again in {pause} s")
            time.sleep(pause)
    return work()


def _pause(cause: Exception, wait: int) -> int | None:
    """Seconds to the next try, `wait` or what the Hub asks for; None where a try is of no use."""
    response = cause.response if isinstance(cause, HfHubHTTPError) else None
    if response is None:
        # An answer that is no JSON: the page of a gateway, which the client read without looking at the status.
        passing = isinstance(cause, (HTTPError, ConnectionError, TimeoutError, json.JSONDecodeError))
        return wait if passing else None
    if response.status_code not in PASSING:
        return None
    limit, told = parse_ratelimit_headers(response.headers), response.headers.get("Retry-After", "")
    if told.isdigit():
        wait = int(told)
    elif limit and not limit.remaining:
        wait = limit.reset_in_seconds + 1  # the Hub rounds
    return wait if wait <= LONGEST_WAIT_S else None


ON_PUBLIC_HUB = "for what is on the public Hub, add --hub https://huggingface.co"
"""What a command line is told where the embedded Hub has no such repository."""


def _cause(error: Exception) -> Exception:
    """What the client's exception was raised from, where that says more: uploads fail with a bare RuntimeError."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, (HTTPError, ConnectionError, TimeoutError, HFValidationError)):
        if isinstance(found, OSError) and found.errno is not None:
            break
        found = found.__cause__ or found.__context__
    return found if isinstance(found, Exception) else error


def translated(error: Exception, where: str, hub: str, kept: str) -> Exception:
    """The error with a fix for an exception of the client, or for what it was raised from."""
    cause = _cause(error)
    if isinstance(cause, GatedRepoError):
        return NotFound(
            f"{where}: gated on {hub}, and the token has no access",
            got=_first_line(cause),
            fix="ask for access on the repository's page, and log in with a token that has it (hf auth login)",
        )
    if isinstance(cause, RevisionNotFoundError):
        fix = "check the revision: a tag, a branch or a commit"
        return NotFound(f"{where}: revision not found on {hub}", got=_first_line(cause), fix=fix)
    if isinstance(cause, RepositoryNotFoundError):
        fix = "check the name; a private or gated repository needs a token that may read it (hf auth login)"
        if is_here(urlsplit(hub).hostname or ""):
            fix = f"check the name; a private or gated one needs a token; {ON_PUBLIC_HUB}"
        return NotFound(f"{where}: not found on {hub}", got=_first_line(cause), fix=fix)
    if isinstance(cause, LocalTokenNotFoundError):
        return HubError(f"{where}: no token for {hub}", fix="log in: hf auth login, or set HF_TOKEN")
    if isinstance(cause, HFValidationError):
        return NotFound(f"{where}: not a repository name", got=_first_line(cause))
    if isinstance(cause, HfHubHTTPError):
        status = cause.response.status_code if cause.response is not None else 0
        if status == 412:
            return StaleParent(
                f"{where}: somebody else committed in between",
                got=_first_line(cause),
                fix=f"{kept}run the same command again",
            )
        fixes = {507: f"{kept}free some space on the Hub's disk, and run the same command again"}
        if cause is error:  # else a link to upload to has refused, which is valid for a while only
            fixes |= {401: "log in: hf auth login", 403: "the token may not write here"}
        return HubError(
            f"{where}: {hub} answers {status}",
            got=_first_line(cause),
            fix=fixes.get(status, f"{kept}run the same command again"),
        )
    if isinstance(cause, (HTTPError, ConnectionError, TimeoutError)):  # HTTPError: any of the HTTP library
        return HubError(
            f"{where}: {hub} does not answer",
            got=f"{type(cause).__name__}: {_first_line(cause)}",
            fix=f"{kept}run the same command again when the Hub is back",
        )
    if isinstance(cause, OSError) and cause.errno is not None:  # of this machine: no space left
        return cause
    return HubError(
        f"{where}: {hub} answers what the client cannot read",
        got=f"{type(error).__name__}: {_first_line(error)}",
        fix=f"{kept}run the same command again",
    )


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
