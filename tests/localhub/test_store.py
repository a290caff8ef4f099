"""The version of a store."""

import pytest

from hub_speed.localhub import LocalHub, LocalHubError
from hub_speed.localhub.store import Store


def test_a_store_of_another_version_is_left_alone(tmp_path):
    Store(tmp_path / "hub").close()
    (tmp_path / "hub" / "version").write_bytes(b"2")
    with pytest.raises(LocalHubError, match="newer"):
        LocalHub(tmp_path).start()
    (tmp_path / "hub" / "version").write_bytes(b"1")
    Store(tmp_path / "hub").close()
