"""Hub datasets of every kind that can be scored, made of few words."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tiny_models import WORDS


def dataset(folder: Path, **configs: dict[str, list[dict[str, Any]]]) -> Path:
    """A Hub dataset's files: config → split → rows."""
    lines = []
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, rows in splits.items():
            (folder / config).mkdir(parents=True, exist_ok=True)
            empty = pa.schema([(name, pa.string()) for name in ("sentence1", "sentence2", "score")])
            pq.write_table(pa.Table.from_pylist(rows, None if rows else empty), folder / config / f"{split}.parquet")
            lines += [f"  - split: {split}", f"    path: {config}/{split}.parquet"]
    (folder / "README.md").write_text("---\nconfigs:\n" + "\n".join(lines) + "\n---\n")
    return folder


def sentence(i: int, length: int = 4) -> str:
    return " ".join(random.Random(f"{i} {length}").choices(WORDS, k=length))


CORPUS = [{"_id": f"d{i}", "title": "", "text": sentence(i, 5 + i % 4)} for i in range(30)]


QUERIES = [{"_id": f"q{i}", "text": sentence(i, 2)} for i in range(12)]


QRELS = [{"query-id": f"q{i}", "corpus-id": f"d{i + k}", "score": 1} for i in range(12) for k in (0, 9)]


TOP = [{"query-id": f"q{i}", "corpus-ids": [f"d{(i + 3 * k) % 30}" for k in range(8)]} for i in range(12)]


STS = [{"sentence1": sentence(i), "sentence2": sentence(i + 1 + i % 5), "score": float(5 - i % 5)} for i in range(60)]


LABELLED = [{"text": f"{sentence(i, 5)} {WORDS[i % 3]}", "label": WORDS[i % 3]} for i in range(90)]


DUPLICATES = [row | {"label": int(row["score"] > 3)} for row in STS]
