"""A running hub, clients in a process of their own, and a plain HTTP connection for what clients would never send."""

import http.client
import json
import multiprocessing
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from running import HANG_S, call, free_port, set_env

from hub_speed.localhub import LocalHub


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Http:
    """Sends exactly what it is told to, with the token unless told otherwise."""

    def __init__(self, endpoint: str, token: str):
        self.address = urlsplit(endpoint)
        self.token = token

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        anonymous: bool = False,
    ) -> Answer:
        sent = {} if anonymous else {"Authorization": f"Bearer {self.token}"}
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=HANG_S)
        try:
            data = json.dumps(body).encode() if isinstance(body, dict | list) else body
            connection.request(method, path, data, {**sent, **(headers or {})})
            response = connection.getresponse()
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, lower, response.read())
        finally:
            connection.close()

    def commit(
        self, repo: str, lines: list[dict[str, Any]], *, parent: str | None = None, branch: str = "main"
    ) -> Answer:
        """POST a commit to a dataset repo; `lines` are the operations without the header."""
        header = {"summary": "test", **({"parentCommit": parent} if parent else {})}
        body = "\n".join(json.dumps(line) for line in [{"key": "header", "value": header}, *lines])
        return self("POST", f"/api/datasets/{repo}/commit/{branch}", body.encode())


def token_of(home: Path) -> str:
    return (home / "hf_home" / "token").read_text()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    with LocalHub(tmp_path_factory.mktemp("localhub")) as running:
        yield running


@pytest.fixture(scope="session")
def http_to() -> Callable[[LocalHub], Http]:
    return lambda hub: Http(hub.endpoint or "", token_of(hub.home))


@pytest.fixture(scope="session")
def web(hub: LocalHub, http_to: Callable[[LocalHub], Http]) -> Http:
    return http_to(hub)


@pytest.fixture(scope="session")
def client(hub: LocalHub) -> Iterator[Callable[..., Any]]:
    """`client(function, *args)` runs a module-level function where the clients are set up for the hub.

    Hugging Face libraries read their settings when they are imported, so they are imported in that process only.
    """
    env = {**hub.env(), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    env |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=set_env, initargs=(env,))

    def run(function: Callable[..., Any], *args: Any) -> Any:
        worked, result = pool.submit(call, function, args).result(timeout=HANG_S)
        if not worked:
            pytest.fail(result, pytrace=False)
        return result

    yield run
    pool.shutdown()


class Server:
    """A hub in a process of its own, to be killed."""

    def __init__(self, home: Path, before: str = ""):
        self.port = free_port()
        code = f"from pathlib import Path\nfrom hub_speed.localhub import LocalHub\n{before}\n"
        code += f"LocalHub(Path({str(home)!r})).serve_forever({self.port})"
        self.process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                break
            except ConnectionRefusedError:
                assert self.process.poll() is None, self.process.stderr.read().decode() if self.process.stderr else ""
                time.sleep(0.01)
        # Listening comes before the token file; the first answer comes after it.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG_S)
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.close()
        self.web = Http(f"http://127.0.0.1:{self.port}", token_of(home))

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(home: Path, before: str = "") -> Server:
        servers.append(Server(home, before))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()
