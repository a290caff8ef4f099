"""One answer of a model: streamed where the server streams, and every fault as a sentence."""

import asyncio
import json

import asking
import outside
import pytest
from fake_openai import DROP, Asked, FakeOpenAI, Reply, as_json, choices, error, text

from hub_speed.errors import EndpointDown, EndpointError
from hub_speed.llm.address import Address
from hub_speed.llm.dialects import Completion, Request, Sampling

REQUEST = Request("Say it", Sampling(0.7, 0.9, 50))
KEY = "sk-a-secret-of-a-visitor"


def asked_at(url: str, dialect: str = "chat", timeout_s: float = 20, connector=None) -> list[str | Completion]:
    async def ask() -> list[str | Completion]:
        address = Address("endpoint", "", (url,), dialect, key=KEY)
        return [step async for step in asking.Asking(address, timeout_s, connector).answer(REQUEST)]

    return asyncio.run(ask())


def stream(asked: Asked, parts: list[str]) -> Reply:
    chat = "chat" in asked.path
    events = [{"choices": [{"delta": {"content": part}} if chat else {"text": part}]} for part in parts]
    events.append({"choices": [{"delta": {}, "finish_reason": "stop"}], "model": "m"})
    events.append({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}})
    lines = [": a comment", *(f"data: {json.dumps(event)}" for event in events), "data: [DONE]", ""]
    return Reply("\r\n\r\n".join(lines).encode(), headers=(("Content-Type", "text/event-stream; charset=utf-8"),))


@pytest.mark.parametrize("dialect", ["chat", "completion"])
def test_an_answer_grows_where_the_server_streams(server: FakeOpenAI, dialect: str) -> None:
    server.answer = lambda asked: stream(asked, ["<think>", "hm</think>", "Grüße ", "dort"])
    *growing, last = asked_at(server.url, dialect)
    assert growing[-1] == "<think>hm</think>Grüße dort"
    assert isinstance(last, Completion)
    assert (last.texts, last.thoughts, last.completion_tokens) == (("Grüße dort",), ("hm",), 5)
    assert server.asked[0].body["model"] == "fake-1"  # the first it lists
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_server_may_neither_stream_nor_take_every_parameter(server: FakeOpenAI) -> None:
    def answer(asked: Asked) -> Reply:
        if "max_tokens" in asked.body:
            return error(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return text(asked, "done")

    server.answer = answer
    (found,) = asked_at(server.url)
    assert isinstance(found, Completion) and found.texts == ("done",)
    assert server.asked[-1].body["max_completion_tokens"] == 50


STREAM = (("Content-Type", "text/event-stream"),)


@pytest.mark.parametrize(
    ("reply", "says", "fix"),
    [
        (error(401, f"bad key {KEY}"), "answers 401", "check the key"),
        (Reply(status=302, headers=(("Location", "http://127.0.0.1:1/"),)), "answers 302", "it redirects to"),
        (Reply(b"<html>Welcome</html>"), "does not answer as it should", "check the address"),
        (Reply(b"data: {garbage\n", headers=STREAM), "as it should", "try again"),
        (
            Reply(b'data: {"error": {"message": "no", "code": 503}}', headers=STREAM),
            "answers 503",
            "try",
        ),
        (Reply(b"x" * (asking.MAX_BYTES + 1)), "as it should", "check the address"),
        (as_json({"choices": []}), "as it should", "check the address"),
        (DROP, "as it should", "try again"),
    ],
)
def test_every_fault_is_a_sentence_without_the_key(server: FakeOpenAI, reply: Reply, says: str, fix: str) -> None:
    server.answer = lambda asked: reply
    with pytest.raises(EndpointError, match=says) as problem:
        asked_at(server.url)
    assert fix in problem.value.fix and KEY not in str(problem.value)


def test_a_slow_server_is_given_up(server: FakeOpenAI) -> None:
    server.answer = lambda asked: Reply(wait_s=20)
    with pytest.raises(EndpointDown, match="as it should"):
        asked_at(server.url, timeout_s=0.2)


def test_a_server_inside_the_network_is_not_asked(server: FakeOpenAI) -> None:
    async def ask() -> None:
        address = Address("endpoint", "m", (server.url,))
        async for _ in asking.Asking(address, 20, outside.connector()).answer(REQUEST):
            pass

    with pytest.raises(EndpointDown, match="cannot be reached") as problem:
        asyncio.run(ask())
    assert "not a public one" in problem.value.got and not server.asked


def test_a_choice_of_a_whole_answer_is_read(server: FakeOpenAI) -> None:
    server.answer = lambda asked: as_json(choices(asked, ["whole"]))
    assert asked_at(server.url, "completion")[-1].texts == ("whole",)
