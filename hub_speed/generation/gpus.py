"""How long the stages take on GPUs of a certain kind and number: an estimate from data sheets.

A training uses `estimate.USE` of what the data sheet promises, whatever the GPU: published shares are 38 to 43% on H100
(Llama 3, arXiv 2407.21783 Table 4) and 44 to 52% on A100 (Megatron-LM, arXiv 2104.04473 Table 1). That other GPUs reach
the same is an Assumption.
"""

import re
from dataclasses import dataclass, replace

from hub_speed.errors import RecipeError, did_you_mean
from hub_speed.generation import estimate
from hub_speed.generation.estimate import A100_FLOPS, V100_FLOPS
from hub_speed.recipe import Recipe
from hub_speed.stage import Estimate

FLOPS = {  # operations a second in 16 bits, dense, with sums in 32 bits: the vendors' data sheets
    "V100": V100_FLOPS,
    "A10": 125e12,
    "A100": A100_FLOPS,
    "L4": 121e12,
    "L40S": 362e12,
    "H100": 989e12,  # SXM; the PCIe card does 756e12
    "H200": 989e12,
    "B200": 2250e12,
    "MI300X": 1307e12,
    "RTX3090": 71e12,  # GA102 white paper
    "RTX4090": 165e12,  # Ada white paper
}


@dataclass(frozen=True)
class Gpus:
    """So many GPUs of one kind."""

    kind: str
    count: int

    def __str__(self) -> str:
        return f"{self.count} x {self.kind}"


def read(text: str) -> Gpus:
    """GPUs as they are given: "8xH100", or "L40S" for one.

    Raises:
        RecipeError: the text does not say how many of which kind; says which kinds there are.
    """
    found = re.fullmatch(r"(?:([1-9]\d{0,4})\s*x\s*)?([a-z][a-z0-9 -]*)", text.strip().lower())
    kinds = {name.lower(): name for name in FLOPS}
    kind = re.sub(r"[ -]", "", found[2]) if found else ""
    if not found or kind not in kinds:
        raise RecipeError(
            f"--gpus {text}",
            expected=f"NUMBERxKIND such as 8xH100, of the kinds {', '.join(FLOPS)}",
            fix=did_you_mean(kind.upper(), FLOPS),
        )
    return Gpus(kinds[kind], int(found[1] or 1))


def at_work(stage: str, gpus: Gpus, recipe: Recipe) -> float:
    """How many of the GPUs a stage uses that trains or scores; fewer where some wait at its end.

    Scoring, and the trainings of the scaling law, are spread over all; one training only by `runtime.launcher`.
    """
    if stage == "scaling":
        return _side_by_side(_scaling_runs(recipe), gpus.count)
    return gpus.count if stage == "evaluate" or recipe.runtime.launcher else 1


def _scaling_runs(recipe: Recipe) -> list[float]:
    """Seconds of each training and scoring of the scaling law, on one GPU."""
    settings, words = recipe.scaling, estimate.words(recipe).answer
    sizes = [size for size in settings.sizes if size <= estimate.embedder_rows(recipe)]
    each = [estimate.trains(recipe.embedder.base_model, n, words, recipe.embedder.epochs).seconds for n in sizes]
    return [seconds + estimate.scores(recipe, 1) for seconds in each for _ in settings.rng_seeds]


def _side_by_side(seconds: list[float], count: int) -> float:
    """How many of so many GPUs are at work on average until all jobs are done, the longest first."""
    until = [0.0] * count
    for job in sorted(seconds, reverse=True):
        until[until.index(min(until))] += job
    return sum(seconds) / max(until) if any(until) else 1


def on(gpus: Gpus, stage: str, takes: Estimate, recipe: Recipe) -> Estimate:
    """The same estimate on these GPUs; of one A100 before. The time of asking is up to the servers, and stays."""
    if takes.model is not None:
        return takes
    faster = FLOPS[gpus.kind] / A100_FLOPS * at_work(stage, gpus, recipe)
    return replace(takes, seconds=takes.seconds / faster)
