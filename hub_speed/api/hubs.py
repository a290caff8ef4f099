"""Open a Hub, and keep the settings of its clients in the environment until it is closed."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from hub_speed.errors import HubError, NoSpace, RecipeError

if TYPE_CHECKING:
    from hub_speed.hub import Hub


def default_home() -> Path:
    """The folder of everything this program keeps on this machine: $HUB_SPEED_HOME, or ~/.hub_speed."""
    return Path(os.environ.get("HUB_SPEED_HOME") or "~/.hub_speed").expanduser()


def made_home(home: Path | str | None) -> Path:
    """The folder of this program, created where it is not there yet.

    Raises:
        NoSpace: it cannot be created.
    """
    folder = default_home() if home is None else Path(home).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "name a folder that you may write: HUB_SPEED_HOME"
        raise NoSpace(f"home {folder}: not a folder that can be used", got=str(error), fix=fix) from error
    return folder


@dataclass
class OpenHub:
    """A Hub that is open until `close()`, or until its `with` block ends.

    Attributes:
        hub: reads and publishes versions.
        home: folder of the work in progress and, for the embedded Hub, of its repositories.
        local: whether this is the embedded Hub.
    """

    hub: "Hub"
    home: Path
    local: bool
    _closing: ExitStack = field(repr=False)

    @property
    def endpoint(self) -> str:
        """The address of the Hub."""
        return self.hub.endpoint

    def close(self) -> None:
        """Stop the embedded Hub and restore the environment variables that `open_hub` has set. May be called twice."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_hub(where: str = "local", *, home: Path | str | None = None, private: bool | None = None) -> OpenHub:
    """Open a Hub; close the result, or use it in a `with` block.

    Until it is closed, environment variables such as HF_ENDPOINT point every Hugging Face library at this Hub. That
    holds for libraries that are imported after this call, and for child processes.

    Args:
        where: "local" for the embedded Hub, or an address such as https://huggingface.co.
        home: folder of this program; `default_home()` when left out.
        private: whether new repositories are private; None: as the organisation's settings say.

    Raises:
        RecipeError: `where` is neither "local" nor an address.
        NoSpace: the folder of this program cannot be created.
        HubError: the embedded Hub cannot start, or a Hugging Face library was imported before with other settings.

    Example:
        >>> hub = open_hub(home="/tmp/speed")
        >>> hub.endpoint
        'http://127.0.0.1:41235'
        >>> hub.close()
    """
    if where != "local" and not where.startswith(("http://", "https://")):
        raise RecipeError(f"--hub {where}", expected="local, or an address such as https://huggingface.co")
    folder = made_home(home)
    with ExitStack() as stack:
        if where == "local":
            from hub_speed.localhub import LocalHub

            _check_clients()
            local = stack.enter_context(LocalHub(folder))
            endpoint = str(local.endpoint)
            # Clients read the token at each request, also one that was imported before.
            token = (local.hf_home / "token").read_text("utf-8")
            variables = local.env() | {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_TOKEN": token}
        else:
            endpoint = where.rstrip("/")
            variables = {"HF_ENDPOINT": endpoint}
        stack.enter_context(_environment(variables))
        from hub_speed.hub import Hub

        return OpenHub(Hub(endpoint, private=private), folder, where == "local", stack.pop_all())
    raise AssertionError("no exception is swallowed above")


def _check_clients() -> None:
    """Raises a HubError when the client library was imported before and would upload as only huggingface.co can."""
    constants = sys.modules.get("huggingface_hub.constants")
    if constants and not constants.HF_HUB_DISABLE_XET:
        raise HubError(
            "open_hub: huggingface_hub has been imported already, with the settings of another Hub",
            expected="open_hub before datasets, transformers and other Hugging Face libraries",
            fix="restart Python (or the notebook's kernel) and open the Hub first; or set HF_HUB_DISABLE_XET=1 there",
        )


_environments: list[Mapping[str, str]] = []  # of the Hubs that are open, in the order in which they were opened
_users: dict[str, str | None] = {}  # the same variables as the user had set them


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables; at the end, those of the newest Hub that is still open, or the user's, hold again."""
    for name in variables:
        _users.setdefault(name, os.environ.get(name))
    _environments.append(variables)
    os.environ.update(variables)
    try:
        yield
    finally:
        _environments[:] = [each for each in _environments if each is not variables]
        for name in variables:
            left = [each[name] for each in _environments if name in each]
            value = left[-1] if left else _users.pop(name)
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def user_token() -> str | None:
    """The token for the real Hub as the user had it, also while the embedded Hub is open."""
    user = {**os.environ, **{name: value for name, value in _users.items() if value is not None}}
    for name in [name for name, value in _users.items() if value is None]:
        user.pop(name, None)
    if user.get("HF_TOKEN"):
        return user["HF_TOKEN"]
    cache = Path(user.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    path = Path(user.get("HF_TOKEN_PATH") or Path(user.get("HF_HOME") or cache) / "token").expanduser()
    return path.read_text("utf-8").strip() or None if path.exists() else None


def serve_hub(
    port: int | None = None, home: Path | None = None, started: Callable[[str], None] = lambda address: None
) -> None:
    """Serve the embedded Hub on 127.0.0.1 until SIGINT or SIGTERM.

    Args:
        port: `DEFAULT_PORT` when left out.
        home: folder of this program; `default_home()` when left out.
        started: called with the Hub's address once it answers.
    """
    from hub_speed.localhub import DEFAULT_PORT, LocalHub

    hub = LocalHub(made_home(home))
    hub.serve_forever(port or DEFAULT_PORT, lambda: started(str(hub.endpoint)))


def hub_environment(port: int | None = None, home: Path | None = None) -> dict[str, str]:
    """The environment variables that point any Hub client at the Hub of `serve_hub`."""
    from hub_speed.localhub import DEFAULT_PORT, LocalHub

    hub = LocalHub(home or default_home())
    hub.endpoint = f"http://127.0.0.1:{port or DEFAULT_PORT}"
    return hub.env()
