"""Which proxy a request goes through, and what a proxy is told."""

import asyncio

import pytest
from fake_openai import FakeOpenAI, Reply
from huggingface_hub import close_session

from hub_speed.errors import EndpointDown, HubError
from hub_speed.hub import Hub
from hub_speed.llm.address import Address
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.llm.endpoint import Endpoint


@pytest.fixture
def server(server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> FakeOpenAI:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    server.answer = lambda asked: "fine"
    return server


def ask(url: str, key: str | None = None) -> Completion:
    """An answer, after a look at the models."""

    async def run() -> Completion:
        async with Endpoint(Address("teacher", "m", (url,), key=key), in_flight=1, timeout_s=5, retries=0) as opened:
            await opened.probe()
            return await opened.complete(Request("p", Sampling(1.0, 0.9, 10)))

    return asyncio.run(run())


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_request_goes_through_the_proxy_of_the_environment(
    server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, server.url.replace("http://", "http://user:p%40ss@"))
    assert ask("http://model.example", "sk-0123456789abcdef").texts == ("fine",)
    paths = [asked.path for asked in server.probes + server.asked]
    assert paths == [f"http://model.example/v1/{rest}" for rest in ("models", "chat/completions")]
    assert server.asked[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"
    assert server.asked[0].headers["authorization"] == "Bearer sk-0123456789abcdef"


@pytest.mark.parametrize(
    "proxy", ["http://u:s3cret@[bad", "http://u:s3cret@host:port", "http://u:s3#cret@host:1", "host:99999", "http://"]
)
def test_a_proxy_whose_address_cannot_be_read_is_told_without_its_password(
    server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(EndpointDown, match=r"has an address that cannot be read") as caught:
        ask("http://model.example")
    assert "HTTP_PROXY" in caught.value.fix and "s3" not in str(caught.value)


def test_a_blank_proxy_is_none(server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "  ")
    with pytest.raises(EndpointDown, match=r"no server answers at http://model\.invalid") as caught:
        ask("http://model.invalid")
    assert "model.invalid" in caught.value.got


def test_https_goes_through_a_tunnel_and_what_a_proxy_says_is_told(
    server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", server.url.replace("http://", "http://user:s3cret@"))
    server.answer = lambda asked: Reply(status=407)
    with pytest.raises(EndpointDown, match=r"the proxy for https://model.example/v1 does not let us through") as caught:
        ask("https://model.example", "sk-0123456789abcdef")
    assert "NO_PROXY" in caught.value.fix and "s3cret" not in str(caught.value)
    assert (server.asked[0].method, server.asked[0].path) == ("CONNECT", "model.example:443")
    assert server.asked[0].headers["proxy-authorization"] == "Basic dXNlcjpzM2NyZXQ="
    assert "sk-0123456789abcdef" not in str(server.asked[0].headers)  # what goes to the proxy is not encrypted


@pytest.mark.parametrize("no_proxy", [None, "127.0.0.1"])
def test_no_proxy_is_asked_for_this_machine(
    server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, no_proxy: str | None
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    if no_proxy:
        monkeypatch.setenv("NO_PROXY", no_proxy)
    assert ask(server.url).texts == ("fine",)
    assert ask(server.url.replace("127.0.0.1", "localhost")).texts == ("fine",)


def test_a_host_of_no_proxy_is_asked_directly(server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "other.invalid,.model.invalid")
    with pytest.raises(EndpointDown, match=r"no server answers at http://a.model.invalid/v1"):
        ask("http://a.model.invalid")
    assert server.probes == []


@pytest.mark.parametrize("name", ["ALL_PROXY", "http_proxy", "HTTP_PROXY"])
def test_a_proxy_of_another_kind_is_told(server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    close_session()  # the Hub's client reads the variables once in a process
    monkeypatch.setenv(name, "socks5h://user:s3cret@127.0.0.1:9")
    with pytest.raises(EndpointDown, match=r"the proxy for model.example does not speak HTTP") as caught:
        ask("http://model.example")
    assert f"set {name} to an HTTP proxy" in caught.value.fix and caught.value.got == "socks5h://…"
    assert "s3cret" not in str(caught.value)
    assert ask(server.url).texts == ("fine",)
    with pytest.raises(HubError, match=f"the proxy in {name} does not speak HTTP") as of_hub:
        Hub("https://hub.example").head("dataset", "a/b")
    assert "s3cret" not in str(of_hub.value)
