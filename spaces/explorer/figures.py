"""The numbers behind the pictures of the Data tab: places and lengths, which data.html draws as inline SVG."""

import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from layout import lay_out
from published import Json, Published
from rows import SETS

from hub_speed.hub import RECORD
from hub_speed.pipeline.table import STAGES
from hub_speed.record import Ancestor, Kind, Ref, RunRecord
from hub_speed.text import words

WIDE, HIGH, EDGE = 640, 300, 40
"""Size of a picture's inner part, and of the room for its labels; in units of the drawing."""


def funnels(published: Published, stages: Sequence[str]) -> list[Json]:
    """What became of the requests of some stages, for each run: its recipe, its last version, and its stages."""
    runs: dict[str, dict[str, RunRecord]] = {}
    for name in stages:
        record = published.record(published.ref(name))
        runs.setdefault(record.recipe, {})[name] = record
    lasts = [published.ref(list(records)[-1]) for records in runs.values()]
    return [
        {"recipe": recipe, "last": str(ref), "url": published.url(ref), "stages": funnel(list(records.items()))}
        for (recipe, records), ref in zip(runs.items(), lasts, strict=True)
    ]


def funnel(records: Sequence[tuple[str, RunRecord]]) -> list[Json]:
    """What became of the requests of each stage of a run: bars as shares of the most requests of a stage."""
    most = max((record.rows_in for _, record in records), default=1) or 1
    found = []
    for name, record in records:
        bars = [("asked for", record.rows_in, "")]
        bars += [(reason, count, "no") for reason, count in record.rejected.items()]
        bars.append(("kept", record.accepted, "yes"))
        lines = [{"name": n, "count": c, "share": c / most, "tone": tone} for n, c, tone in bars]
        found.append({"stage": SETS[name], "bars": lines})
    return found


def lengths(rows: Sequence[Json], parts: Sequence[str]) -> list[Json]:
    """Words per text: the 5th, 25th, 50th, 75th and 95th percentile of each part, for each task type."""
    found = []
    for kind in sorted({row["task_type"] for row in rows}):
        for part in parts:
            counts = [len(words(row[part])) for row in rows if row["task_type"] == kind and row.get(part)]
            if counts:
                cuts = np.percentile(counts, (5, 25, 50, 75, 95)).tolist()
                found.append({"kind": kind, "part": part, "cuts": cuts, "n": len(counts)})
    longest = max((line["cuts"][-1] for line in found), default=1)
    return [line | {"at": [cut / longest for cut in line["cuts"]]} for line in found]


def plane(vectors: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Vectors on their two principal axes, shape (rows, 2), from 0 to 1; and the share of the variance on each axis."""
    centred = vectors - vectors.mean(0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    points = centred @ axes[:2].T
    low, high = points.min(0), points.max(0)
    shares = (sizes**2 / max(1e-12, float((sizes**2).sum())))[:2]
    return (points - low) / np.maximum(high - low, 1e-9), shares.tolist()


def intervals(lines: Sequence[Json], low: float = 0.0, high: float = 1.0) -> list[Json]:
    """Values with their 95% intervals, each with its places between `low` and `high` as shares from 0 to 1."""
    span = max(high - low, 1e-9)

    def at(value: float | None) -> float | None:
        return None if value is None else min(1.0, max(0.0, (value - low) / span))

    return [line | {"at": at(line["value"]), "from": at(line["low"]), "to": at(line["high"])} for line in lines]


def scores(record: RunRecord) -> list[Json]:
    """The scores of an evaluation, one panel a measure and benchmark."""
    panels: dict[tuple[str, str], list[Json]] = {}
    for row in record.measures.scores:
        panels.setdefault((row["measure"], row["benchmark"]), []).append(row | {"name": row["subject"]})
    return [{"title": f"{m} on {b}", "lines": intervals(rows)} for (m, b), rows in panels.items()]


def effects(facts: Json) -> list[Json]:
    """The effects of a study, one panel a measure: differences to the recipe's own value."""
    panels: dict[str, list[Json]] = {}
    for one in facts.get("effects", []):
        line = {"name": f"{one['factor']} = {one['value']}", "value": one["difference"], "verdict": one["verdict"]}
        panels.setdefault(one["measure"], []).append(line | {"low": one["low"], "high": one["high"]})
    found = []
    for measure, lines in panels.items():
        ends = [abs(line[key] or 0) for line in lines for key in ("value", "low", "high")]
        reach = max([*ends, 1e-6]) * 1.05
        found.append({"title": measure, "lines": intervals(lines, -reach, reach), "reach": reach})
    return found


def scaling(record: RunRecord) -> list[Json]:
    """The scaling curve: dots of single runs, the mean of each size, and what the fits say; a panel a measure."""
    panels = []
    for measure in dict.fromkeys(run["measure"] for run in record.measures.runs):
        runs = [run for run in record.measures.runs if run["measure"] == measure]
        sizes = sorted({run["rows"] for run in runs})
        values = [run["value"] for run in runs]
        low, high = min(values), max(values)
        room = max(0.02, (high - low) * 0.15)
        low, high = max(0.0, low - room), min(1.0, high + room)
        first, last = np.log(sizes[0]), np.log(sizes[-1])

        def across(rows: int, first: float = first, last: float = last) -> float:
            return EDGE + (WIDE - EDGE - 20) * float((np.log(rows) - first) / max(last - first, 1e-9))

        def down(value: float, low: float = low, high: float = high) -> float:
            return HIGH - EDGE - (HIGH - 2 * EDGE) * (value - low) / (high - low)

        means = [(size, float(np.mean([run["value"] for run in runs if run["rows"] == size]))) for size in sizes]
        panels.append(
            {
                "measure": measure,
                "dots": [(across(run["rows"]), down(run["value"]), run) for run in runs],
                "line": " ".join(f"{across(size):.1f},{down(mean):.1f}" for size, mean in means),
                "means": means,
                "ticks": [(across(size), f"{size:,}") for size in sizes],
                "levels": [(down(value), f"{value:.2f}") for value in np.linspace(low, high, 4).tolist()],
            }
        )
    return panels


def lineage(published: Published) -> Json:
    """Where the embedder comes from and how it was scored: a box for every version, an arrow for every input.

    Where there is no embedder yet, where the newest rows come from.
    """
    nodes = ancestors(published)
    places, arrows, width, height = lay_out({name: node.inputs for name, node in nodes.items()})
    kinds = _kinds(published, nodes)
    boxes = []
    for name, (x, y) in places.items():
        repo, _, commit = name.partition("@")
        ref = Ref(kinds[name], repo, commit)
        rows = nodes[name].accepted if ref.kind == "dataset" else 0
        box = {"title": repo.split("/")[-1].removeprefix("speed-"), "commit": commit[:7], "x": x, "y": y, "rows": rows}
        boxes.append(box | {"version": name, "url": published.url(ref), "kind": ref.kind, "repo": repo})
    return {"boxes": boxes, "arrows": [_path(points) for points in arrows], "width": width, "height": height}


def ancestors(published: Published) -> dict[str, Ancestor]:
    """org/name@commit → what is known of every version behind the embedder or the newest rows, and of its results."""
    found: dict[str, Ancestor] = {}
    first = published.ref("embedder" if published.has_embedder() else published.training())
    for last in filter(None, [first, newest(published, "evaluate")]):
        record = published.record(last)
        found |= record.lineage | {last.version: record.as_ancestor()}
    return found


def newest(published: Published, stage: str) -> Ref | None:
    """The newest version that a stage has published, or None."""
    made = STAGES[stage]
    return published.keep(f"newest {stage}", lambda: published.hub.head(made.kind, made.repo(published.org)))


def _kinds(published: Published, nodes: dict[str, Ancestor]) -> dict[str, Kind]:
    """The kind of repository of each version; where no stage made it, a record of what was made from it says so."""
    kinds: dict[str, Kind] = {name: STAGES[node.stage].kind for name, node in nodes.items() if node.stage in STAGES}
    for name, node in nodes.items():
        if set(node.inputs) - kinds.keys():
            repo, _, commit = name.partition("@")
            record = published.record(Ref(kinds[name], repo, commit))
            kinds |= {ref.version: ref.kind for ref in record.inputs.values()}
    return kinds


def _path(points: Sequence[tuple[float, float]]) -> str:
    """An SVG path: curves between layers, straight lines through them."""
    parts = [f"M{points[0][0]:.0f} {points[0][1]:.0f}"]
    for i, ((x0, y0), (x, y)) in enumerate(pairwise(points)):
        middle = (y0 + y) / 2
        parts.append(f"L{x:.0f} {y:.0f}" if i % 2 else f"C{x0:.0f} {middle:.0f} {x:.0f} {middle:.0f} {x:.0f} {y:.0f}")
    return " ".join(parts)


def study(published: Published) -> Json:
    """The newest study's facts; empty when there is none."""

    def read() -> Json:
        ref = published.hub.head("dataset", f"{published.org}/speed-study")
        if ref is None:
            return {}
        with published.hub.open(ref, RECORD) as file:
            facts: Json = json.load(file)
        return facts | {"from": str(ref), "url": published.url(ref)}

    return published.keep("study", read)
