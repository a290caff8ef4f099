"""A real Slurm on loopback, where it is installed: exit codes, words, what it refuses, what stops."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import slurm_here

from hub_speed.engines import Options
from hub_speed.engines.slurm import Slurm
from hub_speed.errors import RecipeError

pytestmark = pytest.mark.skipif(not slurm_here.is_here(), reason="needs root, and Debian's slurm-wlm and munge")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with slurm_here.slurm(tmp_path_factory.mktemp("slurm")) as found:
        yield found


def test_an_array_of_ranks(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is refused, each in its own log; only the ranks that are asked for are started."""
    monkeypatch.setenv("SLURM_CONF", str(config))
    engine = Slurm(Options(("run", "no-such-recipe"), tmp_path / "the logs", 4))
    assert engine.run([0, 3], threading.Event()) == {0: 2, 3: 2}
    assert "no-such-recipe" in engine.last_words(3) and engine.last_words(1).startswith(" (")


def test_what_slurm_does_not_allow_is_said_before(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(config))
    with pytest.raises(RecipeError, match="more tasks than Slurm allows in an array") as caught:
        Slurm(Options(("run", "toy"), tmp_path, 9))
    assert caught.value.expected == "at most 8 (MaxArraySize)"
    with pytest.raises(RecipeError, match="sbatch refuses") as caught:
        Slurm(Options(("run", "toy"), tmp_path, 2, partition="none")).run([0], threading.Event())
    assert "invalid partition" in caught.value.got


def test_a_stop_ends_the_array(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(config))
    stop = threading.Event()
    stop.set()
    assert Slurm(Options(("hub", "serve"), tmp_path, 1)).run([0], stop).keys() == {0}
