"""A Hub, and finished runs of toy repositories on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_run import SCORES, Made

from hub_speed.hub import Hub
from hub_speed.localhub import LocalHub


@pytest.fixture
def hub(local: LocalHub) -> Hub:
    return Hub(str(local.endpoint))


@pytest.fixture
def made(hub: Hub, tmp_path: Path) -> Callable[..., Made]:
    def make(
        scores: list[dict[str, Any]] = SCORES, licence: str = "apache-2.0", base_licence: str = "apache-2.0"
    ) -> Made:
        return Made(hub, tmp_path / "made", scores, licence, base_licence)

    return make
