"""The way to a server, through proxies and with long headers, and what is read out of its headers and bodies."""

import asyncio
import email.utils
import math
from collections.abc import Iterator

import pytest
from fake_openai import FakeOpenAI, Reply, text
from hypothesis import given
from hypothesis import strategies as st

from hub_speed.errors import EndpointDown
from hub_speed.llm import transport
from hub_speed.llm.address import Address
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.llm.endpoint import Endpoint


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    with FakeOpenAI(lambda asked: "fine") as running:
        yield running


def ask(url: str, key: str | None = None) -> Completion:
    """An answer, after a look at the models."""

    async def run() -> Completion:
        async with Endpoint(Address("teacher", "m", (url,), key=key), in_flight=1, timeout_s=5, retries=0) as opened:
            await opened.probe()
            return await opened.complete(Request("p", Sampling(1.0, 0.9, 10)))

    return asyncio.run(run())


# --- proxies ----------------------------------------------------------------------------------------------------------


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
    with pytest.raises(EndpointDown, match=r"nobody answers at http://a.model.invalid/v1"):
        ask("http://a.model.invalid")
    assert server.probes == []


def test_a_proxy_of_another_kind_is_told(server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:s3cret@127.0.0.1:9")
    with pytest.raises(EndpointDown, match=r"the proxy for model.example does not speak HTTP") as caught:
        ask("http://model.example")
    assert "s3cret" not in str(caught.value)


# --- headers ----------------------------------------------------------------------------------------------------------


def test_a_long_header_is_read(server: FakeOpenAI) -> None:
    def with_header(reply: Reply) -> Reply:
        return Reply(reply.body, reply.status, (*reply.headers, ("Content-Security-Policy", "x" * 9000)))

    server.models = with_header(server.models)
    server.answer = lambda asked: with_header(text(asked, "fine"))
    assert ask(server.url).texts == ("fine",)


def test_somebody_who_answers_in_another_way_is_not_nobody(server: FakeOpenAI) -> None:
    server.models = Reply(headers=(("X", "x" * (transport.MAX_HEADER_BYTES + 1)),))
    with pytest.raises(EndpointDown, match="does not speak HTTP as it should"):
        ask(server.url)


# --- what is read out of headers and bodies ---------------------------------------------------------------------------


@given(st.one_of(st.text(), st.datetimes().map(email.utils.format_datetime), st.floats().map(str)))
def test_any_retry_after_gives_a_wait_or_none(value: str) -> None:
    found = transport.retry_after({"Retry-After": value})
    assert found is None or (found >= 0 and not math.isnan(found))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "no such model", "code": 404}}', "no such model"),
        (b'{"error": "model is loading"}', "model is loading"),
        (b'{"message": "no"}', "no"),
        (b'{"detail": [{"loc": ["body"], "msg": "field required"}]}', "field required"),
        (b"<html>\n<h1>Forbidden</h1>\n</html>", "<html> <h1>Forbidden</h1> </html>"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
        (b"null", "None"),
        (b'"just words"', "just words"),
    ],
)
def test_an_error_message_is_found_wherever_it_stands(body: bytes, message: str) -> None:
    assert message in transport.message(body)


@given(st.binary())
def test_any_error_body_gives_one_line(body: bytes) -> None:
    assert len(transport.message(body).splitlines()) <= 1
