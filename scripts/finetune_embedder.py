"""Fine-tune a published embedder on your own pairs, and see what that brought on a held-out part.

    python scripts/finetune_embedder.py ORG/speed-embedder@TAG PAIRS [--push ORG/NAME]

PAIRS: a .csv, .jsonl or .parquet file or a Hub dataset; query, positive and maybe negative are read: docs/finetune.md.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from datasets import load_dataset
from huggingface_hub.constants import ENDPOINT
from sentence_transformers import SentenceTransformer

from hub_speed.evaluation.intervals import bootstrap_mean, ndcg_at_10
from hub_speed.hub import Hub
from hub_speed.recipe import Embedder
from hub_speed.text import with_instruction
from hub_speed.training.embedder import backbone, contrastive
from hub_speed.training.embedder.settings import FitSettings
from hub_speed.training.process import child
from hub_speed.training.process.settings import PinnedModel

CARD = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
base_model: {base}
---

# {base}, fine-tuned

On {trained} pairs of `{pairs}`. nDCG@10 on {held} queries that were held out: before {before}, after {after}.
"""


def read(pairs: str) -> list[dict]:
    """The rows of a file or a Hub dataset."""
    kind = {".csv": "csv", ".jsonl": "json", ".json": "json", ".parquet": "parquet"}.get(Path(pairs).suffix)
    found = load_dataset(kind, data_files=pairs, split="train") if kind else load_dataset(pairs, split="train")
    if missing := {"query", "positive"} - set(found.column_names):
        raise SystemExit(f"{pairs}: no column {', '.join(sorted(missing))}; there are {', '.join(found.column_names)}")
    found = found.select_columns([name for name in ("query", "positive", "negative") if name in found.column_names])
    return [{"negative": None} | row for row in found if row["query"] and row["positive"]]


def score(model: SentenceTransformer, held: dict[str, set[str]], documents: list[str], prompt: str) -> str:
    """nDCG@10 of finding each query's own documents among all, with its 95% interval."""
    queries, texts = model.encode(list(held), prompt=prompt), model.encode(documents)
    found = {str(i): {str(k): float(s) for k, s in enumerate(row)} for i, row in enumerate(queries @ texts.T)}
    place = {text: str(k) for k, text in enumerate(documents)}
    relevant = {str(i): {place[text]: 1 for text in own} for i, own in enumerate(held.values())}
    values = np.array(list(ndcg_at_10(found, relevant).values()))
    return "{:.3f} ({:.3f}-{:.3f})".format(values.mean(), *bootstrap_mean(values))


def main() -> None:
    """Read, score, train, score, push."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embedder"), parser.add_argument("pairs")
    parser.add_argument("--out", type=Path, default=Path("finetuned"), help="a new folder for the result")
    parser.add_argument("--push", metavar="ORG/NAME", help="publish the result here; a new repository is private")
    parser.add_argument("--instruction", help="goes before every query; default: the embedder's own")
    flags = {"epochs": 2.0, "learning-rate": 1e-4, "batch-size": 32, "mini-batch-size": 32, "lora-r": 0}
    for name, default in flags.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    asked = parser.parse_args()
    if asked.out.exists():
        raise SystemExit(f"{asked.out} is there already; choose another folder: --out")
    hub = Hub(ENDPOINT, private=True)
    if asked.push and hub.head("model", asked.push) and not hub.find("model", asked.push, "finetuned"):
        raise SystemExit(f"{asked.push} is there and not made by this script; choose another name: --push")
    base = hub.fetch(ref := hub.pin("model", asked.embedder))
    model = backbone.saved(base)
    instruction = asked.instruction or model.prompts["query"].removeprefix("Instruct: ").removesuffix("\nQuery: ")
    rows = [row | {"instruction": instruction, "task_type": "pairs"} for row in read(asked.pairs)]
    relevant: dict[str, set[str]] = {}
    for row in rows:
        relevant.setdefault(row["query"], set()).add(row["positive"])
    queries = np.random.default_rng(0).permutation(sorted(relevant)).tolist()
    held = {query: relevant[query] for query in queries[: len(queries) // 5]}
    rest = [row for row in rows if row["query"] not in held]
    documents, prompt = sorted({row["positive"] for row in rows}), with_instruction(instruction, "")
    before = score(model, held, documents, prompt)
    print(f"before: nDCG@10 {before} on {len(held)} held-out queries among {len(documents)} documents", flush=True)
    fields = {name: value for name, value in vars(asked).items() if name in Embedder.model_fields}
    fields |= {"pooling": backbone.pooling_of(model), "max_length": model.max_seq_length, "warmup_steps": 10}
    with tempfile.TemporaryDirectory() as work:
        settings = FitSettings(
            work=Path(work),
            base=PinnedModel(folder=base, repo=ref.repo, commit=ref.commit),
            gradient_checkpointing=child.use_gpu(),
            recipe=Embedder(**fields),
            mini_batch_size=asked.mini_batch_size,
        )
        model, _ = contrastive.fit(settings, rest)
        model.prompts, after = {"query": prompt, "document": ""}, score(model, held, documents, prompt)
        backbone.publish(model, asked.out, settings.base if asked.lora_r else None)
    numbers = {"trained": len(rest), "held": len(held), "before": before, "after": after}
    (asked.out / "README.md").write_text(CARD.format(base=ref.repo, pairs=asked.pairs, **numbers), "utf-8")
    print(f"after:  nDCG@10 {after}; saved in {asked.out}", flush=True)
    if asked.push:
        print(f"pushed: {hub.publish('model', asked.push, asked.out, message='Fine-tune', tag='finetuned')}")


if __name__ == "__main__":
    main()
