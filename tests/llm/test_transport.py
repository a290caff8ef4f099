"""What is read out of a server's headers and error bodies; requests over a real socket are in test_endpoint."""

import email.utils
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_speed.llm import transport


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
        ({"error": {"code": 200}}, 500),
        ({"error": {"code": True}}, 500),
        ({"error": "Too many requests"}, 429),
        ({"error": ["x"]}, 500),
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
