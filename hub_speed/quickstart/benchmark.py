"""The quickstart benchmark: questions, documents and pairs in phrasings (and partly on entities) no training row uses.

corpus, queries, qrels    retrieval: three documents an entity with two facts each; a question asks for one fact
sts                       pairs of sentences, scored from 0 (another domain) to 5 (the same fact)
"""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hub_speed.quickstart import world as worlds
from hub_speed.quickstart.world import Fact

QUESTIONS_SEEN, QUESTIONS_HELD_OUT = 200, 200  # on entities of the training data, and on held-out ones
PAIRS = 400

# What two sentences have in common → the score of the pair. Assumption: evenly spread over the usual 0-5 scale.
SCORES = {"fact": 5.0, "entity": 3.5, "attribute": 2.5, "domain": 1.5, "nothing": 0.0}


def write(folder: Path, rng_seed: int = 0) -> None:
    """Write the benchmark's parquet files and its card."""
    rng = random.Random(rng_seed)
    corpus, place = _corpus(rng)
    queries, qrels = _queries(place, rng)
    _table(corpus, folder / "corpus")
    _table(queries, folder / "queries")
    _table(qrels, folder / "qrels")
    _table(_pairs(rng), folder / "sts")


def _table(rows: list[dict[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "test-00000.parquet")


def _corpus(rng: random.Random) -> tuple[list[dict[str, str]], dict[Fact, str]]:
    """The documents, and which of them states which fact."""
    world = worlds.load()
    documents: list[dict[str, str]] = []
    place: dict[Fact, str] = {}
    for domain in world.domains:
        for entity in domain.entities:
            names = list(domain.attributes)
            rng.shuffle(names)
            for pair in (names[:2], names[2:4], names[4:]):
                facts = [domain.fact(entity, name) for name in pair]
                sentences = [world.statement(fact, rng, held_out=True) for fact in facts]
                sentences.append(world.filler(domain.name, entity, rng))
                rng.shuffle(sentences)
                document_id = f"d{len(documents):04d}"
                documents.append({"_id": document_id, "title": "", "text": " ".join(sentences)})
                place |= dict.fromkeys(facts, document_id)
    return documents, place


def _queries(place: dict[Fact, str], rng: random.Random) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """The questions, and for each the one document that answers it."""
    world = worlds.load()
    seen, held_out = world.facts(held_out=False), world.facts(held_out=True)
    chosen = rng.sample(seen, QUESTIONS_SEEN) + rng.sample(held_out, QUESTIONS_HELD_OUT)
    queries, qrels = [], []
    for i, fact in enumerate(chosen):
        attribute = world.domain(fact.domain).attributes[fact.attribute]
        length = rng.choice(("short", "medium", "long"))
        text = world.question(attribute, fact.entity, rng, length, held_out=True)
        queries.append({"_id": f"q{i:04d}", "text": text})
        qrels.append({"query-id": f"q{i:04d}", "corpus-id": place[fact], "score": 1})
    return queries, qrels


def _pairs(rng: random.Random) -> list[dict[str, Any]]:
    """Pairs of statements, as many of each score."""
    world = worlds.load()
    pairs: list[dict[str, Any]] = []
    while len(pairs) < PAIRS:
        fact = rng.choice(world.facts(held_out=None))
        shared = list(SCORES)[len(pairs) % len(SCORES)]
        other = _other(fact, shared, rng)
        first = world.statement(fact, rng, held_out=True)
        second = world.statement(other, rng, held_out=True)
        if first != second:
            pairs.append({"sentence1": first, "sentence2": second, "score": SCORES[shared]})
    return pairs


def _other(fact: Fact, shared: str, rng: random.Random) -> Fact:
    """A fact that has just this in common with another."""
    world = worlds.load()
    same_domain = world.facts(fact.domain, held_out=None)
    options = {
        "fact": [fact],
        "entity": [f for f in same_domain if f.entity == fact.entity and f.attribute != fact.attribute],
        "attribute": [f for f in same_domain if f.attribute == fact.attribute and f.value != fact.value],
        "domain": [f for f in same_domain if f.entity != fact.entity and f.attribute != fact.attribute],
        "nothing": [f for f in world.facts(held_out=None) if f.domain != fact.domain],
    }
    return rng.choice(options[shared])
