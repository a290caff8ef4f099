"""What a run says while it works: numbers from the rows that end, in words and as JSON."""

import json
import types
from typing import Any

import pytest
from rich.console import Console
from running import HANG_S, Cli, tiny

from hub_speed.console import progress
from hub_speed.console.progress import Bars, in_words
from hub_speed.generation import meter as meters
from hub_speed.generation.meter import Meter
from hub_speed.llm.budget import BudgetMeter
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.recipe import BudgetCaps
from hub_speed.rows import LedgerRow

NUMBERS: dict[str, Any] = {
    "rows": 100,
    "rows_per_s": 20.0,
    "tokens_written": 20_000,
    "tokens_per_s": 4000,
    "used": 0.9,
    "rejected": {"bad_json": 3},
    "in_flight": 8,
}


class Clock:
    """A clock that a test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        own = types.SimpleNamespace(monotonic=lambda: self.now, time=lambda: 1_000_000 + self.now)
        monkeypatch.setattr(meters, "time", own)
        monkeypatch.setattr(progress, "time", own)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def ended(state: str = "accepted", reason: str = "", tokens: int = 10, attempts: int = 1) -> LedgerRow:
    return LedgerRow.model_construct(
        state=state, reason=reason, completion_tokens=tokens, attempts=attempts, calls=int(state != "failed")
    )


class Heard:
    """A progress that remembers what it is told."""

    def __init__(self) -> None:
        self.done, self.numbers = 0, list[dict[str, Any]]()

    def start(self, total: int, unit: str, done: int = 0) -> None: ...

    def advance(self, n: int) -> None:
        self.done += n

    def note(self, text: str) -> None: ...

    def measure(self, numbers: dict[str, Any]) -> None:
        self.numbers.append(numbers)


def test_numbers_come_about_once_a_second_from_the_rows_that_ended(clock: Clock) -> None:
    heard, budget = Heard(), BudgetMeter(BudgetCaps(usd_per_million_read=5, usd_per_million_written=15))
    meter = Meter(heard, budget)
    meter.rows([ended(), ended("rejected", "bad_json")], 7)
    assert (heard.done, heard.numbers) == (2, [])
    aside = budget.set_aside(Request("p", Sampling(1, 1, 5)))
    assert aside is not None
    budget.settle(aside, Completion(("x",), ("stop",), "m", 100_000, 100_000))
    clock.now += 2
    meter.rows([ended("reasked"), ended(attempts=4)], 5)
    assert heard.numbers == [
        {
            "rows": 4,
            "rows_per_s": 2.0,
            "calls": 4,
            "tokens_written": 40,
            "tokens_per_s": 20,
            "used": 0.75,
            "rejected": {"bad_json": 1},
            "in_flight": 5,
            "retries": 3,
            "cost_usd": 2.0,
        }
    ]


def test_the_last_numbers_are_told_also_of_a_stage_that_takes_no_second(clock: Clock) -> None:
    heard = Heard()
    meter = Meter(heard, None)
    clock.now += 0.25
    meter.rows([ended()] * 5, 0)
    meter.end()
    meter.end()  # nothing new
    assert [(each["rows"], each["rows_per_s"], each["calls"]) for each in heard.numbers] == [(5, 20.0, 5)]


def test_more_rows_than_were_thought_make_the_whole_larger(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Bars(Console(width=200, force_terminal=False)) as bars:
        bar = bars.stage("seed")
        bar.start(367, "rows", done=360)
        clock.now += 20
        bar.advance(12)
    assert "seed: 372/372 rows" in capsys.readouterr().out


def test_rates_are_those_of_the_last_half_minute(clock: Clock) -> None:
    heard = Heard()
    meter = Meter(heard, None)
    for second in range(100):
        clock.now += 1
        meter.rows([ended()] * (1 if second < 60 else 50), 5)
    assert heard.numbers[40]["rows_per_s"] == 1.0
    assert heard.numbers[-1]["rows_per_s"] == 50.0
    assert "cost_usd" not in heard.numbers[-1]


def test_a_server_that_has_not_answered_yet_does_not_look_dead(clock: Clock) -> None:
    heard = Heard()
    meter = Meter(heard, None)
    for _ in range(3):
        clock.now += 1
        meter.rows([], 64)
    assert [in_words(numbers) for numbers in heard.numbers] == ["64 in flight · no row has ended yet"] * 3


def test_a_slow_server_is_told_in_rows_a_minute_over_all_the_time(clock: Clock) -> None:
    heard = Heard()
    meter = Meter(heard, None)
    for second in range(300):
        clock.now += 1
        meter.rows([ended(tokens=500)] if second == 149 else [], 64)
    assert in_words(heard.numbers[-1]) == "0.2 rows/min · 500 tokens · 100% used · 64 in flight"


def test_lines_for_people_and_for_machines(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = NUMBERS
    for as_json in (False, True):
        with Bars(Console(width=200, force_terminal=False), as_json=as_json) as bars:
            bar = bars.stage("seed")
            bar.start(1000, "rows", done=100)
            bar.measure(numbers | {"retries": 2})
            bar.advance(50)
            assert capsys.readouterr().out == ""  # too early to say anything
            clock.now += 1
            bar.advance(50)
            bar.advance(0)
        line = capsys.readouterr().out
        if as_json:
            told = json.loads(line)
            assert (told["stage"], told["done"], told["total"], told["unit"]) == ("seed", 200, 1000, "rows")
            assert (told["rows_per_s"], told["rejected"], told["seconds_left"]) == (20.0, {"bad_json": 3}, 45)
        else:
            assert line.startswith("  seed: 200/1,000 rows 20 rows/s · 4,000 tokens/s · 90% used (bad_json 3) · 8 in")
            assert "2 retries · 45 s left" in line
    assert "$3.50" in in_words(numbers | {"retries": 0, "cost_usd": 3.5})


def test_the_panel_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = NUMBERS
    with Bars(Console(width=200, force_terminal=True)) as bars:
        seed, judged = bars.stage("seed"), bars.stage("preference")
        seed.start(1000, "rows", done=100)
        judged.start(50, "rows")
        seed.measure(numbers | {"retries": 2, "cost_usd": 3.5})
        seed.advance(50)
        bars._rich.refresh()
        drawn = capsys.readouterr().out
        bars.finish("seed")
        bars._rich.refresh()
        capsys.readouterr()  # the panel is drawn ten times a second as well, perhaps once more just before
        bars._rich.refresh()
        left = capsys.readouterr().out
    assert "150/1000" in drawn and "20 rows/s · 4,000 tokens/s · 90% used (bad_json 3) · 8 in flight" in drawn
    assert "2 retries · $3.50 · 45 s left" in drawn
    assert "preference" in drawn and "preference" in left and "seed" not in left


def test_the_command_line_speaks_json(cli: Cli) -> None:
    process = cli.start("run", "quickstart", "--only", "brainstorm", *tiny(), "--log-format", "json")
    out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[-1]["stage"] == "brainstorm"
    assert lines[-1]["cached"] is False
    assert lines[-1]["accepted"] > 0
    assert "text or json" in cli("run", "quickstart", "--log-format", "xml", code=2)


def test_of_two_stages_with_one_name_side_by_side_the_one_still_at_work_keeps_its_bar() -> None:
    bars = Bars(Console(quiet=True))
    first, second = bars.stage("embedder"), bars.stage("embedder")
    first.start(4, "steps")
    second.start(4, "steps", done=1)
    bars.finish("embedder")
    second.advance(1)
    assert [(task.description, task.completed) for task in bars._rich.tasks] == [("embedder", 2)]
    bars.finish("embedder")
    second.note("loss 0.5")
    bars.finish("embedder")
    second.start(2, "steps")
    assert [task.completed for task in bars._rich.tasks] == [0]
