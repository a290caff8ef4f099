"""Many rows at once against a failing server: each ends in one state; a second call goes on where the first stopped."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from fake_openai import DROP, Asked, FakeOpenAI, Reply, as_json, choices, error, text
from running import HANG_S

from hub_speed.errors import EndpointDown, EndpointRefused, HubSpeedError, NoSpace, Stopped
from hub_speed.generation.jobs import Accepted, Job, Jobs, Outcome, read_again
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.online import generate
from hub_speed.generation.parsing import Rejected, parse
from hub_speed.llm import faults, pacing
from hub_speed.llm.address import Address, Limits
from hub_speed.llm.dialects import Completion, Dialect, Request, Sampling
from hub_speed.task_types import TASK_TYPES

KEY = "sk-0123456789abcdef"
PAIR = TASK_TYPES["short_matching"].answer


pytestmark = pytest.mark.usefixtures("short_waits")


def good(asked: Asked) -> str:
    return json.dumps({"input": asked.prompt, "positive_document": f"answer to {asked.prompt}"})


@pytest.fixture
def server(server: FakeOpenAI) -> FakeOpenAI:
    server.answer = good
    return server


def jobs(count: int, start: int = 0) -> Iterator[Job]:
    for i in range(start, start + count):
        yield Job(f"row-{i:04d}", "short_matching", Request(f"prompt {i}", Sampling(1.0, 1.0, 50)), source=i)


def unfinished(todo: Iterable[Job]) -> Jobs:
    """Those of the jobs that the ledger does not hold."""
    return lambda is_todo: (job for job in todo if is_todo(job.id))


def read(job: Job, completion: Completion) -> Outcome:
    parsed = parse(completion.texts[0], PAIR, completion.finish_reasons[0])
    if isinstance(parsed, Rejected):
        return parsed
    return Accepted({"id": job.id, "source": job.source, **parsed.answer.model_dump()}, parsed.repaired)


def run(
    url: str,
    folder: Path,
    todo: Iterable[Job],
    *,
    in_flight: int = 4,
    retries: int = 2,
    timeout_s: float = 10,
    read: Callable[[Job, Completion], Outcome] = read,
    on_rows: Callable[[list, int], None] = lambda rows, in_flight: None,
    stop: threading.Event | None = None,
    reask: bool = False,
    dialect: Dialect = "chat",
) -> dict[str, dict]:
    """Generate, whatever happens; then the ledger by row id. What generate raised goes through."""
    address = Address("teacher", "big-model", (url,), dialect, key=KEY)
    limits = Limits(in_flight, timeout_s, retries, reask)
    with Ledger(folder) as ledger:
        generate(unfinished(todo), read, address, ledger, limits, on_rows, stop or threading.Event())
    return entries_in(folder)


def entries_in(folder: Path) -> dict[str, dict]:
    with Ledger(folder) as ledger:
        return {entry["id"]: entry for entry in ledger.entries()}


def rows(folder: Path) -> list[dict]:
    with Ledger(folder) as ledger:
        return list(ledger.rows())


# --- what becomes of a row ------------------------------------------------------------------------------------------

ANSWERS: dict[str, tuple[Callable[[Asked], Reply | str], str, str]] = {
    "accepted": (good, "accepted", ""),
    "in words": (lambda asked: f"Sure! {good(asked)}", "accepted", ""),
    "repaired": (lambda asked: good(asked).replace("}", ",}"), "repaired", ""),
    "braces": (lambda asked: json.dumps({"input": "a } b", "positive_document": "{c"}), "accepted", ""),
    "empty": (lambda asked: "", "rejected", "empty_answer"),
    "null": (lambda asked: as_json({"choices": [{"message": {"content": None}}]}), "rejected", "empty_answer"),
    "words": (lambda asked: "I cannot do that.", "rejected", "bad_json"),
    "wrong keys": (lambda asked: '{"question": "a"}', "rejected", "wrong_keys"),
    "one key too many": (lambda asked: good(asked)[:-1] + ', "why": "so"}', "rejected", "wrong_keys"),
    "at the limit": (lambda asked: text(asked, good(asked)[:20], "length"), "rejected", "truncated"),
    "cut off": (lambda asked: good(asked)[:-3], "rejected", "bad_json"),
    "huge": (lambda asked: json.dumps({"input": "x" * 10_000_000, "positive_document": "b"}), "rejected", "too_long"),
    "refused": (lambda asked: error(500, "too deep"), "failed", "endpoint_error"),
    "empty choices": (lambda asked: as_json(choices(asked, [])), "failed", "endpoint_error"),
    "dropped": (lambda asked: DROP, "failed", "endpoint_error"),
}


def test_every_row_ends_in_its_state_with_the_raw_text(server: FakeOpenAI, tmp_path: Path) -> None:
    names = list(ANSWERS)
    server.answer = lambda asked: ANSWERS[names[int(asked.prompt.split()[1])]][0](asked)
    seen: list[int] = []
    found = run(
        server.url,
        tmp_path,
        jobs(len(names)),
        in_flight=8,
        on_rows=lambda entries, in_flight: seen.append(len(entries)),
    )
    assert sum(seen) == len(found) == len(names)
    for i, name in enumerate(names):
        _, state, reason = ANSWERS[name]
        entry = found[f"row-{i:04d}"]
        assert (entry["state"], entry["reason"]) == (state, reason), name
        if state == "failed":
            assert (entry["completions"], entry["prompt_tokens"]) == ([], 0), name
            assert (entry["attempts"], entry["calls"]) == (3, 0), name  # once, and two retries
            assert entry["detail"]
        else:
            assert entry["attempts"] == 1
            assert len(entry["completions"]) == len(entry["finish_reasons"]) == 1
    assert found["row-0003"]["completions"] == ['{"input": "a } b", "positive_document": "{c"}']
    assert found["row-0009"]["finish_reasons"] == ["length"]
    assert (found["row-0000"]["prompt_tokens"], found["row-0000"]["completion_tokens"]) == (11, 7)
    assert (found["row-0000"]["model"], found["row-0012"]["model"]) == ("fake-1", "big-model")
    assert found["row-0012"]["detail"] == "500 too deep"
    assert [row["id"] for row in rows(tmp_path)] == [f"row-{i:04d}" for i, n in enumerate(names) if not ANSWERS[n][2]]


def test_all_texts_of_a_row_are_kept(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: as_json(choices(asked, ["a", "", "c\n"]))
    job = Job("root-1", "sts", Request("p", Sampling(1.0, 1.0, 50, n=3)))
    found = run(server.url, tmp_path, iter([job]), read=lambda job, completion: Accepted({"texts": completion.texts}))
    assert found["root-1"]["completions"] == ["a", "", "c\n"]
    assert rows(tmp_path) == [{"texts": ["a", "", "c\n"]}]


def test_thinking_stands_beside_the_answer_in_the_ledger(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: (
        f'<think>{{"input": "no"}}</think>{good(asked)}' if "0" in asked.prompt else good(asked)
    )
    found = run(server.url, tmp_path, jobs(2))
    assert [entry["state"] for entry in found.values()] == ["accepted"] * 2
    assert [entry["thoughts"] for entry in found.values()] == [['{"input": "no"}'], []]
    assert "<think>" not in json.dumps(rows(tmp_path))


def test_order_and_number_in_flight_change_nothing(tmp_path: Path) -> None:
    def slow_down(asked: Asked) -> Reply:
        bad = int(asked.prompt.split()[1]) % 5 == 0
        return Reply(text(asked, "no" if bad else good(asked)).body, wait_s=0.001 * (len(asked.prompt) * 7 % 5))

    found = []
    for in_flight, backwards in ((1, False), (16, True)):
        folder = tmp_path / str(in_flight)
        with FakeOpenAI(slow_down) as server:
            todo = reversed(list(jobs(40))) if backwards else jobs(40)
            entries = run(server.url, folder, iter(todo), in_flight=in_flight)
        found.append(([{**e, "latency_s": 0} for e in entries.values()], rows(folder)))
    assert found[0] == found[1]


def test_jobs_are_drawn_no_earlier_than_they_are_asked(server: FakeOpenAI, tmp_path: Path) -> None:
    drawn, ahead = 0, []

    def counted() -> Iterator[Job]:
        nonlocal drawn
        for job in jobs(300):
            drawn += 1
            yield job

    def answer(asked: Asked) -> str:
        ahead.append(drawn - len(server.asked))
        return good(asked)

    server.answer = answer
    run(server.url, tmp_path, counted(), in_flight=5)
    assert drawn == 300
    assert max(ahead) <= 2 * 5  # a worker that waits for a place holds one


# --- asked again ----------------------------------------------------------------------------------------------------


def test_a_model_is_told_once_what_was_wrong(server: FakeOpenAI, tmp_path: Path) -> None:
    first = {
        0: "I cannot do that.",
        1: '{"input": "a"}',
        2: "",
        3: '{"input": "", "positive_document": "b"}',
        4: "again and again",
    }

    def answer(asked: Asked) -> str:
        row = int(asked.prompt.split()[1])
        return good(asked) if row not in first or (asked.objection and row != 4) else first[row]

    server.answer = answer
    found = run(server.url, tmp_path, jobs(6), reask=True, in_flight=1)
    assert [(entry["state"], entry["reason"]) for entry in found.values()] == [
        *[("reasked", "")] * 4,
        ("rejected", "bad_json"),
        ("accepted", ""),
    ]
    assert found["row-0001"]["detail"] == "first wrong_keys: missing: positive_document"
    (again,) = (asked for asked in server.asked if asked.objection and asked.prompt == "prompt 1")
    assert found["row-0001"]["completions"] == [good(again), '{"input": "a"}']  # the one that is used first
    assert (found["row-0001"]["calls"], found["row-0001"]["prompt_tokens"]) == (2, 22)
    assert found["row-0004"]["detail"] == "first bad_json: again and again; then again and again"
    assert len(rows(tmp_path)) == 5
    told = again.body["messages"]
    assert [message["role"] for message in told] == ["system", "user", "assistant", "user"]
    assert told[2]["content"] == '{"input": "a"}'
    assert "a key is missing" in told[3]["content"]
    assert "(missing: positive_document)" in told[3]["content"]
    assert len(server.asked) == 11
    before = len(server.asked)
    run(server.url, tmp_path, jobs(6), reask=True)
    assert len(server.asked) == before


def test_what_an_answer_says_and_where_it_ends_is_not_bargained_over(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: text(asked, '{"input": "a', "length")
    assert run(server.url, tmp_path / "a", jobs(1), reask=True)["row-0000"]["reason"] == "truncated"
    server.answer = good
    short = run(server.url, tmp_path / "b", jobs(1), reask=True, read=lambda job, completion: Rejected("too_short"))
    assert short["row-0000"]["state"] == "rejected"
    assert [asked.objection for asked in server.asked] == ["", ""]


def test_a_raw_generator_is_not_talked_with(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: "no"
    assert run(server.url, tmp_path, jobs(2), reask=True, dialect="completion")["row-0000"]["reason"] == "bad_json"
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [400, 500])
def test_where_asking_again_fails_the_first_answer_stands(server: FakeOpenAI, tmp_path: Path, status: int) -> None:
    def answer(asked: Asked) -> Reply | str:
        if asked.objection:
            return error(status, "the conversation is too long")
        return "no" if int(asked.prompt.split()[1]) % 9 == 3 else good(asked)

    server.answer = answer
    found = run(server.url, tmp_path, jobs(20), reask=True)
    assert [row for row, entry in found.items() if entry["state"] == "rejected"] == ["row-0003", "row-0012"]
    assert found["row-0003"]["completions"] == ["no"]
    assert [bool(asked.objection) for asked in server.asked].count(True) == (2 if status == 400 else 6)


# --- read again ------------------------------------------------------------------------------------------------------


def test_rejected_answers_are_read_anew_without_asking(
    server: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_speed.generation.jobs.READ_AT_ONCE", 2)
    server.answer = lambda asked: (
        error(500) if asked.prompt == "prompt 5" else "no" if asked.prompt == "prompt 3" else good(asked)
    )

    def strict(job: Job, completion: Completion) -> Outcome:
        return read(job, completion) if job.source % 2 else Rejected("too_short", "a mistake in the check")

    before = run(server.url, tmp_path, jobs(8), read=strict)
    assert [entry["state"][0] for entry in before.values()] == list("rarrrfra")
    server.answer = good
    asked = len(server.asked)
    with Ledger(tmp_path) as ledger:
        read_again(unfinished(jobs(8)), read, ledger)
    after = run(server.url, tmp_path, jobs(8))
    assert server.prompts()[asked:] == ["prompt 5"]  # the one that had failed; the others cost nothing
    assert [entry["state"] for entry in after.values()] == ["accepted"] * 3 + ["rejected"] + ["accepted"] * 4
    for name in before.keys() - {"row-0005"}:
        new = {"state": after[name]["state"], "reason": after[name]["reason"], "detail": after[name]["detail"]}
        new["prompt"] = "prompt 3" if name == "row-0003" else ""
        assert after[name] == before[name] | new
    assert len(rows(tmp_path)) == 7


# --- going on -------------------------------------------------------------------------------------------------------


def test_finished_rows_are_not_asked_again_and_nothing_is_asked_when_all_are(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    server.answer = lambda asked: "no" if asked.prompt == "prompt 3" else good(asked)
    run(server.url, tmp_path, jobs(10))
    run(server.url, tmp_path, jobs(14))
    assert sorted(server.prompts()) == sorted(f"prompt {i}" for i in range(14))  # a rejected row is finished, too
    found = run("http://127.0.0.1:9", tmp_path, jobs(14))  # nobody is there, and nobody is needed
    assert len(found) == 14


def test_a_poisoned_row_fails_alone_and_is_asked_again_by_the_next_run(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: error(500, "boom") if asked.prompt == "prompt 7" else good(asked)
    found = run(server.url, tmp_path, jobs(30))
    assert [e["state"] for e in found.values()].count("accepted") == 29
    assert (found["row-0007"]["state"], found["row-0007"]["detail"]) == ("failed", "500 boom")
    before = len(server.asked)
    server.answer = good
    found = run(server.url, tmp_path, jobs(30))
    assert server.prompts()[before:] == ["prompt 7"]
    assert found["row-0007"]["state"] == "accepted"


def test_many_poisoned_rows_among_good_ones_are_no_dead_server(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: error(500) if int(asked.prompt.split()[1]) % 40 == 20 else good(asked)
    states = [entry["state"] for entry in run(server.url, tmp_path, jobs(400)).values()]
    assert (states.count("failed"), states.count("accepted")) == (10, 390)


@pytest.mark.parametrize(
    ("bad", "odd", "count", "in_flight"),
    [
        (error(424), {10, 20}, 60, 1),
        (error(424), {10, 20}, 60, 2),
        (DROP, {0, 1, 2, 3}, 40, 4),
        (error(500), set(range(0, 400, 16)), 400, 64),
    ],
)
def test_rows_that_fail_after_all_others_were_answered_fail_alone(
    server: FakeOpenAI,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bad: Reply,
    odd: set[int],
    count: int,
    in_flight: int,
) -> None:
    """Their retries wait, and so outlast the rows that began later."""
    monkeypatch.setattr(pacing, "FIRST_WAIT_S", 0.3)
    monkeypatch.setattr(pacing, "LONGEST_WAIT_S", 0.3)
    server.answer = lambda asked: bad if int(asked.prompt.split()[1]) in odd else good(asked)
    found = run(server.url, tmp_path, jobs(count), in_flight=in_flight, retries=3)
    states = [entry["state"] for entry in found.values()]
    assert states == ["failed" if i in odd else "accepted" for i in range(count)]


@pytest.mark.parametrize("fault", ["dropped", "refused", "empty choices"])
def test_a_server_that_dies_stops_the_run_and_the_next_one_goes_on(
    server: FakeOpenAI, tmp_path: Path, fault: str
) -> None:
    server.answer = lambda asked: good(asked) if len(server.asked) <= 20 else ANSWERS[fault][0](asked)
    with pytest.raises(EndpointDown, match="keeps failing") as caught:
        run(server.url, tmp_path, jobs(200))
    assert "goes on where it stopped" in caught.value.fix
    states = [entry["state"] for entry in entries_in(tmp_path).values()]
    assert states.count("accepted") == 20
    assert len(states) < 30  # those given up on before it was clear
    finished = {row["source"] for row in rows(tmp_path)}
    before = len(server.asked)
    server.answer = good
    found = run(server.url, tmp_path, jobs(200))
    assert {e["state"] for e in found.values()} == {"accepted"}
    assert sorted(server.prompts()[before:]) == sorted(f"prompt {i}" for i in range(200) if i not in finished)


def test_nobody_there(tmp_path: Path) -> None:
    with FakeOpenAI() as gone:
        url = gone.url
    with pytest.raises(EndpointDown, match="no server answers"):
        run(url, tmp_path, jobs(5))
    assert entries_in(tmp_path) == {}


def test_a_refused_request_fails_its_row_and_not_the_others(server: FakeOpenAI, tmp_path: Path) -> None:
    too_long = {f"prompt {i}" for i in (0, 1, 5, 30)}  # the first ones are refused before anything is answered
    server.answer = lambda asked: (
        error(400, "prompt too long") if asked.prompt in too_long else Reply(text(asked, good(asked)).body, wait_s=0.1)
    )
    found = run(server.url, tmp_path, jobs(40))
    failed = {entry["id"]: (entry["state"], entry["reason"], entry["detail"]) for entry in found.values()}
    assert len(found) == 40
    assert {row for row, (state, _, _) in failed.items() if state == "failed"} == {
        job.id for job in jobs(40) if job.request.prompt in too_long
    }
    assert {why for why in failed.values() if why[0] == "failed"} == {("failed", "refused", "400 prompt too long")}
    before = len(server.asked)
    server.answer = good
    assert {entry["state"] for entry in run(server.url, tmp_path, jobs(40)).values()} == {"accepted"}
    assert len(server.asked) == before + 4


def test_an_endpoint_that_refuses_every_request_stops_the_run(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: error(400, "no such parameter")
    with pytest.raises(EndpointRefused, match="no such parameter"):
        run(server.url, tmp_path, jobs(500))
    assert entries_in(tmp_path) == {}
    assert len(server.asked) < 100
    server.answer = lambda asked: error(400, "no money") if len(server.asked) > 120 else good(asked)
    with pytest.raises(EndpointRefused, match="no money"):
        run(server.url, tmp_path, jobs(500))
    assert sum(entry["state"] == "failed" for entry in entries_in(tmp_path).values()) <= faults.REFUSED_IN_A_ROW


def wave(asked: Asked, every: int, bad: Reply) -> Reply:
    """Every so many rows are refused or failed at once; the others are answered slowly."""
    if int(asked.prompt.split()[1]) % every == 0:
        return bad
    return Reply(text(asked, good(asked)).body, wait_s=0.3)


@pytest.mark.parametrize(
    ("bad", "reason"), [(error(400, "too long"), "refused"), (error(500, "too deep"), "endpoint_error")]
)
def test_rows_that_fail_quickly_while_others_are_answered_slowly_fail_alone(
    server: FakeOpenAI, tmp_path: Path, bad: Reply, reason: str
) -> None:
    server.answer = lambda asked: wave(asked, 5, bad)
    found = run(server.url, tmp_path, jobs(400), in_flight=128, retries=1)
    assert len(found) == 400
    reasons = [entry["reason"] for entry in found.values()]
    assert reasons == [reason if i % 5 == 0 else "" for i in range(400)]


def test_a_server_that_begins_to_refuse_stops_the_run_though_older_requests_are_still_answered(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    def answer(asked: Asked) -> Reply:
        nth = len(server.asked)
        return Reply(text(asked, good(asked)).body, wait_s=nth / 200) if nth <= 64 else error(400, "no money")

    server.answer = answer
    with pytest.raises(EndpointRefused, match="no money"):
        run(server.url, tmp_path, jobs(5000), in_flight=64)
    states = [entry["state"] for entry in entries_in(tmp_path).values()]
    assert states.count("accepted") == 64
    assert states.count("failed") < 2 * faults.REFUSED_IN_A_ROW


@pytest.mark.parametrize("left_over", [3, 30])
@pytest.mark.parametrize(
    ("bad", "reason"), [(error(400, "too long"), "refused"), (error(500, "too deep"), "endpoint_error")]
)
def test_rows_that_failed_before_and_fail_again_are_let_go(
    server: FakeOpenAI, tmp_path: Path, left_over: int, bad: Reply, reason: str
) -> None:
    """A run that was killed after its last row and before the stage was built leaves nothing else to ask for."""
    poisoned = {f"prompt {9 * i}" for i in range(left_over)}
    server.answer = lambda asked: bad if asked.prompt in poisoned else good(asked)
    run(server.url, tmp_path, jobs(9 * 30 + 20), in_flight=2)
    before = len(server.asked)
    found = run(server.url, tmp_path, jobs(9 * 30 + 20), in_flight=64)
    assert set(server.prompts()[before:]) == poisoned
    assert [entry["reason"] for entry in found.values()].count(reason) == left_over
    server.answer = good
    assert {entry["state"] for entry in run(server.url, tmp_path, jobs(9 * 30 + 20)).values()} == {"accepted"}


@pytest.mark.parametrize(
    ("bad", "stops"), [(error(400, "no money"), EndpointRefused), (error(500, "no worker"), EndpointDown)]
)
def test_rows_that_did_not_fail_before_still_stop_the_run(
    server: FakeOpenAI, tmp_path: Path, bad: Reply, stops: type[Exception]
) -> None:
    server.answer = lambda asked: bad if int(asked.prompt.split()[1]) % 9 == 0 else good(asked)
    run(server.url, tmp_path, jobs(99), in_flight=2)
    server.answer = lambda asked: bad
    with pytest.raises(stops):
        run(server.url, tmp_path, jobs(500))
    assert len(entries_in(tmp_path)) < 99 + 30


@pytest.mark.parametrize(
    ("status", "rows", "in_flight"), [(400, 75, 1), (400, 75, 64), (500, 75, 64), (500, 52, 1), (500, 55, 4)]
)
def test_rows_that_fail_after_the_last_answer_are_let_go_by_the_next_run(
    server: FakeOpenAI, tmp_path: Path, status: int, rows: int, in_flight: int
) -> None:
    """So many look like a server that fails on everything; but it ends some, and the next run the others."""
    server.answer = lambda asked: error(status) if int(asked.prompt.split()[1]) >= 50 else good(asked)
    with pytest.raises((EndpointRefused, EndpointDown)):
        run(server.url, tmp_path, jobs(rows), in_flight=in_flight, retries=1)
    found = run(server.url, tmp_path, jobs(rows), in_flight=in_flight, retries=1)
    assert [entry["state"] for entry in found.values()] == ["accepted"] * 50 + ["failed"] * (rows - 50)


@pytest.mark.parametrize("status", [302, 400, 401, 402, 403, 404])
def test_a_final_no_stops_the_run_and_finished_rows_stay(server: FakeOpenAI, tmp_path: Path, status: int) -> None:
    server.answer = lambda asked: error(status, "no more") if len(server.asked) > 10 else good(asked)
    with pytest.raises(EndpointRefused, match="no more"):
        run(server.url, tmp_path, jobs(500))
    states = [entry["state"] for entry in entries_in(tmp_path).values()]
    assert 6 <= states.count("accepted") <= 10  # what was in flight is dropped
    # Rows that began before the last answer are refused for themselves: at most two for each place in flight.
    assert states.count("failed") <= faults.REFUSED_IN_A_ROW + 8
    assert len(server.asked) < 50
    server.answer = good
    assert {entry["state"] for entry in run(server.url, tmp_path, jobs(40)).values()} == {"accepted"}


def test_a_redirect_from_the_start_stops_the_run(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: Reply(status=302)
    with pytest.raises(EndpointRefused, match="a key is not carried elsewhere"):
        run(server.url, tmp_path, jobs(500))
    assert entries_in(tmp_path) == {}
    assert len(server.asked) < 50


@pytest.mark.parametrize("status", [201, 204, 206, 301, 302, 304, 307, 600, 999])
def test_a_row_with_an_odd_status_fails_alone_and_many_in_a_row_stop_the_run(
    server: FakeOpenAI, tmp_path: Path, status: int
) -> None:
    odd = {f"prompt {i}" for i in (0, 1, 17, 39)}  # the first, the last
    server.answer = lambda asked: Reply(status=status) if asked.prompt in odd else good(asked)
    found = run(server.url, tmp_path, jobs(40))
    failed = {entry["id"]: entry["detail"] for entry in found.values() if entry["state"] == "failed"}
    assert (len(found), sorted(failed)) == (40, ["row-0000", "row-0001", "row-0017", "row-0039"])
    assert {entry["reason"] for entry in found.values()} == {"", "refused"}
    assert all(detail.startswith(str(status)) for detail in failed.values())
    server.answer = lambda asked: Reply(status=status)
    with pytest.raises(EndpointRefused, match=f"answers {status}"):
        run(server.url, tmp_path, jobs(500))
    assert len(entries_in(tmp_path)) <= 40 + faults.REFUSED_IN_A_ROW + 8


def test_a_key_that_is_not_taken_any_more_stops_the_next_run_at_once(server: FakeOpenAI, tmp_path: Path) -> None:
    run(server.url, tmp_path, jobs(20))
    server.answer = lambda asked: error(401, "bad key")
    with pytest.raises(EndpointRefused, match="bad key"):
        run(server.url, tmp_path, jobs(30))
    assert len(entries_in(tmp_path)) == 20


# --- one row does not decide for the others ---------------------------------------------------------------------------


@pytest.mark.parametrize("in_flight", [1, 16])
@pytest.mark.parametrize("status", [402, 403, 404, 405, 410, 413, 451])
def test_prompts_that_are_always_refused_fail_alone_in_every_run(
    server: FakeOpenAI, tmp_path: Path, status: int, in_flight: int
) -> None:
    odd = {f"prompt {i}" for i in (0, 1, 17, 39)}  # the first, the last
    server.answer = lambda asked: error(status, "moderated") if asked.prompt in odd else good(asked)
    for rows in (40, 40, 60):
        found = run(server.url, tmp_path, jobs(rows), in_flight=in_flight)
        assert {entry["reason"]: entry["detail"] for entry in found.values()} == {
            "": "",
            "refused": f"{status} moderated",
        }
        assert [row for row, entry in found.items() if entry["state"] == "failed"] == [
            "row-0000",
            "row-0001",
            "row-0017",
            "row-0039",
        ]


def broke() -> Reply:
    return as_json({"error": {"message": "too much for your quota", "code": "insufficient_quota"}}, 400)


@pytest.mark.parametrize("in_flight", [1, 16])
def test_rows_that_are_told_of_an_empty_account_fail_alone_in_every_run(
    server: FakeOpenAI, tmp_path: Path, in_flight: int
) -> None:
    odd = {f"prompt {i}" for i in (0, 17, 39)}  # the first, the last
    server.answer = lambda asked: broke() if asked.prompt in odd else good(asked)
    for rows in (40, 40, 60):
        found = run(server.url, tmp_path, jobs(rows), in_flight=in_flight)
        assert [row for row, entry in found.items() if entry["state"] == "failed"] == [
            "row-0000",
            "row-0017",
            "row-0039",
        ]
        assert {entry["detail"] for entry in found.values() if entry["reason"]} == {"400 too much for your quota"}


def test_an_account_that_runs_empty_stops_the_run_after_few_requests(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: broke() if len(server.asked) > 10 else good(asked)
    for _ in range(2):  # the next run as well, until the account is topped up
        before = len(server.asked)
        with pytest.raises(EndpointRefused, match="top up the account"):
            run(server.url, tmp_path, jobs(500))
        assert len(server.asked) - before <= 10 + 2 * 4 + 8
    server.answer = good
    assert {entry["state"] for entry in run(server.url, tmp_path, jobs(40)).values()} == {"accepted"}


def test_a_second_asking_that_is_told_of_an_empty_account_stops_nothing(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: broke() if asked.objection else "no"
    found = run(server.url, tmp_path, jobs(10), reask=True)
    assert [(entry["reason"], entry["completions"]) for entry in found.values()] == [("bad_json", ["no"])] * 10
    assert len(server.asked) == 20  # and it says nothing about second askings


@pytest.mark.parametrize("status", [424, 498, 499])
def test_a_gateways_word_for_a_failed_server_is_asked_again(server: FakeOpenAI, tmp_path: Path, status: int) -> None:
    server.answer = lambda asked: error(status) if asked.nth < 3 else good(asked)
    assert {entry["attempts"] for entry in run(server.url, tmp_path, jobs(8)).values()} == {3}


def test_one_empty_answer_whose_second_asking_is_refused_turns_nothing_off(server: FakeOpenAI, tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply | str:
        row = int(asked.prompt.split()[1])
        if not all(message["content"].strip() for message in asked.body["messages"]):
            return error(400, "a message must not be empty")
        if asked.objection:
            return error(403, "longer than the context") if row < 2 else good(asked)
        return " \n" if row % 2 == 0 else good(asked) if row > 1 else "no"

    server.answer = answer
    found = run(server.url, tmp_path, jobs(40), reask=True, in_flight=2)
    states = [entry["state"] for entry in found.values()]
    assert states == ["rejected"] * 2 + ["reasked", "accepted"] * 19


@pytest.mark.parametrize("status", [400, 403, 422, 500])
def test_a_server_that_never_answers_a_second_asking_is_not_asked_for_long(
    server: FakeOpenAI, tmp_path: Path, status: int
) -> None:
    server.answer = lambda asked: (
        error(status) if asked.objection else "no" if asked.prompt.endswith("5") else good(asked)
    )
    found = run(server.url, tmp_path, jobs(100), reask=True, in_flight=1, retries=1)
    assert [entry["state"] for entry in found.values()].count("rejected") == 10
    asked_again = {asked.prompt for asked in server.asked if asked.objection}
    # A 500 is tried again after a while, in which the other rows at work may be asked for the second time as well.
    at_most = 3 if status != 500 else 2 + faults.FAILED_AT_FIRST
    assert 3 <= len(asked_again) <= at_most


def test_a_time_out_is_asked_again_and_then_fails_the_row(server: FakeOpenAI, tmp_path: Path) -> None:
    slow = {"prompt 1": 1, "prompt 2": 99}  # how many times it is slow
    server.answer = lambda asked: Reply(
        text(asked, good(asked)).body, wait_s=HANG_S if asked.nth <= slow.get(asked.prompt, 0) else 0
    )
    found = run(server.url, tmp_path, jobs(4), timeout_s=1, retries=1)  # too short for no other row
    assert [(e["state"], e["attempts"]) for e in found.values()] == [
        ("accepted", 1),
        ("accepted", 2),
        ("failed", 2),
        ("accepted", 1),
    ]
    assert "Timeout" in found["row-0002"]["detail"]


# --- stopping -------------------------------------------------------------------------------------------------------


def test_stop_keeps_what_is_finished_and_the_next_run_goes_on(server: FakeOpenAI, tmp_path: Path) -> None:
    stop, seen = threading.Event(), 0

    def on_rows(entries: list, in_flight: int) -> None:
        nonlocal seen
        seen += len(entries)
        if seen >= 20:
            stop.set()

    server.answer = lambda asked: Reply(text(asked, good(asked)).body, wait_s=0.005)
    with pytest.raises(Stopped, match="finished rows are safe") as caught:
        run(server.url, tmp_path, jobs(100_000), on_rows=on_rows, stop=stop)
    assert caught.value.exit_code == 130
    done = entries_in(tmp_path)
    assert len(done) == seen >= 20
    count = seen + 10
    assert len(run(server.url, tmp_path, jobs(count))) == count
    prompts = server.prompts()
    assert all(prompts.count(f"prompt {int(row_id[4:])}") == 1 for row_id in done)


def test_a_stop_that_was_set_before_asks_for_nothing_much(server: FakeOpenAI, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        run(server.url, tmp_path, jobs(10_000), stop=stop)
    assert len(server.asked) < 100


def test_a_bug_in_reading_is_not_hidden(server: FakeOpenAI, tmp_path: Path) -> None:
    def broken(job: Job, completion: Completion) -> Outcome:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        run(server.url, tmp_path, jobs(10), read=broken)


def test_a_failing_source_of_jobs_is_not_hidden(server: FakeOpenAI, tmp_path: Path) -> None:
    def broken() -> Iterator[Job]:
        yield from jobs(5)
        raise HubSpeedError("the input is gone")

    with pytest.raises(HubSpeedError, match="the input is gone"):
        run(server.url, tmp_path, broken())


# --- the disk -------------------------------------------------------------------------------------------------------


def test_an_answer_is_in_the_ledger_before_its_worker_asks_again(server: FakeOpenAI, tmp_path: Path) -> None:
    on_disk = []

    def answer(asked: Asked) -> str:
        with sqlite3.connect(f"file:{tmp_path / 'ledger.sqlite'}?mode=ro", uri=True) as reader:  # as after a kill
            on_disk.append(reader.execute("SELECT count(*) FROM ledger").fetchone()[0])
        return good(asked)

    server.answer = answer
    run(server.url, tmp_path, jobs(30), in_flight=1)
    assert on_disk == list(range(30))
    server.asked.clear()
    on_disk.clear()
    run(server.url, tmp_path, jobs(60, start=30), in_flight=3)
    assert all(30 + i - 2 <= count <= 30 + i for i, count in enumerate(on_disk))


def test_a_full_disk_stops_the_run_and_finished_rows_stay(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: json.dumps({"input": asked.prompt, "positive_document": "x" * 20_000})
    address, limits = Address("teacher", "m", (server.url,)), Limits(4, 10, 2)
    with Ledger(tmp_path) as ledger:
        ledger._db.execute("PRAGMA max_page_count = 100")
        with pytest.raises(NoSpace, match="the ledger cannot be written"):
            generate(
                unfinished(jobs(1000)), read, address, ledger, limits, lambda rows, in_flight: None, threading.Event()
            )
        finished = {entry["id"] for entry in ledger.entries()}
        assert 0 < len(finished) < 80
        assert ledger.count_finished() == len(finished)
        assert len(list(ledger.rows())) == len(finished)
    server.answer = good
    assert {e["state"] for e in run(server.url, tmp_path, jobs(40)).values()} == {"accepted"}
    assert all(server.prompts().count(f"prompt {int(row_id[4:])}") == 1 for row_id in finished)


def test_the_key_is_nowhere_on_disk(server: FakeOpenAI, tmp_path: Path) -> None:
    server.answer = lambda asked: error(500, f"you sent {asked.headers['authorization']}")
    run(server.url, tmp_path, jobs(3), in_flight=8)
    assert "you sent Bearer" in entries_in(tmp_path)["row-0000"]["detail"]
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.iterdir())
