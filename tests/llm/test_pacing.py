"""How many requests are open, and at which replica: the rules alone, then over real sockets."""

import asyncio
import types
from collections import Counter

import pytest
from fake_openai import DROP, Asked, FakeOpenAI, Reply, error, text

from hub_speed.llm import pacing
from hub_speed.llm.address import Address
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.llm.endpoint import Endpoint
from hub_speed.llm.pacing import Pace, Replicas

pytestmark = pytest.mark.usefixtures("short_waits")

# --- places -----------------------------------------------------------------------------------------------------------


async def rounds(pace: Pace, requests: int, refused: int) -> None:
    """Requests one after the other, of which the first ones are refused."""
    for i in range(requests):
        pace.leave(await pace.enter(), refused=i < refused)


def test_all_places_are_there_at_first_and_no_more() -> None:
    async def run() -> None:
        pace = Pace(3)
        for _ in range(3):
            await pace.enter()
        waiting = asyncio.create_task(pace.enter())
        await asyncio.sleep(0)
        assert (pace.open, waiting.done()) == (3, False)
        pace.leave(0, refused=False)
        await waiting
        assert pace.open == 3

    asyncio.run(run())


def test_refusals_halve_the_places_and_answers_bring_them_back_step_by_step() -> None:
    async def run() -> None:
        pace = Pace(100)
        await rounds(pace, 5, refused=5)
        assert pace.places == 100  # five in a hundred are tolerated
        await rounds(pace, 1, refused=1)
        assert pace.places == 50
        await rounds(pace, 50, refused=0)
        assert pace.places == 55
        await rounds(pace, 55, refused=2)
        assert pace.places == 60
        await rounds(pace, 10_000, refused=0)
        assert pace.places == 100
        for _ in range(100):
            await rounds(pace, 50, refused=50)
        assert pace.places == 1

    asyncio.run(run())


def test_a_burst_of_refusals_halves_once() -> None:
    async def run() -> None:
        pace = Pace(64)
        entered = [await pace.enter() for _ in range(64)]
        for each in entered:
            pace.leave(each, refused=True)
        assert (pace.places, pace.open) == (32, 0)

    asyncio.run(run())


@pytest.mark.parametrize("most", [1, 2, 4])
def test_one_stray_refusal_changes_nothing(most: int) -> None:
    async def run() -> None:
        pace = Pace(most)
        await rounds(pace, 50, refused=1)
        assert pace.places == most

    asyncio.run(run())


def test_who_is_cancelled_while_waiting_leaves_no_place_behind() -> None:
    async def run() -> None:
        pace = Pace(1)
        entered = await pace.enter()
        first, second = (asyncio.create_task(pace.enter()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        pace.leave(entered, refused=False)
        await second
        third = asyncio.create_task(pace.enter())
        await asyncio.sleep(0)
        pace.leave(entered, refused=False)  # gives the third its place ...
        third.cancel()  # ... in the moment in which it gives up
        await asyncio.gather(first, third, return_exceptions=True)
        assert pace.open == 0

    asyncio.run(run())


# --- replicas ---------------------------------------------------------------------------------------------------------


def test_the_least_loaded_is_asked_and_equals_take_turns() -> None:
    replicas = Replicas(["a", "b", "c"])
    picked = [replicas.pick() for _ in range(6)]
    assert [replica.root for replica in picked] == ["a", "b", "c", "a", "b", "c"]
    for replica in picked[1::3]:
        replicas.leave(replica, failed=False)
    assert [replicas.pick().root for _ in range(2)] == ["b", "b"]
    assert replicas.pick([replicas.all[2]]).root == "a"


def test_one_that_keeps_failing_is_set_aside_and_tried_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = types.SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(pacing, "time", clock)
    replicas = Replicas(["dead", "alive"])
    for _ in range(pacing.FAILURES_TO_SET_ASIDE):
        replicas.leave(replicas.pick([replicas.all[1]]), failed=True)
    assert {replicas.pick().root for _ in range(20)} == {"alive"}
    clock.now += pacing.SET_ASIDE_S
    tried = replicas.pick()
    assert tried.root == "dead"
    assert replicas.pick().root == "alive"  # one request tries it, not all
    replicas.leave(tried, failed=True)
    clock.now += pacing.SET_ASIDE_S
    assert replicas.pick().root == "alive"  # set aside for twice as long
    clock.now += pacing.SET_ASIDE_S
    tried = replicas.pick()
    replicas.leave(tried, failed=False)
    assert [replicas.pick().root for _ in range(5)] == ["dead"] * 5  # it has fewer open


def test_when_all_are_set_aside_they_are_asked_all_the_same() -> None:
    replicas = Replicas(["a", "b"])
    for _ in range(20):
        replicas.leave(replicas.pick(), failed=True)
    assert {replicas.pick().root for _ in range(4)} == {"a", "b"}


# --- over sockets -----------------------------------------------------------------------------------------------------


@pytest.fixture
def server(server: FakeOpenAI) -> FakeOpenAI:
    server.answer = lambda asked: "fine"
    return server


def ask(*urls: str, count: int, in_flight: int, retries: int = 12) -> tuple[list[Completion], Endpoint]:
    """Ask `count` times at once."""

    async def run() -> tuple[list[Completion], Endpoint]:
        at = Address("teacher", "m", urls)
        async with Endpoint(at, in_flight=in_flight, timeout_s=10, retries=retries) as opened:
            requests = [Request(f"prompt {i}", Sampling(1.0, 1.0, 10)) for i in range(count)]
            return list(await asyncio.gather(*map(opened.complete, requests))), opened

    return asyncio.run(run())


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_takes_few_at_once_is_asked_few_at_once(server: FakeOpenAI, status: int) -> None:
    refused: list[int] = []

    def answer(asked: Asked) -> Reply:
        too_many = server.now_open > 4
        refused.append(too_many)
        return error(status) if too_many else Reply(text(asked, "fine").body, wait_s=0.01)

    server.answer = answer
    found, opened = ask(server.url, count=400, in_flight=64)
    assert [completion.texts for completion in found] == [("fine",)] * 400
    assert opened.pace.places < 32
    assert opened.pace.open == 0
    late = refused[len(refused) // 2 :]
    assert sum(late) < len(late) / 2  # without slowing down, fifteen of sixteen would be refused


def test_a_dead_replica_gets_a_few_requests_and_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeOpenAI(lambda asked: "one") as one, FakeOpenAI(lambda asked: "two") as two:
        one.answer = lambda asked: DROP
        found, _ = ask(one.url, two.url, count=200, in_flight=4)
        assert Counter(completion.texts[0] for completion in found) == {"two": 200}
        assert len(one.asked) < 20
        monkeypatch.setattr(pacing, "SET_ASIDE_S", 0.005)
        dropped = len(one.asked) + 6
        one.answer = lambda asked: DROP if len(one.asked) <= dropped else "one"
        two.answer = lambda asked: Reply(text(asked, "two").body, wait_s=0.005)
        found, opened = ask(one.url, two.url, count=400, in_flight=4)
        assert Counter(completion.texts[0] for completion in found)["one"] > 0
        assert all(replica.open == 0 for replica in opened.replicas.all)
