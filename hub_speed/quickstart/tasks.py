"""Topics and tasks of the world: how the offline teacher words them, and how it understands them again."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from hub_speed.generation.topics import spoken
from hub_speed.quickstart import world as worlds


@dataclass(frozen=True)
class Target:
    """What a topic or task is about: a domain, perhaps narrowed to one attribute or one entity."""

    domain: str
    attribute: str | None = None
    entity: str | None = None


# Wordings per task type and per what the task is narrowed to. {domain} is a plural ("countries"), {noun} an attribute.
_WORDINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "retrieval": {
        "attribute": (
            "Given a question on {domain} and their {noun}, find texts that answer it.",
            "Find passages that tell the {noun} asked for in a question on {domain}.",
            "For a question about the {noun} among {domain}, find documents with the answer.",
            "Given a search for the {noun} of some {domain}, find texts that state it.",
            "Find texts on {domain} that answer a question about the {noun}.",
        ),
        "entity": (
            "Given a question about {entity}, find texts that answer it.",
            "Find passages that tell what a question about {entity} asks for.",
            "For any question on {entity}, find documents with the answer.",
            "Given a search about {entity}, find texts that state the fact.",
            "Find texts that answer a question about {entity}.",
        ),
        "domain": (
            "Given a question on {domain}, find texts that answer it.",
            "Find passages that tell what a question on {domain} asks for.",
            "For any question about {domain}, find documents with the answer.",
            "Given a search about {domain}, find texts that state the fact.",
            "Find texts that answer a question on {domain}.",
        ),
    },
    "classification": {
        "attribute": (
            "Classify a text on one of the {domain} by {noun}.",
            "Tell from a text about {domain} which {noun} is meant.",
            "Sort texts about {domain} by their {noun}.",
            "Decide which {noun} belongs to the {domain} of a text.",
            "Find the right {noun} for a text on {domain}.",
        )
    },
    "short_matching": {
        "attribute": (
            "Match a few words that ask for the {noun} of {domain} with the answer.",
            "Given a short question on {domain} and their {noun}, match it with the value.",
            "Match short questions about the {noun} among {domain} with their answers.",
            "Pair a brief question on the {noun} of {domain} with what it asks for.",
            "Given a few words about {domain} and a {noun}, match them with the fact.",
        ),
        "entity": (
            "Match a few words that ask something about {entity} with the answer.",
            "Given a short question on {entity}, match it with the value.",
            "Match short questions about {entity} with their answers.",
            "Pair a brief question on {entity} with what it asks for.",
            "Given a few words about {entity}, match them with the fact.",
        ),
        "domain": (
            "Match a few words that ask something about {domain} with the answer.",
            "Given a short question on {domain}, match it with the value.",
            "Match short questions about {domain} with their answers.",
            "Pair a brief question on {domain} with what it asks for.",
            "Given a few words about {domain}, match them with the fact.",
        ),
    },
    "long_matching": {
        "entity": (
            "Match a text about {entity} with another text about it.",
            "Given a document on {entity}, match it with a document that tells more.",
            "Pair two texts that speak of {entity}.",
            "Match one description of {entity} with another.",
            "Given a text on {entity}, match it with a second text on {entity}.",
        ),
        "domain": (
            "Match a text on one of the {domain} with another text about the same.",
            "Given a document on {domain}, match it with a document that tells more.",
            "Pair two texts that speak of the same one among the {domain}.",
            "Match one description from the {domain} with another of the same.",
            "Given a text on {domain}, match it with a second text on the same one.",
        ),
    },
}


def wordings() -> list[str]:
    """Every wording of a task, placeholders still open."""
    return [wording for grains in _WORDINGS.values() for found in grains.values() for wording in found]


def topics(rng_seed: int, entities_per_domain: int) -> Iterator[str]:
    """Topic paths of three grains: every domain, every attribute, and some (training) entities of every domain."""
    rng = random.Random(rng_seed)
    for domain in worlds.load().domains:
        yield domain.topic
        yield from (f"{domain.topic}/{attribute.noun}" for attribute in domain.attributes.values())
        yield from (f"{domain.topic}/{e}" for e in rng.sample(domain.training_entities, entities_per_domain))


@lru_cache(maxsize=4096)
def read_topic(text: str) -> Target | None:
    """The target of a topic as it stands in a prompt ("World > Countries > France"), None for another world's."""
    for domain in worlds.load().domains:
        head = spoken(domain.topic)
        if text == head:
            return Target(domain.name)
        last = text.removeprefix(head + " > ")
        if last != text:
            attribute = next((a.name for a in domain.attributes.values() if a.noun == last), None)
            entity = last if last in domain.entities else None
            return Target(domain.name, attribute, entity)
    return None


def word(task_type: str, topic: Target, count: int, rng: random.Random) -> list[str]:
    """`count` tasks of a type on a topic."""
    domain = worlds.load().domain(topic.domain)
    wordings = _WORDINGS[task_type]
    closed = [a for a in domain.attributes.values() if a.closed]
    attribute = domain.attributes.get(topic.attribute or "")
    if task_type == "classification":  # labels must be few, so an open attribute gives way to a closed one
        attribute = attribute if attribute and attribute.closed else rng.choice(closed)
    if attribute and "attribute" in wordings:
        grain, values = "attribute", {"domain": domain.name, "noun": attribute.noun}
    elif topic.entity and "entity" in wordings:
        grain, values = "entity", {"entity": topic.entity}
    else:
        grain, values = "domain", {"domain": domain.name}
    chosen = rng.sample(wordings[grain], min(count, len(wordings[grain])))
    return [wording.format(**values) for wording in chosen]


@lru_cache(maxsize=4096)
def read(task_type: str, task: str) -> Target | None:
    """The target of a task of the world, None for any other sentence."""
    for wordings in _WORDINGS.get(task_type, {}).values():
        for wording in wordings:
            if (match := _pattern(wording).fullmatch(task)) and (target := _target(match)):
                return target
    return None


@lru_cache
def _pattern(wording: str) -> re.Pattern[str]:
    """A wording as a regular expression whose groups match names of the world and nothing else."""
    domains = worlds.load().domains
    names = {
        "domain": [domain.name for domain in domains],
        "noun": [attribute.noun for domain in domains for attribute in domain.attributes.values()],
        "entity": [entity for domain in domains for entity in domain.entities],
    }
    text = re.escape(wording)
    for name, known in names.items():
        place = re.escape(f"{{{name}}}")
        group = f"(?P<{name}>{'|'.join(map(re.escape, known))})"
        if place in text:
            text = text.replace(place, group, 1).replace(place, f"(?P={name})")
    return re.compile(text)


def _target(match: re.Match[str]) -> Target | None:
    """The target that a matched wording names; None when the attribute is not one of the domain's."""
    found = match.groupdict()
    if entity := found.get("entity"):
        return Target(worlds.load().domain_of(entity).name, None, entity)
    domain = worlds.load().domain(found["domain"])
    if (noun := found.get("noun")) is None:
        return Target(domain.name)
    attribute = next((a.name for a in domain.attributes.values() if a.noun == noun), None)
    return Target(domain.name, attribute) if attribute else None
