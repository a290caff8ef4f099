"""How processes share cores and GPUs: our settings where the user has none."""

from pathlib import Path

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from hub_speed.cores import SPIN, gpu_part, gpus, thread_settings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)


def test_a_process_gets_its_threads_and_spins_for_a_short_time() -> None:
    found = thread_settings(3)
    assert (found["OMP_NUM_THREADS"], found["GOMP_SPINCOUNT"]) == ("3", SPIN)


@pytest.mark.parametrize(
    ("name", "value"), [("OMP_NUM_THREADS", "1"), ("OMP_NUM_THREADS", "4,2"), ("GOMP_SPINCOUNT", "0")]
)
def test_what_the_user_has_set_is_kept(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert thread_settings(3)[name] == value


def test_a_wait_policy_of_the_user_is_not_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert "GOMP_SPINCOUNT" not in thread_settings(2)


@pytest.mark.parametrize(
    ("given", "seen"),
    [(None, ("0", "1")), ("2,3", ("2", "3")), ("GPU-8f5a, GPU-1c2d", ("GPU-8f5a", "GPU-1c2d")), ("", ()), ("-1", ())],
)
def test_gpus_are_those_the_user_lets_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, seen: tuple[str, ...]
) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert gpus(tmp_path) == seen


@hypothesis_given(st.integers(0, 20), st.integers(1, 12))
def test_parts_hold_every_gpu_once_or_as_few_times_as_can_be(count: int, parts: int) -> None:
    devices = tuple(map(str, range(count)))
    dealt = [gpu_part(devices, i, parts) for i in range(parts)]
    if count >= parts:
        assert sum(dealt, ()) == devices
        assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    else:
        assert all(len(mine) == min(1, count) for mine in dealt) and set(sum(dealt, ())) == set(devices)
