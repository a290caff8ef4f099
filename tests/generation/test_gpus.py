"""Hours on GPUs that are named: from peaks of data sheets, and only as many as a stage uses."""

import pytest

from hub_speed.errors import RecipeError
from hub_speed.generation.gpus import FLOPS, Gpus, at_work, on, read
from hub_speed.pipeline.table import STAGES
from hub_speed.recipes.loader import load


@pytest.mark.parametrize(
    ("text", "found"),
    [("8xH100", (8, "H100")), ("h200", (1, "H200")), ("2 x RTX 4090", (2, "RTX4090")), ("16xMI300X", (16, "MI300X"))],
)
def test_a_number_and_a_kind(text: str, found: tuple[int, str]) -> None:
    assert read(text) == Gpus(found[1], found[0])


@pytest.mark.parametrize("text", ["", "8", "0xH100", "-1xH100", "8xH100x2", "8xH1000", "eight H100", "8×H100"])
def test_others_are_refused_with_the_kinds_there_are(text: str) -> None:
    with pytest.raises(RecipeError, match="--gpus") as caught:
        read(text)
    assert "8xH100" in caught.value.expected and "L40S" in caught.value.expected


def test_a_stage_is_faster_by_peak_and_number() -> None:
    eight, alone = read("8xH100"), load("speed")
    launched = load("speed", ["runtime.launcher=[torchrun]", "scaling.sizes=[100, 200]", "scaling.rng_seeds=[1]"])
    scored = load("speed", ["scaling.sizes=[10, 20, 30]", "scaling.rng_seeds=[1, 2, 3]"])  # nine scorings of days
    unscored = load("small", ["scaling.sizes=[100, 300]", "scaling.rng_seeds=[1, 2]"])  # 300 and 300, 100, 100
    assert at_work("scaling", eight, scored) == pytest.approx(9 / 2, rel=0.01)
    assert at_work("scaling", eight, unscored) == at_work("scaling", read("3xH100"), unscored) == pytest.approx(8 / 3)
    for recipe, numbers in ((alone, {"junior": 1, "embedder": 1}), (launched, {"junior": 8})):
        for name, number in (numbers | {"evaluate": 8}).items():
            takes = STAGES[name].estimate(recipe, 1000)
            assert at_work(name, eight, recipe) == number
            hours = takes.seconds / number * FLOPS["A100"] / FLOPS["H100"]
            assert on(eight, name, takes, recipe).seconds == pytest.approx(hours)
            assert on(read("A100"), name, takes, recipe) == takes
    asked = STAGES["seed"].estimate(alone, 1000)
    assert on(eight, "seed", asked, alone) == asked  # how fast a teacher is, no GPU here decides


def test_servers_that_are_started_for_a_model_share_its_requests() -> None:
    one, four = (STAGES["root"].estimate(load("speed", [f"runtime.replicas={n}"]), 1000) for n in (1, 4))
    assert one.seconds == pytest.approx(4 * four.seconds)
    seeds = [STAGES["seed"].estimate(load("speed", [f"runtime.replicas={n}"]), 1000) for n in (1, 4)]
    assert seeds[0] == seeds[1]  # the teacher's
