"""Hosts on this machine, and the proxies that the environment names: for models and for the Hub."""

import ipaddress
import os
from urllib.request import getproxies_environment


def is_here(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def proxy_of(scheme: str) -> tuple[str, str]:
    """The variable that names a proxy for addresses of a scheme, and its value; both are empty where there is none."""
    named = getproxies_environment()
    for name in (scheme, "all"):
        if value := named.get(name):
            variables = sorted(os.environ, reverse=True)  # small letters first, as they count
            return next(each for each in variables if each.lower() == f"{name}_proxy" and os.environ[each]), value
    return "", ""


def is_http(proxy: str) -> bool:
    """Whether a proxy speaks HTTP, as its address says; one without a scheme does."""
    return "://" not in proxy or proxy.lower().startswith(("http://", "https://"))
