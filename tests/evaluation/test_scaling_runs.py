"""The scaling law's runs: what a kill or a failing benchmark leaves, and that an adapter is scored."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import pyarrow as pa
import pyarrow.parquet as pq
from benchmark_sets import dataset
from tiny_models import make_model

from hub_speed.errors import StageError
from hub_speed.evaluation import scaling_runs
from hub_speed.evaluation.scaling_law import by_measure
from hub_speed.evaluation.settings import Benchmark, ScalingSettings
from hub_speed.parquet import read_parquet
from hub_speed.quickstart import benchmark
from hub_speed.recipe import Embedder
from hub_speed.training.process.settings import PinnedModel


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model, rows, and two benchmarks of the same pairs."""
    folder = tmp_path_factory.mktemp("scaling")
    benchmark.write(folder / "quickstart")
    pairs = list(read_parquet(folder / "quickstart" / "sts"))
    for name in ("one", "two"):
        dataset(folder / name, sts={"test": pairs})
    rows = [
        {"id": f"{i:03d}", "task_type": "sts", "instruction": "find", "negative": None}
        | {"query": pair["sentence1"], "positive": pair["sentence2"]}
        for i, pair in enumerate(pairs[:48])
    ]
    (folder / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "train.parquet")
    make_model(folder / "base")
    return folder


@pytest.fixture
def settings_of(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ScalingSettings]:
    """Makes the settings of a small scaling law; fields of the recipe or of the settings can be changed."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", files / "cache")
    monkeypatch.setattr(logging.root.manager, "disable", logging.NOTSET)  # `scoring.quiet` sets it

    def make(
        work: Path = tmp_path / "work", names: tuple[str, ...] = ("one", "two"), **changes: Any
    ) -> ScalingSettings:
        recipe = {"lora_r": 0, "batch_size": 8, "max_length": 128, "learning_rate": 1e-3, "warmup_steps": 0}
        recipe |= {name: value for name, value in changes.items() if name in Embedder.model_fields}
        return ScalingSettings(
            work=work,
            base=PinnedModel(folder=files / "base", repo="me/base", commit="0" * 40),
            gradient_checkpointing=False,
            recipe=Embedder(**recipe),
            mini_batch_size=32,
            data=files / "data",
            benchmarks=tuple(Benchmark(name=f"me/{name}", folder=files / name, commit="0" * 40) for name in names),
            sizes=changes.get("sizes", (16, 32)),
            rng_seeds=changes.get("rng_seeds", (0, 1)),
        )

    return make


def test_a_scaling_law_goes_on_with_the_embedder_it_was_at(
    settings_of: Callable[..., ScalingSettings], tmp_path: Path
) -> None:
    settings = settings_of(names=("one",))
    found = scaling_runs.run(settings)["runs"]
    assert [(r["rows"], r["rng_seed"], r["measure"]) for r in found] == [
        (size, seed, "Spearman") for size in (16, 32) for seed in (0, 1)
    ]
    kept = tmp_path / "work" / "scores"
    (kept / "32-1.json").unlink()
    (kept / "32-1" / "me--one-STS.json").unlink()
    other = {"runs": [found[0] | {"value": 0.123}], "failed": []}
    (kept / "16-0.json").write_text(json.dumps(other))  # overwritten, if it was done again
    again = scaling_runs.run(settings)["runs"]
    assert again[0]["value"] == 0.123 and again[1:3] == found[1:3]
    assert again[3]["value"] == pytest.approx(found[3]["value"], abs=1e-6)


def test_a_benchmark_that_fails_for_one_embedder_is_told_and_in_no_fit(
    settings_of: Callable[..., ScalingSettings], tmp_path: Path
) -> None:
    settings = settings_of(rng_seeds=(1,))
    blocked = tmp_path / "work" / "scores" / "32-1"
    (blocked / "me--two-STS.part").mkdir(parents=True)  # its score cannot be written
    found = scaling_runs.run(settings)
    (failed,) = found["failed"]
    assert (failed["subject"], failed["benchmark"]) == ("32 rows, seed 1", "me/two")
    assert "IsADirectoryError" in failed["reason"]
    scores = {(r["rows"], r["rng_seed"], r["benchmark"]): r["value"] for r in found["runs"]}
    assert len(scores) == 3 and (32, 1, "me/two") not in scores
    ones = [run for run in found["runs"] if run["benchmark"] == "me/one"]
    assert by_measure(found["runs"], 0.01) == by_measure(ones, 0.01)


def test_an_embedder_that_could_not_be_scored_is_kept_and_each_of_its_scores(
    settings_of: Callable[..., ScalingSettings], tmp_path: Path
) -> None:
    work, settings = tmp_path / "work", settings_of(rng_seeds=(0,))
    blocked = [work / "scores" / "16-0" / f"me--{name}-STS.part" for name in ("one", "two")]
    for path in blocked:
        path.mkdir(parents=True)
    with pytest.raises(StageError) as told:
        scaling_runs.run(settings)
    assert "16 rows, seed 0: no benchmark was scored" in str(told.value) and "me/two: IsADirectoryError" in str(
        told.value
    )
    (weights,) = (work / "model-16-0").glob("*.safetensors")
    weights.unlink()  # without them neither a new training nor another score goes unseen
    for path in blocked:
        path.rmdir()
    row = {"row": {"measure": "Spearman", "benchmark": "me/one", "value": 0.123}, "items": []}
    (work / "scores" / "16-0" / "me--one-STS.json").write_text(json.dumps(row))
    found = scaling_runs.run(settings)
    assert found["runs"][0]["value"] == 0.123 and len(found["runs"]) == 3  # it was not trained again
    assert [(row["subject"], row["benchmark"]) for row in found["failed"]] == [("16 rows, seed 0", "me/two")]
    assert not list(work.glob("model-*"))


def test_an_embedder_with_an_adapter_is_scored_with_it(
    settings_of: Callable[..., ScalingSettings], tmp_path: Path
) -> None:
    changes = {"names": ("one",), "sizes": (32,), "rng_seeds": (0,), "lora_r": 4}
    (trained,) = scaling_runs.run(settings_of(tmp_path / "trained", learning_rate=0.05, **changes))["runs"]
    (untrained,) = scaling_runs.run(settings_of(tmp_path / "untrained", learning_rate=1e-12, **changes))["runs"]
    assert trained["value"] != untrained["value"]
