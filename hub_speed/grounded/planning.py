"""Which question every row asks for: its passages, kind, style, audience, reasoning, difficulty and language.

As in `generation.planning`, row *i* is drawn by a generator of its own. Splits are dealt out in proportion to their
passages, and the passages of a split in an order that is drawn once: each has had a question before any has its second.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from random import Random

from hub_speed.generation.planning import row_rng
from hub_speed.grounded import prompts
from hub_speed.mix import deal, drawn
from hub_speed.recipe import Questions, Recipe
from hub_speed.record import Json

STAGE = "questions"
TASK_TYPE = "retrieval"
MOST_TEST = 0.5  # of the questions may be about test documents. Assumption: an embedder has to learn from something


@dataclass(frozen=True)
class PlannedQuestion:
    """One question to be asked for.

    Attributes:
        positives: the passages that have to answer it, the first one first.
        negative: the neighbouring passage that must not answer it; of a contrastive question only.
        knobs: all that was drawn.
        shown: the prompt without the texts of the passages.
    """

    id: str
    kind: str
    style: str
    language: str
    positives: tuple[Json, ...]
    negative: Json | None
    knobs: dict[str, str]
    prompt: str
    shown: str

    def columns(self) -> Json:
        """The row as the columns that do not depend on the answer."""
        first = self.positives[0]
        return {
            "id": self.id,
            "task_type": TASK_TYPE,
            "split": first["split"],
            "group": first["group"],
            "kind": self.kind,
            "style": self.style,
            "language": self.language,
            "knobs": json.dumps(self.knobs, ensure_ascii=False),
            "prompt": self.prompt,
            "positive": first["text"],
            "negative": self.negative["text"] if self.negative else None,
            "positive_ids": [each["id"] for each in self.positives],
            "negative_ids": [self.negative["id"]] if self.negative else [],
        }


class Passages:
    """The passages of a corpus: by split, and by document in the order of the text."""

    def __init__(self, rows: Iterable[Json]) -> None:
        self._rows = sorted(rows, key=lambda row: (row["document"], row["start"]))
        self._place = {row["id"]: i for i, row in enumerate(self._rows)}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Json]:
        return iter(self._rows)

    @cached_property
    def by_split(self) -> dict[str, list[Json]]:
        """Split → its passages; splits without a passage are left out."""
        found: dict[str, list[Json]] = {}
        for row in self._rows:
            found.setdefault(row["split"], []).append(row)
        return dict(sorted(found.items()))

    def neighbours(self, passage: Json) -> list[Json]:
        """The passages right after and right before one in its document that share no text with it."""
        place = self._place[passage["id"]]
        around = [self._rows[i] for i in (place + 1, place - 1) if 0 <= i < len(self._rows)]
        apart = (row for row in around if row["start"] >= passage["end"] or row["end"] <= passage["start"])
        return [row for row in apart if row["document"] == passage["document"]]


def wanted(settings: Questions, passages: int) -> int:
    """How many questions are wanted: no more than the passages are worth."""
    return min(settings.rows, settings.per_passage * passages)


def split_weights(settings: Questions, counts: Mapping[str, int]) -> dict[str, int]:
    """Split → its weight: the number of its passages, but for the least number of test questions."""
    others = sum(count for name, count in counts.items() if name != "test")
    rows = wanted(settings, sum(counts.values()))
    least = min(settings.test_rows, int(MOST_TEST * rows))
    if not others or not counts.get("test") or counts["test"] * rows >= least * (others + counts["test"]):
        return dict(counts)
    return {name: others * least if name == "test" else count * (rows - least) for name, count in counts.items()}


def plan(
    recipe: Recipe, passages: Passages, count: int, todo: Callable[[str], bool] = lambda row_id: True
) -> Iterator[PlannedQuestion]:
    """The first `count` questions of a recipe, by id; only those that are to be asked for (`todo`)."""
    settings, splits = recipe.questions, passages.by_split
    order = {name: _shuffled(rows, row_rng(recipe.rng_seed, STAGE, name)) for name, rows in splits.items()}
    weights, turns = split_weights(settings, {name: len(rows) for name, rows in splits.items()}), Counter[str]()
    for i, split in zip(range(count), deal(weights), strict=False):
        passage = order[split][turns[split] % len(order[split])]
        turns[split] += 1
        row_id = f"{STAGE}-{i:07d}"
        if todo(row_id):
            yield _planned(row_id, recipe, passages, passage)


def _shuffled(rows: list[Json], rng: Random) -> list[Json]:
    return rng.sample(rows, len(rows))


def _planned(row_id: str, recipe: Recipe, passages: Passages, passage: Json) -> PlannedQuestion:
    """One question about a passage; of a passage without neighbours, about that one alone."""
    settings, rng = recipe.questions, row_rng(recipe.rng_seed, STAGE, row_id)
    kind, style = drawn(settings.kinds, rng), drawn(settings.styles, rng)
    language = drawn(recipe.languages, rng)
    values = {name: drawn(getattr(settings, name), rng) for name in ("audiences", "reasoning", "difficulty")}
    values["audience"] = values.pop("audiences")
    near = passages.neighbours(passage)
    kind = kind if near else "single"
    if kind == "two_passages":  # of which every question puts facts together
        del values["reasoning"]
    other = rng.choice(near) if kind != "single" else None
    shown = [passage, other] if other else [passage]
    prompt, without = prompts.question(
        kind, style, shown, values | {"language": language}, rng, short=settings.prompt == "short"
    )
    positives = (passage, other) if other and kind == "two_passages" else (passage,)
    negative = other if kind == "contrastive" else None
    knobs = {"kind": kind, "style": style, "language": language} | values
    return PlannedQuestion(row_id, kind, style, language, positives, negative, knobs, prompt, without)
