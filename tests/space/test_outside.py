"""Visitors' endpoints: only public addresses are connected to, whatever a name resolves to; keys stay unseen."""

import asyncio

import aiohttp
import outside
import pytest
from fake_openai import FakeOpenAI

from hub_speed.errors import HubSpeedError

INSIDE = """127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255
240.0.0.1 ::1 :: fe80::1 fe80::1%eth0 fc00::1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::a00:1
2002:7f00:1:: 2001:db8::1 64:ff9b:1::1 2001:0:4136:e378:8000:63bf:3fff:fdd2""".split()
PUBLIC = "1.1.1.1 93.184.216.34 2606:4700:4700::1111 64:ff9b::101:101 ::ffff:1.1.1.1".split()


def test_addresses_inside_networks_are_known_in_every_disguise() -> None:
    assert [ip for ip in INSIDE if outside.is_public(ip)] == []
    assert [ip for ip in PUBLIC if not outside.is_public(ip)] == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"])
def test_nothing_inside_is_connected_to(server: FakeOpenAI, host: str) -> None:
    port = server.url.rpartition(":")[2]

    async def get() -> None:
        async with aiohttp.ClientSession(connector=outside.connector()) as session:
            await session.get(f"http://{host}:{port}/v1/models")

    with pytest.raises(aiohttp.ClientError):
        asyncio.run(get())
    assert not server.probes


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "ftp://a.b",
        "https://u:p@a.b/v1",
        "https://",
        "https://a.b/#x",
        "https://[::1",
        "x" * 400,
    ],
)
def test_what_is_no_address_is_said_without_the_key(url: str) -> None:
    with pytest.raises(HubSpeedError, match="endpoint's address") as problem:
        outside.address(url, "m", "sk-a-secret-key", anywhere=False)
    assert "secret" not in str(problem.value)


def test_the_owner_of_a_machine_may_use_what_is_on_it() -> None:
    found = outside.address(" http://127.0.0.1:8000 ", " m ", "sk-a-secret-key", anywhere=True)
    assert (found.urls, found.model) == (("http://127.0.0.1:8000",), "m")
    assert "secret" not in repr(found)
