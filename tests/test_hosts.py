"""Which hosts are this machine."""

import pytest

from hub_speed.hosts import is_here, is_http


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("hub.localhost", True),
        ("127.0.0.1", True),
        ("127.8.0.3", True),
        ("::1", True),
        ("0.0.0.0", True),
        ("127.example.com", False),
        ("localhost.example.com", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_hosts_of_this_machine(host: str, here: bool) -> None:
    assert is_here(host) is here


def test_what_speaks_http() -> None:
    assert is_http("proxy:3128") and is_http("HTTPS://p") and not is_http("socks5://p") and not is_http("quic://p")
