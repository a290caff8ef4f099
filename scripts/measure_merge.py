"""What merging embedders of one base brings, on the quickstart's benchmark: each one, their mean, and along the arc.

    python scripts/measure_merge.py FOLDER FOLDER …          folders of embedders that hub_speed has trained

nDCG@10 of 400 questions, with 95% intervals from a bootstrap over questions; differences are paired.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from measure_labels import scorer

from hub_speed.evaluation.intervals import bootstrap_mean
from hub_speed.training.embedder import merging
from hub_speed.training.embedder.backbone import saved


def main() -> None:
    """Score and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    folders = parser.parse_args().folders
    names = [folder.name for folder in folders]
    with tempfile.TemporaryDirectory() as work:
        score = scorer(Path(work) / "benchmark")
        single = {folder.name: np.array(score(saved(folder, "cpu"))) for folder in folders}
        merged = {
            method: np.array(score(merging.merge(folders, names, [1.0] * len(folders), method, None)))
            for method in ("linear", "slerp")
        }
    mean, best = np.mean(list(single.values()), axis=0), max(single, key=lambda name: single[name].mean())
    print("| | nDCG@10 | − mean of all | − best |\n|---|---:|---:|---:|")
    for name, values in {**single, "mean of all": mean, **merged}.items():
        cells = [f"{values.mean():.3f}"]
        for other in (mean, single[best]):
            low, high = bootstrap_mean(values - other)
            cells.append(f"{(values - other).mean():+.3f} [{low:+.3f}, {high:+.3f}]" if name in merged else "")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
