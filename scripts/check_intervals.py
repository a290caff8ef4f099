"""Measures how often the intervals of a scaling law hold the truth; they should do so 95 times in 100.

    python scripts/check_intervals.py [--rounds 500]

Scores are drawn around a known line: every size is off the line by chance (lack of fit), every run is off its size by
chance (noise). Besides the intervals of `hub_speed.evaluation.scaling_law`, the table has two others for the slope: one
that treats all runs as independent around the line, and the percentiles of a two-level bootstrap that does not allow
for the small number of sizes.
"""

import argparse
import math
from collections import defaultdict

import numpy as np
from scipy import stats

from hub_speed.evaluation.scaling_curves import line, log_linear
from hub_speed.evaluation.scaling_law import AHEAD, LACK_OF_FIT, forecast_span

SLOPE = 0.05  # of the true line: a gain of 0.05 per tenfold data
CASES = [  # sizes, runs of each, sd of the sizes' distances from the line, sd of the runs' from their size
    (5, 5, 0.0, 0.01),
    (5, 5, 0.005, 0.01),
    (5, 5, 0.02, 0.01),
    (6, 2, 0.0, 0.01),
    (6, 2, 0.02, 0.01),
    (4, 2, 0.0, 0.01),
    (4, 2, 0.02, 0.01),
    (3, 2, 0.02, 0.01),
]


def main() -> None:
    """Print one line per case: the share of rounds in which each interval holds the truth."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=500)
    rounds = parser.parse_args().rounds
    names = ("slope", "slope, runs independent", "slope, plain bootstrap", "forecast", "lack of fit found")
    print("| sizes x runs | lack of fit, noise | " + " | ".join(names) + " |")
    print("|---|---|" + "---|" * len(names))
    for sizes, runs, lack, noise in CASES:
        found = coverage(sizes, runs, lack, noise, rounds)
        print(f"| {sizes} x {runs} | {lack:g}, {noise:g} | " + " | ".join(f"{found[n]:.1%}" for n in names) + " |")


def coverage(sizes: int, runs: int, lack: float, noise: float, rounds: int) -> dict[str, float]:
    """The share of rounds in which each interval holds the truth, and in which lack of fit was found."""
    rng = np.random.default_rng(0)
    rows = np.repeat(150.0 * 2.0 ** np.arange(sizes), runs)
    ahead = AHEAD * rows.max()
    hits: dict[str, int] = defaultdict(int)
    for _ in range(rounds):
        scores = 0.4 + SLOPE * np.log10(rows) + np.repeat(rng.normal(0, lack, sizes), runs)
        scores += rng.normal(0, noise, len(rows))
        truth = 0.4 + SLOPE * math.log10(ahead) + rng.normal(0, lack)
        found = log_linear(rows, scores)
        assert found.low is not None and found.high is not None and found.p is not None
        hits["slope"] += found.low <= SLOPE <= found.high
        low, high = forecast_span("log-linear", line(rows, scores), rows, scores) or (0.0, 1.0)
        hits["forecast"] += low <= truth <= high
        hits["lack of fit found"] += found.p < LACK_OF_FIT
        fit = stats.linregress(np.log10(rows), scores)
        hits["slope, runs independent"] += abs(fit.slope - SLOPE) <= stats.t.ppf(0.975, len(rows) - 2) * fit.stderr
        low, high = bootstrap(rows, scores, rng)
        hits["slope, plain bootstrap"] += low <= SLOPE <= high
    return {name: count / rounds for name, count in hits.items()}


def bootstrap(rows: np.ndarray, scores: np.ndarray, rng: np.random.Generator, rounds: int = 200) -> tuple[float, float]:
    """The slope's 95% percentile interval from a bootstrap of the residuals of sizes and of runs."""
    sizes = np.unique(rows)
    place, fit = np.searchsorted(sizes, rows), line(rows, scores)
    means = np.array([scores[rows == n].mean() for n in sizes])
    curve = np.array([fit.at(n) for n in sizes])
    of_size = (means - curve) * math.sqrt(len(sizes) / (len(sizes) - 2))
    within = (scores - means[place]) * math.sqrt(len(rows) / (len(rows) - len(sizes)))
    drawn = (curve + rng.choice(of_size, (rounds, len(sizes))))[:, place] + rng.choice(within, (rounds, len(rows)))
    x = np.log10(rows) - np.log10(rows).mean()
    low, high = np.quantile(drawn @ x / (x @ x), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
