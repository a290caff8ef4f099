"""Training embedders and scoring on tiny models: the loss against a float64 reference, pooling by hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from test_embedded import make_model  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from hub_speed.training import contrastive  # noqa: E402


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base"))


def table(rows: list[dict], folder: Path) -> Path:
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000.parquet")
    return folder


def train(module: str, tmp_path: Path, **settings: object) -> dict:
    """Run a training module the way a stage does: a process, settings in a file, events on standard output."""
    common = {
        "out": str(tmp_path / "out"),
        "work": str(tmp_path / "work"),
        "rng_seed": 1,
        "learning_rate": 3e-3,
        "batch_size": 8,
        "epochs": 6,
        "max_length": 64,
        "warmup_ratio": 0.0,
        "weight_decay": 0.0,
        "lora_r": 0,
        "lora_alpha": 32,
        "lora_dropout": 0.0,
    }
    (tmp_path / "out").mkdir()
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(common | settings))
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


def embedding_rows(n: int) -> list[dict]:
    words = ["fox", "dog", "quick", "lazy", "brown", "over", "jumps", "the"]
    return [
        {
            "id": f"{i:03d}",
            "task_type": "retrieval" if i % 3 else "short_matching",
            "instruction": "find it",
            "query": f"{words[i % 8]} {words[i // 8 % 8]}",
            "positive": f"{words[i // 8 % 8]} and {words[i % 8]}",
            "negative": f"{words[(i + 1) % 8]} alone" if i % 3 else None,
        }
        for i in range(n)
    ]


EMBEDDER = {
    "rows": None,
    "loss_temperature": 0.05,
    "warmup_steps": 0,
    "mini_batch_size": 64,
    "batching": "homogeneous",
    "default_instruction": "find it",
    "max_length": 24,
}


def test_embedder_learns_and_loads_everywhere_with_its_prompt_and_eos(base: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    data = table(embedding_rows(64), tmp_path / "data")
    result = train("contrastive", tmp_path, base=str(base), data=str(data), **EMBEDDER)
    assert result["rows"] == 64 and result["dimension"] == 32
    assert result["loss_curve"][-1][1] < result["loss_curve"][0][1]
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert model.prompts["query"] == "Instruct: find it\nQuery: "
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("the quick " * 50, truncation=True, max_length=24).input_ids[-1] == tokenizer.eos_token_id
    # Last-token pooling by hand, for texts of different lengths, padded left and right.
    texts = ["the quick brown fox", "dog"]
    got = model.encode(texts)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out").model
    for text, vector in zip(texts, got, strict=True):
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.inference_mode():
            hidden = plain(ids).last_hidden_state[0, -1]
        assert np.allclose(torch.nn.functional.normalize(hidden, dim=0).numpy(), vector, atol=1e-5)
    for side in ("left", "right"):
        model.tokenizer.padding_side = side
        assert np.allclose(model.encode(texts), got, atol=1e-5)


class Fixed(torch.nn.Module):
    """A "model" whose embeddings are given, to look at the loss alone."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, features: dict) -> dict:
        vectors = torch.nn.functional.normalize(features["vectors"] * self.scale, dim=-1)
        return features | {"sentence_embedding": vectors}


@pytest.mark.parametrize("with_negatives", [True, False])
@pytest.mark.parametrize("mini_batch", [64, 3])
def test_info_nce_equals_a_float64_reference(with_negatives: bool, mini_batch: int) -> None:
    generator = torch.Generator().manual_seed(0)
    columns = [torch.randn(10, 6, generator=generator, dtype=torch.float64) for _ in range(2 + with_negatives)]
    columns[1][4] = columns[1][1]  # two rows with the same positive: no negatives of each other
    features = [{"vectors": c, "attention_mask": torch.ones(10, 1), "input_ids": torch.ones(10, 1)} for c in columns]
    loss = contrastive.InfoNCE(Fixed(), temperature=0.05, mini_batch_size=mini_batch)(features, None).item()
    q, *documents = [c.numpy() / np.linalg.norm(c.numpy(), axis=1, keepdims=True) for c in columns]
    d = np.concatenate(documents)
    expected = []
    for i in range(10):
        scores = q[i] @ d.T / 0.05
        allowed = [j for j in range(len(d)) if j == i or not np.allclose(d[j], d[i])]
        expected.append(np.log(np.exp(scores[allowed]).sum()) - scores[i])
    assert abs(loss - np.mean(expected)) < 1e-5


def test_scores_of_a_hub_style_benchmark_agree_with_direct_computation(base: Path, tmp_path: Path) -> None:
    from scipy.stats import spearmanr
    from sentence_transformers import SentenceTransformer

    from hub_speed.quickstart import benchmark
    from hub_speed.training.contrastive import embedder

    folder = tmp_path / "benchmark"
    benchmark.write(folder)
    configs = "\n".join(
        f"- config_name: {n}\n  data_files:\n  - split: test\n    path: {n}/*.parquet"
        for n in ("corpus", "queries", "qrels", "sts")
    )
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}\n---\n")
    embedder(str(base), {"max_length": 128}).save_pretrained(str(tmp_path / "model"), safe_serialization=True)
    result = train(
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
