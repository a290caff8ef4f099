"""Fine-tune an embedder on your own pairs, and see what that brought on a held-out part.

    python scripts/finetune_embedder.py ORG/speed-embedder@TAG PAIRS [--push ORG/NAME]

PAIRS: a .csv, .tsv, .jsonl, .json or .parquet file or a Hub dataset; query, positive and maybe negative are read. The
embedder keeps its modules and prompts: docs/finetune.md.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from datasets import load_dataset
from huggingface_hub.constants import ENDPOINT
from pydantic import ValidationError
from sentence_transformers import SentenceTransformer

from hub_speed import tables
from hub_speed.cards.licences import DUTIES
from hub_speed.errors import HubSpeedError, StageError
from hub_speed.evaluation.intervals import bootstrap_mean, ndcg_at_10
from hub_speed.hub import Hub
from hub_speed.recipe import Embedder
from hub_speed.record import Ref
from hub_speed.text import with_instruction
from hub_speed.training.embedder import backbone, contrastive, pairs
from hub_speed.training.embedder.settings import FitSettings
from hub_speed.training.process import child
from hub_speed.training.process.settings import PinnedModel

CARD = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
base_model: {base}
license: {licence}
---

# {base}, fine-tuned

On {trained} pairs of `{pairs}`. nDCG@10 on {held} queries that were held out: before {before}, after {after}.
The prompt of a query is {query}, that of a document {document}.

The licence is that of {base}, as its card names it; that of the pairs was not looked at.
"""
READ = ("query", "positive", "negative")
LEAST = 5
"""Different queries that are needed: a fifth of them is held out."""


def read(name: str) -> list[dict]:
    """A row for each positive in a file or a Hub dataset, with at most one negative."""
    if Path(name).is_file() or Path(name).suffix.lower() in (*tables.KINDS, ".gz"):
        rows: Any = tables.read_file(Path(name))
        columns = list(dict.fromkeys(column for row in rows for column in row))
    else:
        try:
            rows = load_dataset(name, split="train")
        except (OSError, ValueError) as error:
            raise StageError(f"{name}: the dataset cannot be loaded", got=str(error).splitlines()[0]) from error
        columns = rows.column_names
        rows = rows.select_columns([column for column in columns if column in READ])
    if not columns:
        raise StageError(f"{name}: there are no rows", expected="a query and a positive in each")
    if missing := {"query", "positive"} - set(columns):
        raise StageError(f"{name}: no column {' and no column '.join(sorted(missing))}", got=", ".join(columns))
    found = []
    for cells in pairs.of(rows, {column: column for column in READ}, name):
        query, negative = (next(iter(cells[column]), None) for column in ("query", "negative"))
        found += [{"query": query, "positive": text, "negative": negative} for text in cells["positive"] if query]
    if (queries := len({row["query"] for row in found})) < LEAST:
        raise StageError(
            f"{name}: too few queries",
            expected=f"at least {LEAST} different ones with a positive, of which a fifth is held out",
            got=str(queries),
        )
    return found


def score(model: SentenceTransformer, held: dict[str, set[str]], documents: list[str], prompts: tuple[str, str]) -> str:
    """nDCG@10 of finding each query's own documents among all, with its 95% interval."""
    queries, texts = model.encode(list(held), prompt=prompts[0]), model.encode(documents, prompt=prompts[1])
    scores = model.similarity(queries, texts)
    found = {str(i): {str(k): float(s) for k, s in enumerate(row)} for i, row in enumerate(scores)}
    place = {text: str(k) for k, text in enumerate(documents)}
    relevant = {str(i): {place[text]: 1 for text in own} for i, own in enumerate(held.values())}
    values = np.array(list(ndcg_at_10(found, relevant).values()))
    return "{:.3f} ({:.3f}-{:.3f})".format(values.mean(), *bootstrap_mean(values))


def arguments() -> argparse.Namespace:
    """What was asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embedder"), parser.add_argument("pairs")
    parser.add_argument("--out", type=Path, default=Path("finetuned"), help="a new folder for the result")
    parser.add_argument("--push", metavar="ORG/NAME", help="publish the result here; a new repository is private")
    parser.add_argument("--instruction", help="short for --query-prompt 'Instruct: …', a new line, 'Query: '")
    parser.add_argument("--query-prompt", help="goes before every query; default: the embedder's own")
    parser.add_argument("--document-prompt", help="goes before every document; default: the embedder's own")
    flags = {"epochs": 2.0, "learning-rate": 1e-4, "batch-size": 32, "mini-batch-size": 32, "lora-r": 0}
    for name, default in flags.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    return parser.parse_args()


def settings_of(asked: argparse.Namespace, max_length: int | None, base: Path, ref: Ref, work: str) -> FitSettings:
    """The training that was asked for."""
    fields = {name: value for name, value in vars(asked).items() if name in Embedder.model_fields}
    try:
        return FitSettings(
            work=Path(work),
            base=PinnedModel(folder=base, repo=ref.repo, commit=ref.commit),
            gradient_checkpointing=child.use_gpu(),
            recipe=Embedder(**fields, max_length=max_length or 512, warmup_steps=10),
            mini_batch_size=asked.mini_batch_size,
        )
    except ValidationError as error:
        wrong = error.errors()[0]
        flag = str(wrong["loc"][-1]).replace("_", "-")
        raise StageError(f"--{flag} {wrong['input']}: {wrong['msg'].lower()}") from error


def run(asked: argparse.Namespace, work: str) -> None:
    """Read, score, train, score, push."""
    if asked.out.exists():
        raise StageError(f"{asked.out} is there already", fix="choose another folder: --out")
    hub = Hub(ENDPOINT, private=True)
    if asked.push and hub.head("model", asked.push) and not hub.find("model", asked.push, "finetuned"):
        raise StageError(f"{asked.push} is there and not made by this script", fix="choose another name: --push")
    rows = read(asked.pairs)
    base = hub.fetch(ref := hub.pin("model", asked.embedder))
    model = backbone.embedder(base, None)
    settings = settings_of(asked, model.max_seq_length, base, ref, work)
    own = backbone.prompts_of(model)
    asked_query = with_instruction(asked.instruction, "") if asked.instruction else asked.query_prompt
    query = own[0] if asked_query is None else asked_query
    document = own[1] if asked.document_prompt is None else asked.document_prompt

    relevant: dict[str, set[str]] = {}
    for row in rows:
        relevant.setdefault(row["query"], set()).add(row["positive"])
    queries = np.random.default_rng(0).permutation(sorted(relevant)).tolist()
    held = {query: relevant[query] for query in queries[: len(queries) // LEAST]}
    documents = sorted({row["positive"] for row in rows})
    before = score(model, held, documents, own)
    print(f"before: nDCG@10 {before} on {len(held)} held-out queries among {len(documents)} documents", flush=True)
    rest = [
        {
            "task_type": "pairs",
            "query": query + row["query"],
            "positive": document + row["positive"],
            "negative": row["negative"] and document + row["negative"],
        }
        for row in rows
        if row["query"] not in held
    ]
    model, _ = contrastive.fit(settings, rest)
    others = {name: prompt for name, prompt in model.prompts.items() if name not in backbone.DOCUMENT}
    model.prompts = others | {"query": query, "document": document}
    after = score(model, held, documents, (query, document))
    backbone.publish(model, asked.out, settings.base if asked.lora_r else None)
    source = Path(asked.pairs).name if Path(asked.pairs).exists() else asked.pairs
    named = hub.licences(ref)[0]
    numbers = {"trained": len(rest), "held": len(held), "before": before, "after": after}
    prompts = {"query": f"`{json.dumps(query)}`", "document": f"`{json.dumps(document)}`"}
    licence = named if named in DUTIES else "other"
    card = CARD.format(base=ref.repo, pairs=source, licence=licence, **numbers, **prompts)
    (asked.out / "README.md").write_text(card, "utf-8")
    print(f"after:  nDCG@10 {after}; saved in {asked.out}", flush=True)
    if asked.push:
        print(f"pushed: {hub.publish('model', asked.push, asked.out, message='Fine-tune', tag='finetuned')}")


def main() -> None:
    """Run, or say in a few lines why not."""
    with tempfile.TemporaryDirectory() as work:
        try:
            run(arguments(), work)
        except HubSpeedError as error:
            raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
