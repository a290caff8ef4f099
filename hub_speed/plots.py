"""The figures of the cards: small PNGs for light and dark pages alike (white ground, few colours, labels on marks)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#2f6db3", "#d9822b", "#3b8f5a", "#8a8f98"

plt.rcParams.update(
    {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#444444",
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "legend.frameon": False,
    }
)


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, bbox_inches="tight", facecolor="white")
    plt.close(figure)
    return path


def yields(rows_in: int, accepted: int, rejected: dict[str, int], path: Path) -> Path:
    """What became of the requests: one bar for all, one for the accepted, one per reason of rejection."""
    names = ["asked for", "accepted", *rejected]
    values = [rows_in, accepted, *rejected.values()]
    figure, axes = plt.subplots(figsize=(6.2, 0.6 + 0.28 * len(names)))
    axes.barh(names[::-1], values[::-1], color=[ORANGE] * len(rejected) + [GREEN, GREY])
    for y, value in enumerate(values[::-1]):
        axes.text(value, y, f" {value:,} ({value / rows_in:.1%})" if rows_in else " 0", va="center")
    axes.set_xlim(0, max(values) * 1.25 or 1)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.set_title("What became of the requests")
    return _save(figure, path)


def lengths(words_by_column: dict[str, list[int]], path: Path) -> Path:
    """Words per text, per column, as box plots."""
    figure, axes = plt.subplots(figsize=(6.2, 0.8 + 0.32 * len(words_by_column)))
    names = list(words_by_column)[::-1]
    boxes = axes.boxplot(
        [words_by_column[name] for name in names], orientation="horizontal", tick_labels=names, showfliers=False
    )
    for median in boxes["medians"]:
        median.set_color(BLUE)
        median.set_linewidth(2)
    axes.set_xlabel("words (box: middle half, whiskers: 1.5 times that)")
    axes.set_title("Length of the texts")
    return _save(figure, path)


def asked_lengths(pairs: dict[str, list[tuple[int, int]]], path: Path) -> Path:
    """Least words asked for against words written, one colour per task type."""
    figure, axes = plt.subplots(figsize=(4.6, 3.4))
    rng = np.random.default_rng(0)
    for (name, points), colour in zip(pairs.items(), (BLUE, ORANGE, GREEN), strict=False):
        asked, written = np.array(points, dtype=float).T
        axes.scatter(asked + rng.uniform(-0.3, 0.3, len(asked)), written, s=5, alpha=0.4, color=colour, label=name)
    top = max(max(max(p) for p in points) for points in pairs.values())
    axes.plot([0, top], [0, top], color=GREY, linewidth=1)
    axes.set_xlabel("at least this many words were asked for")
    axes.set_ylabel("words written")
    axes.set_title("Asked and written length")
    axes.legend(fontsize=8)
    return _save(figure, path)


def loss_curve(curve: Sequence[tuple[int, float]], path: Path) -> Path:
    """Training loss over steps."""
    figure, axes = plt.subplots(figsize=(5.2, 2.6))
    steps, losses = zip(*curve, strict=True)
    axes.plot(steps, losses, color=BLUE)
    axes.text(steps[-1], losses[-1], f" {losses[-1]:.3f}", va="bottom", ha="right")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_title("Training loss")
    return _save(figure, path)


def scores(rows: Sequence[dict[str, Any]], path: Path) -> Path:
    """Scores with their intervals, one panel per measure."""
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    figure, panels = plt.subplots(len(measures), 1, figsize=(6.2, 0.5 + 1.15 * len(measures)), squeeze=False)
    for measure, axes in zip(measures, panels[:, 0], strict=True):
        mine = [row for row in rows if row["measure"] == measure][::-1]
        for y, row in enumerate(mine):
            low = row["low"] if row["low"] is not None else row["value"]
            high = row["high"] if row["high"] is not None else row["value"]
            axes.plot([low, high], [y, y], color=BLUE, linewidth=2)
            axes.plot(row["value"], y, "o", color=BLUE)
            axes.text(1.02, y, f"{row['value']:.3f}", va="center")
        axes.set_yticks(range(len(mine)), [row["subject"] for row in mine])
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.6, len(mine) - 0.4)
        axes.set_title(measure)
    figure.tight_layout()
    return _save(figure, path)


def effects(found: Sequence[dict[str, Any]], margin: float, path: Path) -> Path:
    """Differences to the reference with their intervals (`effects.Effect`), one panel per measure.

    Green and orange: supported, better and worse. Grey: not. The band is what does not matter.
    """
    panels_of = list(dict.fromkeys((e["measure"], e["benchmark"]) for e in found))
    values = list(dict.fromkeys(e["value"] for e in found))[::-1]
    figure, panels = plt.subplots(
        1, len(panels_of), figsize=(0.6 + 3.1 * len(panels_of), 1.0 + 0.32 * len(values)), squeeze=False, sharey=True
    )
    for (measure, benchmark), axes in zip(panels_of, panels[0], strict=True):
        axes.axvspan(-margin, margin, color=GREY, alpha=0.2, linewidth=0)
        axes.axvline(0, color=GREY, linewidth=1)
        for e in found:
            if (e["measure"], e["benchmark"]) != (measure, benchmark):
                continue
            y, low, high = values.index(e["value"]), e["low"], e["high"]
            colour = GREY if e["verdict"] != "supported" else GREEN if e["difference"] > 0 else ORANGE
            if low is not None:
                axes.plot([low, high], [y, y], color=colour, linewidth=2)
            axes.plot(e["difference"], y, "o", color=colour)
        axes.set_yticks(range(len(values)), [value if len(value) < 40 else value[:38] + "…" for value in values])
        axes.set_ylim(-0.6, len(values) - 0.4)
        axes.set_xlabel(f"difference to {found[0]['reference']:.30}")
        axes.set_title(measure)
    figure.tight_layout()
    return _save(figure, path)


def scaling(rows: Sequence[dict[str, Any]], fits: dict[str, Any], path: Path) -> Path:
    """Scores over the number of rows, one panel per measure, with the fitted curves drawn on to ten times the rows.

    A curve that failed to foretell the largest size ends there. The one that foretold it better is solid; both are,
    where they cannot be told apart.
    """
    figure, panels = plt.subplots(1, len(fits), figsize=(0.6 + 3.4 * len(fits), 3.2), squeeze=False)
    for (measure, fit), axes in zip(fits.items(), panels[0], strict=True):
        mine = [row for row in rows if row["measure"] == measure]
        sizes = sorted({row["rows"] for row in mine})
        axes.plot([row["rows"] for row in mine], [row["value"] for row in mine], "o", color=GREY, markersize=3)
        for (name, form), colour in zip(fit["forms"].items(), (BLUE, ORANGE), strict=False):
            grid = np.geomspace(sizes[0], sizes[-1] if form["fails"] else 10 * sizes[-1], 60)
            curve = form["curve"]
            if name == "log-linear":
                drawn = curve["intercept"] + curve["slope"] * np.log10(grid)
            else:
                drawn = curve["ceiling"] - curve["gap"] * (grid / curve["unit"]) ** -curve["exponent"]
            style = "--" if fit["told_apart"] and name != fit["best"] else "-"
            axes.plot(grid, np.clip(drawn, 0, 1), style, color=colour, linewidth=1.2, label=name)
            if form["ahead_span"] and not form["fails"]:
                axes.plot([grid[-1]] * 2, form["ahead_span"], color=colour, linewidth=2, alpha=0.5)
        axes.axvline(sizes[-1], color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        shown = [
            sizes[0],
            sizes[-1],
            *([] if all(form["fails"] for form in fit["forms"].values()) else [10 * sizes[-1]]),
        ]
        axes.set_xticks(shown, [f"{size:,}" for size in shown])
        axes.minorticks_off()
        axes.set_xlabel("training rows")
        axes.set_title(measure)
        axes.legend(fontsize=7, title=_fit_note(fit), title_fontsize=7, loc="lower right")
    panels[0][0].set_ylabel("score")
    figure.tight_layout()
    return _save(figure, path)


def _fit_note(fit: dict[str, Any]) -> str:
    """What the figure may say about the two forms."""
    failed = [name for name, form in fit["forms"].items() if form["fails"]]
    if failed:
        return f"{' and '.join(failed)} missed the largest size"
    if fit["best"] is None:
        return "no power law to compare with"
    return f"{fit['best']} foretells better" if fit["told_apart"] else "not told apart"


def lineage(nodes: dict[str, dict[str, Any]], last: str, last_inputs: Sequence[str], path: Path) -> Path:
    """Where a version comes from: a box per version, an arrow per input, columns by distance from the start."""
    inputs = {name: list(node["inputs"]) for name, node in nodes.items()} | {last: list(last_inputs)}
    depth: dict[str, int] = {}

    def depth_of(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((depth_of(i) for i in inputs.get(name, ())), default=-1)
        return depth[name]

    columns: dict[int, list[str]] = {}
    for name in inputs:
        columns.setdefault(depth_of(name), []).append(name)
    tallest = max(len(column) for column in columns.values())
    figure, axes = plt.subplots(figsize=(1.45 * len(columns) + 0.3, 0.62 * tallest + 0.5))
    place = {}
    for x, column in columns.items():
        for i, name in enumerate(column):
            place[name] = (x, (tallest - 1) / 2 + (len(column) - 1) / 2 - i)
    for name, (x, y) in place.items():
        for source in inputs[name]:
            _arrow(axes, place[source], (x, y))
    for name, (x, y) in place.items():
        repo, _, commit = name.partition("@")
        colour = BLUE if name == last else "white"
        axes.text(
            x,
            y,
            f"{repo.split('/')[-1].removeprefix('speed-')}\n{commit[:7]}",
            ha="center",
            va="center",
            fontsize=7.5,
            color="white" if name == last else "black",
            bbox={"boxstyle": "round,pad=0.35", "facecolor": colour, "edgecolor": BLUE},
        )
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(-0.6, tallest - 0.4)
    axes.axis("off")
    return _save(figure, path)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    arrow = {"arrowstyle": "->", "color": GREY, "shrinkA": 22, "shrinkB": 24}
    axes.annotate("", xy=end, xytext=start, arrowprops=arrow)
