"""A small world of real facts in a restricted vocabulary: it writes training text and reads it back.

Eight domains (one YAML file each) of about 26 entities with six attributes. Every fact can be said in several
ways, and every sentence written from the world can be recognised again, so a generator of 2M parameters can learn to
write such text and a judge can check each claim without a model.

    >>> world = load()
    >>> world.fact("France", "capital").value
    'Paris'
    >>> world.read("The government of France sits in Madrid.").claims[0].true
    False
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from . import plain
from .model import DOMAINS, Attribute, Domain, Fact, capitalise, load_domain
from .reader import Claim, Index, Match, Question, Reading, split_sentences

__all__ = ["Attribute", "Claim", "Domain", "Fact", "Match", "Question", "Reading", "World", "load"]


def _fill(template: str, entity: str, value: str = "") -> str:
    return template.replace("{e}", entity).replace("{v}", value)


@dataclass(frozen=True, eq=False)
class World:
    """All domains, with look-ups, text writing and text reading. Get the one instance from `load()`."""

    domains: tuple[Domain, ...]

    # ---- look-ups

    def domain(self, name: str | Domain) -> Domain:
        """Return the domain; a Domain is passed through. Raises KeyError for an unknown name."""
        return name if isinstance(name, Domain) else self._domains[name]

    def domain_of(self, entity: str) -> Domain:
        """Return the domain of an entity; entity names are unique in the world. Raises KeyError if unknown."""
        return self._domains[self._domain_of[entity]]

    def fact(self, entity: str, attribute: str) -> Fact:
        """Return the true fact. Raises KeyError for an unknown entity or attribute."""
        return self.domain_of(entity).fact(entity, attribute)

    def facts(self, domain: str | Domain | None = None, held_out: bool | None = False) -> tuple[Fact, ...]:
        """Return facts of one domain or of all, in file order.

        `held_out`: False gives the training entities, True the entities kept for the benchmark, None both.
        """
        return _facts(self, domain and self.domain(domain).name, held_out)

    @cached_property
    def _domains(self) -> dict[str, Domain]:
        return {d.name: d for d in self.domains}

    @cached_property
    def _domain_of(self) -> dict[str, str]:
        return {entity: d.name for d in self.domains for entity in d.entities}

    # ---- writing; every choice is drawn from the RNG that is passed in

    def statement(self, fact: Fact, rng: random.Random, held_out: bool = False, exclude: Collection[str] = ()) -> str:
        """Return a sentence that states the fact and is not in `exclude`. Raises ValueError if all are excluded."""
        options = [s for s in self.statements(fact, held_out) if s not in exclude]
        if not options:
            raise ValueError(f"world: no statement of {fact.entity}.{fact.attribute} is left, all are in exclude")
        return rng.choice(options)

    def statements(self, fact: Fact, held_out: bool = False) -> list[str]:
        """Return all sentences that state the fact, in file order."""
        attribute = self.domain(fact.domain).attributes[fact.attribute]
        patterns = attribute.phrasings(held_out).statements
        return [capitalise(_fill(p, fact.entity, fact.value)) for p in patterns]

    def question(
        self,
        attribute: Attribute | str,
        entity: str,
        rng: random.Random,
        length: str = "medium",
        held_out: bool = False,
    ) -> str:
        """Return a question for the attribute; `length` is short (2-4 words), medium (5-9) or long (11-20)."""
        if isinstance(attribute, str):
            attribute = self.domain_of(entity).attributes[attribute]
        return _fill(rng.choice(attribute.phrasings(held_out).questions[length]), entity)

    def phrase(self, fact: Fact, rng: random.Random) -> str:
        """Return the fact as a noun phrase, without capital letter and full stop."""
        attribute = self.domain(fact.domain).attributes[fact.attribute]
        return _fill(rng.choice(attribute.training.phrases), fact.entity, fact.value)

    def filler(self, domain: str | Domain, entity: str, rng: random.Random) -> str:
        """Return a sentence about the entity that states no fact."""
        return _fill(rng.choice(self.domain(domain).fillers), entity)

    def document(
        self,
        domain: str | Domain,
        entity: str,
        attributes: Sequence[str],
        rng: random.Random,
        min_words: int,
        held_out: bool = False,
    ) -> str:
        """Return one sentence for each attribute in drawn order, then fillers until there are `min_words` words.

        No sentence comes twice. When the fillers are used up, further phrasings of the same facts follow. Raises
        ValueError when even those do not reach `min_words`.
        """
        facts = [self.domain(domain).fact(entity, attribute) for attribute in attributes]
        rng.shuffle(facts)
        sentences = [self.statement(fact, rng, held_out) for fact in facts]
        more = [_fill(filler, entity) for filler in self.domain(domain).fillers]
        rng.shuffle(more)
        again = [s for fact in facts for s in self.statements(fact, held_out) if s not in sentences]
        rng.shuffle(again)
        more += again
        count = sum(len(s.split()) for s in sentences)
        while count < min_words:
            if not more:
                raise ValueError(f"world: a document on {entity} has at most {count} words, asked for {min_words}")
            sentences.append(more.pop(0))
            count += len(sentences[-1].split())
        return " ".join(sentences)

    def plain_text(self, seed: int, held_out_entities: bool = True) -> Iterator[str]:
        """Yield passages of 15-120 words for pre-training without end; see `plain.passages`."""
        return plain.passages(self, seed, held_out_entities)

    # ---- reading

    @cached_property
    def _index(self) -> Index:
        return Index(self.domains)

    def recognise(self, text: str) -> Match | None:
        """Return template, entity and value of one sentence, phrase or question; None when not of this world."""
        return self._index.recognise(text)

    def _claim(self, match: Match, sentence: str) -> Claim:
        t = match.template
        true = self._domains[t.domain].entities[match.entity][t.attribute] == match.value
        return Claim(t.domain, match.entity, t.attribute, match.value, true, sentence, t.form)

    def read(self, text: str) -> Reading:
        """Return what each sentence of the text says. Never raises; unknown values and word salad: unrecognised.

        Phrases count as claims too, with `form="phrase"`.
        """
        claims: list[Claim] = []
        questions: list[Question] = []
        unrecognised: list[str] = []
        fillers = 0
        for sentence in split_sentences(text):
            match = self._index.recognise(sentence)
            if match is None:
                unrecognised.append(sentence)
            elif match.template.form == "filler":
                fillers += 1
            elif match.template.form == "question":
                questions.append(Question(match.template.domain, match.template.attribute, match.entity))
            else:
                claims.append(self._claim(match, sentence))
        return Reading(tuple(claims), fillers, tuple(questions), tuple(unrecognised))

    def read_question(self, text: str) -> Question | None:
        """Return (domain, attribute, entity) of a single question, None if the text is anything else."""
        match = self._index.recognise(text)
        if match is None or match.template.form != "question":
            return None
        return Question(match.template.domain, match.template.attribute, match.entity)

    def mentions(self, text: str) -> list[str]:
        """Return the entities named in the text as whole words, each once, in order of appearance."""
        return self._index.mentions(text)


@lru_cache
def _facts(world: World, domain: str | None, held_out: bool | None) -> tuple[Fact, ...]:
    found = []
    for d in world.domains if domain is None else (world.domain(domain),):
        chosen = {False: d.training_entities, True: d.held_out_entities, None: tuple(d.entities)}[held_out]
        found += [d.fact(entity, attribute) for entity in chosen for attribute in d.attributes]
    return tuple(found)


@lru_cache(maxsize=1)
def load() -> World:
    """Return the world, read from its YAML files on the first call (about 0.05 s)."""
    return World(tuple(load_domain(name) for name in DOMAINS))
