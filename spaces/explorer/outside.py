"""Visitors' own endpoints: https, and public addresses only.

What a name resolves to is looked at when the connection is made, and it is that very address which is connected to: a
name that changes its address between two looks gains nothing. Redirects are not followed.
"""

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from hub_speed.errors import HubSpeedError
from hub_speed.llm.address import Address, sendable_key

MAX_URL_CHARS, MAX_KEY_CHARS, MAX_NAME_CHARS = 300, 300, 100  # Assumption: twice what providers use
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last four bytes are an IPv4 address
_NAT64_INSIDE = ipaddress.ip_network("64:ff9b:1::/48")  # RFC 8215: for use within a network


class NotPublic(OSError):
    """The address of a visitor's endpoint lies inside a network."""


def is_public(address: str) -> bool:
    """Whether an IP address, and an IPv4 address it may stand for, can be reached from anywhere."""
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip.teredo or ip in _NAT64_INSIDE:
            return False
        else:
            ip = ip.ipv4_mapped or ip.sixtofour or ip
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _public_socket(info: Any) -> socket.socket:
    """The socket for an address that is about to be connected to.

    Raises:
        NotPublic: the address is not public.
    """
    family, kind, protocol, _, (ip, *_) = info
    if not is_public(ip):
        raise NotPublic("the address is not a public one")
    return socket.socket(family, kind, protocol)


def connector() -> aiohttp.TCPConnector:
    """Connections to public addresses alone."""
    return aiohttp.TCPConnector(socket_factory=_public_socket, use_dns_cache=False)


def address(url: str, model: str, key: str, *, anywhere: bool) -> Address:
    """The address of a visitor's endpoint; the key is in no message and in no log.

    Args:
        url: where the server is.
        model: what it calls the model; empty: the first it lists.
        key: its key, or empty.
        anywhere: whether http and addresses of this network are fine too: the visitor is the owner of this machine.

    Raises:
        HubSpeedError: it is not such an address.
    """
    wanted = "an address such as https://api.example.com/v1, without user, password or #"
    if not _fits(url.strip(), ("http", "https") if anywhere else ("https",)):
        raise HubSpeedError("Your endpoint's address cannot be used", expected=wanted, fix="check the address")
    if len(model) > MAX_NAME_CHARS or len(key) > MAX_KEY_CHARS:
        raise HubSpeedError("The model's name or the key is too long", fix="copy them again")
    key = sendable_key(key, "your field") if key else ""
    return Address("endpoint", model.strip(), (url.strip(),), key=key or None)


def _fits(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        plain = not (parts.username or parts.password or parts.fragment) and parts.port != 0
    except ValueError:  # no number where the port stands, or half a bracket
        return False
    return plain and bool(parts.hostname) and parts.scheme in schemes and len(url) <= MAX_URL_CHARS
