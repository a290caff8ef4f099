"""Shared fixtures."""

from pathlib import Path

import hypothesis
import pytest
from running import Cli

# No test depends on a clock: a busy machine must not make one fail.
hypothesis.settings.register_profile("hub_speed", deadline=None)
hypothesis.settings.load_profile("hub_speed")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A fresh home for every test."""
    return Cli(tmp_path)
