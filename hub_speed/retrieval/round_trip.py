"""Which questions find the passage they were written for, by words or by meaning.

A question that no search leads back to its passage is too vague, or about something else (round-trip consistency, as
in Promptagator, arXiv 2209.11755). The better of the two ranks counts, BM25's or the embedder's: keywords are found by
the one, paraphrases by the other. A merged ranking would ask for a good rank in both, and so reject the questions that
are hard for one of them, which teach most. Of several passages, every one must be found: each is a label.
"""

import json
import math

import numpy as np

from hub_speed.parquet import read_parquet
from hub_speed.record import Json
from hub_speed.retrieval.bm25 import Bm25
from hub_speed.retrieval.dense import Dense, Places
from hub_speed.retrieval.passages import Passages
from hub_speed.retrieval.settings import RoundTripSettings
from hub_speed.training.process import child

Ranks = dict[str, int | None]
"""The rank of a passage by each search; None where a search has it not at all, which BM25 alone can say."""


def run(settings: RoundTripSettings) -> Json:
    """Search for every question, and write its ranks: id → for each of its passages, {"BM25": rank, "embedder": rank}.

    Returns:
        not_found: question → the best rank of its passage, counted from 1; of several passages, of the worst.
        found: how many questions each search finds among the first `top_k`, and how many at least one of them does.
    """
    passages = Passages.read(settings.passages)
    questions = [_short(row) for row in read_parquet(settings.questions)]
    child.say(total=len(passages) + len(questions), note="embedding passages")
    places = [(i, number) for i, each in enumerate(questions) for number in passages.positives(each)]
    by_meaning = Dense(settings, passages, [each["query"] for each in questions]).ranks(places)
    by_words = _ranks_by_words(passages, questions, places)
    ranks: dict[str, list[Ranks]] = {each["id"]: [] for each in questions}
    for (i, _), *pair in zip(places, by_words, by_meaning, strict=True):
        ranks[questions[i]["id"]].append(dict(zip(("BM25", "embedder"), pair, strict=True)))
    settings.out.write_text(json.dumps(ranks), "utf-8")
    return summary(ranks, settings.top_k)


def summary(ranks: dict[str, list[Ranks]], top_k: int) -> Json:
    """What `run` returns, from what it writes."""
    worst = {
        search: {name: max(each[search] or math.inf for each in passages) for name, passages in ranks.items()}
        for search in ("BM25", "embedder")
    }
    best = {name: max(min(filter(None, each.values())) for each in passages) for name, passages in ranks.items()}
    found = {search: sum(rank <= top_k for rank in of_all.values()) for search, of_all in worst.items()}
    not_found = {name: rank for name, rank in best.items() if rank > top_k}
    return {"not_found": not_found, "found": found | {"either": len(ranks) - len(not_found)}}


def _short(row: Json) -> Json:
    """What is needed of a question."""
    return {name: row[name] for name in ("id", "query", "positive_ids")} | {"language": row.get("language", "English")}


def _ranks_by_words(passages: Passages, questions: list[Json], places: Places) -> list[int | None]:
    """The rank of each (question, passage) by BM25; None where they have no word in common."""
    child.say(note="sorting the passages' words")
    english = all(question["language"] == "English" for question in questions)
    index = Bm25(passages.searched(range(len(passages))), english=english)
    child.say(note="searching for each question")
    found: list[int | None] = []
    scores, scored = np.zeros(0), -1
    for i, number in places:
        if i != scored:
            scores, scored = index.scores(questions[i]["query"]), i
            child.say(step=len(passages) + i + 1)
        found.append(1 + int((scores > scores[number]).sum()) if scores[number] > 0 else None)
    return found


if __name__ == "__main__":
    child.run(RoundTripSettings, run)
