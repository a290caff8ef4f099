"""Scores of a tiny model on the quickstart's benchmark, against a direct computation; the scaling law's runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from test_embedded import make_model  # noqa: E402


def run(module: str, tmp_path: Path, **settings: object) -> dict:
    """Run a module the way a stage does: a process, settings in a file, events on standard output."""
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"work": str(tmp_path / "work")} | settings))
    reading, writing = os.pipe()  # stays open while the child runs, as a parent would hold it
    done = subprocess.run(
        [sys.executable, "-m", f"hub_speed.training.{module}", str(path)],
        stdin=reading,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        timeout=280,
    )
    os.close(reading)
    os.close(writing)
    assert done.returncode == 0, done.stderr[-3000:]
    events = [json.loads(line[1:]) for line in done.stdout.splitlines() if line.startswith("@")]
    return events[-1]["result"]


def test_scores_of_a_hub_style_benchmark_agree_with_direct_computation(tmp_path: Path) -> None:
    from scipy.stats import spearmanr
    from sentence_transformers import SentenceTransformer

    from hub_speed.quickstart import benchmark
    from hub_speed.training.backbone import embedder

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
        "score",
        tmp_path,
        subjects=[
            {"name": "model", "kind": "embedder", "folder": str(tmp_path / "model")},
            {"name": "BM25", "kind": "bm25"},
        ],
        benchmarks=[{"name": "me/benchmark", "folder": str(folder), "commit": "0" * 40}],
        max_length=128,
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


def test_a_scaling_law_goes_on_with_the_embedder_it_was_at(tmp_path: Path) -> None:
    from hub_speed.quickstart import benchmark
    from hub_speed.recipe import Embedder

    folder = tmp_path / "benchmark"
    benchmark.write(folder)
    header = "configs:\n- config_name: sts\n  data_files:\n  - split: test\n    path: sts/*.parquet"
    (folder / "README.md").write_text(f"---\n{header}\n---\n")
    rows = [
        {"id": f"{i:03d}", "task_type": "sts", "instruction": "find", "negative": None}
        | {"query": pair["sentence1"], "positive": pair["sentence2"]}
        for i, pair in enumerate(pq.read_table(folder / "sts").to_pylist()[:48])
    ]
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / "train.parquet")
    base = make_model(tmp_path / "base")
    recipe = Embedder(lora_r=0, batch_size=8, max_length=128, learning_rate=1e-3, warmup_steps=0)
    settings = recipe.model_dump() | {
        "mini_batch_size": 32,
        "gradient_checkpointing": False,
        "base": str(base),
        "data": str(tmp_path / "data"),
        "benchmarks": [{"name": "me/bench", "folder": str(folder), "commit": "0" * 40}],
        "sizes": [16, 32],
        "rng_seeds": [0, 1],
    }
    found = run("scaling", tmp_path, **settings)["runs"]
    assert [(r["rows"], r["rng_seed"], r["measure"]) for r in found] == [
        (size, seed, "Spearman") for size in (16, 32) for seed in (0, 1)
    ]
    kept = tmp_path / "work" / "runs"
    (kept / "32-1.json").unlink()
    (kept / "16-0.json").write_text(json.dumps([found[0] | {"value": 0.123}]))  # overwritten, if it was done again
    again = run("scaling", tmp_path, **settings)["runs"]
    assert again[0]["value"] == 0.123 and again[1:3] == found[1:3]
    assert again[3]["value"] == pytest.approx(found[3]["value"], abs=1e-6)
