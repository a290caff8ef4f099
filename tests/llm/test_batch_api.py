"""The client of the Batch API against a real socket: what it reads and refuses."""

import asyncio
import json
import types
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from aiohttp import web
from fake_batches import FakeBatches, answered

from hub_speed.errors import EndpointDown, EndpointRefused
from hub_speed.llm import batch_api
from hub_speed.llm.address import Address
from hub_speed.llm.batch_api import Batches

KEY = "sk-0123456789abcdef"
T = TypeVar("T")


pytestmark = pytest.mark.usefixtures("short_waits")


@pytest.fixture
def provider() -> Iterator[FakeBatches]:
    with FakeBatches(lambda nth, requests: []) as running:
        yield running


def ask(url: str, call: Callable[[Batches], Awaitable[T]], key: str | None = KEY) -> T:
    async def asked() -> T:
        async with Batches(Address("teacher", "m", (url,), key=key), "seed-abc") as batches:
            return await call(batches)

    return asyncio.run(asked())


async def content(batches: Batches) -> bytes:
    with await batches.content("file-0") as lines:
        return lines.read()


async def submit(batches: Batches) -> object:
    return await batches.submit([b"{}"], lambda file, name: None)


async def mine(batches: Batches) -> object:
    return await batches.mine({})


CALLS = {"/v1/files": submit, "/v1/batches": mine, "/v1/files/file-0/content": content}
"""The path of a call and what makes it."""


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds the client meant to wait; it does not really wait."""
    wanted: list[float] = []

    async def sleep(seconds: float) -> None:
        wanted.append(seconds)

    monkeypatch.setattr(batch_api, "asyncio", types.SimpleNamespace(sleep=sleep))
    return wanted


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answers(status: int, body: str = "", **headers: str) -> Answer:
    """An answer; header names are written with underscores."""

    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(text=body, status=status, headers=named)

    return answer


async def broken(request: web.Request) -> web.StreamResponse:
    """The connection is dropped in the middle of the answer."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"a part")
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.mark.parametrize("key", [KEY, None])
def test_nothing_of_the_environment_is_sent_and_no_key_where_there_is_none(
    provider: FakeBatches, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{name}", f"s3cret-{name}")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: s3cret\nAuthorization: Bearer s3cret")
    provider.files["file-0"] = b"x"
    for call in (submit, mine, content):
        ask(provider.url, call, key)
    assert len(provider.headers) == 4  # a file, a batch, a listing, a download
    for headers in provider.headers:
        assert headers.get("Authorization") == (f"Bearer {key}" if key else None)
        assert "s3cret" not in str(headers) and "X-Team" not in headers and "none" not in headers.values()


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("status", [408, 409, 424, 425, 429, 499, 500, 503, 529])
def test_a_call_is_made_again(provider: FakeBatches, path: str, status: int) -> None:
    provider.files["file-0"] = b"x"
    provider.odd = (2, path, answers(status))
    ask(provider.url, CALLS[path])
    assert provider.odd is None


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize(("said", "low", "high"), [("300", 300, 300), ("5000", 900, 900), ("0", 0.001, 0.002)])
def test_a_provider_is_waited_for_as_long_as_it_asks(
    provider: FakeBatches, waits: list[float], path: str, said: str, low: float, high: float
) -> None:
    provider.files["file-0"] = b"x"
    provider.odd = (1, path, answers(429, Retry_After=said))
    ask(provider.url, CALLS[path])
    assert len(waits) == 1 and low <= waits[0] <= high


@pytest.mark.parametrize("path", CALLS)
def test_a_web_page_is_told_as_one(provider: FakeBatches, path: str) -> None:
    provider.files["file-0"] = b"x"
    page = answers(200, "<html>\n<h1>Please log in</h1></html>", Content_Type="text/html; charset=utf-8")
    provider.odd = (1, path, page)
    with pytest.raises(EndpointRefused, match=f"{path} cannot be read") as caught:
        ask(provider.url, CALLS[path])
    assert "a web page instead of an answer: <html> <h1>Please log in</h1></html>" in caught.value.got
    assert (caught.value.expected, caught.value.fix) == (
        "an answer of the Batch API",
        "does this server have a Batch API?",
    )


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_told_and_not_followed(provider: FakeBatches, path: str, status: int) -> None:
    with FakeBatches(lambda nth, requests: []) as elsewhere:
        provider.odd = (1, path, answers(status, Location=f"{elsewhere.url}/v1/files"))
        with pytest.raises(EndpointRefused, match=f"{path} answers {status}") as caught:
            ask(provider.url, CALLS[path])
        assert caught.value.fix == "pass the address it redirects to: a key is not carried elsewhere"
        assert not elsewhere.headers


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("body", ["", "[1", "null", '"words"', "[]", "{}"])
def test_what_is_not_an_answer_is_told(provider: FakeBatches, path: str, body: str) -> None:
    if path.endswith("content") or (path, body) == ("/v1/batches", "{}"):
        return  # any file will do, and so will no batches
    provider.odd = (1, path, answers(200, body, Content_Type="application/json"))
    with pytest.raises(EndpointRefused, match=f"{path} cannot be read"):
        ask(provider.url, CALLS[path])


@pytest.mark.parametrize("name", ["10000000000000000000000", '{"a": 1}', "[1]"])
def test_an_id_that_is_no_text_is_told(provider: FakeBatches, name: str) -> None:
    """Such an id can neither be asked for nor noted."""
    provider.odd = (1, "/v1/files", answers(200, f'{{"id": {name}}}', Content_Type="application/json"))
    with pytest.raises(EndpointRefused, match="/v1/files cannot be read"):
        ask(provider.url, submit)


def test_a_line_that_is_no_answer_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_api, "MAX_ANSWER_BYTES", 1_000)
    odd = answered("odd", "x")
    odd["response"]["status_code"] = float("inf")
    lines = [json.dumps(each).encode() for each in (answered("long", "x" * 1_000), odd, answered("good", "y"))]
    found = batch_api.read_answers(Address("teacher", "m", ("http://127.0.0.1:9",)), [b"[1]", *lines])
    assert [answer.custom_id for answer in found] == ["good"]


@pytest.mark.parametrize(
    ("error", "body", "words", "no_money"),
    [
        (None, {"error": {"message": "too long", "type": "invalid_request_error"}}, "too long", False),
        (None, {"error": "too long"}, "too long", False),
        (None, {"message": "too long", "code": 400}, "too long", False),
        (None, "too long", "too long", False),
        (None, ["too long"], "too long", False),
        ("expired", None, "expired", False),
        ({"message": "expired", "code": "batch_expired"}, {"error": {"message": "x"}}, "expired", False),
        (None, {"error": {"message": "top up", "code": "insufficient_quota"}}, "top up", True),
        (None, None, "no answer", False),
        ({}, {}, "no answer", False),
    ],
)
def test_a_refusal_is_told_in_the_words_of_its_line(error: Any, body: Any, words: str, no_money: bool) -> None:
    line = {"custom_id": "a", "error": error, "response": {"status_code": 400, "body": body}}
    found = batch_api.read_answers(Address("teacher", "m", ("http://127.0.0.1:9",)), [json.dumps(line).encode()])
    assert list(found) == [batch_api.BatchAnswer("a", None, 400, words, no_money)]


def test_a_download_that_breaks_off_is_made_again_and_told_at_last(provider: FakeBatches) -> None:
    provider.files["file-0"] = b"the whole file"
    provider.odd = (2, "/v1/files/file-0/content", broken)
    assert ask(provider.url, content) == b"the whole file"
    provider.odd = (batch_api.TRIES, "/v1/files/file-0/content", broken)
    with pytest.raises(EndpointDown, match="/v1/files/file-0/content keeps failing") as caught:
        ask(provider.url, content)
    assert "closed" in caught.value.got and "run the same command again later" in caught.value.fix


def test_an_error_page_is_told_in_its_words(provider: FakeBatches) -> None:
    provider.odd = (1, "/v1/batches", answers(404, "<html>\nNot here</html>", Content_Type="text/html"))
    with pytest.raises(EndpointRefused) as caught:
        ask(provider.url, mine)
    assert caught.value.got == "404 <html> Not here</html>"


def test_a_file_has_a_longest_length(provider: FakeBatches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_api, "MAX_FILE_BYTES", 99)
    provider.files["file-0"] = b"x" * 100
    with pytest.raises(EndpointRefused, match="longer than 99 bytes"):
        ask(provider.url, content)


def test_nobody_there_is_told_without_the_key() -> None:
    with pytest.raises(EndpointDown, match="keeps failing") as caught:
        ask("http://127.0.0.1:9", mine)
    assert KEY not in str(caught.value) and "run the same command again" in caught.value.fix


def test_a_batch_that_is_listed_minutes_after_a_kill_is_found(provider: FakeBatches, waits: list[float]) -> None:
    async def start_and_find(batches: Batches) -> object:
        provider.late = 11
        started = await batches.submit([b"{}"], lambda file, name: None)
        return started.id, await batches.find(started.requests)

    name, found = ask(provider.url, start_and_find)
    assert found is not None and found.id == name
    assert batch_api.TRIES < len(waits) < batch_api.LOOKS
