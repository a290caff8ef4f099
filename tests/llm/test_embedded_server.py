"""The embedded model server: what it refuses, its cores, and how it ends."""

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from running import HANG_S

torch = pytest.importorskip("torch")

from tiny_models import make_model  # noqa: E402

from hub_speed.llm import embedded_server, servers  # noqa: E402
from hub_speed.llm.embedded_engine import Engine, load  # noqa: E402
from hub_speed.llm.embedded_server import read_request  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return Engine(*load(folder), batch=8)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "prompt must be a string"),
        ({"prompt": "a", "n": 0}, "n must be"),
        ({"prompt": "a", "temperature": -1}, "temperature"),
        ({"prompt": "a", "top_p": 0}, "top_p"),
        ({"prompt": "dog " * 200}, "the model reads 128"),
        ({"prompt": "a", "response_format": {"type": "json_schema"}}, "cannot enforce a schema"),
    ],
)
def test_bad_requests_say_why(engine: Engine, body: dict, words: str) -> None:
    with pytest.raises(embedded_server.BadRequest, match=words):
        read_request(body, engine.tokenizer, engine.context, False)


@contextlib.contextmanager
def server(folder: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "hub_speed.llm.embedded_server", str(folder), "--name", "tiny"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = next(line for line in process.stdout if line.startswith("ready"))
        yield f"http://127.0.0.1:{line.split()[1]}", process
    finally:
        process.kill()
        process.wait()


def post(url: str, body: dict) -> tuple[int, dict]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=HANG_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_servers_share_the_cores_and_all_answer(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the user has decided: tests/test_cores.py."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = set(psutil.Process().children())
    with servers.embedded(folder, "tiny", replicas=2, threads=4, log=tmp_path / "log") as urls:
        started = set(psutil.Process().children()) - before
        assert [each.environ()["OMP_NUM_THREADS"] for each in started] == ["2", "2"]
        for url in urls:
            with urllib.request.urlopen(f"{url}/v1/models", timeout=HANG_S) as response:
                assert json.load(response)["data"][0]["id"] == "tiny"
    assert len(set(urls)) == 2


def streamed(url: str, body: dict) -> list[dict]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=HANG_S) as response:
        lines = [line.removeprefix(b"data: ").strip() for line in response if line.startswith(b"data: ")]
    assert lines.pop() == b"[DONE]"
    return [json.loads(line) for line in lines]


def test_over_http_and_it_ends_with_its_parent(folder: Path) -> None:
    with server(folder) as (url, process):
        status, answer = post(f"{url}/v1/completions", {"model": "tiny", "prompt": "the", "n": 2, "max_tokens": 5})
        assert status == 200 and len(answer["choices"]) == 2
        assert answer["usage"]["completion_tokens"] <= 10 and answer["model"] == "tiny"
        assert post(f"{url}/v1/completions", {"model": "other", "prompt": "the"})[0] == 404
        assert post(f"{url}/v1/chat/completions", {"model": "tiny", "messages": []})[0] == 400
        seeded = {"model": "tiny", "prompt": "the quick", "max_tokens": 12, "seed": 3}
        whole = post(f"{url}/v1/completions", seeded)[1]
        events = streamed(f"{url}/v1/completions", seeded | {"stream": True})
        assert "".join(event["choices"][0]["text"] for event in events) == whole["choices"][0]["text"]
        assert events[-1]["usage"] == whole["usage"]
        assert events[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
        process.stdin.close()  # what happens when the parent ends, however it ends
        assert process.wait(timeout=HANG_S) == 0
