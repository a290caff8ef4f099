"""The embedded Hub: the Hub's HTTP API on this machine, for unmodified Hugging Face clients.

    with LocalHub(Path("~/.hub_speed").expanduser()) as hub:
        subprocess.run([sys.executable, "train.py"], env={**os.environ, **hub.env()})

Repos are bare git repositories. Large files are stored beside them, named by their sha256 (store.py shows the folders).
A commit that was acknowledged is on the disk; a kill at any moment leaves the repo before or after a commit. Several
processes may serve the same store. Not supported: Xet (writers set HF_HUB_DISABLE_XET=1, as `env()` does), git
push, running Spaces. docs/hub.md has the whole list.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from hub_speed.errors import HubError

if TYPE_CHECKING:
    from hub_speed.localhub.server import Server
    from hub_speed.localhub.store import Store

__all__ = ["DEFAULT_PORT", "LocalHub", "LocalHubError"]

DEFAULT_PORT = 8008
HOST = "127.0.0.1"
# Longer than any client keeps an idle connection: a request sent while the server closes one would be lost.
KEEP_ALIVE_S = 120
STOP_AFTER_S = 3  # for requests still being answered; an upload that takes longer is cut off


class LocalHubError(HubError):
    """The embedded Hub cannot start; the message says why and what to do."""


class LocalHub:
    """A Hub on this machine.

    Args:
        home: Folder of this hub, created when missing. `home/hub` is the store. `home/hf_home` is a separate HF_HOME,
            so that caches and tokens do not mix with those of the real Hub.

    Attributes:
        endpoint: `http://127.0.0.1:PORT` while serving, None otherwise. Set it to get the `env()` of a hub that
            another process serves.
    """

    def __init__(self, home: Path):
        self.home = Path(home).absolute()
        self.hf_home = self.home / "hf_home"
        self.endpoint: str | None = None
        self._store: Store | None = None
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, port: int = 0) -> str:
        """Serve in a background thread and return the endpoint. Port 0 takes any free port.

        Raises:
            LocalHubError: The port is taken, the hub already runs, or a newer hub_speed wrote the store.
        """
        # Imported here, so that `import hub_speed` does not load a web server.
        import uvicorn

        from hub_speed.localhub.app import make_app
        from hub_speed.localhub.errors import HttpRefusal
        from hub_speed.localhub.server import Server
        from hub_speed.localhub.store import Store

        if self._thread is not None:
            raise LocalHubError(
                f"local hub {self.home}: start() called twice; it serves {self.endpoint}, call stop() first"
            )
        listener = _listen(port)
        try:
            self._store = Store(self.home / "hub")
            self._write_client_token(self._store)
        except BaseException as error:
            listener.close()
            self.stop()
            if isinstance(error, HttpRefusal):
                raise LocalHubError(f"local hub {self.home}: {error}") from error
            raise
        config = uvicorn.Config(
            make_app(self._store),
            http="h11",  # strict: two Host headers, for example, are an error
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_AFTER_S,
        )
        self._server = Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="local hub", daemon=True
        )
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                self.stop()
                raise LocalHubError(
                    f"local hub {self.home}: the server thread ended at start; see the log of 'uvicorn'"
                )
            time.sleep(0.002)
        self.endpoint = f"http://{HOST}:{listener.getsockname()[1]}"
        return self.endpoint

    def stop(self) -> None:
        """Finish the requests that are being answered, then stop serving."""
        if self._server is not None and self._thread is not None:
            self._server.end()
            self._thread.join()
        if self._store is not None:
            self._store.close()
        self._server = self._thread = self._store = self.endpoint = None

    def __enter__(self) -> "LocalHub":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def serve_forever(self, port: int = DEFAULT_PORT, started: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGINT or SIGTERM comes, then stop and return. Call it from the main thread.

        Args:
            port: on 127.0.0.1.
            started: called once the hub answers.

        Raises:
            LocalHubError: The port is taken.
        """
        stopped = threading.Event()
        before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.start(port)
            started()
            stopped.wait()
        finally:
            self.stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def env(self) -> dict[str, str]:
        """The environment variables that make Hugging Face clients use this hub. The token is in a file, not in them.

        Raises:
            LocalHubError: There is no endpoint, because the hub is not started.
        """
        if self.endpoint is None:
            raise LocalHubError(f"local hub {self.home}: env() before start(); start it, or set the endpoint it has")
        no_proxy = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
        hosts = [host for host in no_proxy.split(",") if host]
        no_proxy = ",".join([*hosts, *(host for host in (HOST, "localhost") if host not in hosts)])
        variables = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(self.hf_home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # datasets would tell Amazon's s3 the name of every dataset it loads
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
        }
        # Variables that the user may have set for the real Hub, and that would override those above.
        overrides = {
            "HF_TOKEN": "",
            "HUGGING_FACE_HUB_TOKEN": "",
            "HF_TOKEN_PATH": str(self.hf_home / "token"),
            "HF_HUB_OFFLINE": "0",
            "TRANSFORMERS_OFFLINE": "0",
            "HF_DATASETS_OFFLINE": "0",
            "HF_HUB_CACHE": str(self.hf_home / "hub"),
            "HUGGINGFACE_HUB_CACHE": str(self.hf_home / "hub"),
            "HF_DATASETS_CACHE": str(self.hf_home / "datasets"),
        }
        return variables | {name: value for name, value in overrides.items() if os.environ.get(name)}

    def _write_client_token(self, store: "Store") -> None:
        """Put the token where clients look for it: the file `huggingface-cli login` would write."""
        path = self.hf_home / "token"
        self.hf_home.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != store.token:
            store.scratch.write(path, store.token.encode())


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise LocalHubError(
            f"local hub: cannot listen on {HOST}:{port} ({error.strerror}); "
            "another program has the port: stop it, or choose another one"
        ) from error
    return listener
