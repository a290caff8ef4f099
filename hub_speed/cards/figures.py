"""The figures of the cards: small PNGs for light and dark pages (white background, few colours, labelled marks).

Figures are drawn without pyplot: matplotlib's settings and backend stay as the user's process has them.
"""

import threading
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hub_speed.evaluation.published_scores import is_mteb
from hub_speed.evaluation.question_groups import is_change
from hub_speed.record import Json

BLUE, ORANGE, GREEN, GREY = "#2f6db3", "#d9822b", "#3b8f5a", "#8a8f98"
PURPLE, RED = "#7d5ba6", "#b8474b"

_P = ParamSpec("_P")

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "text.parse_math": False,  # a topic such as "R$ % $" is not a formula
    "text.usetex": False,
}

LONGEST = 40
"""Characters of a label; a longer one would push the figure aside. Assumption."""

_DRAWING = threading.Lock()


def _styled(draw: Callable[_P, Path]) -> Callable[_P, Path]:
    """Draws in the style of the cards, one figure at a time: matplotlib's settings belong to the whole process."""

    @wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> Path:
        with _DRAWING, rc_context(STYLE), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a letter that no font has is drawn as a box
            return draw(*args, **kwargs)

    return drawn


def _label(text: str, longest: int = LONGEST) -> str:
    """A text as one short line of characters that can be drawn."""
    line = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text).strip()
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _save(figure: Figure, path: Path) -> Path:
    """Write the file in one piece: a figure that cannot be drawn leaves nothing behind."""
    drawn = BytesIO()
    figure.savefig(drawn, dpi=130, bbox_inches="tight", facecolor="white")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(drawn.getvalue())
    return path


@_styled
def yields(rows_in: int, accepted: int, rejected: dict[str, int], path: Path) -> Path:
    """What became of the requests: a bar for all, for the accepted ones and for every reason of rejection."""
    names = ["requested", "accepted", *map(_label, rejected)]
    values = [rows_in, accepted, *rejected.values()]
    figure = Figure(figsize=(6.2, 0.6 + 0.28 * len(names)))
    axes = figure.subplots()
    axes.barh(names[::-1], values[::-1], color=[ORANGE] * len(rejected) + [GREEN, GREY])
    for y, value in enumerate(values[::-1]):
        axes.text(value, y, f" {value:,} ({value / rows_in:.1%})" if rows_in else " 0", va="center")
    axes.set_xlim(0, max(values) * 1.25 or 1)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.set_title("What became of the requests")
    return _save(figure, path)


@_styled
def lengths(words_by_column: dict[str, list[int]], path: Path) -> Path:
    """Words per text: a box plot for every column."""
    figure = Figure(figsize=(6.2, 0.8 + 0.32 * len(words_by_column)))
    axes = figure.subplots()
    names = list(words_by_column)[::-1]
    boxes = axes.boxplot(
        [words_by_column[name] for name in names],
        orientation="horizontal",
        tick_labels=[*map(_label, names)],
        showfliers=False,
    )
    for median in boxes["medians"]:
        median.set_color(BLUE)
        median.set_linewidth(2)
    axes.set_xlabel("words (box: middle half, whiskers: 1.5 times that)")
    axes.set_title("Length of the texts")
    return _save(figure, path)


@_styled
def quality(
    coverage: dict[str, dict[str, int]],
    in_range: dict[str, float | None],
    overlaps: dict[str, list[float]],
    margins: dict[str, list[float]],
    path: Path,
) -> Path:
    """A set of rows at a glance: topics, lengths as asked, copied words, and how hard the negatives are."""
    spaces = {"hspace": 0.5, "wspace": 0.45}
    figure = Figure(figsize=(8.8, 5.8))
    (cover, length), (overlap, margin) = figure.subplots(2, 2, gridspec_kw=spaces)
    colours = dict(zip(overlaps, cycle((BLUE, ORANGE, GREEN, GREY, PURPLE, RED)), strict=False))
    _heat_map(coverage, cover)
    shares = {name: share for name, share in reversed(in_range.items()) if share is not None}
    bars = length.barh([*map(_label, shares)], list(shares.values()), color=BLUE)
    length.bar_label(bars, [f"{share:.0%}" for share in shares.values()], padding=3)
    length.set_xlim(0, 1.15)
    length.set_xticks([])
    length.spines["bottom"].set_visible(False)
    length.set_title("Length as asked (share of texts)")
    for axes, values in ((overlap, overlaps), (margin, margins)):
        for name, found in values.items():
            axes.ecdf(found, color=colours[name], linewidth=1.4, label=_label(name))
        axes.set_ylabel("share of rows at or below")
        axes.set_ylim(0, 1.02)
        if values:
            axes.legend(fontsize=7.5)
    overlap.set_xlabel("share of the query's words (of the label's, in the text)")
    overlap.set_title("Words of the query in the positive")
    margin.axvline(0, color=GREY, linewidth=0.8)
    margin.set_xlabel("similarity to the positive − to the negative")
    margin.set_title("How hard the negatives are")
    return _save(figure, path)


def _heat_map(coverage: dict[str, dict[str, int]], axes: Axes) -> None:
    """Rows per task type and topic, for the fifteen topics with the most rows."""
    totals: Counter[str] = Counter()
    for row in coverage.values():
        totals.update(row)
    topics, kinds = [topic for topic, _ in totals.most_common(15)], list(coverage)
    axes.set_title("Rows by task type and topic")
    if not topics:
        axes.axis("off")
        return
    counts = np.array([[coverage[kind].get(topic, 0) for topic in topics] for kind in kinds])
    axes.imshow(counts, cmap="Blues", vmin=0, aspect="auto")
    axes.set_xticks(range(len(topics)), [*map(_label, topics)], rotation=35, ha="right", fontsize=7.5)
    axes.set_yticks(range(len(kinds)), [*map(_label, kinds)])
    for (y, x), number in np.ndenumerate(counts):
        colour = "white" if number > counts.max() / 2 else "black"
        axes.text(x, y, f"{number:,}", ha="center", va="center", fontsize=7, color=colour)


@_styled
def curves(panels: Mapping[str, Sequence[tuple[int, float]]], path: Path) -> Path:
    """What a training logged over its steps: one panel per title, side by side, each with its last value."""
    figure = Figure(figsize=(0.6 + (4.6 if len(panels) == 1 else 2.7 * len(panels)), 2.6))
    for (title, curve), axes in zip(panels.items(), figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        steps, values = zip(*curve, strict=True)
        axes.plot(steps, values, color=BLUE)
        axes.set_xlabel(f"step (last value: {values[-1]:.3f})")
        axes.set_title(_label(title))
    figure.tight_layout()
    return _save(figure, path)


@_styled
def scores(rows: Sequence[dict[str, Any]], path: Path) -> Path:
    """Scores with their 95% intervals: a panel per measure and benchmark, and one per type of mteb's tasks."""
    panels: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for row in rows:
        if is_mteb(row):
            panels.setdefault(f"mteb: {row['task_type']}", []).append((row["benchmark"], row))
        else:
            panels.setdefault(f"{row['measure']} on {row['benchmark']}", []).append((row["subject"], row))
    return _intervals(panels, path)


@_styled
def questions(rows: Sequence[Json], path: Path) -> Path:
    """Scores by the style and kind of the questions with their 95% intervals, a panel each."""
    panels: dict[str, list[tuple[str, Json]]] = {}
    for row in rows:
        if not is_change(row):
            title = f"{'all questions' if row['by'] == 'all' else row['group']} ({row['n']:,})"
            panels.setdefault(title, []).append((row["subject"], row))
    return _intervals(panels, path)


@_styled
def shares(rows: Sequence[Json], path: Path) -> Path:
    """Yields and pass rates with their 95% intervals, a panel each."""
    panels: dict[str, list[tuple[str, Json]]] = {}
    for row in rows:
        panels.setdefault(row["measure"], []).append((row["subject"], row))
    return _intervals(panels, path)


def _intervals(panels: dict[str, list[tuple[str, Json]]], path: Path) -> Path:
    """One panel per title: a dot and a line for every named value with its interval, and both as numbers."""
    heights = [0.55 + 0.2 * len(lines) for lines in panels.values()]
    grid = {"height_ratios": heights}
    figure = Figure(figsize=(6.2, sum(heights) + 0.3))
    axes_of = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw=grid)
    for (title, lines), axes in zip(panels.items(), axes_of[:, 0], strict=True):
        for y, (_, row) in enumerate(lines[::-1]):
            interval = ""
            if row["low"] is not None:
                axes.plot([row["low"], row["high"]], [y, y], color=BLUE, linewidth=2)
                interval = f"  {row['low']:.3f} to {row['high']:.3f}"
            axes.plot(row["value"], y, "o", color=BLUE, markersize=5)
            axes.text(1.02, y, f"{row['value']:.3f}{interval}", va="center")
        axes.set_yticks(range(len(lines)), [_label(name) for name, _ in lines[::-1]])
        axes.set_xlim(min(0, *(row["value"] for _, row in lines)), 1)
        axes.set_ylim(-0.6, len(lines) - 0.4)
        axes.set_title(_label(title, 2 * LONGEST))
    axes_of[-1, 0].set_xlabel("dot: value, line: 95% interval (none where there is no line)")
    figure.tight_layout()
    return _save(figure, path)


@_styled
def effects(found: Sequence[dict[str, Any]], margin: float, path: Path) -> Path:
    """Differences to the reference with their intervals (`effects.Effect`), one panel per measure.

    Green and orange: supported, better and worse. Grey: not supported. The band: differences that do not matter.
    """
    panels_of = list(dict.fromkeys((e["measure"], e["benchmark"]) for e in found))
    values = list(dict.fromkeys(e["value"] for e in found))[::-1]
    figure = Figure(figsize=(0.6 + 3.1 * len(panels_of), 1.0 + 0.32 * len(values)))
    panels = figure.subplots(1, len(panels_of), squeeze=False, sharey=True)
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
        axes.set_yticks(range(len(values)), [*map(_label, values)])
        axes.set_ylim(-0.6, len(values) - 0.4)
        axes.set_xlabel(f"difference to {_label(found[0]['reference'], 30)} (95% interval)")
        axes.set_title(_label(measure))
    figure.tight_layout()
    return _save(figure, path)


@_styled
def scaling(rows: Sequence[dict[str, Any]], fits: dict[str, Any], path: Path) -> Path:
    """Scores over the number of rows, one panel per measure, with the fitted curves up to ten times the largest size.

    A curve that mispredicts the largest size ends there. The curve that predicts it better is solid; both are if the
    runs do not distinguish them.
    """
    figure = Figure(figsize=(0.6 + 3.4 * len(fits), 3.2))
    panels = figure.subplots(1, len(fits), squeeze=False)
    for (measure, fit), axes in zip(fits.items(), panels[0], strict=True):
        mine = [row for row in rows if row["measure"] == measure]
        sizes = sorted({row["rows"] for row in mine})
        axes.plot([row["rows"] for row in mine], [row["value"] for row in mine], "o", color=GREY, markersize=3)
        for (name, form), colour in zip(fit["forms"].items(), (BLUE, ORANGE), strict=False):
            grid = np.geomspace(sizes[0], sizes[-1] if form["holdout_rejected"] else 10 * sizes[-1], 60)
            curve = form["curve"]
            if name == "log-linear":
                drawn = curve["intercept"] + curve["slope"] * np.log10(grid)
            else:
                drawn = curve["ceiling"] - curve["gap"] * (grid / curve["unit"]) ** -curve["exponent"]
            style = "--" if fit["distinguishable"] and name != fit["best"] else "-"
            axes.plot(grid, np.clip(drawn, 0, 1), style, color=colour, linewidth=1.2, label=name)
            if form["forecast_span"] and not form["holdout_rejected"]:
                axes.plot([grid[-1]] * 2, form["forecast_span"], color=colour, linewidth=2, alpha=0.5)
        axes.axvline(sizes[-1], color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        shown = [
            sizes[0],
            sizes[-1],
            *([] if all(form["holdout_rejected"] for form in fit["forms"].values()) else [10 * sizes[-1]]),
        ]
        axes.set_xticks(shown, [f"{size:,}" for size in shown])
        axes.minorticks_off()
        axes.set_xlabel("training rows")
        axes.set_title(_label(measure))
        axes.legend(fontsize=7, title=_fit_note(fit), title_fontsize=7, loc="best")
    panels[0][0].set_ylabel("score")
    figure.tight_layout()
    return _save(figure, path)


def _fit_note(fit: dict[str, Any]) -> str:
    """A note on how the two forms compare, and on a line that does not fit."""
    note = "log-linear: lack of fit\n" if fit["lacks_fit"] else ""
    return note + _comparison(fit)


def _comparison(fit: dict[str, Any]) -> str:
    failed = [name for name, form in fit["forms"].items() if form["holdout_rejected"]]
    if failed:
        return f"largest size mispredicted: {' and '.join(failed)}"
    if fit["best"] is None:
        return "no power law to compare with"
    return f"{fit['best']} predicts better" if fit["distinguishable"] else "forms not distinguishable"


LINE, BEND = 0.3, 0.45
"""Of the lineage: inches from one version to the next, and how far an arc bends for its length."""


@_styled
def lineage(inputs: dict[str, list[str]], about: dict[str, str], last: str, path: Path) -> Path:
    """Where the version `last` comes from: a line per version, and arrows from each to what was made from it.

    Arrows are left of the names, and those that pass other versions bend around them.

    Args:
        inputs: version → the versions it was made from.
        about: version → a few words on it.
        last: the version whose lineage it is.
        path: the file to write.
    """
    order = _oldest_first(inputs, last)
    height, left = LINE * (len(order) + 0.4), 0.25 + LINE * BEND * len(order) / 2
    figure = Figure(figsize=(6.2, height))
    axes = figure.add_axes((0, 0, 1, 1))
    place = {name: height - LINE * (i + 0.7) for i, name in enumerate(order)}
    colours = dict(zip(order, cycle((ORANGE, GREEN, PURPLE, RED, BLUE)), strict=False))
    for name, y in place.items():
        for source in inputs[name]:
            _arrow(axes, (left, place[source]), (left, y), colours[source])
        repo, _, commit = name.partition("@")
        weight = "bold" if name == last else "normal"
        axes.plot(left, y, "o", color=BLUE if name == last else "black", markersize=5)
        axes.text(left + 0.15, y, _label(repo.split("/")[-1], 24), va="center", weight=weight)
        commit = commit[:7] if len(commit) == 40 else _label(commit, 17)
        axes.text(left + 1.75, y, commit, va="center", family="monospace", color="#555555")
        axes.text(left + 3.1, y, _label(about.get(name, "")), va="center", color="#555555")
    axes.set_xlim(0, 6.2)
    axes.set_ylim(0, height)
    axes.axis("off")
    return _save(figure, path)


def _oldest_first(inputs: dict[str, list[str]], last: str) -> list[str]:
    """The versions that `last` comes from and itself, each as near behind its inputs as can be."""
    found: list[str] = []

    def add(name: str) -> None:
        for source in inputs[name]:
            if source not in found:
                add(source)
        found.append(name)

    add(last)
    return found


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    """An arrow down the line of versions: straight to the next one, around those between otherwise."""
    bend = BEND if start[1] - end[1] > 1.5 * LINE else 0
    shape = {"arrowstyle": "-|>", "color": colour, "connectionstyle": f"arc3,rad={bend}", "linewidth": 1.3}
    axes.annotate("", xy=end, xytext=start, arrowprops=shape | {"shrinkA": 4, "shrinkB": 4, "mutation_scale": 9})
