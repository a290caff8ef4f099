"""Scores of a tiny model on the quickstart's benchmark, against a direct computation; the scaling law's runs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from tiny_models import make_model  # noqa: E402


def run(module: str, tmp_path: Path, **settings: object) -> dict:
    """Run a module the way a stage does: a process, settings in a file, events on standard output."""
    path = tmp_path / "settings.json"
    tmp_path.mkdir(exist_ok=True)
    path.write_text(json.dumps({"work": str(tmp_path / "work")} | settings))
    reading, writing = os.pipe()  # stays open while the child runs, as a parent would hold it
    done = subprocess.run(
        [sys.executable, "-m", f"hub_speed.{module}", str(path)],
        stdin=reading,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        timeout=280,
    )
    os.close(reading)
    os.close(writing)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    events = [json.loads(line[1:]) for line in done.stdout.splitlines() if line.startswith("@")]
    return events[-1]["result"]


def test_scores_of_a_hub_style_benchmark_agree_with_direct_computation(tmp_path: Path) -> None:
    from scipy.stats import spearmanr
    from sentence_transformers import SentenceTransformer

    from hub_speed.quickstart import benchmark
    from hub_speed.training.embedder.backbone import embedder

    folder = tmp_path / "benchmark"
    benchmark.write(folder)
    configs = "\n".join(
        f"- config_name: {n}\n  data_files:\n  - split: test\n    path: {n}/*.parquet"
        for n in ("corpus", "queries", "qrels", "sts")
    )
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}\n---\n")
    embedder(str(make_model(tmp_path / "base")), {"max_length": 128}).save_pretrained(
        str(tmp_path / "model"), safe_serialization=True
    )
    result = run(
        "evaluation.scoring",
        tmp_path,
        subjects=[
            {"name": "model", "kind": "embedder", "folder": str(tmp_path / "model")},
            {"name": "BM25", "kind": "bm25"},
        ],
        benchmarks=[{"name": "me/benchmark", "folder": str(folder), "commit": "0" * 40}],
        max_length=128,
        pooling=None,
        items=str(tmp_path / "items"),
    )
    scores = {(s["subject"], s["measure"]): s for s in result["scores"]}
    assert set(scores) == {("model", "nDCG@10"), ("model", "Spearman"), ("BM25", "nDCG@10")}
    assert all(s["low"] <= s["value"] <= s["high"] for s in scores.values())
    assert 0.3 < scores["BM25", "nDCG@10"]["value"] < 0.9  # finds the thing, not which of its facts
    model = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    pairs = pq.read_table(folder / "sts").to_pylist()
    prompt = "Instruct: Retrieve semantically similar text\nQuery: "
    a, b = (model.encode([p[side] for p in pairs], prompt=prompt) for side in ("sentence1", "sentence2"))
    expected = spearmanr((a * b).sum(1), [p["score"] for p in pairs]).statistic
    assert abs(scores["model", "Spearman"]["value"] - expected) < 1e-3


@pytest.fixture(scope="module")
def scaling(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of a small scaling law, with two benchmarks of the same pairs."""
    from hub_speed.quickstart import benchmark
    from hub_speed.recipe import Embedder

    folder = tmp_path_factory.mktemp("scaling")
    header = "configs:\n- config_name: sts\n  data_files:\n  - split: test\n    path: sts/*.parquet"
    for name in ("one", "two"):
        benchmark.write(folder / name)
        (folder / name / "README.md").write_text(f"---\n{header}\n---\n")
    rows = [
        {"id": f"{i:03d}", "task_type": "sts", "instruction": "find", "negative": None}
        | {"query": pair["sentence1"], "positive": pair["sentence2"]}
        for i, pair in enumerate(pq.read_table(folder / "one" / "sts").to_pylist()[:48])
    ]
    (folder / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "train.parquet")
    recipe = Embedder(lora_r=0, batch_size=8, max_length=128, learning_rate=1e-3, warmup_steps=0)
    return recipe.model_dump() | {
        "mini_batch_size": 32,
        "gradient_checkpointing": False,
        "base": str(make_model(folder / "base")),
        "data": str(folder / "data"),
        "benchmarks": [{"name": f"me/{n}", "folder": str(folder / n), "commit": "0" * 40} for n in ("one", "two")],
        "sizes": [16, 32],
        "rng_seeds": [0, 1],
    }


def test_a_scaling_law_goes_on_with_the_embedder_it_was_at(scaling: dict[str, Any], tmp_path: Path) -> None:
    settings = scaling | {"benchmarks": scaling["benchmarks"][:1]}
    found = run("evaluation.scaling_runs", tmp_path, **settings)["runs"]
    assert [(r["rows"], r["rng_seed"], r["measure"]) for r in found] == [
        (size, seed, "Spearman") for size in (16, 32) for seed in (0, 1)
    ]
    kept = tmp_path / "work" / "scores"
    (kept / "32-1.json").unlink()
    (kept / "32-1" / "me--one-STS.json").unlink()
    other = {"runs": [found[0] | {"value": 0.123}], "failed": []}
    (kept / "16-0.json").write_text(json.dumps(other))  # overwritten, if it was done again
    again = run("evaluation.scaling_runs", tmp_path, **settings)["runs"]
    assert again[0]["value"] == 0.123 and again[1:3] == found[1:3]
    assert again[3]["value"] == pytest.approx(found[3]["value"], abs=1e-6)


def test_a_benchmark_that_fails_for_one_embedder_is_told_and_in_no_fit(scaling: dict[str, Any], tmp_path: Path) -> None:
    from hub_speed.evaluation.scaling_law import by_measure

    settings = scaling | {"rng_seeds": [1]}
    blocked = tmp_path / "work" / "scores" / "32-1"
    (blocked / "me--two-STS.part").mkdir(parents=True)  # its score cannot be written
    found = run("evaluation.scaling_runs", tmp_path, **settings)
    (failed,) = found["failed"]
    assert (failed["subject"], failed["benchmark"]) == ("32 rows, seed 1", "me/two")
    assert "IsADirectoryError" in failed["reason"]
    scores = {(r["rows"], r["rng_seed"], r["benchmark"]): r["value"] for r in found["runs"]}
    assert len(scores) == 3 and (32, 1, "me/two") not in scores
    ones = [run for run in found["runs"] if run["benchmark"] == "me/one"]
    assert by_measure(found["runs"], 0.01) == by_measure(ones, 0.01)


def test_an_embedder_that_could_not_be_scored_is_kept_and_each_of_its_scores(
    scaling: dict[str, Any], tmp_path: Path
) -> None:
    work, settings = tmp_path / "work", scaling | {"rng_seeds": [0]}
    blocked = [work / "scores" / "16-0" / f"me--{name}-STS.part" for name in ("one", "two")]
    for path in blocked:
        path.mkdir(parents=True)
    with pytest.raises(AssertionError) as told:
        run("evaluation.scaling_runs", tmp_path, **settings)
    assert "16 rows, seed 0: no benchmark was scored" in str(told.value) and "me/two: IsADirectoryError" in str(
        told.value
    )
    (weights,) = (work / "model-16-0").glob("*.safetensors")
    weights.unlink()  # without them neither a new training nor another score goes unseen
    for path in blocked:
        path.rmdir()
    row = {"row": {"measure": "Spearman", "benchmark": "me/one", "value": 0.123}, "items": []}
    (work / "scores" / "16-0" / "me--one-STS.json").write_text(json.dumps(row))
    found = run("evaluation.scaling_runs", tmp_path, **settings)
    assert found["runs"][0]["value"] == 0.123 and len(found["runs"]) == 3  # it was not trained again
    assert [(row["subject"], row["benchmark"]) for row in found["failed"]] == [("16 rows, seed 0", "me/two")]
    assert not list(work.glob("model-*"))


def test_an_embedder_with_an_adapter_is_scored_with_it(scaling: dict[str, Any], tmp_path: Path) -> None:
    settings = scaling | {"benchmarks": scaling["benchmarks"][:1], "sizes": [32], "rng_seeds": [0], "lora_r": 4}
    (trained,) = run("evaluation.scaling_runs", tmp_path / "trained", **settings | {"learning_rate": 0.05})["runs"]
    (untrained,) = run("evaluation.scaling_runs", tmp_path / "untrained", **settings | {"learning_rate": 1e-12})["runs"]
    assert trained["value"] != untrained["value"]
