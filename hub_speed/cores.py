"""Processor cores and GPUs, and how the processes that this program starts share them."""

import os
from pathlib import Path

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


def gpus(devices: Path = Path("/dev")) -> tuple[str, ...]:
    """The GPUs this process may use, each as CUDA_VISIBLE_DEVICES names it: those that it lists, or all there are."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return tuple(map(str, range(len(list(devices.glob("nvidia[0-9]*"))))))
    named = (name.strip() for name in given.split(","))
    return tuple(name for name in named if name not in ("", "-1"))


def gpu_part(devices: tuple[str, ...], which: int, parts: int) -> tuple[str, ...]:
    """One of several parts of the GPUs; where there are fewer GPUs than parts, some parts have the same one."""
    if len(devices) < parts:
        return devices[which % len(devices) :][:1] if devices else ()
    return devices[which * len(devices) // parts : (which + 1) * len(devices) // parts]
