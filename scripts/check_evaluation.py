"""Scores of the evaluate stage against a direct computation and a published value, on files of your own.

    python scripts/check_evaluation.py --model REPO@TAG [--sts PAIRS.csv] [--classification TRAIN.csv TEST.csv]
        [--published Spearman=0.820]

PAIRS.csv holds two sentences and a score a line; the others a text and a label a line, after a header. The files become
a benchmark as a Hub dataset is one (docs/evaluation.md). The code of the evaluate stage scores the model on it as it
was published, and with the instruction that our own embedders get. Beside the first stands a direct computation, which
shares no code with it: `SentenceTransformer.encode` of the bare texts, then scipy's Spearman of the cosines, or the
accuracy of sklearn's logistic regression on the same training texts. The check fails where these two differ by more
than 0.001, or the first and the published value by more than its last digit.
"""

import argparse
import csv
import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from huggingface_hub.constants import ENDPOINT
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression

from hub_speed.evaluation import benchmarks, scoring
from hub_speed.evaluation.settings import Benchmark
from hub_speed.hub import Hub
from hub_speed.training.embedder import backbone

Splits = dict[str, list[dict]]


def read(path: Path, *names: str) -> list[dict]:
    """The rows of a file, by our names of its columns; a header is left out."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [dict(zip(names, row, strict=True)) for row in csv.reader(file)]
    if names[-1] != "score":
        return rows[1:]
    has_header = not rows[0]["score"].replace(".", "", 1).isdigit()
    return [row | {"score": float(row["score"])} for row in rows[has_header:]]


def write(folder: Path, configs: dict[str, Splits]) -> None:
    """The layout of a Hub dataset: a folder a config, a file a split, and a card that names them."""
    header = []
    for config, splits in configs.items():
        files = [{"split": split, "path": f"{config}/{split}.parquet"} for split in splits]
        header.append({"config_name": config, "data_files": files})
        (folder / config).mkdir(parents=True)
        for split, rows in splits.items():
            pq.write_table(pa.Table.from_pylist(rows), folder / config / f"{split}.parquet")
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': header})}---\n", "utf-8")


def direct_sts(model: SentenceTransformer, splits: Splits) -> float:
    """Spearman of cosines and scores."""
    rows = splits["test"]
    one, two = (model.encode([row[side] for row in rows]) for side in ("sentence1", "sentence2"))
    cosines = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    return float(spearmanr(cosines, [row["score"] for row in rows]).statistic)


def direct_classification(model: SentenceTransformer, splits: Splits) -> float:
    """Mean accuracy over ten draws of eight texts a label, as mteb draws them."""
    train, test = (model.encode([row["text"] for row in splits[name]]) for name in ("train", "test"))
    labels, gold = (np.array([row["label"] for row in splits[name]]) for name in ("train", "test"))
    order, found = list(range(len(labels))), []
    for _ in range(10):
        np.random.RandomState(42).shuffle(order)  # mteb's seed, on the order the last draw left
        first: dict[str, list[int]] = {}
        for i in order:
            first.setdefault(labels[i], []).append(i)
        kept = {i for same in first.values() for i in same[:8]}
        chosen = [i for i in order if i in kept]
        fitted = LogisticRegression(max_iter=100).fit(train[chosen], labels[chosen])
        found.append((fitted.predict(test) == gold).mean())
    return float(np.mean(found))


DIRECT = {"STS": direct_sts, "Classification": direct_classification}


def published(value: str) -> tuple[str, str]:
    """`MEASURE=0.820` → measure and value, whose digits say how exact it is."""
    measure, _, number = value.partition("=")
    float(number)
    return measure, number


def wrong(row: dict) -> bool:
    """Whether a score differs from the direct computation or the published value."""
    known = row["published"]
    digits = len(known.partition(".")[2]) if known else 0
    return abs(row["difference"]) > 1e-3 or bool(known and abs(row["value"] - float(known)) > 10**-digits)


def main() -> None:
    """Read, score, compute, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a folder that sentence-transformers loads, or a Hub repository")
    parser.add_argument("--sts", type=Path, metavar="PAIRS.csv")
    parser.add_argument("--classification", type=Path, nargs=2, metavar=("TRAIN.csv", "TEST.csv"))
    parser.add_argument("--published", type=published, action="append", default=[], metavar="MEASURE=VALUE")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    configs: dict[str, Splits] = {}
    if asked.sts:
        configs["sts"] = {"test": read(asked.sts, "sentence1", "sentence2", "score")}
    if asked.classification:
        files = zip(("train", "test"), asked.classification, strict=True)
        configs["classification"] = {split: read(path, "text", "label") for split, path in files}
    if not configs:
        raise SystemExit("nothing to score: give --sts or --classification")

    folder, hub = Path(asked.model), Hub(ENDPOINT)
    folder = folder if folder.is_dir() else hub.fetch(hub.pin("model", asked.model))
    model = backbone.saved(folder, device="cpu")
    scoring.quiet()
    found = []
    with tempfile.TemporaryDirectory() as name:
        # `datasets` caches by the folder's last name: other files, another name.
        write(own := Path(name) / hashlib.sha256(json.dumps(configs).encode()).hexdigest(), configs)
        plain, instructed = scoring.AsPublished(folder), scoring.Instructed(folder, model.max_seq_length)
        for benchmark, task in benchmarks.tasks([Benchmark(name="your/files", folder=own, commit="local")]):
            row, with_ours = (
                scoring.score_task(through, "embedder", benchmark, task, Path(name) / "work")["row"]
                for through in (plain, instructed)
            )
            direct = DIRECT[task.metadata.type](model, configs[task.metadata.type.lower()])
            found.append({key: row[key] for key in ("task_type", "measure", "value", "low", "high", "n")})
            found[-1] |= {"direct": direct, "difference": row["value"] - direct, "instructed": with_ours["value"]}
            found[-1]["published"] = dict(asked.published).get(row["measure"])
    head = ("task", "measure", "n", "evaluate stage", "95% interval", "direct", "difference", "published")
    print(f"| {' | '.join(head)} | with our instruction |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in found:
        print(
            f"| {row['task_type']} | {row['measure']} | {row['n']:,} | {row['value']:.5f}"
            f" | {row['low']:.3f} to {row['high']:.3f} | {row['direct']:.5f} | {row['difference']:+.1e}"
            f" | {row['published'] or '–'} | {row['instructed']:.5f} |"
        )
    if asked.json:
        asked.json.write_text(json.dumps({"model": asked.model, "scores": found}, indent=1) + "\n", "utf-8")
    if failed := [row["measure"] for row in found if wrong(row)]:
        raise SystemExit(f"differs: {', '.join(failed)}")


if __name__ == "__main__":
    main()
