"""What is read out of a server's headers and bodies; more requests over a real socket are in test_endpoint."""

import asyncio
import email.utils
import math
import time

import orjson
import pytest
from fake_openai import Asked, FakeOpenAI, Reply, error, text
from hypothesis import given
from hypothesis import strategies as st

from hub_speed.errors import EndpointDown, EndpointRefused
from hub_speed.llm import transport
from hub_speed.llm.address import Address
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.llm.endpoint import Endpoint


@pytest.fixture
def server(server: FakeOpenAI) -> FakeOpenAI:
    server.answer = lambda asked: "fine"
    return server


def ask(url: str, key: str | None = None) -> Completion:
    """An answer, after a look at the models."""

    async def run() -> Completion:
        async with Endpoint(Address("teacher", "m", (url,), key=key), in_flight=1, timeout_s=5, retries=0) as opened:
            await opened.probe()
            return await opened.complete(Request("p", Sampling(1.0, 0.9, 10)))

    return asyncio.run(run())


# --- headers ----------------------------------------------------------------------------------------------------------


def test_a_long_header_is_read(server: FakeOpenAI) -> None:
    def with_header(reply: Reply) -> Reply:
        return Reply(reply.body, reply.status, (*reply.headers, ("Content-Security-Policy", "x" * 9000)))

    server.models = with_header(server.models)
    server.answer = lambda asked: with_header(text(asked, "fine"))
    assert ask(server.url).texts == ("fine",)


def test_a_balancers_cookie_is_not_kept(server: FakeOpenAI) -> None:
    """It would send all requests to the server that answered first."""
    server.models = Reply(server.models.body, 200, (*server.models.headers, ("Set-Cookie", "server=1; Path=/")))
    sent: list[str | None] = []

    def answer(asked: Asked) -> str:
        sent.append(asked.headers.get("cookie"))
        return "fine"

    server.answer = answer
    assert ask(server.url.replace("127.0.0.1", "localhost")).texts == ("fine",)  # an address of numbers has no cookies
    assert sent == [None]


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
    ("headers", "body", "low", "high"),
    [
        ({"retry-after-ms": "1500"}, b"", 1.5, 1.5),
        ({"Retry-After": "1", "retry-after-ms": "2500"}, b"", 2.5, 2.5),
        ({"Retry-After": "7"}, b"Please try again in 20s.", 7, 7),  # the header is exact
        ({"Retry-After": str(int(time.time()) + 86400)}, b"", 1, 86400),  # a date, as some gateways write it
        ({"Retry-After": "soon"}, b"Please try again in 6.5s. Visit", 6.5, 6.5),
        ({}, b"Please try again in 588ms.", 0.588, 0.588),
        ({}, b"Please try again in 1m26.5s.", 86.5, 86.5),
        ({}, b"Please try again in 1h2m3s", 3723, 3723),
        ({}, b"rate limit. Please retry after 58 seconds. Go to", 58, 58),
        ({}, b'[{"error": {"code": 429, "details": [{"@type": "RetryInfo", "retryDelay": "34s"}]}}]', 34, 34),
    ],
)
def test_a_wait_is_found_wherever_it_stands(headers: dict[str, str], body: bytes, low: float, high: float) -> None:
    found = transport.retry_after(headers, body)
    assert found is not None and low <= found <= high


@pytest.mark.parametrize("body", [b"", b"try again in a while", b"retry after the meeting", b"\xff try again later"])
def test_an_error_that_names_no_wait(body: bytes) -> None:
    assert transport.retry_after({}, body) is None


@given(st.binary())
def test_any_error_body_gives_a_wait_or_none(body: bytes) -> None:
    found = transport.retry_after({}, b"Please try again in " + body)
    assert found is None or found >= 0


def test_what_a_server_says_is_no_command_to_a_terminal(server: FakeOpenAI) -> None:
    server.answer = lambda asked: error(400, "\x1b[2Jno\x1b]0;title\x07 such\x9bm \u202emodel")
    with pytest.raises(EndpointRefused) as caught:
        ask(server.url)
    assert all(char.isprintable() or char == "\n" for char in str(caught.value))
    assert "no" in caught.value.got and "model" in caught.value.got


@pytest.mark.parametrize(
    ("listing", "found"),
    [
        (b'{"data": [{"id": "a", "max_model_len": 4096}, {"id": "b"}]}', {"a": 4096, "b": None}),
        (b'[{"id": "a"}]', {"a": None}),  # Together
        (b'\xef\xbb\xbf{"data": [{"id": "a", "max_model_len": "4096"}]}', {"a": 4096}),
        (b'{"data": [{"id": "a", "max_model_len": -1}, {"id": "b", "max_model_len": 1e400}]}', {"a": None, "b": None}),
        (b'{"data": [{"id": null}, 5, {"id": "a", "max_model_len": [1]}, {"name": "x"}]}', {"a": None}),
        *((listing, {}) for listing in (b"", b"<html>", b"null", b'{"data": null}', b'{"models": [{"name": "x"}]}')),
    ],
)
def test_models_are_read_one_by_one(listing: bytes, found: dict[str, int | None]) -> None:
    assert transport.models(listing) == found


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "no such model", "code": 404}}', "no such model"),
        (b'{"error": "model is loading"}', "model is loading"),
        (b'{"message": "no"}', "no"),
        (b'[{"error": {"message": "no"}}]', "no"),
        (b'{"error": [{"message": "no"}]}', "no"),
        (b'{"error": ' * 1000 + b"0" + b"}" * 1000, '{"error": {"error": '),  # too deep for Python
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


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"choices": [1]}, 200),
        ({"choices": [1], "error": {"code": 429}}, 200),  # some of it can be used
        ({"generated_text": "x", "error": None}, 200),
        ({"id": "x"}, 200),
        ([1], 200),
        (None, 200),
        ({"error": {"code": 429}}, 429),
        ({"error": {"code": "503"}}, 503),
        ({"error": {"code": 404, "message": "no such model"}}, 404),
        ({"error": {"code": "rate_limit_exceeded"}}, 429),
        ({"choices": [{"error": {"code": 429, "message": "x"}, "message": {"content": ""}}]}, 429),
        ({"choices": [{"error": {"code": 502}}, {"message": {"content": "x"}}]}, 200),  # some of it can be used
        ({"object": "error", "code": 429, "message": "x"}, 429),
        ({"object": "error", "code": 40303, "message": "x"}, 500),
        ({"code": "Throttling.RateQuota", "message": "x", "request_id": "x"}, 429),
        ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, 429),
        ({"choices": [1], "base_resp": {"status_code": 0, "status_msg": ""}}, 200),
        ({"error": {"code": 200}}, 500),
        ({"error": {"code": True}}, 500),
        ({"error": "Too many requests"}, 429),
        ({"error": ["x"]}, 500),
        ({"error": [{"code": 429}]}, 429),
        ([{"error": {"code": 429}}], 429),
        ([[{"choices": [1]}]], 200),
        (orjson.loads(b'{"error":' + b'{"code":' * 1000 + b"1" + b"}" * 1001), 500),
    ],
)
def test_an_error_inside_a_200_has_a_status_of_its_own(answer: object, status: int) -> None:
    assert transport.inner_status(answer) == status


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "code", "type", "choices"]), inner),
    max_leaves=8,
)


@given(JSON)
def test_any_json_has_a_status(answer: object) -> None:
    found = transport.inner_status(answer)
    assert found == 200 or 400 <= found < 600
