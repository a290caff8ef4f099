"""How processes share the cores: our settings where the user has none."""

import pytest

from hub_speed.cores import SPIN, thread_settings


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
