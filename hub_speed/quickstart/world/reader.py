"""Recognise sentences of the world: which template, about which entity, claiming which value.

A sentence is turned into a skeleton (entity and value replaced by placeholders), and the skeleton is looked up in a
table of all templates. So the cost of a sentence does not grow with the number of templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .model import Domain

_TOKEN = re.compile(r"[^\W_]+(?:['-][^\W_]+)*|[^\w\s]")
_TEMPLATE_TOKEN = re.compile(r"\{[ev]\}|" + _TOKEN.pattern)  # input never yields a placeholder, templates do
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\s*\n\s*")
_END = ".!?"


@dataclass(frozen=True, slots=True)
class Template:
    """One phrasing. `form` is statement, phrase, question or filler; `attribute` is "" for a filler."""

    domain: str
    attribute: str
    form: str
    text: str
    held_out: bool


@dataclass(frozen=True, slots=True)
class Match:
    """What a sentence says: its template, its entity, and its value ("" for questions and fillers)."""

    template: Template
    entity: str
    value: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement (or phrase) that gives an entity a value; `true` compares it with the facts of the world."""

    domain: str
    entity: str
    attribute: str
    value: str
    true: bool
    sentence: str
    form: str = "statement"


class Question(NamedTuple):
    """A question: what is the `attribute` of the `entity`?"""

    domain: str
    attribute: str
    entity: str


@dataclass(frozen=True, slots=True)
class Reading:
    """All sentences of a text, sorted by what they are. `unrecognised` holds the sentences as written."""

    claims: tuple[Claim, ...]
    fillers: int
    questions: tuple[Question, ...]
    unrecognised: tuple[str, ...]


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, white space normalised; a line break also ends a sentence."""
    return [" ".join(part.split()) for part in _SENTENCE_END.split(text) if part.strip()]


def templates(domain: Domain) -> Iterator[Template]:
    """Yield every phrasing of the domain, training and held out."""
    for attribute in domain.attributes.values():
        for held_out in (False, True):
            phrasings = attribute.phrasings(held_out)
            for text in phrasings.statements:
                yield Template(domain.name, attribute.name, "statement", text, held_out)
            for text in phrasings.phrases:
                yield Template(domain.name, attribute.name, "phrase", text, held_out)
            for group in phrasings.questions.values():
                for text in group:
                    yield Template(domain.name, attribute.name, "question", text, held_out)
    for text in domain.fillers:
        yield Template(domain.name, "", "filler", text, False)


def _lower_first(token: str) -> str:
    return token[:1].lower() + token[1:]


def _skeleton(tokens: list[str]) -> str:
    return _lower_first(" ".join(tokens))


class _Names:
    """Multi-word names by their first token, so that one dictionary look-up finds the candidates at a position."""

    def __init__(self, names: Iterable[str]):
        self._by_first: dict[str, list[tuple[str, list[str]]]] = {}
        for name in names:
            tokens = _TOKEN.findall(name)
            self._by_first.setdefault(_lower_first(tokens[0]), []).append((name, tokens))

    def at(self, tokens: list[str], i: int, any_case: bool) -> Sequence[tuple[str, int]]:
        """Return (name, end) for each name that starts at token i; `any_case` frees the name's first letter."""
        token = tokens[i]
        candidates = self._by_first.get(_lower_first(token))
        if not candidates:
            return ()
        return [
            (name, i + len(parts))
            for name, parts in candidates
            if (any_case or token == parts[0]) and tokens[i + 1 : i + len(parts)] == parts[1:]
        ]


class Index:
    """All templates, entities and values of some domains, ready for look-up."""

    def __init__(self, domains: tuple[Domain, ...]):
        self._entities = _Names(entity for domain in domains for entity in domain.entities)
        self._domain_of = {entity: domain.name for domain in domains for entity in domain.entities}
        self._values = {d.name: _Names(v for a in d.attributes.values() for v in a.values) for d in domains}
        self._attribute_of = {
            d.name: {value: a.name for a in d.attributes.values() for value in a.values} for d in domains
        }
        self._templates: dict[str, dict[str, list[Template]]] = {}
        for domain in domains:
            table = self._templates.setdefault(domain.name, {})
            for template in templates(domain):
                skeleton = _skeleton(_TEMPLATE_TOKEN.findall(template.text.rstrip(_END)))
                table.setdefault(skeleton, []).append(template)

    def _find_entity(self, tokens: list[str]) -> tuple[str, list[str]] | None:
        """Return the only entity of the sentence and the tokens with its placeholder; None for no or several."""
        found: tuple[str, int, int] | None = None
        for i in range(len(tokens)):
            for name, end in self._entities.at(tokens, i, any_case=i == 0):
                if found:
                    return None
                found = name, i, end
        if not found:
            return None
        name, start, end = found
        return name, [*tokens[:start], "{e}", *tokens[end:]]

    def matches(self, text: str) -> list[Match]:
        """Return every template that the text could be an instance of: none or, in a sound world, one."""
        text = text.strip()
        stop = text[-1:] if text[-1:] in _END else ""
        tokens = _TOKEN.findall(text[:-1] if stop else text)
        if "".join(tokens) != "".join((text[:-1] if stop else text).split()) or not tokens:
            return []
        found = self._find_entity(tokens)
        if not found:
            return []
        entity, tokens = found
        domain = self._domain_of[entity]
        table, values, attribute_of = self._templates[domain], self._values[domain], self._attribute_of[domain]
        result = [Match(t, entity, "") for t in table.get(_skeleton(tokens), ())]
        for i in range(len(tokens)):
            for value, end in values.at(tokens, i, any_case=i == 0):
                key = _skeleton([*tokens[:i], "{v}", *tokens[end:]])
                attribute = attribute_of[value]
                result += [Match(t, entity, value) for t in table.get(key, ()) if t.attribute == attribute]
        # A question mark makes a question; a full stop unmakes one; without either both readings stay open.
        if stop:
            result = [m for m in result if (m.template.form == "question") == (stop == "?")]
        return result

    def recognise(self, text: str) -> Match | None:
        """Return what one sentence, phrase or question says, None when it is not of this world."""
        found = self.matches(text)
        return found[0] if found else None

    def mentions(self, text: str) -> list[str]:
        """Return the entities named in the text as whole words, each once, in order of appearance."""
        tokens = _TOKEN.findall(text)
        found = (name for i in range(len(tokens)) for name, _ in self._entities.at(tokens, i, any_case=True))
        return list(dict.fromkeys(found))
