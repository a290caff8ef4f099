"""A Ray cluster that cannot be used. A package of this name stands for Ray and raises what Ray 2.60 raises."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import free_port

from hub_speed.engines import Options
from hub_speed.engines.ray import Ray
from hub_speed.errors import RecipeError

RAY = """
__version__ = "2.60.0"
def init(**given):
    raise RuntimeError(
        "Version mismatch: The cluster was started with:\\n    Ray: 2.60.0\\n    Python: 3.12.1\\n"
        "This process on Ray Client was started with:\\n    Ray: 2.60.0\\n    Python: 3.11.7\\n"
    )
"""


@pytest.fixture(autouse=True)
def ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "ray.py").write_text(RAY)
    monkeypatch.syspath_prepend(tmp_path)
    real = sys.modules.pop("ray", None)
    yield
    sys.modules.pop("ray", None)  # other tests find none, or the real one
    if real:
        sys.modules["ray"] = real


def refused(tmp_path: Path, address: str) -> RecipeError:
    with pytest.raises(RecipeError, match="--on ray") as caught:
        Ray(Options(("run", "toy"), tmp_path, 2, address=address))
    assert caught.value.exit_code == 2
    return caught.value


def test_a_cluster_with_another_python_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        error = refused(tmp_path, f"ray://127.0.0.1:{head.getsockname()[1]}")
    assert "with Python 3." in error.expected and "Python: 3.12.1" in error.got and "versions of Python" in error.fix


def test_an_address_that_nobody_answers_at_and_none_at_all(tmp_path: Path) -> None:
    assert "refused" in refused(tmp_path, f"ray://127.0.0.1:{free_port()}").got
    assert "--address ray://HOST:10001" in refused(tmp_path, "").expected
