"""Training and scoring on tiny models: the loss against a float64 reference, pooling by hand, DPO margins, adapters."""

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
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402


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
        "prompt_format": "{prompt} [/INST]",
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


def mean_nll(folder: Path, prompt: str, completion: str) -> float:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    start = len(tokenizer(prompt).input_ids)
    ids = torch.tensor([[*tokenizer(prompt + completion).input_ids, tokenizer.eos_token_id]])
    with torch.inference_mode():
        logp = torch.log_softmax(model(ids).logits[0, :-1], -1).gather(1, ids[0, 1:, None])[:, 0]
    return -logp[start - 1 :].mean().item()


PAIRS = [(f"say {word}", f'{{"word": "{word}"}}') for word in ("fox", "dog", "quick", "lazy", "brown", "over")] * 4


def test_sft_learns_completions_in_the_prompt_format(base: Path, tmp_path: Path) -> None:
    rows = [{"id": f"{i:03d}", "prompt": p, "completion": c} for i, (p, c) in enumerate(PAIRS)]
    result = train("sft", tmp_path, base=str(base), data=str(table(rows, tmp_path / "data")), epochs=12)
    assert result["rows"] == len(rows) and result["steps"] == 36
    assert result["loss_curve"][-1][1] < 0.5 * result["loss_curve"][0][1]
    before = mean_nll(base, "say fox [/INST]", ' {"word": "fox"}')
    after = mean_nll(tmp_path / "out", "say fox [/INST]", ' {"word": "fox"}')
    assert after < 0.5 * before
    assert not list((tmp_path / "out").glob("*.bin"))


def test_sft_with_an_adapter_publishes_merged_weights_that_equal_base_plus_adapter(base: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    rows = [{"id": f"{i:03d}", "prompt": p, "completion": c} for i, (p, c) in enumerate(PAIRS)]
    data = table(rows, tmp_path / "data")
    train("sft", tmp_path, base=str(base), data=str(data), epochs=2, lora_r=4)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    joined = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "out" / "adapter")
    untrained = AutoModelForCausalLM.from_pretrained(base)
    ids = torch.tensor([[1, 20, 30, 40, 50]])
    with torch.inference_mode():
        difference = (merged(ids).logits - joined(ids).logits).abs().max().item()
        moved = (merged(ids).logits - untrained(ids).logits).abs().max().item()
    assert difference < 1e-4 < moved


def test_dpo_raises_the_margin_of_the_chosen(base: Path, tmp_path: Path) -> None:
    rows = [
        {"id": f"{i:03d}", "prompt": f"say {w}", "chosen": f'{{"word": "{w}"}}', "rejected": f"{w} {w} no"}
        for i, w in enumerate(["fox", "dog", "quick", "lazy"] * 6)
    ]
    result = train("dpo", tmp_path, base=str(base), data=str(table(rows, tmp_path / "data")), dpo_beta=0.1, epochs=8)
    assert result["rewards"]["margins"] > 0.5 and result["rewards"]["accuracies"] > 0.9

    def margin(folder: Path) -> float:
        return mean_nll(folder, "say fox [/INST]", " fox fox no") - mean_nll(
            folder, "say fox [/INST]", ' {"word": "fox"}'
        )

    assert margin(tmp_path / "out") > margin(base) + 0.05


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
