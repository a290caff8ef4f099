"""What is asked below an address, and what of it may be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_speed.errors import RecipeError
from hub_speed.llm.address import Address, base_url, request_url, sendable_key, shown
from hub_speed.llm.dialects import Completion

KEY = "sk-0123456789abcdef"
NAMES = st.text("abcdefghij-_", min_size=1, max_size=9)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://h:8080", "http://h:8080/generate"),
        ("http://h/", "http://h/generate"),
        ("http://h/v1", "http://h/generate"),
        ("http://h/generate", "http://h/generate"),
        ("http://h/models/tgi?a=b", "http://h/models/tgi/generate?a=b"),
    ],
)
def test_tgis_own_api_has_no_version(url: str, asked: str) -> None:
    assert request_url(base_url(url, "tgi"), "tgi") == asked


def test_a_generator_is_asked_below_the_same_base() -> None:
    assert request_url(base_url("http://h/api/v3/completions"), "completion") == "http://h/api/v3/completions"
    assert request_url(base_url("http://h"), "completion") == "http://h/v1/completions"


@given(NAMES, NAMES, NAMES)
def test_no_secret_of_a_url_is_shown(user: str, name: str, host: str) -> None:
    url = f"https://{user}:S3CRET@{host}/v1?api-version=2024-10-21&{name}=S3CRET&S3CRET"
    assert "S3CRET" not in shown(url)
    assert shown(f"https://{host}/v1") == f"https://{host}/v1"
    at = Address("teacher", "m", (f"https://{host}/v1?{name}={KEY}",), key="sk-another-one")
    assert KEY not in at.words(f"cannot connect to '{at.urls[0]}'; {KEY} is not valid")
    assert "sk-another-one" not in at.words("what is sk-another-one?")
    assert KEY not in repr(at)


def test_a_value_of_a_query_is_hidden_in_answers_too() -> None:
    at = Address("teacher", "m", (f"https://h/v1?api-version=2024-10-21&key={KEY}",))
    found = at.without_secrets(Completion((KEY, "2024-10-21"), ("stop", "stop"), KEY, 1, 1, thoughts=("", KEY)))
    assert (found.texts, found.finish_reasons) == (("<key>", "2024-10-21"), ("refused", "stop"))
    assert (found.model, found.thoughts) == ("<key>", ("", "<key>"))


def test_a_key_is_trimmed_or_told() -> None:
    assert sendable_key(f" {KEY}\r\n", "X") == KEY
    for odd in (f"{KEY}\n{KEY}", f'"{KEY}"', f"'{KEY}'", f"Bearer {KEY}", f"\ufeff{KEY}"):
        with pytest.raises(RecipeError, match="the key in X") as caught:
            sendable_key(odd, "X")
        assert KEY not in str(caught.value)
