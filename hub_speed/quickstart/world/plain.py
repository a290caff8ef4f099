"""Endless plain text about the world, to pre-train a tiny language model before it sees any task."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .model import LENGTHS, Domain, Fact, capitalise

if TYPE_CHECKING:
    from . import World

MIN_WORDS, MAX_WORDS = 15, 120


@dataclass(frozen=True)
class _Writer:
    """Makes one passage at a time for an entity of a domain; `others` are the entities it may name besides."""

    world: World
    rng: random.Random
    domain: Domain
    others: tuple[str, ...]
    entity: str

    def _facts(self, low: int, high: int) -> list[Fact]:
        names = list(self.domain.attributes)
        return [self.domain.fact(self.entity, a) for a in self.rng.sample(names, self.rng.randint(low, high))]

    def _text(self, facts: int, fillers: int) -> str:
        sentences = [self.world.statement(fact, self.rng) for fact in self._facts(facts, facts)]
        chosen = self.rng.sample(self.domain.fillers, fillers)
        sentences += [filler.replace("{e}", self.entity) for filler in chosen]
        self.rng.shuffle(sentences)
        return " ".join(sentences)

    def _question(self, attribute: str) -> str:
        length = self.rng.choice(LENGTHS)
        return self.world.question(self.domain.attributes[attribute], self.entity, self.rng, length)

    def article(self) -> str:
        text = self._text(self.rng.randint(2, 6), self.rng.randint(0, 3))
        return f"About {self.entity}\n{text}" if self.rng.random() < 0.5 else text

    def lists(self) -> str:
        shared = [a for a in self.domain.attributes.values() if len(a.values) < len(self.domain.entities)]
        attribute = self.rng.choice(shared)
        values = self.rng.sample(attribute.values, min(self.rng.randint(2, 4), len(attribute.values)))
        lines = []
        for value in values:
            members = [e for e in self.others if self.domain.entities[e][attribute.name] == value]
            if members:
                self.rng.shuffle(members)
                lines.append(f"{capitalise(attribute.heading.replace('{v}', value))}: {', '.join(members[:12])}.")
        return "\n".join(lines)

    def questions_and_answers(self) -> str:
        ask, reply = self.rng.choice((("Q", "A"), ("Question", "Answer")))
        lines = []
        for fact in self._facts(1, 3):
            answers = (self.world.statement(fact, self.rng), self.world.phrase(fact, self.rng), fact.value)
            lines.append(f"{ask}: {self._question(fact.attribute)}\n{reply}: {self.rng.choice(answers)}")
        return "\n".join(lines)

    def comparison(self) -> str:
        other = self.rng.choice([e for e in self.others if e != self.entity])
        lines = [f"Compare {self.entity} and {other}."]
        for fact in self._facts(1, 3):
            lines.append(self.world.statement(fact, self.rng))
            lines.append(self.world.statement(self.domain.fact(other, fact.attribute), self.rng))
        return " ".join(lines)

    def records(self) -> str:
        entities = [self.entity, *self.rng.sample(self.others, self.rng.randint(0, 1))]
        rows = []
        for entity in dict.fromkeys(entities):
            row = {self.domain.singular: entity}
            for fact in self._facts(3, 6):
                row[self.domain.attributes[fact.attribute].noun] = self.domain.entities[entity][fact.attribute]
            rows.append(json.dumps(row))
        return "\n".join(rows)

    def paraphrases(self) -> str:
        lines = []
        for fact in self._facts(1, 3):
            first = self.world.statement(fact, self.rng)
            second = self.world.statement(fact, self.rng, exclude=(first,))
            lines.append(f"{first} {self.rng.choice(('In other words', 'The same again'))}: {second}")
        return "\n".join(lines)

    def correction(self) -> str:
        fact = self._facts(1, 1)[0]
        attribute = self.domain.attributes[fact.attribute]
        wrong = replace(fact, value=self.rng.choice([v for v in attribute.values if v != fact.value]))
        draft, right = self.world.statement(wrong, self.rng), self.world.statement(fact, self.rng)
        if self.rng.random() < 0.5:  # half of the drafts are longer, with one wrong sentence among right ones
            rest = self._text(self.rng.randint(0, 1), 1)
            draft, right = f"{draft} {rest}", f"{right} {rest}"
        reason = f"The draft gave the wrong {attribute.noun} of {self.entity}."
        return f"Draft: {draft}\nReason: {reason}\nCorrection: {right}"

    def copy(self) -> str:
        text = self._text(self.rng.randint(1, 4), self.rng.randint(0, 2))
        return f"{text}\nCopy: {text}"


def passages(world: World, seed: int, held_out_entities: bool = True) -> Iterator[str]:
    """Yield passages of 15-120 words for ever; the same seed gives the same stream.

    Only training phrasings are used. `held_out_entities=False` also keeps the benchmark's entities out.
    """
    # How often each kind of passage is drawn. Articles carry the facts; questions tie them to how they are asked
    # for; copying and correcting are skills that the later tasks need and that plain sentences would not teach.
    weights: dict[Callable[[_Writer], str], int] = {
        _Writer.article: 30,
        _Writer.questions_and_answers: 20,
        _Writer.paraphrases: 12,
        _Writer.copy: 10,
        _Writer.correction: 10,
        _Writer.records: 8,
        _Writer.lists: 5,
        _Writer.comparison: 5,
    }
    makers, odds = list(weights), list(weights.values())
    rng = random.Random(seed)
    entities = {d.name: tuple(d.entities) if held_out_entities else d.training_entities for d in world.domains}
    while True:
        domain = rng.choice(world.domains)
        allowed = entities[domain.name]
        writer = _Writer(world, rng, domain, allowed, rng.choice(allowed))
        text = rng.choices(makers, odds)[0](writer)
        if MIN_WORDS <= len(text.split()) <= MAX_WORDS:
            yield text
