"""`vllm run-batch`: a program on the PATH, with files and a process of its own, stands for vLLM."""

import json
import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pytest
from running import HANG_S

from hub_speed.errors import EndpointDown, RecipeError, Stopped
from hub_speed.generation import batched
from hub_speed.generation.batched import generate_in_batches
from hub_speed.generation.jobs import Accepted, Job, Outcome
from hub_speed.generation.ledger import Ledger
from hub_speed.llm import servers
from hub_speed.llm.address import Address
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.llm.vllm_run_batch import RunBatch
from hub_speed.recipes.loader import load

PROGRAM = """
    import json, os, pathlib, sys, time
    value = lambda flag: sys.argv[sys.argv.index(flag) + 1]
    with open("started", "a") as log:
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        log.write(json.dumps({"argv": sys.argv[1:], "pid": os.getpid(), "gpus": gpus}) + "\\n")
    if gpus == os.environ.get("BROKEN_GPU"):
        sys.exit("CUDA error")
    answers = open(value("-o"), "w")
    requests = [json.loads(line) for line in open(value("-i"))]
    for number, request in enumerate(requests):
        if "--break" in sys.argv and number == 2:
            sys.exit("CUDA out of memory")
        if "--hang" in sys.argv:
            time.sleep(600)
        body, status = {"error": {"message": "out of order"}}, 500
        if not ("--skip" in sys.argv and number % 3 == 0):
            text = "answer to " + request["body"]["messages"][-1]["content"]
            message = {"role": "assistant", "content": text}
            usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
            choices, status = [{"index": 0, "finish_reason": "stop", "message": message}], 200
            body = {"model": request["body"]["model"], "choices": choices, "usage": usage}
        response = {"status_code": status, "request_id": "x", "body": body}
        answers.write(json.dumps({"id": "y", "custom_id": request["custom_id"], "response": response, "error": None}))
        answers.write("\\n")
"""


@pytest.fixture(autouse=True)
def vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `vllm` on the PATH, small batches and short waits."""
    script = tmp_path / "bin" / "vllm"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\n{textwrap.dedent(PROGRAM)}")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(servers, "SECONDS_BETWEEN_LOOKS", 0.02)
    monkeypatch.setattr(batched, "REQUESTS_PER_BATCH", 8)


def jobs(todo: Any) -> Iterator[Job]:
    for i in range(20):
        if todo(f"row-{i:03d}"):
            yield Job(f"row-{i:03d}", "sts", Request(f"prompt {i}", Sampling(1.0, 1.0, 50)), i)


def read(job: Job, completion: Completion) -> Outcome:
    assert completion.texts[0].endswith(f" {job.source}")  # the answer to its own prompt
    return Accepted({"id": job.id})


def run_batch(tmp_path: Path, *flags: str, stop: threading.Event, gpus: Any = ((),)) -> RunBatch:
    work, address = tmp_path / "work", Address("senior", "speed-senior", ())
    return RunBatch(address, tmp_path / "model", work / "batches", flags, gpus, work / "server.log", stop.is_set)


def run(
    tmp_path: Path, *flags: str, stop: threading.Event | None = None, gpus: Any = ((),)
) -> dict[str, dict[str, Any]]:
    """The ledger afterwards, by row. What was raised goes through."""
    stop, work = stop or threading.Event(), tmp_path / "work"
    provider = run_batch(tmp_path, *flags, stop=stop, gpus=gpus)
    with Ledger(work) as ledger:
        generate_in_batches(jobs, read, provider, ledger, 3, lambda entries, count: None, stop)
        return {entry["id"]: entry for entry in ledger.entries()}


def started(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "started").read_text().splitlines()]


def asked(tmp_path: Path) -> list[list[str]]:
    """The rows of every batch, in order."""
    files = sorted((tmp_path / "work" / "batches").glob("*.requests.jsonl"))
    return [[json.loads(line)["custom_id"][:7] for line in file.read_text().splitlines()] for file in files]


ALL = [f"row-{i:03d}" for i in range(20)]


def test_every_row_is_asked_for_once_and_a_second_run_starts_nothing(tmp_path: Path) -> None:
    found = run(tmp_path, "--max-model-len", "4096")
    assert sorted(found) == ALL and {entry["state"] for entry in found.values()} == {"accepted"}
    assert asked(tmp_path) == [ALL[:8], ALL[8:16], ALL[16:]]
    argv = started(tmp_path)[0]["argv"]
    assert argv[0] == "run-batch" and argv[-2:] == ["--max-model-len", "4096"]
    assert argv[argv.index("--model") + 1] == str(tmp_path / "model")
    assert argv[argv.index("--served-model-name") + 1] == found["row-000"]["model"] == "speed-senior"
    assert run(tmp_path) == found and len(started(tmp_path)) == 3


def test_one_that_ends_says_its_last_words_and_its_rows_are_asked_for_again(tmp_path: Path) -> None:
    with pytest.raises(EndpointDown, match="run-batch ended with exit code 1") as caught:
        run(tmp_path, "--break")
    assert "CUDA out of memory" in caught.value.got and "server.log" in caught.value.fix
    assert sorted(run(tmp_path)) == ALL
    assert asked(tmp_path) == [ALL[:8], ALL[:8], ALL[8:16], ALL[16:]]


def test_requests_that_failed_are_in_the_next_batch(tmp_path: Path) -> None:
    found = run(tmp_path, "--skip")
    again = [row for i, row in enumerate(ALL[:8]) if i % 3 == 0]
    assert asked(tmp_path)[1][: len(again)] == again
    assert sorted(found) == ALL
    assert all(len(found[row]["completions"]) == (found[row]["state"] == "accepted") for row in ALL)


def test_several_share_each_batch_on_gpus_of_their_own(tmp_path: Path) -> None:
    found = run(tmp_path, gpus=[("0", "1"), ("2", "3")])
    assert sorted(found) == ALL and {entry["state"] for entry in found.values()} == {"accepted"}
    assert asked(tmp_path) == [ALL[:16], ALL[16:]]  # a batch has as many requests for each
    assert sorted(each["gpus"] for each in started(tmp_path)) == ["0,1", "0,1", "2,3", "2,3"]
    assert sorted(path.name for path in (tmp_path / "work").glob("*.log")) == ["server-0.log", "server-1.log"]
    assert {path.name[6:] for path in (tmp_path / "work" / "batches").iterdir()} == {"requests.jsonl", "answers.jsonl"}


def test_one_of_several_that_fails_leaves_its_requests_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BROKEN_GPU", "1")
    found = run(tmp_path, gpus=[("0",), ("1",)])
    assert sorted(found) == ALL and {entry["state"] for entry in found.values()} == {"accepted"}
    assert asked(tmp_path) == [ALL[:16], [*ALL[1:16:2], *ALL[16:]]]
    assert "ended with exit code 1: " in caplog.text and "CUDA error; the others go on" in caplog.text
    assert [each["gpus"] for each in started(tmp_path)].count("1") == 1  # it is set aside
    monkeypatch.setenv("BROKEN_GPU", "0")
    shutil.rmtree(tmp_path / "work")
    with pytest.raises(EndpointDown, match="run-batch ended with exit code 1"):
        run(tmp_path, gpus=[("0",)])


def test_a_stop_ends_it_and_the_next_run_goes_on(tmp_path: Path) -> None:
    stop = threading.Event()

    def stop_when_started() -> None:
        while not (tmp_path / "started").exists() or not started(tmp_path):
            time.sleep(0.02)
        stop.set()

    threading.Thread(target=stop_when_started, daemon=True).start()
    with pytest.raises(Stopped, match="stopped"):
        run(tmp_path, "--hang", stop=stop)
    pid = started(tmp_path)[0]["pid"]
    until = time.monotonic() + HANG_S
    while psutil.pid_exists(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not psutil.pid_exists(pid)
    assert sorted(run(tmp_path)) == ALL


def test_answers_of_a_run_that_was_killed_are_not_asked_for_again(tmp_path: Path) -> None:
    run(tmp_path)
    for file in (tmp_path / "work").glob("ledger.sqlite*"):
        file.unlink()  # killed after vLLM was done and before the answers were in the ledger
    assert sorted(run(tmp_path)) == ALL and len(started(tmp_path)) == 3


def test_a_generator_that_is_no_chat_model_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(RecipeError, match="answers chats alone"):
        load("quickstart", ["runtime.server=vllm run-batch"])


def test_a_second_wave_is_a_batch_of_its_own(tmp_path: Path) -> None:
    sizes, work, stop = [6, 20], tmp_path / "work", threading.Event()
    provider = run_batch(tmp_path, stop=stop)

    def first(todo: Any) -> Iterator[Job]:
        return islice(jobs(todo), sizes[0] - ledger.counts().total())

    with Ledger(work) as ledger:
        generate_in_batches(first, read, provider, ledger, 3, lambda e, n: None, stop, None, lambda: sizes.pop(0) == 6)
        assert ledger.counts() == {"accepted": 20}
    assert [len(rows) for rows in asked(tmp_path)] == [6, 8, 6]
