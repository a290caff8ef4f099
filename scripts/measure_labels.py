"""What false negatives cost, and what mends them: measured in the quickstart's world, where every true pair is known.

Questions on facts, with two hard negatives each. In a share of the rows, one negative is a passage that states the fact
as well. Embedders are trained on what each way of dealing with these makes of the rows, and scored on the quickstart's
benchmark (400 questions in other wordings, 200 of them on things that no row is about). Two rerankers look at the rows:
an oracle that errs at a stated rate, and a cross-encoder of two million parameters, trained on other facts.

    python scripts/measure_labels.py --out labels.json          a table as Markdown; a second run goes on

The embedder is a static one, the mean of token vectors, which begins with the tiny base's: hundreds of trainings take
minutes. `--student base` trains the whole tiny base.

Intervals are 95%, from a bootstrap over seeds and questions at once.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, set_seed

import hub_speed.quickstart
from hub_speed.generation import relabelling
from hub_speed.generation.jobs import Accepted
from hub_speed.quickstart import benchmark
from hub_speed.quickstart import world as worlds
from hub_speed.quickstart.world import Fact
from hub_speed.recipe import Embedder, Relabel
from hub_speed.training.embedder import batching, contrastive, reranking
from hub_speed.training.embedder.infonce import InfoNCE, Teachers
from hub_speed.training.embedder.settings import FitSettings
from hub_speed.training.process.settings import PinnedModel

BASE = Path(hub_speed.quickstart.__file__).parent / "tiny_base"
RATES = (0.0, 0.1, 0.3, 0.56)
ROWS = 480
ORACLE_ERRS = 0.05
"""Share of the texts that the oracle gets wrong."""
SHARE = 0.95
INSTRUCTION = "Given a question, retrieve passages that answer it"
ARMS = ("as mined", "95% rule", "rows dropped", "negatives dropped", "relabelled", "distilled", "relabelled, distilled")
Row = dict[str, Any]


# --- the rows ---------------------------------------------------------------------------------------------------------


def passages(rng: random.Random) -> dict[Fact, list[str]]:
    """Each fact of a training entity → the two passages that state it; a passage states two facts."""
    world, found = worlds.load(), dict[Fact, list[str]]()
    for domain in world.domains:
        for entity in domain.training_entities:
            for _ in range(2):
                names = list(domain.attributes)
                rng.shuffle(names)
                for pair in (names[:2], names[2:4], names[4:]):
                    facts = [domain.fact(entity, name) for name in pair]
                    sentences = [world.statement(fact, rng) for fact in facts]
                    text = " ".join([*sentences, world.filler(domain.name, entity, rng)])
                    for fact in facts:
                        found.setdefault(fact, []).append(text)
    return found


def mined(facts: list[Fact], stated: dict[Fact, list[str]], rng: random.Random) -> list[Row]:
    """A row for each fact: its positive, the other passage that states it, and two true hard negatives."""
    world, rows = worlds.load(), []
    for i, fact in enumerate(facts):
        same_entity = [text for other in stated for text in stated[other] if other.entity == fact.entity]
        same_attribute = [
            text
            for other in stated
            for text in stated[other]
            if (other.domain, other.attribute) == (fact.domain, fact.attribute) and other.entity != fact.entity
        ]
        near = [text for text in dict.fromkeys(same_entity) if text not in stated[fact]]
        question = world.question(fact.attribute, fact.entity, rng, rng.choice(("short", "medium", "long")))
        positive, another = rng.sample(stated[fact], 2)
        row = {"id": f"q{i:04d}", "task_type": "retrieval", "instruction": INSTRUCTION, "query": question}
        row |= {"positive": positive, "negative": None, "another": another}
        rows.append(row | {"hard": [rng.choice(near), rng.choice(same_attribute)]})
    return rows


def planted(rows: list[Row], rate: float, seed: int) -> list[Row]:
    """The rows as a miner gives them: in a share of them, the first negative answers the question."""
    false = set(random.Random(f"planted {seed}").sample(range(len(rows)), round(rate * len(rows))))
    found = []
    for i, row in enumerate(rows):
        negatives = [row["another"] if i in false else row["hard"][0], row["hard"][1]]
        columns = {"positives": [row["positive"]], "negatives": negatives, "true": [i in false, False]}
        found.append(row | columns | {"positive_ids": ["p"], "negative_ids": ["a", "b"]})
    return found


# --- rerankers --------------------------------------------------------------------------------------------------------


def oracle(rows: list[Row], seed: int) -> list[list[float]]:
    """0.95 for what answers, 0.05 for what does not; the other way round for some mined texts."""
    rng = random.Random(f"oracle {seed}")
    return [[0.95, *(0.95 if true != (rng.random() < ORACLE_ERRS) else 0.05 for true in row["true"])] for row in rows]


def train_reranker(rows: list[Row], folder: Path) -> None:
    """A cross-encoder out of the tiny base: a positive, another one and two hard negatives for each question."""
    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(BASE, trust_remote_code=False)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokenizer.padding_side = "right"
    model = AutoModelForSequenceClassification.from_pretrained(
        BASE, num_labels=1, dtype=torch.float32, trust_remote_code=False
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    pairs = [(row["query"], text, 1.0) for row in rows for text in (row["positive"], row["another"])]
    pairs += [(row["query"], text, 0.0) for row in rows for text in row["hard"]]
    optimizer, rng = torch.optim.AdamW(model.parameters(), lr=5e-4), random.Random(0)
    for _ in range(3):
        rng.shuffle(pairs)
        for start in range(0, len(pairs), 32):
            queries, texts, labels = zip(*pairs[start : start + 32], strict=True)
            batch = tokenizer(list(queries), list(texts), padding=True, return_tensors="pt")
            batch.pop("token_type_ids", None)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                model(**batch).logits[:, 0], torch.tensor(labels)
            )
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# --- ways of dealing with them ----------------------------------------------------------------------------------------


def by_mode(rows: list[Row], scores: list[list[float]], mode: str) -> list[Row]:
    """The rows as stage relabel makes them."""
    settings = Relabel.model_validate({"mode": mode})
    found = []
    for row, mine in zip(rows, scores, strict=True):
        outcome = relabelling.relabelled(row, relabelling.by_scores(mine, 1, settings), settings)
        found += [outcome.row] if isinstance(outcome, Accepted) else []
    return found


def by_share(rows: list[Row], model: Any) -> list[Row]:
    """The rows without negatives that are nearer to the query than a share of the positive's cosine."""
    queries = model.encode([f"Instruct: {INSTRUCTION}\nQuery: {row['query']}" for row in rows])
    texts = model.encode([text for row in rows for text in (row["positive"], *row["negatives"])])
    found = []
    for row, query, (own, *others) in zip(rows, queries, texts.reshape(len(rows), 3, -1), strict=True):
        kept = [
            text for text, other in zip(row["negatives"], others, strict=True) if other @ query <= SHARE * (own @ query)
        ]
        found.append(row | {"negatives": kept})
    return found


def arms(rows: list[Row], scores: list[list[float]], miner: Any) -> dict[str, tuple[list[Row], float]]:
    """Name → the rows, and the weight of distillation."""
    kept, relabelled = by_mode(rows, scores, "keep"), by_mode(rows, scores, "relabel")
    return {
        "as mined": (rows, 0.0),
        "95% rule": (by_share(rows, miner), 0.0),
        "rows dropped": (by_mode(rows, scores, "drop_row"), 0.0),
        "negatives dropped": (by_mode(rows, scores, "drop_negative"), 0.0),
        "relabelled": (relabelled, 0.0),
        "distilled": (kept, 1.0),
        "relabelled, distilled": (relabelled, 1.0),
    }


# --- training and scoring ---------------------------------------------------------------------------------------------


@cache
def _static_parts() -> tuple[Any, torch.Tensor]:
    """The tiny base's tokenizer and its token vectors."""
    model = AutoModel.from_pretrained(BASE, dtype=torch.float32, trust_remote_code=False)
    return AutoTokenizer.from_pretrained(BASE, trust_remote_code=False), model.get_input_embeddings().weight.detach()


class Static(torch.nn.Module):
    """The mean of token vectors, scaled to unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.tokenizer, start = _static_parts()
        self.vectors = torch.nn.Embedding.from_pretrained(start.clone(), freeze=False)

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The vectors of tokenised texts."""
        mask = features["attention_mask"][..., None]
        mean = (self.vectors(features["input_ids"]) * mask).sum(1) / mask.sum(1)
        return {"sentence_embedding": torch.nn.functional.normalize(mean, dim=-1)}

    @torch.inference_mode()
    def encode(self, texts: list[str]) -> np.ndarray:
        """The vectors of texts."""
        batch = self.tokenizer(texts, padding=True, return_tensors="pt")
        found: np.ndarray = self(dict(batch))["sentence_embedding"].numpy()
        return found


def train_static(rows: list[Row], seed: int, distil: float = 0.0, epochs: int = 6) -> Static:
    """A static embedder, trained by the same loss on the same batches."""
    set_seed(seed)
    model = Static()
    loss_of = InfoNCE(model, 0.05, 1_000, None, [model.vectors.embedding_dim], Teachers(distil))  # type: ignore[arg-type]
    examples, _ = batching.encode(rows, model.tokenizer, 96)
    order = batching.batches(examples, 32, epochs, mixed=True, rng_seed=seed)
    optimizer, collate = torch.optim.Adam(model.parameters(), lr=2e-3), batching.Collate(0)
    for numbers in order:
        batch = collate(examples[i] for i in numbers)
        texts = {"input_ids": batch["text_input_ids"], "attention_mask": batch["text_attention_mask"]}
        optimizer.zero_grad()
        loss_of.calculate_loss([[model(texts)["sentence_embedding"]]], batch["label"]).backward()
        optimizer.step()
    return model


def train_base(rows: list[Row], seed: int, distil: float = 0.0, epochs: float = 2) -> Any:
    """An embedder out of the tiny base, trained as in the quickstart."""
    values: dict[str, Any] = {"batch_size": 32, "learning_rate": 5e-4, "warmup_steps": 5, "loss_temperature": 0.05}
    values |= {"lora_r": 0, "max_length": 96, "epochs": epochs, "rng_seed": seed, "data": "relabel", "distil": distil}
    with tempfile.TemporaryDirectory() as work:
        settings = FitSettings(
            work=Path(work),
            base=PinnedModel(folder=BASE, repo="x/tiny-base", commit="0" * 40),
            gradient_checkpointing=False,
            recipe=Embedder.model_validate(values),
            mini_batch_size=128,
        )
        model, _ = contrastive.fit(settings, rows)
    return model.eval()


def scorer(folder: Path) -> Callable[[Any], list[float]]:
    """A function that gives nDCG@10 of every question of the benchmark, each of which one document answers."""
    benchmark.write(folder)
    corpus, queries, qrels = (
        pq.read_table(folder / name / "test-00000.parquet").to_pylist() for name in ("corpus", "queries", "qrels")
    )
    place = {row["_id"]: i for i, row in enumerate(corpus)}
    gold = np.array([place[row["corpus-id"]] for row in qrels])

    def score(model: Any) -> list[float]:
        asked = model.encode([f"Instruct: {INSTRUCTION}\nQuery: {row['text']}" for row in queries])
        cosines = asked @ model.encode([row["text"] for row in corpus]).T
        ranks = (cosines > cosines[np.arange(len(gold)), gold][:, None]).sum(1) + 1
        return [round(float(x), 4) for x in np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0.0)]

    return score


# --- the table --------------------------------------------------------------------------------------------------------


def interval(values_SQ: np.ndarray, rounds: int = 2000) -> tuple[float, float]:
    """The 95% interval of the mean of seeds × questions, both drawn again."""
    rng, (seeds, questions) = np.random.default_rng(0), values_SQ.shape
    means = [
        values_SQ[np.ix_(rng.integers(0, seeds, seeds), rng.integers(0, questions, questions))].mean()
        for _ in range(rounds)
    ]
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def table(found: dict[str, list[float]], seeds: int, rerankers: list[str]) -> str:
    """Scores by share of planted rows, with what each way gains over the rows as they were mined."""
    lines = ["| | " + " | ".join(f"{rate:.0%}" for rate in RATES) + " |", "|---|" + "---:|" * len(RATES)]

    def values(who: str, arm: str, rate: float) -> np.ndarray:
        return np.array([found[f"{seed}/{rate}/{who}/{arm}"] for seed in range(seeds)])

    for who, arm in [("", ARMS[0]), ("", ARMS[1]), *((who, arm) for who in rerankers for arm in ARMS[2:])]:
        cells = []
        for rate in RATES:
            mine, base = values(who, arm, rate), values("", ARMS[0], rate)
            low, high = interval(mine - base) if arm != ARMS[0] else interval(mine)
            gain = f"{mine.mean() - base.mean():+.3f} " if arm != ARMS[0] else ""
            cells.append(f"{mine.mean():.3f} ({gain}[{low:+.3f}, {high:+.3f}])" if gain else f"{mine.mean():.3f}")
        lines.append(f"| {arm}{', ' + who if who else ''} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="a JSON file that keeps the scores between runs")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--student", choices=("static", "base"), default="static")
    parser.add_argument("--rerankers", nargs="+", choices=("oracle", "reranker"), default=["oracle", "reranker"])
    given = parser.parse_args()
    found: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {}
    rng = random.Random(0)
    stated = passages(rng)
    facts = rng.sample(list(stated), len(stated))
    rows, others = mined(facts[: given.rows], stated, rng), mined(facts[given.rows :], stated, rng)
    with tempfile.TemporaryDirectory() as folder:
        score = scorer(Path(folder) / "benchmark")
        looked = _looked(rows, others, given.out.with_suffix(".reranker")) if "reranker" in given.rerankers else []
        train = {"static": train_static, "base": train_base}[given.student]
        miner = train([row | {"positives": [row["positive"]], "negatives": []} for row in rows], 0)
        print("in-batch negatives alone, seed 0:", round(float(np.mean(score(miner))), 3), flush=True)
        for seed in range(given.seeds):
            for rate in RATES:
                made = planted(rows, rate, seed)
                looks = {"oracle": oracle(made, seed)} if "oracle" in given.rerankers else {}
                if looked:
                    looks["reranker"] = [_picked(*each) for each in zip(looked, made, strict=True)]
                if looked and not seed:
                    _print_errors(looks["reranker"], made)
                for who, scores in looks.items():
                    for arm, (data, distil) in arms(made, scores, miner).items():
                        name = f"{seed}/{rate}/{'' if arm in ARMS[:2] else who}/{arm}"
                        if name in found:
                            continue
                        found[name] = score(train(data, seed, distil))
                        given.out.write_text(json.dumps(found))
                        print(name, len(data), round(float(np.mean(found[name])), 3), flush=True)
    print(table(found, given.seeds, given.rerankers))


def _looked(rows: list[Row], others: list[Row], folder: Path) -> list[list[float]]:
    """The cross-encoder's scores of each row's positive, its other one and both hard negatives."""
    if not folder.exists():
        train_reranker(others, folder)
    several = [row | {"negatives": [row["another"], *row["hard"]]} for row in rows]
    return reranking.scored(several, reranking.load(folder), 64)


def _picked(scores: list[float], row: Row) -> list[float]:
    """The scores of a planted row's texts, out of those of its positive, the other one and both hard negatives."""
    positive, another, first, second = scores
    return [positive, another if row["true"][0] else first, second]


def _print_errors(scores: list[list[float]], rows: list[Row]) -> None:
    """How often a reranker is right about the mined texts, at the default thresholds."""
    settings = Relabel()
    labels = [relabelling.by_scores(mine, 1, settings).labels for mine in scores]
    pairs = [
        (true, label)
        for row, mine in zip(rows, labels, strict=True)
        for true, label in zip(row["true"], mine, strict=True)
    ]
    for truth in (True, False):
        mine = [label for true, label in pairs if true is truth]
        shares = {
            label: f"{mine.count(label) / max(1, len(mine)):.0%}" for label in ("positive", "ambiguous", "negative")
        }
        print("texts that answer:" if truth else "others:", len(mine), shares, flush=True)


if __name__ == "__main__":
    main()
