"""The endpoint client against a real socket that fails in every way a server can."""

import asyncio
import contextlib
import email.utils
import itertools
import json
import re
import ssl
import time
import types
from pathlib import Path

import pytest
import trustme
from fake_openai import DROP, Asked, FakeOpenAI, Reply, as_json, choices, error, text
from hypothesis import given
from hypothesis import strategies as st
from running import HANG_S, free_port

from hub_speed.errors import EndpointDown, EndpointRefused, RecipeError
from hub_speed.llm import dialects, endpoint, faults, pacing, transport
from hub_speed.llm.address import Address
from hub_speed.llm.addresses import Addresses
from hub_speed.llm.budget import BudgetMeter, Spent
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.llm.endpoint import Endpoint, RowFailed, RowRefused
from hub_speed.llm.schema_forms import SEVERAL
from hub_speed.recipe import Recipe

KEY = "sk-0123456789abcdef"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.fixture
def server(server: FakeOpenAI) -> FakeOpenAI:
    server.answer = lambda asked: f"answer to {asked.prompt}"
    return server


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds the client meant to wait between attempts. It does not really wait: no test depends on a clock."""
    wanted: list[float] = []

    async def sleep(seconds: float) -> None:
        wanted.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(
        endpoint, "asyncio", types.SimpleNamespace(sleep=sleep, get_running_loop=asyncio.get_running_loop)
    )
    return wanted


def closed_port() -> str:
    """An address at which nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


def request(prompt: str = "hello", n: int = 1, **more: object) -> Request:
    return Request(prompt, Sampling(1.0, 0.9, 100, n), **more)


def ask(
    *urls: str,
    prompts: tuple[str, ...] = ("hello",),
    n: int = 1,
    retries: int = 2,
    timeout_s: float = 10,
    in_flight: int = 4,
    probe: bool = False,
    **address: object,
) -> list[Completion | BaseException]:
    """Ask for all prompts at once; what came of each, errors included."""

    async def run() -> list[Completion | BaseException]:
        at = Address("teacher", "big-model", urls, **address)
        async with Endpoint(at, in_flight=in_flight, timeout_s=timeout_s, retries=retries) as opened:
            if probe:
                await opened.probe()
            found = [opened.complete(request(prompt, n)) for prompt in prompts]
            return await asyncio.gather(*found, return_exceptions=True)

    return asyncio.run(run())


def ask_one(*urls: str, **settings: object) -> Completion:
    (found,) = ask(*urls, **settings)
    if isinstance(found, BaseException):
        raise found
    return found


# --- what goes right ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["chat", "completion"])
def test_an_answer_comes_with_its_tokens_model_and_attempts(server: FakeOpenAI, dialect: str) -> None:
    found = ask_one(server.url, dialect=dialect)
    assert (found.texts, found.finish_reasons, found.model) == (("answer to hello",), ("stop",), "fake-1")
    assert (found.prompt_tokens, found.completion_tokens, found.attempts) == (11, 7, 1)
    assert found.latency_s >= 0
    assert server.asked[0].path == ("/v1/chat/completions" if dialect == "chat" else "/v1/completions")


@pytest.mark.parametrize(
    ("given", "base", "query"),
    [
        *((suffix, "/v1", "") for suffix in ("", "/", "/v1", "/v1/", "/v1/chat/completions", "?")),
        ("/api", "/api/v1", ""),
        ("/openai", "/openai/v1", ""),
        ("/v1beta/openai", "/v1beta/openai", ""),
        ("/v1beta/openai/", "/v1beta/openai", ""),
        ("/api/v3", "/api/v3", ""),
        ("/api/paas/v4/", "/api/paas/v4", ""),
        ("/v1/projects/p/locations/l/endpoints/openapi", "/v1/projects/p/locations/l/endpoints/openapi", ""),
        ("/openai/deployments/d?api-version=2024-10-21", "/openai/deployments/d", "?api-version=2024-10-21"),
        ("/openai/v1/?api-version=preview", "/openai/v1", "?api-version=preview"),
        ("/inference/chat/completions", "/inference", ""),
        ("/chat/completions?a=b", "", "?a=b"),
    ],
)
def test_any_address_that_a_provider_names_may_be_given(server: FakeOpenAI, given: str, base: str, query: str) -> None:
    ask_one(server.url + given, probe=True)
    asked = [each.path for each in server.probes + server.asked]
    assert asked == [f"{base}/models{query}", f"{base}/chat/completions{query}"]


def test_azure_gets_the_key_in_its_own_header(server: FakeOpenAI) -> None:
    ask_one(f"{server.url}/openai/deployments/d?api-version=2024-10-21", key=KEY)
    assert server.asked[0].headers["api-key"] == KEY
    ask_one(server.url, key=KEY)
    assert "api-key" not in server.asked[1].headers


def test_n_answers_keep_their_order(server: FakeOpenAI) -> None:
    server.answer = lambda asked: as_json(choices(asked, ["a", "b", "c"]))
    assert ask_one(server.url, n=3).texts == ("a", "b", "c")
    assert server.asked[0].body["n"] == 3


def test_no_more_than_in_flight_are_open_and_all_places_are_used(server: FakeOpenAI) -> None:
    server.answer = lambda asked: Reply(text(asked, "x").body, wait_s=0.05)
    found = ask(server.url, prompts=tuple(map(str, range(12))), in_flight=3)
    assert all(isinstance(f, Completion) for f in found)
    assert server.most_open == 3


def test_a_request_that_waits_holds_no_place(
    server: FakeOpenAI, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "asyncio", asyncio)  # here it has to wait for real
    server.answer = lambda asked: (
        error(429, Retry_After="0.2") if asked.prompt == "a" and asked.nth == 1 else text(asked, "x")
    )
    found = ask(server.url, prompts=("a", "b"), in_flight=1)
    assert all(isinstance(f, Completion) for f in found)
    assert server.prompts() == ["a", "b", "a"]


def test_replicas_are_asked_in_turn_and_stand_in_for_each_other() -> None:
    with FakeOpenAI(lambda asked: "one") as one, FakeOpenAI(lambda asked: "two") as two:
        found = ask(one.url, two.url, prompts=tuple("abcdef"), in_flight=6)
        assert sorted(f.texts[0] for f in found) == ["one"] * 3 + ["two"] * 3
        one.answer = lambda asked: error(503)
        assert [f.texts[0] for f in ask(one.url, two.url, prompts=tuple("abcdef"), in_flight=1)] == ["two"] * 6


@pytest.mark.parametrize("status", [204, 302, 400, 401, 403, 404, 600])
def test_a_replica_that_refuses_what_another_answers_is_set_aside(status: int) -> None:
    refusal = error(status, "no such model") if status >= 400 else Reply(status=status)
    with FakeOpenAI(lambda asked: refusal) as wrong, FakeOpenAI(lambda asked: "fine") as right:
        found, notes = probed(wrong.url, right.url, prompts=40)
        assert [completion.texts for completion in found] == [("fine",)] * 40
        assert len(wrong.asked) == pacing.FAILURES_TO_SET_ASIDE
        assert notes == ["replica 1 of 2 refuses what another answers: set aside, tried again"]


UNREADABLE = {
    "page": Reply(b"<html>Welcome</html>"),
    "nothing": Reply(b""),
    "no answer": as_json({}),
    "other": as_json({"choices": [], "ok": True}),
    "no text": as_json({"choices": [{"message": {}, "finish_reason": "stop"}]}),
}


@pytest.mark.parametrize("garbage", UNREADABLE)
def test_a_replica_whose_answers_nobody_can_read_is_set_aside_while_another_answers(
    garbage: str, waits: list[float]
) -> None:
    with FakeOpenAI(lambda asked: UNREADABLE[garbage]) as wrong, FakeOpenAI(lambda asked: "fine") as right:
        found, notes = probed(wrong.url, right.url, prompts=20)
        assert [completion.texts for completion in found] == [("fine",)] * 20
        assert len(wrong.asked) == pacing.FAILURES_TO_SET_ASIDE and not waits  # each is asked of the other at once
        assert notes == ["replica 1 of 2 sends no readable answer where another does: set aside, tried again"]


def test_a_row_that_no_replica_answers_readably_says_nothing_about_them() -> None:
    def either(asked: Asked) -> Reply | str:
        return UNREADABLE["no text"] if int(asked.prompt) % 2 else "fine"

    with FakeOpenAI(either) as one, FakeOpenAI(either) as two:
        found, notes = probed(one.url, two.url, prompts=12)
    assert [completion.texts for completion in found] == [("fine",), ("",)] * 6
    assert notes == [] and len(one.asked) + len(two.asked) <= 14


def test_a_replica_that_names_another_model_is_told_of_once() -> None:
    def named(name: str) -> Reply:
        return as_json({"model": name, "choices": [{"message": {"content": "fine"}}]})

    with FakeOpenAI(lambda asked: named("big")) as one, FakeOpenAI(lambda asked: named("tiny")) as two:
        found, notes = probed(one.url, two.url)
        assert {completion.model for completion in found} == {"big", "tiny"}  # each row keeps its own
        assert notes == ["replica 2 of 2 names another model: tiny instead of big"]
        two.answer = one.answer
        assert probed(one.url, two.url)[1] == []


def test_a_parameter_is_left_out_for_the_replica_that_refuses_it_alone() -> None:
    def picky(asked: Asked) -> Reply | str:
        return error(400, "Unsupported parameter: 'temperature'") if "temperature" in asked.body else "fine"

    with FakeOpenAI(picky) as one, FakeOpenAI(lambda asked: "fine") as two:
        found, notes = probed(one.url, two.url)
        assert [completion.attempts for completion in found] == [1] * 12
        assert len(one.asked) + len(two.asked) == 12 + SEVERAL
        assert len(one.asked) > 2 * SEVERAL and all("temperature" in asked.body for asked in two.asked)
        assert [note[:43] for note in notes] == ["replica 1 of 2 does not take temperature: l"]


def test_a_row_that_a_working_schema_refuses_is_asked_once_without_it(server: FakeOpenAI) -> None:
    async def run() -> list[Completion | BaseException]:
        at = Address("teacher", "m", (server.url,))
        async with Endpoint(at, in_flight=1, timeout_s=10, retries=2) as opened:
            rows = [request(each, schema=SCHEMA) for each in ("a", "deep", "bad", "b")]
            return [await opened.complete(rows[0])] + await asyncio.gather(
                *map(opened.complete, rows[1:]), return_exceptions=True
            )

    def answer(asked: Asked) -> Reply | str:
        if asked.prompt == "bad" or (asked.prompt == "deep" and "response_format" in asked.body):
            return error(400, "the grammar is too deep")
        return '{"a": "fine"}'

    server.answer = answer
    found = asyncio.run(run())
    assert [type(each) for each in found] == [Completion, Completion, RowRefused, Completion]
    sent = [(asked.prompt, "response_format" in asked.body) for asked in server.asked]
    for odd in ("deep", "bad"):
        assert [with_schema for prompt, with_schema in sent if prompt == odd] == [True, False]
    assert all(with_schema for prompt, with_schema in sent if prompt in "ab")


def test_a_row_that_all_replicas_refuse_sets_none_aside() -> None:
    def answer(asked: Asked) -> Reply | str:
        return error(403, "moderated") if asked.prompt in "bcdef" else "fine"

    with FakeOpenAI(answer) as one, FakeOpenAI(answer) as two:
        found = ask(one.url, two.url, prompts=tuple("abcdefghij"), in_flight=1)
        assert [type(each) for each in found] == [Completion, *[RowRefused] * 5, *[Completion] * 4]
        assert {found[1].attempts} == {2}  # type: ignore[union-attr]
        assert abs(len(one.asked) - len(two.asked)) <= 1


@pytest.mark.parametrize("status", [201, 202, 203, 206])
def test_a_whole_answer_is_taken_with_any_status_of_success(server: FakeOpenAI, status: int) -> None:
    server.answer = lambda asked: as_json(choices(asked, ["fine"]), status)
    assert ask_one(server.url).texts == ("fine",)
    server.answer = lambda asked: as_json({"id": "accepted"}, status)
    with pytest.raises(EndpointRefused, match=f"answers {status}"):
        ask_one(server.url)
    assert len(server.asked) == 2


@pytest.mark.parametrize(("status", "calls"), [(206, 1), (302, 0), (400, 0)])
def test_a_success_without_an_answer_may_have_to_be_paid_for(server: FakeOpenAI, status: int, calls: int) -> None:
    server.answer = lambda asked: Reply(b"{", status)
    budget = BudgetMeter()

    async def run() -> None:
        at = Address("teacher", "big-model", (server.url,))
        async with Endpoint(at, in_flight=4, timeout_s=10, retries=2, budget=budget) as opened:
            await opened.complete(request())

    with pytest.raises(EndpointRefused):
        asyncio.run(run())
    assert budget.spent.calls == calls


# --- asked again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 424, 425, 429, 498, 499, 500, 502, 503, 504, 529])
def test_passing_trouble_is_asked_again(server: FakeOpenAI, waits: list[float], status: int) -> None:
    server.answer = lambda asked: error(status) if asked.nth < 3 else "fine"
    found = ask_one(server.url)
    assert (found.texts, found.attempts, len(waits)) == (("fine",), 3, 2)


def _html(asked: Asked) -> Reply:
    return Reply(b"<html><body>Bad gateway</body></html>", headers=(("Content-Type", "text/html"),))


BAD_ANSWERS = {
    "dropped before the answer": lambda asked: DROP,
    "dropped inside the headers": lambda asked: Reply(text(asked, "x").body, cut=20),
    "dropped inside the body": lambda asked: Reply(text(asked, "x" * 5000).body, cut=900),
    "too slow": lambda asked: Reply(text(asked, "x").body, wait_s=HANG_S),
    "html": _html,
    "nothing": lambda asked: Reply(b""),
    "truncated JSON": lambda asked: Reply(text(asked, "x").body[:-9]),
    "no choices": lambda asked: as_json({"choices": []}),
    "no choices at all": lambda asked: as_json({"id": "x"}),
    "choices of another kind": lambda asked: as_json({"choices": {"a": 1}}),
    "a list": lambda asked: as_json([1, 2]),
    "null": lambda asked: as_json(None),
    "too many": lambda asked: as_json(choices(asked, ["x", "y", "z"])),
    "text that is no text": lambda asked: as_json(choices(asked, [5, {}])),  # type: ignore[list-item]
}


@pytest.mark.parametrize("fault", BAD_ANSWERS)
def test_a_bad_answer_is_asked_again(server: FakeOpenAI, waits: list[float], fault: str) -> None:
    server.answer = lambda asked: BAD_ANSWERS[fault](asked) if asked.nth == 1 else text(asked, "fine")
    found = ask_one(server.url, n=2, timeout_s=1 if fault == "too slow" else 10)
    assert (found.texts, found.attempts, len(waits)) == (("fine", "fine"), 2, 1)


def test_what_a_server_leaves_out_is_filled_in(server: FakeOpenAI) -> None:
    server.answer = lambda asked: as_json({"choices": [{"message": {"content": None}}], "usage": None})
    found = ask_one(server.url)
    assert (found.texts, found.finish_reasons, found.prompt_tokens) == (("",), ("stop",), 0)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("7", 7, 7),
        ("0", pacing.FIRST_WAIT_S / 2, pacing.FIRST_WAIT_S),
        ("2.5", 2.5, 2.5),
        ("-3", pacing.FIRST_WAIT_S / 2, pacing.FIRST_WAIT_S),
        ("600", 600, 600),
        ("100000", pacing.LONGEST_RETRY_AFTER_S, pacing.LONGEST_RETRY_AFTER_S),
        ("inf", pacing.LONGEST_RETRY_AFTER_S, pacing.LONGEST_RETRY_AFTER_S),
        ("in 30 s", 20, 31),
        ("a day ago", pacing.FIRST_WAIT_S / 2, pacing.FIRST_WAIT_S),
        ("soon", pacing.FIRST_WAIT_S / 2, pacing.FIRST_WAIT_S),
    ],
)
def test_retry_after_is_obeyed(server: FakeOpenAI, waits: list[float], value: str, low: float, high: float) -> None:
    dates = {"in 30 s": time.time() + 30, "a day ago": time.time() - 86400}
    header = email.utils.formatdate(dates[value], usegmt=True) if value in dates else value
    server.answer = lambda asked: error(429, Retry_After=header) if asked.nth == 1 else "fine"
    assert ask_one(server.url).attempts == 2
    assert len(waits) == 1
    assert low <= waits[0] <= high


def test_a_wait_that_the_error_names_is_obeyed(server: FakeOpenAI, waits: list[float]) -> None:
    told = {"code": 429, "message": "Quota exceeded", "details": [{"retryDelay": "34s"}]}  # as Gemini says it
    server.answer = lambda asked: as_json([{"error": told}], 429) if asked.nth == 1 else "fine"
    assert ask_one(server.url).texts == ("fine",)
    assert waits == [34.0]


def test_an_error_in_the_only_choice_has_its_own_status(server: FakeOpenAI, waits: list[float]) -> None:
    told = {"code": 403, "message": "flagged"}  # as OpenRouter says it
    server.answer = lambda asked: as_json({"choices": [{"error": told, "message": {"content": ""}}]})
    with pytest.raises(EndpointRefused, match="403") as caught:
        ask_one(server.url)
    assert (caught.value.got, len(server.asked)) == ("flagged", 1)


@pytest.mark.parametrize("value", ["0", "-1", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_server_that_says_at_once_does_not_get_all_retries_at_once(
    server: FakeOpenAI, waits: list[float], value: str
) -> None:
    server.answer = lambda asked: error(429, Retry_After=value) if asked.nth < 6 else "fine"
    assert ask_one(server.url, retries=8).attempts == 6
    assert sum(waits) >= 0.5 * sum(pacing.FIRST_WAIT_S * 2**k for k in range(5))


@pytest.mark.parametrize("kind", ["insufficient_quota", "billing_hard_limit_reached", "1113", "Arrearage"])
@pytest.mark.parametrize("field", ["code", "type"])
def test_an_empty_account_stops_at_once(server: FakeOpenAI, waits: list[float], field: str, kind: str) -> None:
    empty = {"error": {"message": "You exceeded your current quota", "type": "x", "code": "x"} | {"x": 1, field: kind}}
    server.answer = lambda asked: as_json(empty, 429)
    found = ask(server.url, prompts=tuple(map(str, range(20))), in_flight=4)
    assert {type(each) for each in found} == {EndpointRefused}
    assert all("top up the account" in each.fix for each in found)  # type: ignore[union-attr]
    assert len(server.asked) == 20 and set(waits) <= {endpoint.LOOK_AGAIN_S}  # nothing is asked again


EMPTY = [
    {"error": "insufficient_quota: top up"},
    {"error": ["insufficient_quota"]},
    {"error": [{"message": "x", "code": "insufficient_quota"}]},
    [{"error": {"message": "x", "type": "insufficient_quota"}}],
    {"error": {"message": "x", "code": "insufficient_quota"}},
]


@pytest.mark.parametrize("status", [200, 201, 403, 429, 500])
@pytest.mark.parametrize("said", EMPTY)
def test_an_empty_account_is_known_wherever_it_stands(
    server: FakeOpenAI, waits: list[float], said: object, status: int
) -> None:
    """And it stops the run though others were answered, once several rows in a row are told so."""
    server.answer = lambda asked: "fine" if asked.prompt == "a" else as_json(said, status)
    first, *others = ask(server.url, prompts=("a", "b", "c", "d"), in_flight=1)
    assert isinstance(first, Completion)
    stopped = [each for each in others if isinstance(each, EndpointRefused)]
    assert len(stopped) == 1 and "top up the account" in stopped[0].fix and stopped[0].exit_code == 3
    assert [type(each) for each in others].count(RowRefused) == faults.NO_MONEY_IN_A_ROW - 1
    assert len(server.asked) == 4 and set(waits) <= {endpoint.LOOK_AGAIN_S}


@pytest.mark.parametrize("odd", ["a", "c", "f"])
@pytest.mark.parametrize("status", [200, 400, 403, 429])
def test_one_row_that_is_told_of_an_empty_account_fails_alone(server: FakeOpenAI, odd: str, status: int) -> None:
    server.answer = lambda asked: as_json(EMPTY[-1], status) if asked.prompt == odd else "fine"
    found = ask(server.url, prompts=tuple("abcdef"), in_flight=2)
    assert [type(each) for each in found] == [RowRefused if each == odd else Completion for each in "abcdef"]
    assert len(server.asked) == 6


def test_a_replica_without_money_is_set_aside_while_another_answers() -> None:
    with FakeOpenAI(lambda asked: as_json(EMPTY[-1], 429)) as broke, FakeOpenAI(lambda asked: "fine") as right:
        found, notes = probed(broke.url, right.url, prompts=40)
        assert [completion.texts for completion in found] == [("fine",)] * 40
        assert len(broke.asked) == pacing.FAILURES_TO_SET_ASIDE
        assert notes == ["replica 1 of 2 refuses what another answers: set aside, tried again"]
        right.answer = lambda asked: error(403, "moderated") if asked.prompt in "cdef" else "fine"
        rows = ask(broke.url, right.url, prompts=tuple("abcdefghij"), in_flight=1)
        assert [str(each)[:3] for each in rows[2:6]] == ["403"] * 4  # for these rows the other one decides
        assert {type(each) for each in rows[:2] + rows[6:]} == {Completion}
        right.answer = broke.answer
        assert {type(each) for each in ask(broke.url, right.url, prompts=("a", "b"))} == {EndpointRefused}


def test_a_text_that_only_speaks_of_an_empty_account_is_none(server: FakeOpenAI) -> None:
    said = "cannot answer: what does insufficient_quota mean?"
    server.answer = lambda asked: as_json({"error": said}, 400) if asked.prompt == "b" else "fine"
    assert [type(each) for each in ask(server.url, prompts=("a", "b", "c"))] == [Completion, RowRefused, Completion]


@pytest.mark.parametrize(
    ("said", "too_much"),
    [
        ({"message": "slow down", "code": 429}, True),
        ({"message": "slow down", "code": "429"}, True),
        ({"message": "slow down", "code": "rate_limit_exceeded"}, True),
        ({"message": "busy", "type": "overloaded_error"}, True),
        ({"message": "provider returned an error", "code": 502}, False),
        ({"message": "?", "code": None}, False),
        ("out of memory", False),
    ],
)
def test_an_error_inside_a_200_is_what_it_says(
    server: FakeOpenAI, waits: list[float], said: object, too_much: bool
) -> None:
    server.answer = lambda asked: as_json({"error": said, "id": "x"}, Retry_After="7") if asked.nth < 3 else "fine"

    async def run() -> tuple[Completion, float, Spent]:
        budget = BudgetMeter()
        at = Address("teacher", "big-model", (server.url,))
        async with Endpoint(at, in_flight=4, timeout_s=10, retries=2, budget=budget) as opened:
            return await opened.complete(request()), opened.pace.places, budget.spent

    found, places, spent = asyncio.run(run())
    assert (found.attempts, waits) == (3, [7, 7])
    assert spent.calls == 1  # an error costs nothing
    assert (places < 4) == too_much


def test_a_refusal_inside_a_200_is_a_refusal(server: FakeOpenAI) -> None:
    server.answer = lambda asked: as_json({"error": {"message": "no such model", "code": 404}})
    with pytest.raises(EndpointRefused, match="answers 404"):
        ask_one(server.url)


def test_waits_double_with_some_spread_up_to_the_longest(server: FakeOpenAI, waits: list[float]) -> None:
    server.answer = lambda asked: error(500) if asked.nth < 13 else "fine"
    assert ask_one(server.url, retries=12).attempts == 13
    full = [min(pacing.LONGEST_WAIT_S, pacing.FIRST_WAIT_S * 2**k) for k in range(12)]
    spread = [wait / most for wait, most in zip(waits, full, strict=True)]
    assert all(0.5 <= share <= 1 for share in spread)
    assert len(set(spread)) == 12


def test_a_long_answer_is_read_and_one_without_end_is_not(server: FakeOpenAI) -> None:
    long = "x" * 10_000_000
    server.answer = lambda asked: long
    assert ask_one(server.url).texts == (long,)
    endless = Reply(b'{"choices": [{"message": {"content": "' + b"x" * (transport.MAX_ANSWER_BYTES + 1))
    server.answer = lambda asked: endless if asked.nth == 1 else "fine"
    assert ask_one(server.url, prompts=("again",)).attempts == 2
    server.answer = lambda asked: endless
    with pytest.raises(RowFailed, match="longer than 20000000 bytes"):
        ask_one(server.url, prompts=("once",), retries=1)


def test_an_answer_that_never_ends_times_out() -> None:
    """Chunk after chunk, each soon after the last."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(re.search(rb"(?i)content-length: *(\d+)", head)[1]))
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"1\r\nx\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.01)

    async def run() -> BaseException:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
            at = Address("teacher", "m", (f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}",))
            async with Endpoint(at, in_flight=4, timeout_s=0.3, retries=1) as opened:
                with pytest.raises(RowFailed) as caught:
                    await opened.complete(request())
        return caught.value

    assert "Timeout" in str(asyncio.run(run()))


def test_a_model_too_short_for_its_answers_is_told_before_anything_is_asked(server: FakeOpenAI) -> None:
    server.models = as_json({"data": [{"id": "small", "max_model_len": 512}, {"id": "big-model"}]})

    async def probe(model: str, max_tokens: int) -> str:
        at = Address("teacher", model, (server.url,))
        async with Endpoint(at, in_flight=4, timeout_s=5, retries=1) as opened:
            await opened.probe(max_tokens)
            return opened.model

    assert asyncio.run(probe("", 511)) == "small"
    assert asyncio.run(probe("big-model", 100_000)) == "big-model"
    with pytest.raises(EndpointRefused, match="takes 512 tokens") as caught:
        asyncio.run(probe("small", 512))
    assert "max_tokens" in caught.value.fix


@pytest.mark.parametrize(
    ("listed", "hint"), [(["big-model-2", "x"], "did you mean big-model-2?"), (["a", "b"], "it serves a, b"), ([], "")]
)
def test_an_unknown_model_is_answered_with_those_that_are_there(
    server: FakeOpenAI, listed: list[str], hint: str
) -> None:
    server.models = as_json({"data": [{"id": name} for name in listed]})
    server.answer = lambda asked: error(404, "no such model")
    with pytest.raises(EndpointRefused) as caught:
        ask_one(server.url, probe=True)
    assert caught.value.fix == "check the URL and the model's name: big-model" + (f"; {hint}" if hint else "")


# --- not asked again ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        (400, ""),
        (401, "HUB_SPEED_TEACHER_KEY to a valid key"),
        (403, "may not use big-model"),
        (404, "check the URL and the model's name: big-model"),
        (405, ""),
        (413, ""),
        (422, ""),
    ],
)
def test_a_final_no_stops_at_once_with_the_servers_words(
    server: FakeOpenAI, waits: list[float], status: int, fix: str
) -> None:
    server.answer = lambda asked: error(status, "the model `big-model`\n does not exist")
    with pytest.raises(EndpointRefused) as caught:
        ask_one(server.url)
    assert (len(server.asked), waits, caught.value.exit_code) == (1, [], 3)
    assert f"endpoint teacher: {server.url}/v1/chat/completions answers {status}" == caught.value.where
    assert caught.value.got == "the model `big-model` does not exist"
    assert fix in caught.value.fix


def test_an_untrusted_certificate_stops_before_anything_is_sent() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    async def probe() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listening:
            url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            async with Endpoint(
                Address("teacher", "m", (url,), key=KEY), in_flight=4, timeout_s=5, retries=1
            ) as opened:
                await opened.probe()

    with pytest.raises(EndpointDown, match=r"the certificate of https://127.0.0.1:.* is not trusted") as caught:
        asyncio.run(probe())
    assert "SSL_CERT_FILE" in caught.value.fix
    assert heads == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_stops_and_the_key_is_carried_nowhere(server: FakeOpenAI, status: int) -> None:
    with FakeOpenAI() as elsewhere:
        server.answer = lambda asked: Reply(status=status, headers=(("Location", f"{elsewhere.url}/v1/completions"),))
        with pytest.raises(EndpointRefused, match="pass the address it redirects to"):
            ask_one(server.url, key=KEY)
        assert elsewhere.asked == elsewhere.probes == []


def test_a_long_error_is_shortened_and_no_key_is_cut_in_two(server: FakeOpenAI) -> None:
    server.answer = lambda asked: error(400, f"{'x' * 290} {KEY} {'y' * 5000}")
    with pytest.raises(EndpointRefused) as caught:
        ask_one(server.url, key=KEY)
    assert len(caught.value.got) == 300
    assert KEY[:5] not in caught.value.got


@pytest.mark.parametrize("before", [150, 165, 180, 280])
def test_no_key_is_cut_in_two_in_an_answer_that_cannot_be_read(server: FakeOpenAI, before: int) -> None:
    server.answer = lambda asked: as_json({"you sent": "x" * before + KEY})
    with pytest.raises(RowFailed, match="you sent") as caught:
        ask_one(server.url, key=KEY)
    assert KEY[:5] not in str(caught.value)


def test_no_key_is_cut_in_two_at_the_end_of_much_white_space(server: FakeOpenAI) -> None:
    server.answer = lambda asked: Reply(b"you sent" + b" " * 1982 + KEY.encode(), status=400)
    with pytest.raises(EndpointRefused, match="you sent <key>"):
        ask_one(server.url, key=KEY)


# --- down, or just this row -----------------------------------------------------------------------------------------


def test_nobody_answers(waits: list[float]) -> None:
    url = closed_port()
    with pytest.raises(EndpointDown, match=f"no server answers at {url}") as caught:
        ask_one(url, probe=True)
    assert "--endpoint teacher=URL" in caught.value.fix


def probed(*urls: str, prompts: int = 12) -> tuple[list[Completion], list[str]]:
    """The answers after the probe, and the notes."""

    async def run() -> tuple[list[Completion], list[str]]:
        at = Address("teacher", "big-model", urls, key=KEY)
        async with Endpoint(at, in_flight=4, timeout_s=10, retries=2) as opened:
            await opened.probe()
            return [await opened.complete(request(str(i))) for i in range(prompts)], opened.notes

    return asyncio.run(run())


def test_a_silent_replica_is_set_aside_and_the_others_are_asked(server: FakeOpenAI) -> None:
    found, notes = probed(server.url, closed_port())
    assert [completion.attempts for completion in found] == [1] * 12  # nothing was tried at the silent one
    assert notes == ["no server answers at replica 2 of 2: set aside, tried again"]
    assert "127.0.0.1" not in notes[0]  # notes are published


def test_a_silent_replica_is_found_again(server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "SET_ASIDE_S", 0.0)
    with FakeOpenAI() as late:
        late.models = DROP
        found, notes = probed(late.url, server.url)
        assert len(notes) == 1 and len(late.asked) > 0 and len(found) == 12


def test_silent_replicas_alone_are_nobody(server: FakeOpenAI) -> None:
    with pytest.raises(EndpointDown, match="no server answers"):
        probed(closed_port(), closed_port())
    server.models = error(401, "may not list")
    assert len(probed(closed_port(), server.url)[0]) == 12  # somebody is there


def test_a_server_that_keeps_failing_is_down(server: FakeOpenAI) -> None:
    server.answer = lambda asked: error(503, "no worker is alive")
    found = ask(server.url, prompts=tuple(map(str, range(8))), in_flight=8)
    down = [f for f in found if isinstance(f, EndpointDown)]
    assert down
    assert down[0].got == "503 no worker is alive"
    assert f"{server.url}/v1/chat/completions keeps failing" in str(down[0])


def test_a_poisoned_row_fails_alone(server: FakeOpenAI) -> None:
    server.answer = lambda asked: error(500, "too deep") if asked.prompt == "bad" else "fine"
    found = ask(server.url, prompts=("a", "b", "bad", "c"), in_flight=4)
    assert [getattr(f, "texts", None) for f in found] == [("fine",), ("fine",), None, ("fine",)]
    assert isinstance(found[2], RowFailed)
    assert str(found[2]) == "500 too deep"
    assert server.prompts().count("bad") == 3


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_as_many_poisoned_rows_as_three_do_not_look_like_a_server_that_is_down(
    server: FakeOpenAI, retries: int
) -> None:
    server.answer = lambda asked: error(500)
    found = ask(server.url, prompts=("a", "b", "c"), in_flight=64, retries=retries)
    assert [type(f) for f in found] == [RowFailed] * 3
    assert len(server.asked) == 3 * (retries + 1)


# --- before the first row -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_may_chat_but_not_list_models_is_good(server: FakeOpenAI, status: int) -> None:
    server.models = error(status, "missing scope: api.model.read")
    assert ask_one(server.url, probe=True, key=KEY).texts == ("answer to hello",)
    server.answer = lambda asked: error(status, "bad key")
    with pytest.raises(EndpointRefused, match="bad key"):
        ask_one(server.url, probe=True, key=KEY)
    assert len(server.asked) == 2


def test_a_key_that_may_not_list_models_needs_the_models_name(server: FakeOpenAI) -> None:
    server.models = error(403, "may not list")

    async def probe() -> None:
        async with Endpoint(Address("senior", "", (server.url,)), in_flight=1, timeout_s=5, retries=0) as opened:
            await opened.probe()

    with pytest.raises(EndpointRefused, match="may not list"):
        asyncio.run(probe())


@pytest.mark.parametrize(
    "models",
    [
        error(404),
        error(500),
        Reply(b"<html>"),
        as_json({"data": []}),
        as_json([]),
        as_json(None),
        Reply(b"x" * (transport.MAX_ANSWER_BYTES + 1)),
    ],
    ids=["404", "500", "html", "none", "list", "null", "endless"],
)
def test_a_server_without_a_list_of_models_is_asked_all_the_same(server: FakeOpenAI, models: Reply) -> None:
    server.models = models
    assert ask_one(server.url, probe=True).texts == ("answer to hello",)


def test_where_no_model_is_named_the_servers_own_is_taken(server: FakeOpenAI) -> None:
    async def run() -> None:
        async with Endpoint(Address("senior", "", (server.url,)), in_flight=1, timeout_s=5, retries=0) as opened:
            await opened.probe()
            await opened.complete(request())

    asyncio.run(run())
    assert server.asked[0].body["model"] == "fake-1"


# --- keys -----------------------------------------------------------------------------------------------------------


def test_the_key_goes_to_the_endpoint_and_without_one_nothing_does(server: FakeOpenAI) -> None:
    ask_one(server.url, key=KEY, probe=True)
    assert [asked.headers["authorization"] for asked in server.probes + server.asked] == [f"Bearer {KEY}"] * 2
    ask_one(server.url)
    assert "authorization" not in server.asked[-1].headers


def test_the_key_is_in_no_message_even_when_the_server_repeats_it(server: FakeOpenAI) -> None:
    def parrot(asked: Asked, status: int) -> Reply:
        return error(status, f"what is {asked.headers['authorization']} to me?")

    assert KEY not in repr(Address("teacher", "m", (server.url,), key=KEY))
    for status in (400, 401, 403, 404, 500):
        server.answer = lambda asked, status=status: parrot(asked, status)
        for found in ask(server.url, key=KEY, prompts=(str(status),), retries=0):
            assert isinstance(found, EndpointRefused | RowFailed)
            assert "to me?" in str(found)
            assert KEY not in f"{found} {found!r} {found.__dict__}"
    server.answer = lambda asked: as_json({"you sent": KEY})  # 200, but no answer
    with pytest.raises(RowFailed, match="you sent") as failed:
        ask_one(server.url, key=KEY)
    assert KEY not in str(failed.value)
    server.answer = lambda asked: parrot(asked, 503)
    for found in ask(server.url, key=KEY, prompts=tuple(map(str, range(9)))):
        assert KEY not in str(found)


def test_an_answer_is_left_alone_though_it_holds_the_key(server: FakeOpenAI) -> None:
    assert ask_one(server.url, key="hello").texts == ("answer to hello",)  # a dummy key may be any word


def test_a_key_that_a_server_repeats_in_an_answer_never_leaves_the_transport(server: FakeOpenAI) -> None:
    message = {"content": f"you sent {KEY}", "reasoning_content": f"{KEY}?"}
    good = {"message": {"content": "fine"}, "finish_reason": "stop"}
    server.answer = lambda asked: as_json({"choices": [{"message": message}, good], "model": f"for {KEY}"})
    found = ask_one(server.url, key=KEY, n=2)
    assert found.texts == ("you sent <key>", "fine")
    assert found.finish_reasons == ("refused", "stop")
    assert (found.thoughts, found.model) == (("<key>?", ""), "for <key>")
    found = ask_one(f"{server.url}/v1?api_key={KEY}", n=2)
    assert KEY not in repr(found)
    server.models = as_json({"data": [{"id": KEY}]})
    server.answer = lambda asked: error(404, "no such model")
    with pytest.raises(EndpointRefused) as caught:
        ask_one(server.url, probe=True, key=KEY)
    assert KEY not in str(caught.value)


def test_a_key_in_an_address_is_in_no_message(server: FakeOpenAI) -> None:
    url = f"{server.url}/v1?api-version=2024-10-21&api_key={KEY}"
    server.answer = lambda asked: error(401, f"what is {KEY}?")
    with pytest.raises(EndpointRefused, match="api-version=2024-10-21&api_key=…") as caught:
        ask_one(url, probe=True)
    assert KEY not in f"{caught.value} {caught.value.__dict__}"
    assert KEY in server.asked[0].path
    with pytest.raises(EndpointDown) as down:
        ask_one(f"{closed_port()}/v1?api_key={KEY}", probe=True)
    assert KEY not in f"{down.value} {down.value.__dict__}"
    server.answer = lambda asked: error(503)
    for failed in ask(url, prompts=tuple(map(str, range(8))), retries=0):
        assert KEY not in f"{failed} {failed.__dict__}"


def test_a_key_that_is_no_header_is_not_shown(server: FakeOpenAI) -> None:
    with pytest.raises((EndpointRefused, EndpointDown, RowFailed)) as caught:
        ask_one(server.url, key=KEY + "\nX: y", retries=0)
    assert KEY not in str(caught.value)


# --- dialects -------------------------------------------------------------------------------------------------------


def test_chat_body() -> None:
    asked = Request("p {x}", Sampling(0.7, 0.9, 50, n=3, seed=5), SCHEMA, "sts")
    body = dialects.body("chat", asked, "m", "ignored {prompt}")
    assert body == {
        "model": "m",
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 50,
        "n": 3,
        "seed": 5,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "p {x}"},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "sts", "schema": SCHEMA, "strict": True}},
    }


def test_what_is_not_asked_for_is_not_sent() -> None:
    body = dialects.body("chat", Request("p", Sampling(0, 1, 5)), "m")
    assert not {"n", "seed", "response_format"} & set(body)


def test_completion_body_holds_the_prompt_in_its_format() -> None:
    body = dialects.body(
        "completion", Request('{"a": {prompt}}', Sampling(1, 1, 5), SCHEMA), "m", "{ {x} {prompt} [/INST]"
    )
    assert body["prompt"] == '{ {x} {"a": {prompt}} [/INST]'
    assert not {"messages", "response_format"} & set(body)


def test_the_digest_depends_on_everything_that_decides_the_answer() -> None:
    sampling = Sampling(1.0, 1.0, 100, 1, None)
    variants = [
        (Request("p", sampling, SCHEMA), "m"),
        (Request("p", sampling, SCHEMA), "other"),
        (Request("q", sampling, SCHEMA), "m"),
        (Request("p", sampling, None), "m"),
        (Request("p", sampling, {"type": "object", "x": 1}), "m"),
        (Request("p", Sampling(0.9, 1.0, 100), SCHEMA), "m"),
        (Request("p", Sampling(1.0, 0.9, 100), SCHEMA), "m"),
        (Request("p", Sampling(1.0, 1.0, 99), SCHEMA), "m"),
        (Request("p", Sampling(1.0, 1.0, 100, 2), SCHEMA), "m"),
        (Request("p", Sampling(1.0, 1.0, 100, 1, 0), SCHEMA), "m"),
    ]
    digests = [asked.digest(model) for asked, model in variants]
    assert len(set(digests)) == len(variants)
    assert digests[0] == Request("p", sampling, dict(SCHEMA), "named otherwise").digest("m")
    assert all(len(digest) == 64 for digest in digests)


KEYS = st.sampled_from(["choices", "message", "content", "text", "usage", "finish_reason", "prompt_tokens"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=12,
)


@pytest.mark.parametrize("dialect", ["chat", "completion"])
@given(answer=JSON)
def test_any_json_is_an_answer_or_a_value_error(dialect: dialects.Dialect, answer: object) -> None:
    try:
        found = dialects.read(dialect, answer)
    except ValueError:
        return
    assert found.texts
    assert all(isinstance(t, str) for t in (*found.texts, *found.finish_reasons, found.model))
    json.dumps([found.prompt_tokens, found.completion_tokens])


# --- addresses: which key goes where --------------------------------------------------------------------------------


def opened(given: list[str], name: str, tmp_path: Path) -> Address:
    values = {"name": "r", "teacher": {"model": "big"}, "generator": {"prompt_format": "<{prompt}>"}}
    recipe = Recipe.model_validate(values)
    with Addresses(given).open(recipe, name, None, 1, tmp_path / "log") as address:
        return address


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, kind in itertools.product(("TEACHER", "JUNIOR", "SENIOR", "REVISOR"), ("URL", "KEY")):
        monkeypatch.delenv(f"HUB_SPEED_{name}_{kind}", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return monkeypatch


def test_openais_key_goes_to_openai_alone(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean.setenv("OPENAI_API_KEY", KEY)
    assert opened(["teacher=https://api.openai.com"], "teacher", tmp_path).key == KEY
    for url in (
        "https://api.openai.com.evil.example",
        "https://evil.example/api.openai.com",
        "http://127.0.0.1:1",
        "https://api.openai.com,https://evil.example",
    ):
        assert opened([f"teacher={url}"], "teacher", tmp_path).key is None, url


def test_every_model_has_a_key_of_its_own(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean.setenv("HUB_SPEED_TEACHER_KEY", "one")
    clean.setenv("HUB_SPEED_TEACHER_URL", "http://t:1")
    clean.setenv("HUB_SPEED_SENIOR_KEY", "two")
    clean.setenv("OPENAI_API_KEY", "three")
    teacher = opened([], "teacher", tmp_path)
    assert (teacher.key, teacher.urls, teacher.dialect, teacher.model) == ("one", ("http://t:1",), "chat", "big")
    assert opened(["teacher=https://api.openai.com"], "teacher", tmp_path).key == "one"
    senior = opened(["senior=http://a:1,http://b:2#mine"], "senior", tmp_path)
    assert (senior.key, senior.urls, senior.model) == ("two", ("http://a:1", "http://b:2"), "mine")
    assert (senior.dialect, senior.prompt_format) == ("completion", "<{prompt}>")
    assert opened(["senior=http://a:1"], "senior", tmp_path).model == ""  # the server's own name is taken


@pytest.mark.parametrize(
    "given", ["teacher", "teacher=", "techer=http://a", "teacher=a:1", "teacher=ftp://a", "senior=http://a,b"]
)
def test_an_address_that_is_none_is_a_recipe_error(clean: pytest.MonkeyPatch, given: str) -> None:
    with pytest.raises(RecipeError, match="expected"):
        Addresses([given])


@pytest.mark.parametrize(
    "given",
    [
        "s3cret",
        "teacher=s3cret",
        "teachr=s3cret",
        "teacher=ftp://h/?api_key=s3cret",
        "senior=http://a,s3cret",
        "https://host/v1?api_key=s3cret",
        "teacher=http://[s3cret",
        "teacher=https://user:s3cret@host",
        "teacher=https://s3cret@host/v1#model",
        "senior=tgi+http://a:1,http://user:s3cret@b:2",
        "senior=http://a:1,http://user:s3cret,s3cret@b:2",
        "teacher=https://api.openai.com:s3cret@evil.example",
        "techer=https://user:s3cret@host",
        "https://user:s3cret@host",
        "senior=user:s3cret@host",
    ],
)
def test_what_is_no_address_is_refused_and_not_shown(clean: pytest.MonkeyPatch, given: str) -> None:
    with pytest.raises(RecipeError, match="expected") as caught:
        Addresses([given])
    assert "s3cret" not in f"{caught.value} {caught.value.__dict__}"
    name, _, url = given.partition("=")
    if name in ("teacher", "senior"):
        clean.setenv(f"HUB_SPEED_{name.upper()}_URL", url)
        with pytest.raises(RecipeError, match=f"HUB_SPEED_{name.upper()}_KEY") as caught:
            Addresses([])
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("ending", ["\n", "\r\n", " ", "\n\n"])
def test_a_key_may_end_in_a_line_break(clean: pytest.MonkeyPatch, tmp_path: Path, ending: str) -> None:
    clean.setenv("HUB_SPEED_TEACHER_KEY", KEY + ending)
    clean.setenv("HUB_SPEED_TEACHER_URL", f"http://t:1, http://u:1{ending}")
    teacher = opened([], "teacher", tmp_path)
    assert (teacher.key, teacher.urls) == (KEY, ("http://t:1", "http://u:1"))


@pytest.mark.parametrize("inside", ["\n", "\x1b", "\x7f", "…", "\u200b", "\ufeff"])
def test_a_key_that_cannot_be_sent_is_told_before_anything_is_asked(
    clean: pytest.MonkeyPatch, tmp_path: Path, inside: str
) -> None:
    clean.setenv("HUB_SPEED_TEACHER_KEY", KEY + inside + "x")
    with pytest.raises(RecipeError, match="the key in HUB_SPEED_TEACHER_KEY") as caught:
        opened(["teacher=http://t:1"], "teacher", tmp_path)
    assert KEY not in str(caught.value)


def test_a_model_may_have_an_at_in_its_name(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert opened(["teacher=https://host#@cf/big"], "teacher", tmp_path).model == "@cf/big"


def test_a_teacher_without_an_address_says_what_to_do(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="the teacher has no endpoint") as caught:
        opened([], "teacher", tmp_path)
    assert "HUB_SPEED_TEACHER_URL" in caught.value.fix


def test_a_reranker_is_asked_in_each_of_the_three_forms(server: FakeOpenAI) -> None:
    """As vLLM and text-embeddings-inference want them; faults are dealt with as those of a chat."""
    prompt = json.dumps({"query": "q", "texts": ["a", "b"]})
    asked = Request(prompt, Sampling(0, 1, 0))
    forms = {
        "rerank": ("/v1/rerank", {"model": "m", "query": "q", "documents": ["a", "b"]}, "results", "relevance_score"),
        "score": ("/score", {"model": "m", "text_1": "q", "text_2": ["a", "b"]}, "data", "score"),
        "tei": ("/rerank", {"query": "q", "texts": ["a", "b"], "raw_scores": False, "truncate": True}, "", "score"),
    }
    for form, (path, body, within, name) in forms.items():
        scores = [{"index": 1, name: 0.25}, {"index": 0, name: 0.75}]
        half = scores[:1]

        def answer(asked: Asked, within: str = within, scores: list = scores, half: list = half) -> Reply:
            if asked.nth == 1:
                return error(429)
            found = half if asked.nth == 2 else scores  # a score is missing: asked again
            return as_json({within: found, "usage": {"prompt_tokens": 9, "total_tokens": 9}} if within else found)

        server.answer, place = answer, f"{form}+{server.url}#m"
        with Addresses([f"reranker={place}"]).open(Recipe(name="x"), "reranker", None, 1, Path()) as address:

            async def ask(address: Address = address) -> Completion:
                async with Endpoint(address, in_flight=2, timeout_s=10, retries=3) as found:
                    await found.probe(0)
                    return await found.complete(asked)

            completion = asyncio.run(ask())
        assert (server.asked[-1].path, server.asked[-1].body) == (path, body)
        assert json.loads(completion.texts[0]) == [0.75, 0.25] and completion.attempts == 3
    with (
        pytest.raises(RecipeError, match="the reranker has no endpoint"),
        Addresses([]).open(Recipe(name="x"), "reranker", None, 1, Path()),
    ):
        pass
