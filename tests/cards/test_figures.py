"""Figures are PNG files whatever the labels are, and drawing them changes nothing for the process that does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from hub_speed.cards import figures

SCORE = {"subject": "embedder", "task_type": "STS", "measure": "m", "benchmark": "b", "value": 0.5}
INTERVAL = {"low": 0.4, "high": 0.6, "n": 5}
EFFECT = {"difference": 0.1, "low": 0.0, "high": 0.2, "verdict": "supported"}
CURVE = {"intercept": 0.1, "slope": 0.1}
FORM = {"curve": CURVE, "holdout_rejected": False, "forecast_span": None}
FIT = {"forms": {"log-linear": FORM}, "best": None, "lacks_fit": False, "distinguishable": False}
ODD = ["R$ % $", "$\\frac{$", "a_b^c $x$", "\x00\x07\n\r\x1b[31m", "\ud800", "語" * 3, "w" * 5000, "", "{}%s&#_\\"]

DRAWINGS: dict[str, Callable[[str, Path], Path]] = {
    "yields": lambda text, path: figures.yields(5, 3, {text: 2}, path),
    "lengths": lambda text, path: figures.lengths({text: [1, 2, 3]}, path),
    "quality": lambda text, path: figures.quality(
        {text: {f"{text} topic": 3}}, {text: 0.5}, {text: [0.1, 0.2]}, {text: [0.1, 0.2]}, path
    ),
    "loss": lambda text, path: figures.curves({text: [(1, 2.0), (2, 1.5)], "b": [(1, 0.5)]}, path),
    "scores": lambda text, path: figures.scores(
        [SCORE | INTERVAL | {"subject": text, "benchmark": text, "measure": text, "dataset": ""}], path
    ),
    "shares": lambda text, path: figures.shares([SCORE | INTERVAL | {"subject": text, "measure": text}], path),
    "effects": lambda text, path: figures.effects(
        [EFFECT | {"measure": text, "benchmark": text, "value": text, "reference": text}], 0.01, path
    ),
    "scaling": lambda text, path: figures.scaling(
        [{"measure": text, "rows": size, "value": 0.5} for size in (10, 20)], {text: FIT}, path
    ),
    "lineage": lambda text, path: figures.lineage(
        {f"{text}@{text}": [], "last@1": [f"{text}@{text}"]}, {"last@1": text}, "last@1", path
    ),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_any_text_can_be_a_label(name: str, tmp_path: Path) -> None:
    """A dollar is a dollar: matplotlib's mathematics is never read from a label."""
    for text in ODD:
        path = DRAWINGS[name](text, tmp_path / "new" / f"{name}.png")
        assert path.read_bytes().startswith(b"\x89PNG"), text


def test_a_user_who_sets_latex_for_all_figures_needs_none_here(tmp_path: Path) -> None:
    with matplotlib.rc_context({"text.usetex": True}):
        assert DRAWINGS["yields"]("R$ % $", tmp_path / "yields.png").stat().st_size > 1000


def test_matplotlib_is_as_it_was(tmp_path: Path) -> None:
    before: dict[str, Any] = dict(matplotlib.rcParams)
    path = figures.curves({"Loss": [(1, 2.0), (2, 1.5)]}, tmp_path / "new" / "loss.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before
