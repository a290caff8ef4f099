"""The budget: no cap is ever passed, a run ends cleanly at it, and the next one goes on."""

import asyncio
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_batches import FakeBatches
from fake_openai import DROP, Asked, FakeOpenAI, Reply, as_json, choices, error, text, tgi
from hypothesis import given
from hypothesis import strategies as st
from running import HANG_S, Cli, kill, tiny

from hub_speed.errors import BudgetSpent, RecipeError
from hub_speed.generation.jobs import Accepted, Job
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.online import generate
from hub_speed.llm.address import Address, Limits
from hub_speed.llm.budget import BudgetMeter, Spent
from hub_speed.llm.dialects import Completion, Dialect, Request, Sampling
from hub_speed.llm.endpoint import Endpoint, RowFailed
from hub_speed.pipeline.table import STAGES
from hub_speed.recipe import BudgetCaps
from hub_speed.recipes.loader import load

PRICES = {"usd_per_million_read": 10.0, "usd_per_million_written": 20.0}


def request(prompt: str = "hello", max_tokens: int = 50, n: int = 1) -> Request:
    return Request(prompt, Sampling(1.0, 1.0, max_tokens, n))


def answered(read: int, written: int) -> Completion:
    return Completion(("x",), ("stop",), "m", read, written)


@pytest.mark.parametrize(
    ("caps", "fits"),
    [
        ({"max_calls": 3}, 3),
        ({"max_tokens": 3 * 155}, 3),
        ({"max_tokens": 3 * 155 + 154}, 3),
        ({"max_usd": 3 * (105 * 10 + 50 * 20) / 1e6, **PRICES}, 3),
        ({"max_calls": 2, "max_tokens": 10_000, "max_usd": 5.0, **PRICES}, 2),
    ],
)
def test_what_is_in_flight_counts_with_the_most_it_can_take(caps: dict[str, float], fits: int) -> None:
    budget = BudgetMeter(BudgetCaps.model_validate(caps))
    aside = [budget.set_aside(request()) for _ in range(fits)]
    assert None not in aside
    assert budget.set_aside(request()) is None
    assert budget.set_aside(request()) is None  # which changed nothing
    assert aside[0] == Spent(1, len("hello") + 100, 50)
    budget.settle(aside[0], None)  # it was not answered
    assert budget.set_aside(request()) == aside[0]
    assert budget.spent == Spent()


def test_what_was_not_taken_is_there_again_until_not_even_one_fits() -> None:
    budget = BudgetMeter(BudgetCaps(max_tokens=1000))
    for i in itertools.count():
        try:
            aside = budget.set_aside(request())
        except BudgetSpent as spent:
            assert i == 34
            assert "could pass budget.max_tokens = 1,000" in spent.where
            assert spent.got == "so far 34 calls, 850 tokens in this run"
            assert spent.exit_code == 8
            return
        assert aside is not None
        budget.settle(aside, answered(20, 5))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 200), st.integers(1, 5), st.booleans()), max_size=60))
def test_no_cap_is_passed(requests: list[tuple[int, int, int, bool]]) -> None:
    budget, open_ = BudgetMeter(BudgetCaps(max_tokens=3000, max_calls=20)), []
    for length, max_tokens, n, at_once in requests:
        try:
            aside = budget.set_aside(request("x" * length, max_tokens, n))
        except BudgetSpent:
            aside = None
        if aside:
            open_.append(aside)
        while open_ and (at_once or len(open_) > 4):
            worst = open_.pop()
            budget.settle(worst, answered(worst.read, worst.written))
        assert budget.spent.read + budget.spent.written <= 3000
        assert budget.spent.calls <= 20


def test_a_cap_in_dollars_needs_prices() -> None:
    for value in ("{max_usd: 5}", "{usd_per_million_read: 5}"):
        with pytest.raises(RecipeError, match="budget"):
            load("quickstart", [f"budget={value}"])


# --- a run ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(server: FakeOpenAI) -> FakeOpenAI:
    server.answer = lambda asked: Reply(as_json(choices(asked, ["x"])).body, wait_s=0.005)
    return server


def run(
    url: str, folder: Path, budget: BudgetMeter, count: int = 100, dialect: Dialect = "chat", timeout_s: float = 10
) -> list[str]:
    """Ask for `count` rows; the ids in the ledger afterwards. What generate raised goes through."""

    def jobs(todo: object) -> Iterator[Job]:
        return (Job(f"{i:04d}", "sts", request(f"prompt {i}")) for i in range(count) if todo(f"{i:04d}"))  # type: ignore[operator]

    def read(job: Job, completion: Completion) -> Accepted:
        return Accepted({"id": job.id})

    address, limits = Address("teacher", "m", (url,), dialect), Limits(8, timeout_s, 2)
    with Ledger(folder) as ledger:
        generate(jobs, read, address, ledger, limits, lambda rows, in_flight: None, threading.Event(), budget)
    return entries_in(folder)


def entries_in(folder: Path) -> list[str]:
    with Ledger(folder) as ledger:
        return [entry["id"] for entry in ledger.entries()]


def test_a_run_ends_at_its_budget_with_every_paid_row_kept_and_the_next_goes_on(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    for i in (1, 2):
        budget = BudgetMeter(BudgetCaps(max_calls=30))
        with pytest.raises(BudgetSpent, match="max_calls = 30"):
            run(server.url, tmp_path, budget)
        assert (len(server.asked), len(entries_in(tmp_path))) == (30 * i, 30 * i)
        assert budget.spent == Spent(30, 330, 210)
    assert len(run(server.url, tmp_path, BudgetMeter())) == 100
    assert len(server.asked) == 100


def test_a_cap_on_tokens_is_come_near_and_not_passed(server: FakeOpenAI, tmp_path: Path) -> None:
    budget = BudgetMeter(BudgetCaps(max_tokens=900, max_usd=1.0, **PRICES))
    with pytest.raises(BudgetSpent, match="max_tokens = 900"):
        run(server.url, tmp_path, budget)
    assert 700 < budget.spent.read + budget.spent.written <= 900
    assert server.most_open <= 6  # at most 160 tokens each
    assert len(entries_in(tmp_path)) == budget.spent.calls == len(server.asked)


@pytest.mark.usefixtures("short_waits")
def test_a_request_that_is_not_answered_is_free(server: FakeOpenAI, tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        return error(429) if asked.nth == 1 else as_json(choices(asked, ["x"]))

    server.answer = answer
    assert len(run(server.url, tmp_path, BudgetMeter(BudgetCaps(max_calls=20)), count=20)) == 20
    assert len(server.asked) == 40


def test_tokens_that_the_server_does_not_count_are_as_many_as_were_set_aside(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    server.answer = lambda asked: as_json(choices(asked, ["x"]) | {"usage": None})
    budget = BudgetMeter(BudgetCaps(max_tokens=1000))
    with pytest.raises(BudgetSpent, match="max_tokens = 1,000"):
        run(server.url, tmp_path, budget)
    assert len(server.asked) == len(entries_in(tmp_path)) == 6
    assert budget.spent == Spent(6, 6 * (len("prompt 0") + 100), 6 * 50)


def test_tgi_counts_what_it_writes_and_the_prompt_is_as_long_as_was_set_aside(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    server.answer = lambda asked: tgi("x")
    budget = BudgetMeter(BudgetCaps(max_tokens=1000))
    with pytest.raises(BudgetSpent):
        run(server.url, tmp_path, budget, dialect="tgi")
    calls = len(server.asked)
    assert budget.spent == Spent(calls, sum(len(prompt) + 100 for prompt in server.prompts()), calls * 7)
    assert 800 < budget.spent.read + budget.spent.written <= 1000
    with Ledger(tmp_path) as ledger:
        assert ledger.usage() == (calls, 0, calls * 7)  # the ledger holds what is known


@pytest.mark.parametrize(
    "unusable",
    [
        lambda asked: as_json(choices(asked, ["x", "y"])),
        lambda asked: Reply(text(asked, "x").body[:-9]),
        lambda asked: Reply(text(asked, "x").body, cut=200),
    ],
    ids=["two answers", "broken JSON", "broken off"],
)
@pytest.mark.usefixtures("short_waits")
def test_an_answer_that_cannot_be_used_is_paid_for(
    server: FakeOpenAI, tmp_path: Path, unusable: Callable[[Asked], Reply]
) -> None:
    server.answer = lambda asked: unusable(asked) if asked.nth == 1 else text(asked, "x")
    budget = BudgetMeter(BudgetCaps(max_calls=20))
    with pytest.raises(BudgetSpent, match="max_calls = 20"):
        run(server.url, tmp_path, budget)
    assert len(server.asked) == budget.spent.calls == 20
    done = len(entries_in(tmp_path))
    assert budget.spent.written == 7 * done + 50 * (20 - done)


def test_who_waits_to_be_asked_again_holds_nothing(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: error(429, Retry_After="2") if asked.prompt == "prompt 0" else text(asked, "x")
    with pytest.raises(BudgetSpent):
        run(server.url, tmp_path, BudgetMeter(BudgetCaps(max_calls=3)), count=4)
    assert entries_in(tmp_path) == ["0001", "0002", "0003"]
    assert server.prompts().count("prompt 0") == 1


@pytest.mark.parametrize("fault", [DROP, Reply(b"{}", wait_s=HANG_S)], ids=["dropped", "too slow"])
@pytest.mark.usefixtures("short_waits")
def test_a_request_that_was_sent_and_not_answered_is_paid_for(server: FakeOpenAI, tmp_path: Path, fault: Reply) -> None:
    """The server may have answered, and what it then bills must not pass the cap."""
    server.answer = lambda asked: fault if asked.nth == 1 and asked.prompt[-1] == "3" else text(asked, "x")
    budget = BudgetMeter(BudgetCaps(max_calls=50))
    with pytest.raises(BudgetSpent):
        run(server.url, tmp_path, budget, timeout_s=1)
    assert len(server.asked) == budget.spent.calls == 50
    assert len(entries_in(tmp_path)) < 50


@pytest.mark.usefixtures("short_waits")
def test_a_server_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    budget = BudgetMeter(BudgetCaps(max_calls=3))

    async def ask() -> None:
        address = Address("teacher", "m", ("http://127.0.0.1:9",))
        async with Endpoint(address, in_flight=4, timeout_s=5, retries=5, budget=budget) as opened:
            await opened.complete(request())

    with pytest.raises(RowFailed):
        asyncio.run(ask())
    assert budget.spent == Spent()


def test_a_request_that_is_cancelled_is_paid_for_and_one_that_waited_is_not(server: FakeOpenAI) -> None:
    server.answer = lambda asked: Reply(b"{}", wait_s=5)
    budget = BudgetMeter(BudgetCaps(max_calls=9))

    async def ask() -> None:
        async with Endpoint(
            Address("t", "m", (server.url,)), in_flight=2, timeout_s=9, retries=0, budget=budget
        ) as opened:
            asked = [asyncio.create_task(opened.complete(request(str(i)))) for i in range(5)]
            while len(server.asked) < 2:
                await asyncio.sleep(0.01)
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    asyncio.run(ask())
    assert budget.spent.calls == 2


def test_the_command_line_stops_at_the_budget_and_goes_on_and_a_plan_adds_up_what_is_left(
    cli: Cli, seeded: Cli
) -> None:
    flags = tiny(license="cc0-1.0", seed__rows=200)
    prices = "budget={usd_per_million_read: 5000, usd_per_million_written: 15000}"
    plan = ("plan", "quickstart", "--only", "preference", *flags, "--set", prices)

    def dollars(out: str) -> list[float]:
        return [float(found.replace(",", "")) for found in re.findall(r"\$([\d.,]+\d)", out)]

    whole = cli(*plan)
    *costs, together = dollars(whole)
    assert len(costs) == 3 and together == pytest.approx(sum(costs), abs=0.02)  # brainstorm, seed, preference
    assert "for what is left to run; a run" in whole and "224 as SPEED counts them" in whole
    args = ("run", "quickstart", "--only", "seed", *flags)
    out = seeded(*args, "--set", "budget.max_calls=150", code=8)
    assert "could pass budget.max_calls = 150" in out
    assert "goes on where this one stopped" in out
    assert "200 rows" in seeded(*args, "--set", "budget.max_calls=50")
    left = seeded(*plan, "--mode", "batch")
    assert dollars(left) == pytest.approx([costs[-1] / 2] * 2, abs=0.01)
    assert "for what is left to run, in batches at 50% of the list price" in left
    assert "24 left as SPEED counts them" in left and "+ 0 to brainstorm" in left


# --- several runs -----------------------------------------------------------------------------------------------------


def test_caps_for_life_count_what_earlier_runs_have_spent() -> None:
    for lifetime, fits in ((False, 5), (True, 2)):
        budget = BudgetMeter(BudgetCaps(max_calls=5, lifetime=lifetime))
        for spent in (Spent(2, 10, 10), Spent(3, 10, 10)):
            budget.count_earlier("seed-abc", spent)  # the last word
        aside = [budget.set_aside(request()) for _ in range(fits)]
        assert None not in aside and budget.set_aside(request()) is None
        for each in aside:
            assert each
            budget.settle(each, answered(20, 5))
        with pytest.raises(BudgetSpent) as caught:
            budget.set_aside(request())
        earlier = ", 3 calls, 20 tokens in earlier ones" if lifetime else ""
        assert caught.value.got == f"so far {fits} calls, {25 * fits} tokens in this run{earlier}"
        assert budget.spent.calls == fits


def test_three_runs_together_make_no_more_calls_than_a_cap_for_life(cli: Cli) -> None:
    with FakeOpenAI(lambda asked: "no") as server:
        args = ["run", "quickstart", "--only", "brainstorm", "--endpoint", f"teacher={server.url}"]
        args += tiny(brainstorm__topics="quickstart-topics", runtime__reask="false", teacher__model="m")
        for cap, made in ((3, 3), (3, 3), (4, 4)):
            out = cli(*args, "--set", f"budget={{max_calls: {cap}, lifetime: true}}", code=8)
            assert f"could pass budget.max_calls = {cap}" in out
            assert len(server.asked) == made
        cli(*args, "--set", "budget={max_calls: 1}", code=8)
        assert len(server.asked) == 5


# --- prices -----------------------------------------------------------------------------------------------------------


def test_batches_count_with_half_the_price_in_estimates_and_caps() -> None:
    prices = ["budget={usd_per_million_read: 10, usd_per_million_written: 20, max_usd: 0.00615}"]  # of three requests
    online, batch = load("speed", prices), load("speed", [*prices, "runtime.mode=batch"])
    for name, s in STAGES.items():
        full, half = (s.estimate(recipe, 10).cost_usd for recipe in (online, batch))
        assert half == (None if full is None else pytest.approx(full / 2)), name
    for recipe, fits in ((online, 3), (batch, 6)):
        budget = BudgetMeter(recipe.effective_budget)
        aside = [budget.set_aside(request()) for _ in range(fits)]
        assert None not in aside and budget.set_aside(request()) is None
    assert online.budget.max_usd == batch.effective_budget.max_usd
    assert load("quickstart", ["runtime.mode=batch"]).effective_budget.cost_usd(1, 1) is None


def test_a_run_in_batches_has_twice_the_calls_for_its_dollars(cli: Cli) -> None:
    with FakeBatches(lambda nth, requests: []) as provider:
        args = ["run", "quickstart", "--only", "brainstorm", "--endpoint", f"teacher={provider.url}", *tiny()]
        sets = ["runtime.mode=batch", "teacher.max_tokens=1000"]
        sets += ["budget={usd_per_million_read: 0, usd_per_million_written: 1000, max_usd: 2}"]  # $1 an answer, online
        process = cli.start(*args, *(part for each in sets for part in ("--set", each)))
        while not provider.submitted and process.poll() is None:
            time.sleep(0.02)
        kill(process)
        assert [len(requests) for requests in provider.submitted] == [4]
