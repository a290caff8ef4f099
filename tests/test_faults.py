"""Faults of the teacher and the Hub as the command line meets them: words, exit code, and a re-run that goes on."""

import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_openai import DROP, Asked, FakeOpenAI, Reply, error, text
from hub_proxy import Proxy, proxied
from running import Cli, ended, tiny

from hub_speed.localhub import LocalHub
from hub_speed.quickstart import teacher

Answer = Callable[[Asked], Reply | str]


def scripted(asked: Asked) -> str:
    """What the offline teacher answers."""
    return teacher.answer(asked.prompt, random.Random(asked.prompt))


def run(
    cli: Cli, answer: Answer, *args: str, code: int = 0, only: str = "seed", beside: str = "", **changes: object
) -> str:
    """Run up to a stage; the teacher is a server with this answer, and what is `beside` it."""
    with FakeOpenAI(answer) as server:
        flags = ["--endpoint", f"teacher={server.url}{beside}", "--set", "runtime.retries=2", *tiny(**changes)]
        return cli("run", "quickstart", "--only", only, *flags, *args, code=code)


def states(cli: Cli, state: str) -> list[dict[str, Any]]:
    out = cli("rows", "speed-demo/speed-seed", "--state", state, "--json", "-n", "1000")
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


@pytest.mark.parametrize(
    ("status", "words"), [(401, ["401", "HUB_SPEED_TEACHER_KEY"]), (404, ["404", "no such model"]), (400, ["400"])]
)
def test_a_final_no_stops_and_the_next_run_goes_on(cli: Cli, status: int, words: list[str]) -> None:
    out = run(cli, lambda asked: error(status, "no such model"), code=3, only="brainstorm")
    for word in words:
        assert word in out, out
    assert re.search(r"✓ brainstorm +[1-9]", run(cli, scripted, only="brainstorm"))


def test_passing_trouble_is_waited_out(cli: Cli) -> None:
    """429 with Retry-After, 500, a drop, each once for some requests, and a dead replica: nothing is lost."""

    def answer(asked: Asked) -> Reply | str:
        trouble = [error(429, Retry_After="0.01"), error(500), DROP, None, None][sum(asked.prompt.encode()) % 5]
        return trouble if trouble and asked.nth == 1 else scripted(asked)

    out = run(cli, answer, beside=",http://127.0.0.1:9?key=S3CRET")
    assert re.search(r"✓ seed +64 rows", out)
    assert "warning: replica http://127.0.0.1:9/v1?key=… does not answer: set aside" in out and "S3CRET" not in out


def spoilt(asked: Asked) -> Reply | str:
    """Right tasks, but most examples are spoilt, each kind in its own way."""
    good = scripted(asked)
    if '"tasks"' in good:
        return good
    kind = sum(asked.prompt.encode()) % 6
    fields = json.loads(good)
    first = next(iter(fields))
    return [
        "I am sorry, I cannot do that.",
        text(asked, good[: len(good) // 2], finish_reason="length"),
        json.dumps({f"my_{name}": value for name, value in fields.items()}),
        "",
        json.dumps(fields | {first: ""}),
        # A brace within a string must not end the object early; the rest is as good as it was.
        json.dumps(fields | {first: f"{fields[first]} }} and {{"}),
    ][kind]


def test_bad_answers_are_rejected_rows_with_a_reason_and_their_raw_text(cli: Cli) -> None:
    out = run(cli, spoilt)
    rejected = states(cli, "rejected")
    reasons = {row["reason"] for row in rejected}
    assert {"bad_json", "truncated", "wrong_keys", "empty_answer", "empty_field"} <= reasons, reasons
    raw = [row["completions"] for row in rejected]
    assert all(raw) and any("I am sorry" in str(text) for text in raw)
    done = int(re.search(r"✓ seed +(\d+) rows", out)[1])
    assert 0 < done < 64 < done + len(rejected) <= 4 * 64  # more are asked for, and in the end no more
    braces = [row for row in states(cli, "accepted") + states(cli, "repaired") if "} and {" in str(row["completions"])]
    assert braces  # read whole, brace and all


def test_all_rows_rejected_publishes_nothing_and_says_why(cli: Cli) -> None:
    out = run(cli, lambda asked: scripted(asked) if '"tasks"' in scripted(asked) else "no", code=5)
    assert "64 of 64 rows were rejected" in out and "bad_json 64" in out and "hub-speed rows" in out
    assert list(cli.show("quickstart", *tiny())) == ["brainstorm"]
    folder = re.search(r"hub-speed rows (\S+?);", out)[1]
    assert "no" in cli("rows", folder, "--state", "rejected")


@pytest.fixture
def remote(cli: Cli) -> Iterator[tuple[LocalHub, dict[str, str]]]:
    """A Hub that is not the command's own, and the environment to write there."""
    with LocalHub(cli.cwd.parent / "remote") as hub:
        env = hub.env()
        yield hub, {name: env[name] for name in env if name != "HF_ENDPOINT"}


def test_the_hub_refuses_in_the_middle_of_a_push(cli: Cli, remote: tuple[LocalHub, dict[str, str]]) -> None:
    hub, env = remote

    def at_commit(request: Proxy) -> int:
        return 400 if "/speed-tasks/commit/" in request.path else 0

    with proxied(str(hub.endpoint), at_commit) as url:
        args = ("run", "quickstart", "--only", "brainstorm", *tiny())
        out = cli(*args, "--hub", url, code=4, **env)
        assert "answers 400" in out and "what was built is kept" in out
    # Nobody is there to ask now, so what is published must be what was built before.
    out = cli(*args, "--hub", str(hub.endpoint), code=0, HUB_SPEED_TEACHER_URL="http://127.0.0.1:9", **env)
    assert re.search(r"✓ brainstorm +\d+ rows", out)


def test_the_hub_refuses_between_commit_and_tag(cli: Cli, remote: tuple[LocalHub, dict[str, str]]) -> None:
    hub, env = remote
    args = ("run", "quickstart", "--only", "brainstorm", *tiny())
    with proxied(str(hub.endpoint), lambda request: 400 * ("/speed-tasks/tag/" in request.path)) as url:
        cli(*args, "--hub", url, code=4, **env)
    out = cli(*args, "--hub", str(hub.endpoint), HUB_SPEED_TEACHER_URL="http://127.0.0.1:9", **env)
    assert re.search(r"✓ brainstorm .* cached", out)  # the commit was found and tagged


def test_a_full_disk_stops_with_its_own_code_and_the_next_run_goes_on(seeded: Cli) -> None:
    """A limit on file sizes stands for a full disk: the ledger can grow no further."""
    import resource

    cli, flags = seeded, ["run", "quickstart", "--only", "seed", *tiny(license="cc0-1.0", seed__rows=300)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))  # children inherit it
    try:
        out = cli(*flags, code=7)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "free some space" in out
    assert ended(cli(*flags), "seed") == 300
