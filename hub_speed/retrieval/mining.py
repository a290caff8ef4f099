"""Hard negatives for questions: passages that an embedder finds similar, and clearly less so than the positive.

How much less is a share of the positive's similarity (NV-Retriever, arXiv 2407.15831). On a small corpus that share may
leave hardly any row a negative; then it is loosened in steps, for all rows alike, until enough rows have one.
Never a negative: whatever answers a question of the same words, a passage of the same text as an answer, one beside it
or overlapping it in its document, and one of a near-duplicate document that shares half of its words.
A contrastive question's own negative comes first, since it is one by construction.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from statistics import mean

from hub_speed.generation.echo import plain
from hub_speed.parquet import read_parquet
from hub_speed.recipe import Mine
from hub_speed.record import Json
from hub_speed.retrieval.dense import Dense
from hub_speed.retrieval.passages import Passages
from hub_speed.retrieval.settings import MiningSettings
from hub_speed.text import words
from hub_speed.training.process import child

STEPS = 5
"""In how many equal steps the margin is loosened to 0. Assumption."""
SHARED = 0.5
"""Two passages of near-duplicate documents that share more of their words (Jaccard) are the same one. Assumption."""

Candidates = list[tuple[int, float]]
"""Numbers of passages and their similarity to a question, the most similar first."""


COLUMNS = ["id", "query", "split", "positive_ids", "negative_ids"]
"""What is needed of a question."""


def run(settings: MiningSettings) -> Json:
    """Mine for every training question, and write what was found: id → ids and scores of negatives, positive scores.

    Returns:
        margins: for every margin that was tried, the last of which counts: the share of rows with a mined negative, and
            the mean number of mined negatives.
    """
    recipe, passages = settings.recipe, Passages.read(settings.passages, "train")
    questions = [row for row in read_parquet(settings.questions, COLUMNS) if row["split"] == "train"]
    child.say(total=len(passages) + len(questions))
    dense = Dense(settings, passages, [each["query"] for each in questions])
    answers, own = ([passages.named(each[ids], each["id"]) for each in questions] for ids in COLUMNS[3:])
    scores, own_scores = _similarities(dense, answers), _similarities(dense, own)
    siblings, similar = Siblings(passages, questions, answers, recipe.siblings), []
    for i, (cosines, numbers) in enumerate(zip(*dense.first(recipe.depth), strict=True)):
        similar.append(siblings.candidates(i, zip(numbers.tolist(), cosines.tolist(), strict=True), own[i]))
        child.say(step=len(passages) + i + 1)
    chosen, margins = choose(similar, [min(each) for each in scores], recipe)
    found = {}
    for i, question in enumerate(questions):
        negatives = [*zip(own[i], own_scores[i], strict=True), *chosen[i]][: recipe.negatives]
        found[question["id"]] = {
            "negative_ids": [passages.rows[number]["id"] for number, _ in negatives],
            "negative_scores": [score for _, score in negatives],
            "positive_scores": scores[i],
        }
    settings.out.write_text(json.dumps(found), "utf-8")
    return {"margins": margins}


def choose(candidates: list[Candidates], lowest: list[float], recipe: Mine) -> tuple[list[Candidates], list[Json]]:
    """Each row's negatives, and what every margin that was tried has kept.

    Args:
        candidates: of each row.
        lowest: the similarity of each row's least similar positive.
        recipe: the margin to begin with, and how many rows should have a negative.
    """
    tried: list[Json] = []
    for step in range(STEPS, -1, -1):
        margin = recipe.margin * step / STEPS
        highest = [own - margin * abs(own) for own in lowest]
        kept = [
            [each for each in some if each[1] <= most][: recipe.negatives]
            for some, most in zip(candidates, highest, strict=True)
        ]
        share = mean(bool(each) for each in kept) if kept else 1.0
        tried.append({"margin": margin, "share": share, "negatives": mean(map(len, kept)) if kept else 0.0})
        if share >= recipe.least_rows or not margin:
            break
    return kept, tried


def _similarities(dense: Dense, numbers: list[list[int]]) -> list[list[float]]:
    """The similarity of every question to each of its passages."""
    flat = iter(dense.cosines([(i, number) for i, some in enumerate(numbers) for number in some]))
    return [[next(flat) for _ in some] for some in numbers]


class Siblings:
    """Which passages are no negatives of a question, whatever their similarity.

    Args:
        passages: all that are searched.
        questions: whose answers they are.
        answers: the numbers of the passages that answer each question.
        reach: how many passages before and after an answer are left out as well.
    """

    def __init__(self, passages: Passages, questions: list[Json], answers: list[list[int]], reach: int) -> None:
        self._rows, self._reach = passages.rows, reach
        self._said = [hash(plain(row["text"])) for row in passages.rows]
        of_words = defaultdict[str, dict[int, None]](dict)
        asked = [plain(question["query"]) for question in questions]
        for text, numbers in zip(asked, answers, strict=True):
            of_words[text].update(dict.fromkeys(numbers))
        self._answers = [list(of_words[text]) for text in asked]

    def candidates(self, question: int, ranked: Iterable[tuple[int, float]], own: list[int]) -> Candidates:
        """The ranked passages without the siblings of the answers, the question's own negatives, and repeated texts."""
        taken = {self._said[number] for number in own}
        found: Candidates = []
        for number, cosine in ranked:
            if self._said[number] not in taken and not self._is_one(question, number):
                taken.add(self._said[number])
                found.append((number, cosine))
        return found

    def _is_one(self, question: int, number: int) -> bool:
        """Whether a passage answers a question, or may well do so because of what it is beside or repeats."""
        return any(self._alike(number, answer) for answer in self._answers[question])

    def _alike(self, number: int, answer: int) -> bool:
        if number == answer or self._said[number] == self._said[answer]:
            return True
        one, other = self._rows[number], self._rows[answer]
        if one["document"] == other["document"]:
            overlap = one["start"] < other["end"] and other["start"] < one["end"]
            return overlap or abs(number - answer) <= self._reach  # passages are numbered in their documents' order
        if one["group"] != other["group"]:
            return False
        mine, theirs = ({*words(row["text"])} for row in (one, other))
        return len(mine & theirs) > SHARED * len(mine | theirs)


if __name__ == "__main__":
    child.run(MiningSettings, run)
