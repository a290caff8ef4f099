"""Figures are PNG files, and drawing them changes nothing for the process that does."""

from pathlib import Path

import matplotlib

from hub_speed.cards import figures


def test_matplotlib_is_as_it_was(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    path = figures.loss_curve([(1, 2.0), (2, 1.5)], tmp_path / "new" / "loss.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before
