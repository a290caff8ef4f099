"""Which rows make the better embedder? Teacher, junior, senior and revised rows, as many of each, several seeds.

    make study          (or: python scripts/study_quickstart.py [--seeds 3] [--rows 1500])

Runs the quickstart with one thing changed at a time; stages that do not change are found by their tag. Results are
published on the branch `study` and written to docs/study.md and docs/study.png. At quickstart scale: a small world, a
scripted teacher and a model of two million parameters.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats as sps

from hub_speed import addresses, cli, recipe
from hub_speed.plots import BLUE, GREY, plt

if TYPE_CHECKING:
    from hub_speed.pipeline import Session

VARIANTS = {
    "teacher": {"embedder": {"data": "seed"}},
    "junior": {"embedder": {"data": "synthesize"}, "synthesize": {"generator": "junior"}},
    "senior": {"embedder": {"data": "synthesize"}},
    "revised": {"embedder": {"data": "revise"}},
}
MEASURES = ("nDCG@10", "Spearman")


def overrides(variant: str, rows: int, seed: int) -> list[str]:
    """--set values of one run."""
    fields = [
        f"{section}.{name}={value}" for section, given in VARIANTS[variant].items() for name, value in given.items()
    ]
    if variant == "teacher":
        fields.append(f"seed.rows={rows}")
    return [*fields, f"embedder.rows={rows}", f"embedder.rng_seed={seed}", "evaluate.audit_rows=0", "scaling.sizes=[]"]


def measure(session: "Session", variant: str, rows: int, seed: int) -> dict[str, float]:
    """Train and score one embedder."""
    from hub_speed import pipeline

    loaded = recipe.load("quickstart", overrides(variant, rows, seed))
    results = {result.stage.name: result for result in pipeline.run(loaded, session)}
    used = results["embedder"].record["accepted"]
    scores = results["evaluate"].record["measures"]["scores"]
    found = {s["measure"]: s["value"] for s in scores if s["subject"] == "embedder"}
    print(f"{variant:8} seed {seed}: {used} rows  " + "  ".join(f"{m} {found[m]:.3f}" for m in MEASURES), flush=True)
    return found | {"rows": used}


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean and half width of its 95% interval (t distribution)."""
    half = sps.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def report(found: dict[str, list[dict[str, float]]], folder: Path, rows: int, seeds: int) -> None:
    """Write docs/study.md and its figure."""
    folder.mkdir(exist_ok=True)
    lines = [
        "# Study: which rows make the better embedder?",
        "",
        f"Embedders trained on {rows:,} rows each, {seeds} seeds, quickstart scale (`make study`): the offline",
        "teacher, a small world of facts, a base model of two million parameters. Mean and 95% interval over seeds",
        "(t distribution).",
        "",
        "| rows written by | " + " | ".join(MEASURES) + " |",
        "|---|" + "---|" * len(MEASURES),
    ]
    for variant, runs in found.items():
        cells = []
        for name in MEASURES:
            mean, half = interval(np.array([run[name] for run in runs]))
            cells.append(f"{mean:.3f} ± {half:.3f}")
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "![Scores by who wrote the rows](study.png)",
        "",
        "Differences between neighbours, paired by seed:",
        "",
    ]
    names = list(found)
    for before, after in (("junior", "senior"), ("senior", "revised"), ("teacher", "revised")):
        if before in names and after in names:
            lines += [f"- {verdict(found, before, after, name)}" for name in MEASURES]
    (folder / "study.md").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "study.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    draw(found, folder / "study.png")


def verdict(found: dict[str, list[dict[str, float]]], before: str, after: str, name: str) -> str:
    """What the runs say about one difference, and no more than that."""
    differences = np.array([a[name] - b[name] for a, b in zip(found[after], found[before], strict=True)])
    mean, half = interval(differences)
    clear = "supported" if abs(mean) > half else "not told apart at this number of seeds"
    return f"{name}, {after} − {before}: {mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f}): {clear}"


def draw(found: dict[str, list[dict[str, float]]], path: Path) -> None:
    """One panel a measure, one line a variant."""
    figure, panels = plt.subplots(1, len(MEASURES), figsize=(4.2 * len(MEASURES), 2.2), squeeze=False)
    for name, axes in zip(MEASURES, panels[0], strict=True):
        for y, runs in enumerate(found.values()):
            values = np.array([run[name] for run in runs])
            mean, half = interval(values)
            axes.plot([mean - half, mean + half], [y, y], color=BLUE, linewidth=2)
            axes.plot(values, [y] * len(values), "|", color=GREY, markersize=9)
            axes.plot(mean, y, "o", color=BLUE)
        axes.set_yticks(range(len(found)), list(found))
        axes.set_title(name)
    figure.tight_layout()
    figure.savefig(path, dpi=130, facecolor="white")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--rows", type=int, default=1500, help="rows for each embedder; the quickstart's sets have more"
    )
    parser.add_argument("--org", default=cli.DEFAULT_ORG)
    args = parser.parse_args()
    with cli.open_hub("local") as hub:
        from hub_speed import pipeline  # not before: Hub clients read the environment when they are imported

        session = pipeline.Session(hub, args.org, cli.home(), addresses.Addresses([]).open, branch="study")
        seeds = range(args.seeds)
        found = {variant: [measure(session, variant, args.rows, seed) for seed in seeds] for variant in VARIANTS}
    report(found, Path("docs"), args.rows, args.seeds)


if __name__ == "__main__":
    main()
