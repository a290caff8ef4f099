"""The client of the Batch API against a real socket: what it reads and refuses."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest
from fake_batches import FakeBatches

from hub_speed.errors import EndpointDown, EndpointRefused
from hub_speed.llm import batch_api
from hub_speed.llm.address import Address
from hub_speed.llm.batch_api import Batches

KEY = "sk-0123456789abcdef"
T = TypeVar("T")


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_api, "WAIT_S", 0.002)
    monkeypatch.setattr(batch_api, "SDK_RETRIES", 1)


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


def test_a_file_has_a_longest_length(provider: FakeBatches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_api, "MAX_FILE_BYTES", 99)
    provider.files["file-0"] = b"x" * 100
    with pytest.raises(EndpointRefused, match="longer than 99 bytes"):
        ask(provider.url, content)


def test_nobody_there_is_told_without_the_key() -> None:
    with pytest.raises(EndpointDown, match="keeps failing") as caught:
        ask("http://127.0.0.1:9", Batches.mine)
    assert KEY not in str(caught.value) and "run the same command again" in caught.value.fix
