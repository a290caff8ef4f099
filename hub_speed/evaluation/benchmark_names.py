"""Whether mteb knows the benchmarks of a recipe, asked before a run starts and without loading mteb here."""

import subprocess
import sys
from collections.abc import Sequence

from hub_speed.errors import RecipeError

UNKNOWN = 3
"""Exit code of `evaluation.benchmarks` when mteb does not know a name."""


def check_benchmarks(names: Sequence[str]) -> None:
    """Ask mteb (in a process of its own, some five seconds) whether it knows these benchmarks and tasks.

    Raises:
        RecipeError: mteb does not know one of them; the message says which known name is near.
    """
    command = [sys.executable, "-m", "hub_speed.evaluation.benchmarks", *names]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == UNKNOWN:
        raise RecipeError(
            f"evaluate.benchmarks: {done.stdout}",
            expected="mteb:fast, a benchmark or a task of mteb, or a Hub dataset: docs/evaluation.md",
        )
