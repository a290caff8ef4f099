"""Who may do what: one token for the person whose machine this is, tokens for one organisation, signed upload links.

Anyone on this machine may read public repos; writing, and seeing private repos, needs the token. A text of at least 20
characters in the file hub/tokens/ORG is a token, too, but for the repos and collections of ORG only.
"""

import base64
import contextlib
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hub_speed.localhub.disk import Scratch, locked
from hub_speed.localhub.errors import HttpRefusal

USER = "local"
LINK_LIFETIME_S = 6 * 3600
TOKEN_MIN = 20  # characters. Assumption: a shorter one was not drawn at random
HOSTS = frozenset({"127.0.0.1", "localhost"})


def load_token(store: Path, scratch: Scratch) -> str:
    """The token of the store, drawn at random when it is first used; the file is readable by its owner only."""
    path = store / "token"
    with locked(store / "lock"):  # two servers may start at once
        if not path.exists():
            scratch.write(path, f"local_{secrets.token_hex(24)}".encode())
        return path.read_text()


def check_sender(method: str, headers: Mapping[str, str]) -> None:
    """Refuse what a web page of another site makes a browser send; only following a link to the Hub is allowed.

    Browsers name the site in `Origin` and `Sec-Fetch-Site`, and a page cannot change these. Another host name in `Host`
    is a page whose own name was made to point at this machine (DNS rebinding).

    Raises:
        HttpRefusal: 403.
    """
    host, origin, site = headers.get("host"), headers.get("origin"), headers.get("sec-fetch-site", "none")
    if (host or "").rpartition(":")[0] not in HOSTS and host not in HOSTS:
        raise HttpRefusal(403, f"local hub: expected Host 127.0.0.1 or localhost, got {host!r}")
    link = method in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
    if origin not in (None, f"http://{host}") or (site not in ("none", "same-origin") and not link):
        raise HttpRefusal(403, f"local hub: web pages of other sites may not call it (Origin {origin!r}, {site})")


class Caller(NamedTuple):
    """Who calls: `user` is `local`, None for anonymous. `only` is the namespace that the token is for, None for all."""

    user: str | None
    only: str | None = None

    def may(self, namespace: str) -> bool:
        """Whether the caller may see and change everything in a namespace."""
        return self.user is not None and (self.only is None or self.only.lower() == namespace.lower())


def caller_of(authorization: str | None, store: Path, token: str) -> Caller:
    """The caller who sent this header to a store with this token.

    Raises:
        HttpRefusal: 401 when a token is sent and it is not ours.
    """
    if not authorization:
        return Caller(None)
    scheme, _, sent = authorization.partition(" ")
    if scheme.lower() == "basic":  # git sends name and password; the token is the password
        with contextlib.suppress(ValueError):
            sent = base64.b64decode(sent, validate=True).decode("utf-8", "replace").partition(":")[2]
    if scheme.lower() in ("bearer", "basic"):
        if hmac.compare_digest(sent.strip().encode(), token.encode()):
            return Caller(USER)
        if (namespace := _namespace_of(sent.strip(), store / "tokens")) is not None:
            return Caller(USER, namespace)
    error = HttpRefusal(401, "Invalid credentials in Authorization header")  # huggingface_hub compares this text
    error.body["error"] = (
        "Invalid credentials: the local hub has its own token, in $HF_HOME/token. "
        "Is HF_TOKEN set to a token of another hub? Unset it, or use the variables of `hub-speed hub env`."
    )
    raise error


def _namespace_of(sent: str, folder: Path) -> str | None:
    """The namespace that a token is for, from the files in hub/tokens; None when it is in none of them."""
    for path in folder.iterdir() if folder.is_dir() else []:
        token = path.read_text("utf-8", "replace").strip()
        if len(token) >= TOKEN_MIN and hmac.compare_digest(sent.encode(), token.encode()):
            return path.name
    return None


def sign(token: str, sha256: str, size: int) -> str:
    """The query string that lets its holder upload this one object for a while, without the token."""
    expires = int(time.time()) + LINK_LIFETIME_S
    return f"size={size}&expires={expires}&signature={_signature(token, sha256, size, expires)}"


def check_signature(token: str, sha256: str, query: dict[str, str]) -> int:
    """The size in bytes that a signed link allows.

    Raises:
        HttpRefusal: 403 when the link is not ours, was changed, or is too old.
    """
    try:
        size, expires = int(query["size"]), int(query["expires"])
    except (KeyError, ValueError):
        raise HttpRefusal(403, "Upload link without a valid signature") from None
    expected = _signature(token, sha256, size, expires)
    if not hmac.compare_digest(query.get("signature", "").encode(), expected.encode()) or expires < time.time():
        raise HttpRefusal(403, "Upload link without a valid signature, or too old")
    return size


def _signature(token: str, sha256: str, size: int, expires: int) -> str:
    return hmac.new(token.encode(), f"{sha256} {size} {expires}".encode(), hashlib.sha256).hexdigest()
