"""Time and memory of the round trip and of mining on a large corpus, beside sentence-transformers' miner as it comes.

    python scripts/bench_mining.py [--passages 100000] [--questions 2000] [--model FOLDER] [--json PATH]

Passages are made of words drawn as often as in real texts (Zipf); a question has words of its passage. Without --model,
the embedder is a static one with random vectors: its numbers mean nothing, but searching takes as long as with any
other of 256 dimensions, and embedding takes hardly any time. Each line is a process of its own: its seconds, and the
most memory it has held.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hub_speed.parquet import read_parquet, write_parquet
from hub_speed.recipe import Mine
from hub_speed.retrieval.settings import MiningSettings, RoundTripSettings, SearchSettings
from hub_speed.rows import PassageRow, QuestionRow

VOCABULARY, WORDS, ASKED, WIDTH = 30_000, 120, 8, 256


def corpus(folder: Path, passages: int, questions: int) -> None:
    """Write passages of documents of ten, and questions about some of them."""
    rng = np.random.default_rng(0)
    names = np.array([f"w{i}" for i in range(VOCABULARY)])
    share = 1 / np.arange(1, VOCABULARY + 1)
    words = names[rng.choice(VOCABULARY, (passages, WORDS), p=share / share.sum())]
    rows = []
    for i, said in enumerate(words):
        document, text = f"d{i // 10:06d}", " ".join(said)
        start = (i % 10) * 2000
        rows.append({"id": f"{document}-{start}", "document": document, "start": start, "end": start + len(text)})
        rows[-1] |= {"title": "", "text": text, "group": document, "split": "train"}
    write_parquet(rows, PassageRow, folder / "passages")
    asked = []
    for i, place in enumerate(rng.choice(passages, questions, replace=False)):
        row, empty = rows[place], dict.fromkeys(QuestionRow.model_fields, "")
        query = " ".join(rng.choice(words[place], ASKED))
        asked.append(empty | {"id": f"q{i:06d}", "split": "train", "language": "English", "query": query})
        asked[-1] |= {"positive": row["text"], "positive_ids": [row["id"]], "negative_ids": [], "negative": None}
    write_parquet(asked, QuestionRow, folder / "questions")


def static_model(folder: Path) -> Path:
    """Write an embedder that has a random vector for each word."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    known = {"[UNK]": 0} | {f"w{i}": i + 1 for i in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=WIDTH)]).save_pretrained(str(folder))
    return folder


def peer(settings: SearchSettings) -> None:
    """sentence-transformers' miner, with the options that mean the same as ours."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives

    rows = list(read_parquet(settings.questions, ["query", "positive"]))
    recipe = Mine()
    mine_hard_negatives(
        Dataset.from_list(rows),
        SentenceTransformer(str(settings.embedder), trust_remote_code=False),
        corpus=[row["text"] for row in read_parquet(settings.passages, ["text"])],
        range_max=recipe.depth,
        relative_margin=recipe.margin,
        num_negatives=recipe.negatives,
        output_format="labeled-list",
        verbose=False,
    )


def timed(arguments: list[str]) -> dict[str, float]:
    """Seconds, of the clock and of processors, and gigabytes of a process."""
    started = time.monotonic()
    child = subprocess.Popen([sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)  # a child of ours ends when its standard input does
    if status:
        sys.exit(f"{' '.join(arguments)} failed")
    seconds, busy = time.monotonic() - started, used.ru_utime + used.ru_stime
    return {"seconds": round(seconds, 1), "processor": round(busy, 1), "gigabytes": round(used.ru_maxrss / 2**20, 2)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=2_000)
    parser.add_argument("--model", type=Path, help="a folder of an embedder")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peer:
        peer(MiningSettings.model_validate_json(given.peer.read_bytes()))
        return
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        corpus(folder, given.passages, given.questions)
        common = {"questions": folder / "questions", "passages": folder / "passages"}
        common |= {"embedder": given.model or static_model(folder / "model"), "out": folder / "out.json"}
        settings = {
            "round_trip": RoundTripSettings(work=folder / "round_trip", top_k=10, **common),
            "mining": MiningSettings(work=folder / "mining", recipe=Mine(), **common),
        }
        for name, each in settings.items():
            path = folder / f"{name}.json"
            path.write_text(each.model_dump_json(), "utf-8")
            found[name] = timed(["-m", f"hub_speed.retrieval.{name}", str(path)])
        found["sentence-transformers"] = timed([__file__, "--peer", str(folder / "mining.json")])
    print(f"{given.passages:,} passages of {WORDS} words, {given.questions:,} questions, {given.model or 'static'}")
    for name, numbers in found.items():
        seconds, busy, held = numbers.values()
        print(f"{name:<24} {seconds:>7.1f} s, of processors {busy:>7.1f} s, {held:>5.2f} GB")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), "utf-8")


if __name__ == "__main__":
    main()
