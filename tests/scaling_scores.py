"""Sizes of runs with five seeds each, and the scores of two laws with noise."""

import numpy as np

SIZES = np.array([150.0, 300, 600, 1200, 2400])
RUNS = np.repeat(SIZES, 5)


def law(rows: np.ndarray) -> np.ndarray:
    return 0.8 - 4 * rows**-0.6


def straight(rows: np.ndarray) -> np.ndarray:
    return 0.4 + 0.1 * np.log10(rows)


def noise(scale: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, len(RUNS))
