"""Samples a second of embedder training, against sentence-transformers as it comes.

    python scripts/bench_training.py [--json PATH] [--rows N] [--rounds N]

Both train the base model the package ships on the same rows of mixed length, with the same batch size, learning rate
and temperature, in this process, in turns; the best round counts. The peer is its trainer with its default sampler and
padding and CachedMultipleNegativesRankingLoss at its default mini-batch size, which is ours too. The loss of both is
measured by the peer's own loss on one batch that neither has seen.
"""

import argparse
import json
import logging
import os
import random
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

import hub_speed
from hub_speed.parquet import read_parquet
from hub_speed.quickstart import benchmark
from hub_speed.recipe import Embedder, Runtime
from hub_speed.text import with_instruction
from hub_speed.training.embedder import backbone, contrastive
from hub_speed.training.embedder.settings import FitSettings
from hub_speed.training.process.settings import PinnedModel

BASE = Path(hub_speed.__file__).parent / "quickstart" / "tiny_base"
TARGET = 1.3
COMMON = {"loss_temperature": 0.05, "learning_rate": 5e-4, "warmup_steps": 10, "max_length": 256, "lora_r": 0}


def mixed_rows(n: int) -> list[dict]:
    """Triplets whose documents are one to five passages of the quickstart's world long."""
    with tempfile.TemporaryDirectory() as folder:
        benchmark.write(Path(folder))
        passages = [row["text"] for row in read_parquet(Path(folder) / "corpus")]
    draw, rows = random.Random(0), []
    for i in range(n):
        positive, negative = (" ".join(draw.sample(passages, draw.choice((1, 1, 1, 2, 3, 5)))) for _ in range(2))
        words = positive.split()
        query = " ".join(draw.sample(words, min(len(words), draw.randint(4, 12))))
        rows.append({"id": f"{i:05d}", "task_type": "retrieval", "instruction": "Find the passage with these words"})
        rows[-1] |= {"query": query, "positive": positive, "negative": negative}
    return rows


def columns(rows: list[dict]) -> dict[str, list[str]]:
    """Rows as sentence-transformers takes them."""
    anchors = [with_instruction(row["instruction"], row["query"]) for row in rows]
    return {"anchor": anchors} | {side: [row[side] for row in rows] for side in ("positive", "negative")}


def ours(rows: list[dict], recipe: Embedder, work: str) -> SentenceTransformer:
    """Trained by this package."""
    settings = FitSettings(
        work=Path(work),
        base=PinnedModel(folder=BASE, repo="tiny-base", commit="main"),
        gradient_checkpointing=False,
        recipe=recipe,
        mini_batch_size=Runtime().mini_batch_size,
    )
    model, _ = contrastive.fit(settings, rows)
    return model


def theirs(rows: list[dict], recipe: Embedder, work: str) -> SentenceTransformer:
    """Trained by sentence-transformers."""
    model = backbone.embedder(BASE, recipe.max_length)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=work,
        per_device_train_batch_size=recipe.batch_size,
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        use_cpu=not torch.cuda.is_available(),
        bf16=torch.cuda.is_available(),
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    loss = CachedMultipleNegativesRankingLoss(model, scale=1 / recipe.loss_temperature)
    data = Dataset.from_dict(columns(rows))
    SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=loss).train()
    return model


def loss_on(model: SentenceTransformer, rows: list[dict], temperature: float) -> float:
    """The peer's loss on one batch."""
    features = [model.preprocess(texts) for texts in columns(rows).values()]
    features = [{k: v.to(model.device) if hasattr(v, "to") else v for k, v in one.items()} for one in features]
    with torch.no_grad():
        return float(CachedMultipleNegativesRankingLoss(model.eval(), scale=1 / temperature)(features, None))


def main() -> None:
    """Measure, print a table, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    rows = mixed_rows(asked.rows + 64)
    train, held = rows[:-64], rows[-64:]
    untrained = loss_on(backbone.embedder(BASE, 256), held, COMMON["loss_temperature"])
    found = []
    for batch_size in (32, 128):
        recipe = Embedder(**COMMON, batch_size=batch_size)
        seconds: dict[str, list[float]] = {"hub_speed": [], "sentence-transformers": []}
        losses = {}
        for _ in range(asked.rounds):
            for name, fit in (("hub_speed", ours), ("sentence-transformers", theirs)):
                with tempfile.TemporaryDirectory() as work:
                    started = time.perf_counter()
                    model = fit(train, recipe, work)
                    seconds[name].append(time.perf_counter() - started)
                losses[name] = loss_on(model, held, recipe.loss_temperature)
        for name, times in seconds.items():
            rate, ratio = len(train) / min(times), min(seconds["sentence-transformers"]) / min(times)
            found.append({"batch_size": batch_size, "trainer": name, "samples_per_s": rate, "ratio": ratio})
            found[-1] |= {"loss_before": untrained, "loss_after": losses[name], "seconds": times}
    print(f"{'batch':>5}  {'trainer':<22} {'samples/s':>9} {'ratio':>6}   held-out loss (untrained {untrained:.3f})")
    for one in found:
        values = f"{one['samples_per_s']:>9.1f} {one['ratio']:>5.2f}x   {one['loss_after']:.3f}"
        print(f"{one['batch_size']:>5}  {one['trainer']:<22} {values}")
    print(f"target: {TARGET}x")
    if asked.json:
        asked.json.write_text(json.dumps({"target": TARGET, "results": found}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
