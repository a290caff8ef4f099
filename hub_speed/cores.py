"""Processor cores, and how the processes that this program starts share them."""

import os

SPIN = "10000"
"""Rounds an OpenMP thread spins before it sleeps: libgomp's default takes the cores from other processes.

Measured by `scripts/bench_threads.py`; the numbers are in docs/measured.md."""


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def thread_settings(threads: int) -> dict[str, str]:
    """Environment variables of a process that computes with this many threads; what the user has set is kept."""
    found = {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    if "OMP_WAIT_POLICY" not in os.environ:
        found["GOMP_SPINCOUNT"] = SPIN
    return {name: os.environ.get(name) or value for name, value in found.items()}
