"""The proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name for an address, as other programs read them.

aiohttp's own `trust_env` is not used: it would also put what ~/.netrc holds for a host in the place of our key.
A server on this machine is never asked through a proxy, even where NO_PROXY does not name it.
"""

import base64
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass

from hub_speed.errors import EndpointDown
from hub_speed.hosts import is_here, is_http, proxy_of


def proxy_for(url: str) -> str | None:
    """The proxy's own address, with a user and password if it has them; None where there is none.

    Raises:
        EndpointDown: it is not an HTTP proxy, or not an address.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    variable, proxy = proxy_of(parts.scheme)
    proxy = proxy.strip()
    if not proxy or is_here(host) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    if not is_http(proxy):
        raise EndpointDown(
            f"the proxy for {host} does not speak HTTP",
            expected=f"http://… in {variable}",
            got=f"{proxy.partition('://')[0]}://…",
            fix=f"set {variable} to an HTTP proxy (a SOCKS proxy often offers one at another port), or put {host} into"
            " NO_PROXY if it can be reached without",
        )
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not _is_address(proxy):
        raise EndpointDown(  # nothing of it is shown: it may hold a password
            f"the proxy for {host} has an address that cannot be read",
            expected=f"http://HOST:PORT in {variable}, perhaps with USER:PASSWORD@ before the host",
            fix=f"correct {variable}; in a password, # is written as %23, / as %2F and @ as %40",
        )
    return proxy


def _is_address(proxy: str) -> bool:
    """Whether a proxy's address has a host, and a port that is a number if it has one."""
    try:
        parts = urlsplit(proxy)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def request_options(url: str, headers: dict[str, str]) -> dict[str, Any]:
    """The options of a request of aiohttp with these headers, through the proxy for the URL where there is one.

    The headers of a session would also go to the proxy, and our key with them; those of a request do not.

    Raises:
        EndpointDown: see `proxy_for`.
    """
    proxy = proxy_for(url)
    if proxy is None:
        return {"headers": headers}
    parts, login = urlsplit(proxy), dict[str, str]()
    if parts.username:
        who = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login["Proxy-Authorization"] = f"Basic {base64.b64encode(who.encode()).decode()}"
    options: dict[str, Any] = {"proxy": parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()}
    if url.startswith("https:"):
        return options | {"headers": headers, "proxy_headers": login}
    return options | {"headers": headers | login}
