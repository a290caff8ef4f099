"""Batch mode against a Batch API on a real socket: expiry, refusals, another machine, stops, budgets."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fake_batches import FakeBatches, answered, expired, refused
from rich.console import Console
from running import kill

from hub_speed.console.progress import Bars
from hub_speed.errors import BudgetSpent, EndpointDown, EndpointRefused, Stopped
from hub_speed.generation import asking, batched, dataset, writers
from hub_speed.generation.batched import generate_in_batches
from hub_speed.generation.jobs import Accepted, Job, Jobs, Outcome
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.parsing import Rejected
from hub_speed.llm import batch_api, dialects
from hub_speed.llm.address import Address
from hub_speed.llm.budget import BudgetMeter, Spent
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.recipe import BudgetCaps, Recipe
from hub_speed.record import RunRecord
from hub_speed.stage import Context

KEY = "sk-0123456789abcdef"
Lines = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch, short_waits: None) -> None:
    monkeypatch.setattr(batch_api.Batches, "look_every_s", 0.005)


def all_good(_: int, requests: Lines) -> Lines:
    return [answered(r["custom_id"], f"answer to {r['body']['messages'][1]['content']}") for r in requests]


@pytest.fixture
def provider() -> Iterator[FakeBatches]:
    with FakeBatches(all_good) as running:
        yield running


def jobs(count: int, schemas: tuple[str, ...] = ("answer",)) -> Jobs:
    def some(todo: Any) -> Iterator[Job]:
        for i in range(count):
            if todo(f"row-{i:03d}"):
                schema = {"type": "object"}, schemas[i % len(schemas)]
                yield Job(f"row-{i:03d}", "sts", Request(f"prompt {i}", Sampling(1.0, 1.0, 50), *schema), i)

    return some


def read(job: Job, completion: Completion) -> Outcome:
    assert completion.texts[0].endswith(f" {job.source}")  # the answer to its own prompt
    return Accepted({"id": job.id}) if job.source != 3 else Rejected("bad_json", "so it goes")


def run(
    url: str,
    folder: Path,
    count: int = 20,
    *,
    budget: BudgetMeter | None = None,
    stop: threading.Event | None = None,
    rounds: int = 3,
    purpose: str = "seed-abc",
    notes: list[str] | None = None,
    schemas: tuple[str, ...] = ("answer",),
) -> dict[str, dict[str, Any]]:
    """The ledger afterwards, by row; what was noticed goes into `notes`. What was raised goes through."""
    address, stop = Address("teacher", "m", (url,), key=KEY), stop or threading.Event()
    with Ledger(folder) as ledger:
        told: list[int] = []
        provider = batch_api.Batches(address, purpose)
        if budget:
            budget.count_earlier(purpose, Spent(*ledger.usage()))
        noticed = generate_in_batches(
            jobs(count, schemas), read, provider, ledger, rounds, lambda e, n: told.append(len(e)), stop, budget
        )
        if notes is not None:
            notes += noticed
        found = {entry["id"]: entry for entry in ledger.entries()}
        assert sum(told) <= len(found)
    return found


def once(seen: Callable[[], object], do: Callable[[], object]) -> None:
    """Do something as soon as something is seen."""
    while not seen():
        time.sleep(0.005)
    do()


def asked(provider: FakeBatches) -> list[list[str]]:
    """The rows of every batch that was submitted."""
    return [[request["custom_id"][:7] for request in requests] for requests in provider.submitted]


@pytest.mark.parametrize("line", [b"<html>", b"", b'{"id": 1}\n', b'{"custom_id": "row-001.0", "body": []}\n'])
def test_a_file_of_requests_that_comes_back_otherwise_ends_the_run_with_its_words(
    line: bytes, provider: FakeBatches, tmp_path: Path
) -> None:
    provider.looks, provider.files["file-old"] = 100, line + KEY.encode()
    about = {"input_file_id": "file-old", "metadata": {"hub_speed": "seed-abc"}, "size": 1}
    provider.batches.append({"id": "batch-old", "status": "in_progress", "looks": 0, **about})
    with pytest.raises(EndpointRefused, match="the requests of batch batch-old cannot be read") as raised:
        run(provider.url, tmp_path)
    assert "cancel the batch" in raised.value.fix and KEY not in str(raised.value) and not provider.submitted


def test_all_rows_are_asked_for_once_and_find_their_answers(
    provider: FakeBatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched, "REQUESTS_PER_BATCH", 8)
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
    monkeypatch.setattr(batched, "REQUESTS_PER_BATCH", 5)
    provider.looks = 10**9  # nothing is answered yet
    stop = threading.Event()
    threading.Thread(target=lambda: once(lambda: len(provider.batches) == 4, stop.set), daemon=True).start()
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


def test_a_key_that_is_refused_stops_the_run_and_the_rest_is_kept(provider: FakeBatches, tmp_path: Path) -> None:
    provider.work = lambda nth, requests: [
        *all_good(nth, requests[:-1]),
        refused(requests[-1]["custom_id"], 401, "no such key"),
    ]
    with pytest.raises(EndpointRefused, match="was refused") as caught:
        run(provider.url, tmp_path)
    assert caught.value.got == "401 no such key"
    assert "check the key and the model (it was m)" in caught.value.fix
    provider.work = all_good
    assert len(run(provider.url, tmp_path)) == 20  # the refusal of an earlier run does not stand for ever
    assert asked(provider)[1] == ["row-019"]


def broke(line: dict[str, Any], status: int = 429) -> dict[str, Any]:
    """An answer to a request for which there is no money."""
    found = refused(line["custom_id"], status, "You exceeded your current quota")
    found["response"]["body"]["error"]["code"] = "insufficient_quota"
    return found


@pytest.mark.parametrize("answers", [0, 17])
@pytest.mark.parametrize("status", [400, 403, 429])
def test_an_empty_account_stops_the_run(provider: FakeBatches, tmp_path: Path, status: int, answers: int) -> None:
    provider.work = lambda nth, requests: [
        *all_good(nth, requests[:answers]),
        *(broke(line, status) for line in requests[answers:]),
    ]
    with pytest.raises(EndpointRefused, match="was refused") as caught:
        run(provider.url, tmp_path)
    assert caught.value.got == f"{status} You exceeded your current quota" and len(provider.submitted) == 1
    assert "top up the account" in caught.value.fix
    provider.work = all_good
    assert len(run(provider.url, tmp_path)) == 20
    assert len(asked(provider)[1]) == 20 - answers


@pytest.mark.parametrize("status", [400, 429])
def test_one_row_that_is_told_of_an_empty_account_fails_alone(
    provider: FakeBatches, tmp_path: Path, status: int
) -> None:
    provider.work = lambda nth, requests: [
        broke(line, status) if line["custom_id"][:7] in ("row-000", "row-019") else line
        for line in all_good(nth, requests)
    ]
    for _ in range(2):
        found = run(provider.url, tmp_path)
        assert [row for row, entry in found.items() if entry["reason"] == "refused"] == ["row-000", "row-019"]
    assert len(found) == 20
    assert asked(provider)[1:] == [["row-000", "row-019"]]  # of the next run; nothing is asked again in one


@pytest.mark.parametrize("status", [402, 403, 404, 405, 413, 422, 451])
def test_rows_that_are_always_refused_fail_alone_in_every_run(
    provider: FakeBatches, tmp_path: Path, status: int
) -> None:
    odd = {"row-000", "row-007", "row-019"}
    provider.work = lambda nth, requests: [
        refused(line["custom_id"], status, "moderated") if line["custom_id"][:7] in odd else line
        for line in all_good(nth, requests)
    ]
    for count in (20, 20, 30):
        found = run(provider.url, tmp_path, count)
        assert {row for row, entry in found.items() if entry["reason"] == "refused"} == odd and len(found) == count
        assert {entry["detail"] for entry in found.values() if entry["reason"] == "refused"} == {f"{status} moderated"}


@pytest.mark.parametrize("status", [424, 498, 499])
def test_a_gateways_word_for_a_failed_server_is_asked_again(provider: FakeBatches, tmp_path: Path, status: int) -> None:
    provider.work = lambda nth, requests: (
        all_good(nth, requests[:9]) + [refused(each["custom_id"], status, "gone") for each in requests[9:]]
        if nth == 0
        else all_good(nth, requests)
    )
    assert len(run(provider.url, tmp_path)) == 20
    assert [len(rows) for rows in asked(provider)] == [20, 11]


def test_a_provider_that_refuses_most_rows_stops_the_run_and_the_next_one_ends(
    provider: FakeBatches, tmp_path: Path
) -> None:
    provider.work = lambda nth, requests: [
        line if line["custom_id"][:7] < "row-010" else refused(line["custom_id"], 403, "no more")
        for line in all_good(nth, requests)
    ]
    with pytest.raises(EndpointRefused, match="was refused") as caught:
        run(provider.url, tmp_path, 50)
    assert caught.value.got == "403 no more"
    states = [entry["state"] for entry in run(provider.url, tmp_path, 50).values()]
    assert states.count("failed") == 40


def test_a_batch_that_fails_whole_is_told(provider: FakeBatches, tmp_path: Path) -> None:
    provider.work, provider.state = lambda nth, requests: [], "failed"
    with pytest.raises(EndpointRefused, match="refuses batch batch-0") as caught:
        run(provider.url, tmp_path)
    assert caught.value.got == "no such model" and "fix what it names" in caught.value.fix
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


@pytest.mark.parametrize("before", [0, 265, 290])
def test_a_key_that_is_repeated_is_in_no_error_and_no_ledger(
    provider: FakeBatches, tmp_path: Path, before: int
) -> None:
    words = "x" * before + KEY + " is no good"  # its place decides whether a part of it is cut off
    provider.work = lambda nth, requests: [
        refused(requests[0]["custom_id"], 400, words),
        *all_good(nth, requests[1:]),
    ]
    found = run(provider.url, tmp_path / "line", 3)
    assert found["row-000"]["reason"] == "refused" and "<" in found["row-000"]["detail"]
    ledger = b"".join(path.read_bytes() for path in (tmp_path / "line").glob("ledger.sqlite*"))
    assert KEY[:6].encode() not in ledger
    provider.work, provider.state, provider.problem = lambda nth, requests: [], "failed", words
    with pytest.raises(EndpointRefused, match="refuses batch") as whole:
        run(provider.url, tmp_path / "batch", purpose="another")
    provider.fail, provider.words = 404, words
    with pytest.raises(EndpointRefused, match="answers 404") as call:
        run(provider.url, tmp_path / "call")
    for caught in (whole, call):
        assert "x" * min(before, 200) in caught.value.got and KEY[:6] not in str(caught.value)


def test_a_budget_holds_for_batches(provider: FakeBatches, tmp_path: Path) -> None:
    budget = BudgetMeter(BudgetCaps(max_calls=12))
    with pytest.raises(BudgetSpent):
        run(provider.url, tmp_path, budget=budget)
    assert [len(rows) for rows in asked(provider)] == [12]
    assert budget.spent.calls == 12
    assert len(run(provider.url, tmp_path, budget=BudgetMeter(BudgetCaps(max_calls=8)))) == 20
    json.dumps(asked(provider))


def test_a_cap_for_life_counts_what_earlier_runs_have_submitted(provider: FakeBatches, tmp_path: Path) -> None:
    provider.looks = 10**9
    stop = threading.Event()

    def looked_at() -> bool:
        return bool(provider.batches) and provider.batches[0]["looks"] >= 3

    threading.Thread(target=lambda: once(looked_at, stop.set), daemon=True).start()
    with pytest.raises(Stopped):
        run(provider.url, tmp_path, 8, stop=stop)
    provider.looks = provider.batches[0]["looks"] + 5
    for cap, rows in ((12, 12), (12, 12), (13, 13)):
        with pytest.raises(BudgetSpent):
            run(provider.url, tmp_path, budget=BudgetMeter(BudgetCaps(max_calls=cap, lifetime=True)))
        with Ledger(tmp_path) as ledger:
            assert ledger.count_finished() == rows == sum(map(len, provider.submitted))


def test_a_stage_waits_for_room_in_a_budget_that_another_holds(provider: FakeBatches, tmp_path: Path) -> None:
    budget, stop = BudgetMeter(BudgetCaps(max_calls=30)), threading.Event()
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
    budget = BudgetMeter(BudgetCaps(max_calls=46))
    found = run(provider.url, tmp_path, 40, budget=budget, rounds=2)
    lost = {name: (row["state"], row["reason"]) for name, row in found.items() if row["state"] == "failed"}
    assert lost == dict.fromkeys(("row-001", "row-002"), ("failed", "endpoint_error")) and len(found) == 40
    assert [len(rows) for rows in asked(provider)] == [40, 2, 2]
    assert budget.spent.calls == 38  # what was not answered took nothing


# --- a schema that is not taken ---------------------------------------------------------------------------------------


def takes(*forms: str, status: int = 400) -> Any:
    """A provider that takes a request in these forms alone."""

    def work(_: int, requests: Lines) -> Lines:
        return [
            all_good(0, [r])[0]
            if form_of(r) in forms
            else refused(r["custom_id"], status, f"{form_of(r)} is not for me")
            for r in requests
        ]

    return work


def form_of(request: dict[str, Any]) -> str:
    return next((name for name in ("response_format", "structured_outputs") if name in request["body"]), "none")


def forms(provider: FakeBatches) -> list[str]:
    """How each batch carried its schema."""
    return [form_of(requests[0]) for requests in provider.submitted]


@pytest.mark.parametrize("status", [400, 403, 404, 405, 500, 501])
@pytest.mark.parametrize("form", ["structured_outputs", "none"])
def test_a_schema_is_sent_in_the_form_that_the_provider_takes(
    provider: FakeBatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, status: int
) -> None:
    monkeypatch.setattr(batched, "REQUESTS_PER_BATCH", 4)
    provider.work = takes(form, status=status)
    provider.looks = 9  # several batches are under way before the first comes back
    notes: list[str] = []
    budget = BudgetMeter(BudgetCaps(max_calls=20))
    found = run(provider.url, tmp_path, budget=budget, rounds=0, notes=notes)
    assert {entry["state"] for entry in found.values()} == {"accepted", "rejected"} and len(found) == 20
    assert set(forms(provider)[-5:]) == {form} and forms(provider)[1] == "response_format"
    assert budget.spent.calls == 20  # a refused request takes nothing
    first = f"{status} response_format is not for me"
    assert notes[0] == f"refuses a JSON schema as response_format: sent as {form}. It says: {first}"


def test_a_parameter_that_the_model_does_not_take_is_left_out(
    provider: FakeBatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched, "REQUESTS_PER_BATCH", 4)
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."

    def work(nth: int, requests: Lines) -> Lines:
        good = all_good(nth, requests)
        return [
            refused(r["custom_id"], 400, words) if "max_tokens" in r["body"] else line
            for r, line in zip(requests, good, strict=True)
        ]

    provider.work, provider.looks = work, 9  # several batches are under way before the first comes back
    notes: list[str] = []
    found = run(provider.url, tmp_path, rounds=0, notes=notes)
    assert {entry["state"] for entry in found.values()} == {"accepted", "rejected"} and len(found) == 20
    assert set(forms(provider)) == {"response_format"}
    assert notes[0] == f"does not take max_tokens: sent as max_completion_tokens. It says: {words}"


def context(provider: FakeBatches, folder: Path, **values: Any) -> Context:
    """A stage in batch mode; every model is at the provider."""
    return Context(
        recipe=Recipe.model_validate({"name": "test", "runtime": {"mode": "batch"}} | values),
        repo="org/x",
        inputs={},
        refs={},
        out=folder / "out",
        work=folder,
        record=RunRecord(stage="seed", fingerprint="0" * 12, recipe="test", identity={}, inputs={}, lineage={}),
        progress=Bars(Console(quiet=True)).stage("seed"),
        stop=threading.Event(),
        threads=1,
        address=lambda name, weights: nullcontext(Address(name, name.rpartition("/")[2], (provider.url,))),
    )


def test_what_was_noticed_is_in_the_record(provider: FakeBatches, tmp_path: Path) -> None:
    provider.work = takes("none")
    ctx = context(provider, tmp_path)
    with Ledger(tmp_path) as ledger:
        asking.ask(ctx, ledger, jobs(4), read, total=4, writers=writers.judge(ctx.recipe))
    assert "sent as none" in ctx.record.measures.server[0]


def test_each_of_several_teachers_has_batches_of_its_own(provider: FakeBatches, tmp_path: Path) -> None:
    ctx = context(provider, tmp_path, teacher={"model": {"m": 2, "n": 1}})
    who = writers.teachers(ctx.recipe, "seed")
    with Ledger(tmp_path) as ledger:
        for _ in range(2):  # the second time, nothing is left to ask
            asking.ask(ctx, ledger, jobs(12), read, total=12, writers=who)
        dataset.tally(ctx, ledger, who)
    found = [({line["body"]["model"] for line in lines}, len(lines)) for lines in provider.submitted]
    assert [models for models, _ in found] == [{"m"}, {"n"}]
    assert [batch["metadata"]["hub_speed"] for batch in provider.batches] == [f"seed-{'0' * 12}-{n}" for n in "mn"]
    assert ctx.record.calls == {f"teacher/{n}": count for n, (_, count) in zip("mn", found, strict=True)}


def test_a_provider_that_refuses_every_form_is_told(provider: FakeBatches, tmp_path: Path) -> None:
    provider.work = takes()
    with pytest.raises(EndpointRefused, match="was refused") as caught:
        run(provider.url, tmp_path, rounds=0)
    assert forms(provider) == ["response_format", "structured_outputs", "none"]
    assert caught.value.got == "400 none is not for me"
    assert "fix what it names in the recipe, or ask another model (it was m)" in caught.value.fix
    assert caught.value.status == 400


def test_what_is_left_over_and_refused_is_refused_in_every_later_run(provider: FakeBatches, tmp_path: Path) -> None:
    def work(_: int, requests: Lines) -> Lines:
        done = all_good(0, requests)
        return [refused(line["custom_id"], 400, "no") if "row-005" in line["custom_id"] else line for line in done]

    provider.work = work
    first = run(provider.url, tmp_path)
    assert asked(provider)[1:] == [["row-005"]] and forms(provider) == ["response_format", "none"]
    assert run(provider.url, tmp_path) == first  # whether the schema takes part in it is found out again
    assert asked(provider)[2:] == [["row-005"]] * 3
    assert (first["row-005"]["state"], first["row-005"]["reason"]) == ("failed", "refused")


def test_a_row_that_a_working_schema_refuses_is_asked_once_without_it(provider: FakeBatches, tmp_path: Path) -> None:
    def work(_: int, requests: Lines) -> Lines:
        deep = [r["custom_id"] for r in requests if "row-005" in r["custom_id"] and form_of(r) != "none"]
        done = all_good(0, requests)
        return [refused(r["custom_id"], 400, "too deep") if r["custom_id"] in deep else r for r in done]

    provider.work = work
    found = run(provider.url, tmp_path)
    assert found["row-005"]["state"] == "accepted"
    assert asked(provider)[1:] == [["row-005"]] and forms(provider) == ["response_format", "none"]


def test_each_schema_has_a_form_of_its_own(provider: FakeBatches, tmp_path: Path) -> None:
    def work(_: int, requests: Lines) -> Lines:
        deep = {r["custom_id"] for r in requests if "deep" in str(r["body"].get("response_format"))}
        done = all_good(0, requests)
        return [refused(r["custom_id"], 400, "no") if r["custom_id"] in deep else r for r in done]

    provider.work = work
    notes: list[str] = []
    run(provider.url, tmp_path, schemas=("flat", "deep"), notes=notes)
    assert [len(rows) for rows in asked(provider)] == [20, 10]
    assert [form_of(request) for request in provider.submitted[1]] == ["structured_outputs"] * 10
    assert "refuses a JSON schema as response_format: sent as structured_outputs. It says: 400 no" in notes
    run(provider.url, tmp_path, 24, schemas=("flat", "deep"))
    assert len(provider.submitted) == 4


def test_a_batch_of_refused_rows_does_not_cost_others_their_schema(
    provider: FakeBatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched, "REQUESTS_PER_BATCH", 5)
    odd = {f"row-{i:03d}" for i in range(5)}  # the first batch, which comes back while others are under way

    def work(nth: int, requests: Lines) -> Lines:
        done = takes("response_format")(nth, requests)
        return [refused(line["custom_id"], 400, "no") if line["custom_id"][:7] in odd else line for line in done]

    provider.work, provider.looks = work, 2
    found = run(provider.url, tmp_path)
    assert {row for row, entry in found.items() if entry["reason"] == "refused"} == odd and len(found) == 20
    last = {request["custom_id"][:7]: form_of(request) for requests in provider.submitted for request in requests}
    assert "structured_outputs" in forms(provider)
    assert {form for row, form in last.items() if row not in odd} == {"response_format"}


def test_a_provider_that_ignores_the_schema_is_noticed(provider: FakeBatches, tmp_path: Path) -> None:
    notes: list[str] = []
    run(provider.url, tmp_path, 2, notes=notes)
    assert notes == []  # odd answers
    run(provider.url, tmp_path, notes=notes)
    assert notes == ["takes a JSON schema as response_format, but answers otherwise"]


# --- room, lost answers, downloads ------------------------------------------------------------------------------------


def test_a_batch_there_is_no_room_for_waits_and_is_halved(
    provider: FakeBatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched, "REQUESTS_PER_BATCH", 16)
    provider.room, provider.looks = 6, 12
    budget = BudgetMeter(BudgetCaps(max_calls=20))
    assert len(run(provider.url, tmp_path, budget=budget, rounds=0)) == 20
    sizes = [len(rows) for rows in asked(provider)]
    assert sizes[:3] == [16, 8, 4] and set(sizes[3:]) == {4}  # halved only where nothing else is under way
    assert [b["size"] for b in provider.batches if b["status"] == "completed"] == [4] * 5
    assert len(sizes) <= 2 + 5 + 5  # and not tried again until another is done
    assert budget.spent.calls == 20


def test_no_room_for_one_request_ends_the_run(provider: FakeBatches, tmp_path: Path) -> None:
    provider.room = 0
    with pytest.raises(EndpointRefused, match="no room for a batch of one request") as caught:
        run(provider.url, tmp_path)
    assert [len(rows) for rows in asked(provider)] == [20, 10, 5, 2, 1]
    assert caught.value.got == "Enqueued token limit reached" and "run the same command again" in caught.value.fix
    provider.room = 20
    assert len(run(provider.url, tmp_path)) == 20


@pytest.mark.parametrize("looks", [0, 50])
def test_a_batch_whose_answer_was_lost_is_not_started_again(provider: FakeBatches, tmp_path: Path, looks: int) -> None:
    provider.drop, provider.looks = 1, looks  # it may even be answered by then
    assert len(run(provider.url, tmp_path)) == 20
    assert len(provider.submitted) == 1 and provider.drop == 0


def test_a_batch_that_was_not_taken_is_started_again(provider: FakeBatches, tmp_path: Path) -> None:
    provider.busy = 2
    assert len(run(provider.url, tmp_path)) == 20
    assert len(provider.submitted) == 1 and provider.busy == 0


def noted(folder: Path) -> list[str]:
    """The names of the batches in a ledger."""
    with Ledger(folder) as ledger:
        return list(ledger.batches().values())


@pytest.mark.parametrize("late", [0, 5, 10**9])
@pytest.mark.parametrize("killed", ["before the answer", "after it"])
def test_a_batch_that_was_submitted_just_before_a_kill_is_found_again(
    provider: FakeBatches, tmp_path: Path, killed: str, late: int
) -> None:
    """As far as the provider lists it at all, or has told its name."""
    if killed == "before the answer" and late > 5:
        return
    provider.hang, provider.looks, provider.late = killed == "before the answer", 10**9, late
    code = f"""
import sys, threading
sys.path[:0] = {sys.path!r}
from pathlib import Path
from generation.test_batched import run
run({provider.url!r}, Path({str(tmp_path)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    while not provider.submitted or (killed == "after it" and noted(tmp_path) != ["batch-0"]):
        assert process.poll() is None
        time.sleep(0.01)
    kill(process)
    provider.hang, provider.looks = False, provider.batches[0]["looks"] + 3
    assert len(run(provider.url, tmp_path)) == 20
    assert len(provider.submitted) == 1


def test_a_batch_that_was_never_started_is_forgotten(provider: FakeBatches, tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.note_batch("file-never", "")
        ledger.note_batch("file-other", "batch-of-another-account")
    assert len(run(provider.url, tmp_path)) == 20
    with Ledger(tmp_path) as ledger:
        assert ledger.batches() == {"file-other": "batch-of-another-account", "file-0": "batch-0"}


def test_a_stop_does_not_wait_until_the_provider_wants_to_be_asked_again(provider: FakeBatches, tmp_path: Path) -> None:
    stop = threading.Event()

    async def later(request: web.Request) -> web.Response:
        stop.set()
        return web.json_response({"error": {"message": "later"}}, status=429, headers={"Retry-After": "800"})

    provider.odd = (1, "/v1/files", later)
    with pytest.raises(Stopped, match="stopped"):
        run(provider.url, tmp_path, stop=stop)


def test_a_file_is_fetched_once_and_ones_own_never(
    provider: FakeBatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched, "REQUESTS_PER_BATCH", 10)
    provider.looks = 10**9
    stop = threading.Event()

    def looked_at() -> bool:
        return len(provider.batches) == 2 and provider.batches[1]["looks"] >= 20

    threading.Thread(target=lambda: once(looked_at, stop.set), daemon=True).start()
    with pytest.raises(Stopped):
        run(provider.url, tmp_path / "here", stop=stop)
    assert len(provider.submitted) == 2 and not provider.downloads
    provider.looks = provider.batches[0]["looks"] + 30  # another machine looks at them several times
    assert len(run(provider.url, tmp_path / "there")) == 20
    assert {batch["input_file_id"] for batch in provider.batches} <= set(provider.downloads)
    assert set(provider.downloads.values()) == {1}


def in_two_waves(url: str, folder: Path) -> list[str]:
    """Ten rows, then ten more once they have ended; the rows of the ledger at that moment."""
    sizes, seen = [10, 20], list[str]()
    with Ledger(folder) as ledger:

        def more() -> bool:
            seen.extend(entry["id"] for entry in ledger.entries())
            return bool(sizes.pop(0) == 10)

        def some(todo: Any) -> Iterator[Job]:
            return iter(jobs(sizes[0])(todo))

        provider = batch_api.Batches(Address("teacher", "m", (url,), key=KEY), "seed-abc")
        generate_in_batches(some, read, provider, ledger, 3, lambda e, n: None, threading.Event(), None, more)
        assert ledger.counts().total() == 20
    return seen


def test_the_next_wave_is_submitted_once_the_first_has_ended(provider: FakeBatches, tmp_path: Path) -> None:
    assert in_two_waves(provider.url, tmp_path / "here")[:10] == [f"row-{i:03d}" for i in range(10)]
    assert [len(rows) for rows in asked(provider)] == [10, 10]
    # Another machine finds both batches at the provider, and pays for nothing again.
    assert in_two_waves(provider.url, tmp_path / "there")[:10] == [f"row-{i:03d}" for i in range(10)]
    assert len(provider.submitted) == 2
