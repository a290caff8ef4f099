"""The embedded model server: what it samples, what it honours, and that batching changes nothing."""

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
from hub_speed.llm.embedded_server import Engine, read_request  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return Engine(*embedded_server.load(folder), batch=8)


def ask(engine: Engine, prompt: str, **body: object) -> "list[embedded_server.RunningAnswer]":
    request = read_request({"prompt": prompt, "max_tokens": 12} | body, engine.tokenizer, engine.context, False)
    return engine.submit(request).result(timeout=HANG_S)


PROMPTS = ["the quick", "a", "lazy dog over the fox and over again", "jumps", "brown brown brown"]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_is_what_transformers_generates(engine: Engine, prompt: str) -> None:
    inputs = engine.tokenizer(prompt, return_tensors="pt")
    expected = engine.model.generate(**inputs, do_sample=False, max_new_tokens=12)[0, inputs.input_ids.shape[1] :]
    answer = ask(engine, prompt, temperature=0)[0]
    got = answer.tokens + ([2] if answer.finish_reason == "stop" else [])
    assert got == expected.tolist()


def test_a_seed_gives_the_same_answer_alone_and_in_a_crowd(engine: Engine) -> None:
    alone = [ask(engine, prompt, seed=i)[0].tokens for i, prompt in enumerate(PROMPTS)]
    requests = [
        read_request({"prompt": p, "max_tokens": 12, "seed": i}, engine.tokenizer, engine.context, False)
        for i, p in enumerate(PROMPTS * 8)
    ]
    crowd = [future.result(timeout=HANG_S)[0].tokens for future in [engine.submit(r) for r in requests]]
    assert crowd[: len(PROMPTS)] == alone
    assert len({tuple(tokens) for tokens in crowd}) > len(PROMPTS)  # other seeds, other answers


def test_samples_follow_the_model(engine: Engine) -> None:
    """The first tokens of many samples are distributed as the softmax says (chi-squared, fixed seeds)."""
    from scipy.stats import chisquare

    inputs = engine.tokenizer("the quick", return_tensors="pt")
    with torch.inference_mode():
        probs = torch.softmax(engine.model(**inputs).logits[0, -1].double(), -1).numpy()
    n, counts = 3000, {}
    answers = [ask_async(engine, "the quick", seed=i, n=30) for i in range(n // 30)]
    for future in answers:
        for answer in future.result(timeout=HANG_S):
            token = answer.tokens[0] if answer.tokens else 2
            counts[token] = counts.get(token, 0) + 1
    likely = [i for i, p in enumerate(probs) if p * n >= 8]
    observed = [counts.get(i, 0) for i in likely] + [n - sum(counts.get(i, 0) for i in likely)]
    expected = [probs[i] * n for i in likely] + [n - sum(probs[i] * n for i in likely)]
    assert chisquare(observed, expected).pvalue > 1e-3


def ask_async(engine: Engine, prompt: str, **body: object) -> object:
    request = read_request({"prompt": prompt, "max_tokens": 1} | body, engine.tokenizer, engine.context, False)
    return engine.submit(request)


def test_top_p_keeps_to_the_likeliest_tokens(engine: Engine) -> None:
    inputs = engine.tokenizer("lazy", return_tensors="pt")
    with torch.inference_mode():
        probs = torch.softmax(engine.model(**inputs).logits[0, -1], -1)
    ordered = probs.sort(descending=True)
    allowed = set(ordered.indices[: int((ordered.values.cumsum(0) < 0.5).sum()) + 1].tolist())
    answers = [ask_async(engine, "lazy", seed=i, n=20, top_p=0.5) for i in range(10)]
    drawn = {a.tokens[0] if a.tokens else 2 for future in answers for a in future.result(timeout=HANG_S)}
    assert drawn <= allowed and (len(drawn) > 1 or len(allowed) == 1)


def test_n_max_tokens_stop_and_context(engine: Engine) -> None:
    answers = ask(engine, "the", n=5, seed=3, max_tokens=4)
    assert len(answers) == 5 and all(len(a.tokens) <= 4 for a in answers)
    assert {a.finish_reason for a in answers} <= {"stop", "length"}
    text = engine.text(ask(engine, "the quick", temperature=0, max_tokens=10)[0])
    stop = text[2:4]
    cut = ask(engine, "the quick", temperature=0, max_tokens=10, stop=stop)[0]
    assert engine.text(cut) == text[: text.index(stop)] and cut.finish_reason == "stop"
    long = ask(engine, "the " * 40, max_tokens=500)[0]
    assert len(long.ask.tokens) + len(long.tokens) <= engine.context


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


@pytest.mark.parametrize(("users", "threads"), [(None, "2"), ("1", "1")])
def test_servers_share_the_cores_unless_the_user_has_decided(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users: str | None, threads: str
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if users:
        monkeypatch.setenv("OMP_NUM_THREADS", users)
    before = set(psutil.Process().children())
    with servers.embedded(folder, "tiny", replicas=1, threads=2, log=tmp_path / "log"):
        [started] = set(psutil.Process().children()) - before
        assert started.environ()["OMP_NUM_THREADS"] == threads


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
