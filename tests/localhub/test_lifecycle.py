"""Starting, stopping, and the environment that clients get."""

import base64
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from running import HANG_S

from hub_speed.localhub import DEFAULT_PORT, LocalHub, LocalHubError


def test_import_is_cheap():
    code = "import sys, hub_speed.localhub; print([m for m in ('starlette', 'uvicorn', 'dulwich') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert 1024 < DEFAULT_PORT < 65536


def test_start_stop_and_start_again_keeps_repos_and_token(tmp_path, http_to):
    hub = LocalHub(tmp_path)
    endpoint = hub.start()
    assert endpoint == hub.endpoint and endpoint.startswith("http://127.0.0.1:")
    web = http_to(hub)
    web("POST", "/api/repos/create", {"name": "kept", "organization": "org"})
    with pytest.raises(LocalHubError, match="twice"):
        hub.start()
    hub.stop()
    hub.stop()
    assert hub.endpoint is None
    with pytest.raises(ConnectionRefusedError):
        web("GET", "/")
    hub.start()
    again = http_to(hub)
    assert again.token == web.token and again("GET", "/api/models/org/kept").status == 200
    hub.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "local hub" and not thread.daemon]


def test_an_answer_that_is_on_its_way_arrives_whole(tmp_path, http_to):
    with LocalHub(tmp_path) as hub:
        web = http_to(hub)
        web("POST", "/api/repos/create", {"name": "large", "organization": "org", "type": "dataset"})
        file = {"path": "file.bin", "encoding": "base64", "content": base64.b64encode(bytes(8 << 20)).decode()}
        assert web.commit("org/large", [{"key": "file", "value": file}]).status == 200
        connection = http.client.HTTPConnection(web.address.hostname, web.address.port, timeout=HANG_S)
        connection.request("GET", "/datasets/org/large/resolve/main/file.bin")
        answer = connection.getresponse()
        read = len(answer.read(1000))
        stopping = threading.Thread(target=hub.stop)
        stopping.start()
        assert read + len(answer.read()) == 8 << 20
        stopping.join()


def test_a_token_file_that_was_overwritten_is_put_right(tmp_path):
    with LocalHub(tmp_path):
        token = (tmp_path / "hf_home" / "token").read_text()
    (tmp_path / "hf_home" / "token").write_text("hf_of_the_real_hub")
    with LocalHub(tmp_path):
        assert (tmp_path / "hf_home" / "token").read_text() == token


def test_a_taken_port_is_explained(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalHubError, match=f"127.0.0.1:{port}.*another"):
            LocalHub(tmp_path).start(port)
        with pytest.raises(LocalHubError, match=str(port)):
            LocalHub(tmp_path).serve_forever(port)
    assert signal.getsignal(signal.SIGINT) is before


def test_only_loopback_listens(hub):
    port = int(hub.endpoint.rpartition(":")[2])
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", port))  # would be taken if the hub listened on all addresses


def test_env(tmp_path, hub, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING")) or name.lower() == "no_proxy"]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    assert hub.env() == {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(hub.home / "hf_home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    monkeypatch.setenv("no_proxy", "corp.example,localhost")
    assert hub.env()["NO_PROXY"] == "corp.example,localhost,127.0.0.1"
    elsewhere = LocalHub(tmp_path)
    with pytest.raises(LocalHubError, match="start"):
        elsewhere.env()
    elsewhere.endpoint = "http://127.0.0.1:1234"
    assert elsewhere.env()["HF_ENDPOINT"] == "http://127.0.0.1:1234"


def test_env_wins_over_settings_for_the_real_hub(tmp_path):
    """A user with a token, caches and offline mode of their own can still use the local hub, and nothing gets mixed."""
    theirs = {
        "HF_TOKEN": "hf_real",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_CACHE": str(tmp_path / "real"),
        "HF_TOKEN_PATH": "/x",
    }
    code = (
        "from huggingface_hub import HfApi; a = HfApi(); a.create_repo('org/x'); print(a.whoami()['name']);"
        "a.hf_hub_download('org/x', '.gitattributes')"
    )
    old = os.environ.copy()
    os.environ.update(theirs)
    try:
        with LocalHub(tmp_path / "home") as hub:
            env = {**os.environ, **hub.env()}
            done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    finally:
        os.environ.clear()
        os.environ.update(old)
    assert done.stdout == "local\n", done.stderr
    assert not (tmp_path / "real").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_forever_ends_cleanly(tmp_path, serve, number):
    server = serve(tmp_path)
    assert server.web("GET", "/api/whoami-v2").status == 200
    server.process.send_signal(number)
    _, errors = server.process.communicate(timeout=HANG_S)
    assert (server.process.returncode, errors) == (0, b"")
    assert [path.name for path in (tmp_path / "hub" / "tmp").iterdir()] == ["lock"]


def test_nothing_secret_is_logged(tmp_path, http_to, caplog, monkeypatch):
    caplog.set_level("DEBUG")
    with LocalHub(tmp_path) as hub:
        web = http_to(hub)
        web("GET", "/api/models/org/x?signature=hush")
        monkeypatch.setattr("hub_speed.localhub.store.Store.find", lambda *_: 1 / 0)
        failed = web("GET", "/api/models/org/x?signature=hush")
        assert failed.status == 500 and "ZeroDivisionError" in failed.json["error"]
    assert "/api/models/org/x failed" in caplog.text
    assert web.token not in caplog.text and "hush" not in caplog.text
