"""Scores of a tiny model on the quickstart's benchmark, against a direct computation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import pyarrow.parquet as pq  # noqa: E402
from test_embedded import make_model  # noqa: E402


def score(tmp_path: Path, **settings: object) -> dict:
    """Run the module the way a stage does: a process, settings in a file, events on standard output."""
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"work": str(tmp_path / "work")} | settings))
    reading, writing = os.pipe()  # stays open while the child runs, as a parent would hold it
    done = subprocess.run(
        [sys.executable, "-m", "hub_speed.training.score", str(path)],
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
    result = score(
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
