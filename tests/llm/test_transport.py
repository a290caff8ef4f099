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
