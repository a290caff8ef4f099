"""Servers that are started for a stage: a program on the PATH, with a real process and port, stands for vLLM."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from running import HANG_S

from hub_speed.errors import EndpointDown, RecipeError, Stopped
from hub_speed.llm import servers
from hub_speed.llm.addresses import Addresses
from hub_speed.recipe import Recipe

SERVER = """
    import http.server, json, os, subprocess, sys, time
    port = int(sys.argv[sys.argv.index("--port") + 1])
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    found = {"argv": sys.argv[1:], "pid": os.getpid(), "offline": os.environ["HF_HUB_OFFLINE"], "gpus": gpus}
    json.dump(found, open("started" + ("-" + gpus if "," in gpus else ""), "w"))
    print("loading weights", flush=True)
    if "--break" in sys.argv:
        sys.exit("CUDA out of memory")
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])  # as one for each GPU
    open("child", "w").write(str(child.pid))
    asked = 0
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            global asked
            asked += 1
            self.send_response(503 if asked < 3 or "--never" in sys.argv else 200)
            self.end_headers()
    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `vllm` on the PATH, and short waits."""
    script = tmp_path / "bin" / "vllm"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\n{textwrap.dedent(SERVER)}")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(servers, "SECONDS_BETWEEN_LOOKS", 0.02)


@contextmanager
def start(tmp_path: Path, *flags: str, start_s: float = 60, stop: Callable[[], bool] = lambda: False) -> Iterator[str]:
    log, folder = tmp_path / "work" / "server.log", tmp_path / "model"
    with servers.programs("vllm", folder, "speed-senior", flags=flags, start_s=start_s, log=log, stop=stop) as (url,):
        yield url


def gone(pid: int) -> bool:
    """Whether a process has ended, or does so in time."""
    with suppress(psutil.NoSuchProcess):
        process, until = psutil.Process(pid), time.monotonic() + HANG_S
        while process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
    return True


def started(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "started").read_text())


def test_it_is_ready_when_the_block_begins_and_gone_with_all_it_started_when_it_ends(tmp_path: Path) -> None:
    with start(tmp_path, "--tensor-parallel-size", "2") as url:
        assert urllib.request.urlopen(f"{url}/health").status == 200
        child = int((tmp_path / "child").read_text())
        assert psutil.pid_exists(child)
    found = started(tmp_path)
    assert found["argv"][:4] == ["serve", str(tmp_path / "model"), "--served-model-name", "speed-senior"]
    assert found["argv"][-2:] == ["--tensor-parallel-size", "2"]
    assert found["offline"] == "1"
    assert gone(found["pid"]) and gone(child)
    log = (tmp_path / "work" / "server.log").read_text()
    assert log.startswith("$ vllm serve ") and "loading weights" in log


@pytest.mark.parametrize(
    ("flags", "ours"),
    [
        ((), True),
        (("--max-model-len", "4096"), True),
        (("--structured-outputs-config", '{"backend": "guidance"}'), False),
        (("--structured-outputs-config.backend=guidance",), False),
    ],
)
def test_vllm_does_not_loop_in_white_space_unless_the_user_says_so(
    tmp_path: Path, flags: tuple[str, ...], ours: bool
) -> None:
    with start(tmp_path, *flags):
        argv = started(tmp_path)["argv"]
    assert ("disable_any_whitespace" in " ".join(argv)) == ours
    assert not flags or argv[-len(flags) :] == list(flags)
    assert sum(flag.startswith("--structured-outputs-config") for flag in argv) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, Stopped, ZeroDivisionError])
def test_it_is_stopped_when_the_block_fails(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), start(tmp_path):
        raise error("in the block")
    assert gone(started(tmp_path)["pid"])


def test_one_that_ends_says_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(EndpointDown, match="ended with exit code 1") as caught, start(tmp_path, "--break"):
        raise AssertionError("never ready")
    assert "loading weights | CUDA out of memory" in caught.value.got
    assert "server.log" in caught.value.fix


def test_one_that_is_never_ready_is_given_up_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = (tmp_path / "child").exists  # the time is over as soon as the program has begun
    clock = types.SimpleNamespace(monotonic=lambda: 3.0 * late(), sleep=time.sleep)
    monkeypatch.setattr(servers, "time", clock)
    with pytest.raises(EndpointDown, match="no answer after 2 s"), start(tmp_path, "--never", start_s=2):
        raise AssertionError("never ready")
    assert gone(started(tmp_path)["pid"])


def test_a_stop_while_it_starts(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Stopped), start(tmp_path, "--never", stop=stop.is_set):
        raise AssertionError("never ready")


def test_one_that_ignores_being_asked_to_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "SECONDS_TO_STOP", 0.2)
    script = tmp_path / "bin" / "vllm"
    script.write_text(
        script.read_text().replace("asked = 0\n", "import signal; signal.signal(15, signal.SIG_IGN)\nasked = 0\n", 1)
    )
    with start(tmp_path):
        pass
    assert gone(started(tmp_path)["pid"])


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells children only on Linux")
def test_it_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from hub_speed.llm import servers
        folder = Path(sys.argv[1])
        with servers.programs("vllm", folder, "n", flags=(), start_s=60, log=folder / "log", stop=lambda: False):
            print("ready", flush=True)
            sys.stdin.read()
        """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    starter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    assert starter.stdout.readline() == "ready\n"
    starter.send_signal(signal.SIGKILL)
    starter.communicate()
    assert gone(started(tmp_path)["pid"])


def test_what_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EndpointDown, match="vllm is not installed here") as caught, start(tmp_path):
        raise AssertionError("never ready")
    assert "--endpoint senior=URL" in caught.value.fix


@pytest.fixture
def no_addresses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("HUB_SPEED_SENIOR_URL", raising=False)
    yield


def test_the_recipe_says_what_is_started(tmp_path: Path, no_addresses: None) -> None:
    runtime = {"server": "vllm", "server_flags": ["--max-model-len", "4096"]}
    recipe = Recipe.model_validate({"name": "r", "runtime": runtime})
    with Addresses([]).open(recipe, "senior", tmp_path / "model", 1, tmp_path / "log") as address:
        assert (address.model, address.dialect, len(address.urls)) == ("speed-senior", "completion", 1)
        assert started(tmp_path)["argv"][-2:] == ["--max-model-len", "4096"]
    tgi = Recipe.model_validate({"name": "r", "runtime": {"server": "tgi"}})
    os.link(tmp_path / "bin" / "vllm", tmp_path / "bin" / "text-generation-launcher")
    with Addresses([]).open(tgi, "senior", tmp_path / "model", 1, tmp_path / "log") as address:
        assert address.dialect == "tgi"
        assert started(tmp_path)["argv"][:2] == ["--model-id", str(tmp_path / "model")]
    with Addresses(["senior=http://a:1"]).open(recipe, "senior", tmp_path, 1, tmp_path / "log") as address:
        assert address.urls == ("http://a:1",)  # one that is given comes first


def test_a_proxy_is_not_asked_for_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with start(tmp_path) as url:
        assert url.startswith("http://127.0.0.1:")


def test_replicas_have_gpus_of_their_own_and_are_all_ready(tmp_path: Path, no_addresses: None) -> None:
    runtime = {"server": "vllm", "server_flags": ["--tensor-parallel-size", "2"], "replicas": 2}
    recipe = Recipe.model_validate({"name": "r", "runtime": runtime})
    four = ("0", "1", "GPU-a", "GPU-b")
    with Addresses([]).open(recipe, "senior", tmp_path / "model", 1, tmp_path / "server.log", four) as address:
        assert len(set(address.urls)) == address.servers == 2
        assert all(urllib.request.urlopen(f"{url}/health").status == 200 for url in address.urls)
        found = [json.loads((tmp_path / f"started-{gpus}").read_text()) for gpus in ("0,1", "GPU-a,GPU-b")]
    assert all(gone(each["pid"]) for each in found)
    assert (tmp_path / "server-0.log").exists() and (tmp_path / "server-1.log").exists()
    too_few = Addresses([]).open(recipe, "senior", tmp_path / "model", 1, tmp_path / "log", ("0", "1"))
    with pytest.raises(RecipeError, match="2 model servers of 2 GPUs each") as caught, too_few:
        raise AssertionError("never started")
    assert "--set runtime.replicas=1" in caught.value.fix


def test_what_each_replica_sees() -> None:
    eight = tuple("01234567")
    assert servers.groups("vllm", eight, 8, ()) == [(gpu,) for gpu in eight]
    assert servers.groups("vllm", eight, 3, ("-tp", "2")) == [("0", "1"), ("2", "3"), ("4", "5")]
    assert servers.groups("vllm", eight, 1, ()) == [eight]  # one server may use all, say with --data-parallel-size
    assert servers.groups("vllm", (), 2, ("--tensor-parallel-size=4",)) == [(), ()]  # nobody has said which
    with pytest.raises(RecipeError, match="8 model servers of 2 GPUs each"):
        servers.groups("vllm", eight, 8, ("--tensor-parallel-size=2",))
    with pytest.raises(RecipeError, match="2 of TGI"):
        servers.groups("tgi", eight, 2, ())
