"""Shared fixtures, and the order of the tests."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: each test process has a core of its own

import hypothesis
import pytest
from fake_openai import FakeOpenAI
from running import SEEDED, Cli, made_once

from hub_speed.localhub import LocalHub

# No test depends on a clock or on chance: a busy machine must not make one fail, and a failure must come again.
# New examples are looked for with `pytest --hypothesis-profile explore`.
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.register_profile("hub_speed", deadline=None, derandomize=True)
hypothesis.settings.load_profile("hub_speed")

TESTS, MEMORY = Path(__file__).parent, Path("/dev/shm")


def fits(folder: Path) -> bool:
    """Whether a folder has room for all that tests leave, and programs in it may be run."""
    if not folder.is_dir() or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return False
    return shutil.disk_usage(folder).free > 4 << 30  # a finished quickstart: 80 MB


if fits(MEMORY):
    # The embedded Hub waits for the disk at every write, which takes longer than all else in most of its tests.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

LONGEST = """quickstart/test_quickstart pipeline/test_run test_space study/test_runs training/process/test_launch
test_faults evaluation/test_scoring space/test_browser training/embedder/test_contrastive scripts/test_finetune_embedder
localhub/test_libraries stages/test_filter stages/test_evaluate training/process/test_checkpoints
data_quality/test_report llm/test_budget localhub/test_crash""".split()
"""Files whose tests take more than ten seconds together, the longest first."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: two processes share the files, and must not end with a long one."""
    places = {TESTS / f"{name}.py": i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A fresh home for every test."""
    return Cli(tmp_path)


@pytest.fixture
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A copy of a home in which the quickstart's first two stages have run, with the values SEEDED."""
    return made_once(tmp_path_factory, "seeded", lambda cli: cli("run", "quickstart", "--only", "seed", *SEEDED))


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    """An OpenAI-like server; a test sets its `answer`."""
    with FakeOpenAI() as running:
        yield running


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """The embedded Hub, for clients in this process. What the client has read when it was imported is set by hand."""
    from huggingface_hub import constants

    with LocalHub(tmp_path / "hub") as running:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(running.hf_home / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between two tries that are too short to be noticed."""
    from hub_speed.llm import pacing

    monkeypatch.setattr(pacing, "FIRST_WAIT_S", 0.002)
    monkeypatch.setattr(pacing, "LONGEST_WAIT_S", 0.02)
