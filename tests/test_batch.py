"""Batch mode against a Batch API on a real socket: expiry, refusals, another machine, stops, budgets."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_batches import FakeBatches, answered, expired, refused

from hub_speed import batch
from hub_speed.batch import generate_in_batches
from hub_speed.errors import BudgetSpent, EndpointDown, EndpointRefused, Stopped
from hub_speed.generate import Accepted, Job, Jobs, Outcome
from hub_speed.journal import Journal
from hub_speed.llm import batches, dialects
from hub_speed.llm.budget import Budget
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.llm.endpoint import Address
from hub_speed.parse import Rejected
from hub_speed.recipe import Budget as Caps

KEY = "sk-0123456789abcdef"
Lines = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches.Batches, "look_every_s", 0.005)
    monkeypatch.setattr(batches, "WAIT_S", 0.002)


def all_good(_: int, requests: Lines) -> Lines:
    return [answered(r["custom_id"], f"answer to {r['body']['messages'][1]['content']}") for r in requests]


@pytest.fixture
def provider() -> Iterator[FakeBatches]:
    with FakeBatches(all_good) as running:
        yield running


def jobs(count: int) -> Jobs:
    def some(todo: Any) -> Iterator[Job]:
        for i in range(count):
            if todo(f"row-{i:03d}"):
                yield Job(f"row-{i:03d}", "sts", Request(f"prompt {i}", Sampling(1.0, 1.0, 50), {"type": "object"}), i)

    return some


def read(job: Job, completion: Completion) -> Outcome:
    assert completion.texts[0].endswith(f" {job.source}")  # the answer to its own prompt
    return Accepted({"id": job.id}) if job.source != 3 else Rejected("bad_json", "so it goes")


def run(
    url: str,
    folder: Path,
    count: int = 20,
    *,
    budget: Budget | None = None,
    stop: threading.Event | None = None,
    rounds: int = 3,
    purpose: str = "seed-abc",
) -> dict[str, dict[str, Any]]:
    """The ledger afterwards, by row. What was raised goes through."""
    address, stop = Address("teacher", "m", (url,), key=KEY), stop or threading.Event()
    with Journal(folder) as journal:
        told: list[int] = []
        provider = batches.Batches(address, purpose)
        generate_in_batches(
            jobs(count), read, provider, journal, rounds, lambda e, n: told.append(len(e)), stop, budget
        )
        found = {entry["id"]: entry for entry in journal.entries()}
        assert sum(told) <= len(found)
    return found


def asked(provider: FakeBatches) -> list[list[str]]:
    """The rows of every batch that was submitted."""
    return [[request["custom_id"][:7] for request in requests] for requests in provider.submitted]


def test_all_rows_are_asked_for_once_and_find_their_answers(
    provider: FakeBatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "REQUESTS_PER_BATCH", 8)
    found = run(provider.url, tmp_path)
    assert [len(rows) for rows in asked(provider)] == [8, 8, 4]
    assert (
        sorted(row for rows in asked(provider) for row in rows) == sorted(found) == [f"row-{i:03d}" for i in range(20)]
    )
    assert [entry["state"] for entry in found.values()] == ["accepted"] * 3 + ["rejected"] + ["accepted"] * 16
    assert found["row-000"]["completions"] == ["answer to prompt 0"]
    assert (found["row-000"]["prompt_tokens"], found["row-000"]["calls"]) == (11, 1)
    assert provider.keys == {f"Bearer {KEY}"}
    run(provider.url, tmp_path)
    assert len(provider.submitted) == 3


def test_a_line_is_the_online_request_under_its_hash(provider: FakeBatches, tmp_path: Path) -> None:
    found = run(provider.url, tmp_path, 1)
    (line,) = provider.submitted[0]
    request = Request("prompt 0", Sampling(1.0, 1.0, 50), {"type": "object"})
    assert line["custom_id"] == f"row-000.{request.digest('m')[:16]}"
    assert found["row-000"]["request"] == request.digest("m")
    assert line["body"] == dialects.body("chat", request, "m")
    assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
    wanted = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"hub_speed": "seed-abc"}}
    assert {name: provider.batches[0][name] for name in wanted} == wanted


def test_what_expired_or_failed_is_submitted_again(provider: FakeBatches, tmp_path: Path) -> None:
    def work(nth: int, requests: Lines) -> Lines:
        done = all_good(nth, requests)
        for i, request in enumerate(requests):
            if nth == 0 and i % 3 == 0:
                done[i] = expired(request["custom_id"])
            elif nth == 0 and i % 3 == 1:
                done[i] = refused(request["custom_id"], 500, "out of order")
        return done

    provider.work, provider.state = work, "expired"
    assert len(run(provider.url, tmp_path)) == 20
    assert asked(provider)[1] == [f"row-{i:03d}" for i in range(20) if i % 3 != 2]
    assert len(asked(provider)) == 2


def test_another_machine_goes_on_where_one_stopped(
    provider: FakeBatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "REQUESTS_PER_BATCH", 5)
    provider.looks = 10**9  # nothing is answered yet
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Stopped, match="stopped") as caught:
        run(provider.url, tmp_path / "here", stop=stop)
    assert "batches under way go on" in caught.value.fix
    submitted = len(provider.submitted)
    assert submitted > 0
    provider.looks = 0
    assert len(run(provider.url, tmp_path / "there")) == 20
    assert sorted(row for rows in asked(provider) for row in rows) == [
        f"row-{i:03d}" for i in range(20)
    ]  # nothing was asked for twice
    run(provider.url, tmp_path / "other", 3, purpose="root-def")  # another stage has its own batches
    assert len(asked(provider)[-1]) == 3


def test_an_answer_to_another_request_is_not_taken(provider: FakeBatches, tmp_path: Path) -> None:
    def work(nth: int, requests: Lines) -> Lines:
        done = all_good(nth, requests)
        if nth == 0:
            done[0]["custom_id"] = "row-000.0123456789abcdef"
            done[1]["custom_id"] = "nonsense"
            done[2]["response"]["body"] = {"choices": []}
        return done

    provider.work = work
    assert len(run(provider.url, tmp_path)) == 20
    assert asked(provider)[1] == ["row-000", "row-001", "row-002"]


def test_a_request_that_is_refused_or_keeps_failing_fails_its_row(provider: FakeBatches, tmp_path: Path) -> None:
    def work(_: int, requests: Lines) -> Lines:
        status = {"row-005": 400, "row-006": 500}
        return [
            refused(request["custom_id"], status[row], "no")
            if (row := request["custom_id"].partition(".")[0]) in status
            else all_good(0, [request])[0]
            for request in requests
        ]

    provider.work = work
    found = run(provider.url, tmp_path)
    assert {row: (entry["state"], entry["reason"]) for row, entry in found.items() if entry["state"] == "failed"} == {
        "row-005": ("failed", "refused"),
        "row-006": ("failed", "endpoint_error"),
    }
    provider.work = all_good
    assert {entry["state"] for entry in run(provider.url, tmp_path).values()} == {"accepted", "rejected"}


@pytest.mark.parametrize("status", [401, 404])
def test_a_request_that_is_refused_stops_the_run_and_the_rest_is_kept(
    provider: FakeBatches, tmp_path: Path, status: int
) -> None:
    provider.work = lambda nth, requests: [
        *all_good(nth, requests[:-1]),
        refused(requests[-1]["custom_id"], status, "no such model"),
    ]
    with pytest.raises(EndpointRefused, match="was refused") as caught:
        run(provider.url, tmp_path)
    assert caught.value.got == f"{status} no such model"
    provider.work = all_good
    assert len(run(provider.url, tmp_path)) == 20  # the refusal of an earlier run does not stand for ever
    assert asked(provider)[1] == ["row-019"]


def test_a_batch_that_fails_whole_is_told(provider: FakeBatches, tmp_path: Path) -> None:
    provider.work, provider.state = lambda nth, requests: [], "failed"
    with pytest.raises(EndpointRefused, match="refuses batch batch-0") as caught:
        run(provider.url, tmp_path)
    assert caught.value.got == "too many tokens enqueued"
    provider.work, provider.state = all_good, "completed"
    assert len(run(provider.url, tmp_path)) == 20


def test_batches_without_answers_end_the_run(provider: FakeBatches, tmp_path: Path) -> None:
    provider.work, provider.state = lambda nth, requests: [expired(r["custom_id"]) for r in requests], "expired"
    with pytest.raises(EndpointDown, match="4 batches in a row without one answer"):
        run(provider.url, tmp_path)


def test_calls_are_made_again_and_the_key_is_in_no_message(provider: FakeBatches, tmp_path: Path) -> None:
    provider.fail = 503
    assert len(run(provider.url, tmp_path, 2)) == 2
    provider.fail = 404
    with pytest.raises(EndpointRefused, match="/v1/batches") as caught:
        run(provider.url, tmp_path, 3)
    assert "no, Bearer <key>" in caught.value.got
    assert KEY not in str(caught.value)


def test_a_budget_holds_for_batches(provider: FakeBatches, tmp_path: Path) -> None:
    budget = Budget(Caps(max_calls=12))
    with pytest.raises(BudgetSpent):
        run(provider.url, tmp_path, budget=budget)
    assert [len(rows) for rows in asked(provider)] == [12]
    assert budget.spent.calls == 12
    assert len(run(provider.url, tmp_path, budget=Budget(Caps(max_calls=8)))) == 20
    json.dumps(asked(provider))


def test_a_stage_waits_for_room_in_a_budget_that_another_holds(provider: FakeBatches, tmp_path: Path) -> None:
    budget, stop = Budget(Caps(max_calls=30)), threading.Event()
    held = [budget.set_aside(Request("x", Sampling(1.0, 1.0, 50))) for _ in range(30)]
    threading.Timer(0.3, lambda: [budget.settle(each, None) for each in held if each]).start()
    found = run(provider.url, tmp_path, budget=budget, stop=stop)
    assert len(found) == 20 and all(held)


def test_an_answer_that_is_never_there_gives_its_room_back_and_its_row_up(
    provider: FakeBatches, tmp_path: Path
) -> None:
    def work(nth: int, requests: Lines) -> Lines:
        unreadable = {"custom_id": "", "response": {"status_code": 200, "body": {"choices": []}}, "error": None}
        return [
            line if "row-001" not in line["custom_id"] else unreadable | {"custom_id": line["custom_id"]}
            for line in all_good(nth, requests)
            if "row-002" not in line["custom_id"]
        ]

    provider.work = work
    budget = Budget(Caps(max_calls=46))
    found = run(provider.url, tmp_path, 40, budget=budget, rounds=2)
    lost = {name: (row["state"], row["reason"]) for name, row in found.items() if row["state"] == "failed"}
    assert lost == dict.fromkeys(("row-001", "row-002"), ("failed", "endpoint_error")) and len(found) == 40
    assert [len(rows) for rows in asked(provider)] == [40, 2, 2]
    assert budget.spent.calls == 38  # what was not answered took nothing
