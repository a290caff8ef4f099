"""The data classes of the world and the loader of its YAML files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

# One file a domain; this order is the order of `World.domains`.
DOMAINS = ("countries", "animals", "elements", "foods", "tools", "instruments", "sports", "inventions")
LENGTHS = ("short", "medium", "long")

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is about ten times faster
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


def words(text: str) -> list[str]:
    """Return the lower-cased words of a text or template, without punctuation and placeholders."""
    return _WORD.findall(text.replace("{e}", " ").replace("{v}", " ").lower())


def capitalise(text: str) -> str:
    """Return the text with its first letter in upper case and the rest untouched."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True, slots=True)
class Fact:
    """One value of one entity. Lists only true facts; `dataclasses.replace` makes a false one to render."""

    domain: str
    entity: str
    attribute: str
    value: str


@dataclass(frozen=True)
class Phrasings:
    """The templates of one attribute with `{e}` for the entity and `{v}` for the value; `questions` by length."""

    questions: Mapping[str, tuple[str, ...]]
    statements: tuple[str, ...]
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attribute:
    """One property that every entity of a domain has.

    `noun` names it in running text ("the capital city of ..."). `heading` opens a list of the entities that share a
    value. `training` phrasings write training text; `held_out` phrasings are for the benchmark alone.
    """

    domain: str
    name: str
    noun: str
    kind: str
    heading: str
    training: Phrasings
    held_out: Phrasings
    values: tuple[str, ...]

    @property
    def closed(self) -> bool:
        """Whether the values are few and shared, so that they can serve as classification labels."""
        return self.kind == "closed"

    def phrasings(self, held_out: bool = False) -> Phrasings:
        """Return the phrasings for training text or those kept for the benchmark."""
        return self.held_out if held_out else self.training


@dataclass(frozen=True)
class Domain:
    """A field of knowledge: its attributes by name, its entities with their values, and sentences without facts."""

    name: str
    singular: str
    topic: str
    attributes: Mapping[str, Attribute]
    fillers: tuple[str, ...]
    entities: Mapping[str, Mapping[str, str]]
    held_out_entities: tuple[str, ...]

    @cached_property
    def training_entities(self) -> tuple[str, ...]:
        """The entities that may appear in training rows, in file order."""
        return tuple(entity for entity in self.entities if entity not in self.held_out_entities)

    def fact(self, entity: str, attribute: str) -> Fact:
        """Return the true fact. Raises KeyError for an unknown entity or attribute."""
        return Fact(self.name, entity, attribute, self.entities[entity][attribute])


def _phrasings(raw: dict[str, Any]) -> Phrasings:
    questions = {length: tuple(raw["questions"][length]) for length in LENGTHS}
    return Phrasings(MappingProxyType(questions), tuple(raw["statements"]), tuple(raw.get("phrases", ())))


def _attribute(raw: dict[str, Any], domain: str, name: str, entities: dict[str, dict[str, str]]) -> Attribute:
    values = tuple(dict.fromkeys(row[name] for row in entities.values()))
    heading = raw.get("list", f"{domain} with the {raw['noun']} {{v}}")
    training, held_out = _phrasings(raw), _phrasings(raw["held_out"])
    return Attribute(domain, name, raw["noun"], raw["kind"], heading, training, held_out, values)


def load_domain(name: str) -> Domain:
    """Read `<name>.yaml`. Raises KeyError when a field is missing, for example a value of an entity."""
    text = (files(__package__) / f"{name}.yaml").read_text(encoding="utf-8")
    raw = yaml.load(text, Loader=_LOADER)
    entities = {entity: {a: row[a] for a in raw["attributes"]} for entity, row in raw["entities"].items()}
    return Domain(
        name=raw["name"],
        singular=raw["singular"],
        topic=raw["topic"],
        attributes=MappingProxyType({a: _attribute(body, name, a, entities) for a, body in raw["attributes"].items()}),
        fillers=tuple(raw["fillers"]),
        entities=MappingProxyType({entity: MappingProxyType(row) for entity, row in entities.items()}),
        held_out_entities=tuple(raw["held_out_entities"]),
    )
