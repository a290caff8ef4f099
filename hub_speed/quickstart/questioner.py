"""Writes and answers questions about passages of the small world, as the offline teacher is asked to.

A part of the questions has a flaw, so that the filters have something to find: a question speaks of its source, copies
a sentence, or asks for what the passage does not state. And a part of the facts is known without any passage.
"""

import random
import zlib

from hub_speed.quickstart import documents
from hub_speed.quickstart import world as worlds
from hub_speed.quickstart.requests import AskForQuestion, Judge, Recall, Relabel
from hub_speed.quickstart.world import Fact

FLAWS = ("names_source", "copies_passage", "asks_for_more")
FLAWED = 0.05  # of the questions with each of these
KNOWN = 6  # one of so many facts is known without a passage


def write(request: AskForQuestion, rng: random.Random) -> dict[str, str]:
    """A question of the kind and style asked for, and its answer."""
    first, *others = [facts_of(text) for text in request.passages]
    only = [fact for fact in first if not any(fact in other for other in others)] or first
    if not only:
        thing = next(iter(worlds.load().mentions(request.passages[0])), "this")
        return {"query": f"all there is to know about {thing}", "answer": "much"}
    fact = rng.choice(only)
    flaw = next((name for name in FLAWS if rng.random() < FLAWED), "")
    if flaw == "asks_for_more":
        fact = _another(fact, first, rng)
    facts = [fact]
    if request.kind == "two_passages" and (more := [each for each in others[0] if each not in first]):
        facts.append(rng.choice(more))
    query = _joined([_say(each, request.style, request.passages, rng) for each in facts], request.style)
    if flaw == "names_source":
        query = f"According to the passage, {query}"
    if flaw == "copies_passage":
        query = _sentence(fact, request.passages[0]) or query
    return {"query": query, "answer": " and ".join(each.value for each in facts)}


def recall(request: Recall) -> dict[str, str]:
    """The answer, where all that is asked for is known without a passage."""
    world, wanted = worlds.load(), sorted(documents.asked(request.query))
    known = wanted and all(zlib.crc32("/".join(each).encode()) % KNOWN == 0 for each in wanted)
    return {"answer": " and ".join(world.fact(*each).value for each in wanted) if known else "unknown"}


def judge(request: Judge) -> dict[str, object]:
    """Whether the passages state together what is asked for."""
    fits = documents.answers(request.query, "\n".join(request.passages))
    return {"reason": "Nothing is missing." if fits else "The fact that is asked for is not there.", "fits": fits}


def relabel(request: Relabel) -> dict[str, object]:
    """Of each passage, whether it states all that is asked for, only a part of it, or nothing."""
    wanted = documents.asked(request.query)

    def word(passage: str) -> str:
        there = wanted & documents.stated(passage)
        return "no" if not there else "yes" if there == wanted else "unsure"

    return {"labels": [word(passage) for passage in request.passages]}


def facts_of(text: str) -> list[Fact]:
    """The true facts that a passage states."""
    world = worlds.load()
    return [world.fact(entity, attribute) for entity, attribute in sorted(documents.stated(text))]


def _say(fact: Fact, style: str, passages: list[str], rng: random.Random) -> str:
    """A question for a fact, in one of the styles."""
    world = worlds.load()
    if style == "title":
        return world.phrase(fact, rng)
    if style == "claim":
        return world.statement(fact, rng, exclude=[s for s in world.statements(fact) if s in "\n".join(passages)])
    length = {"keyword": "short", "question": "medium", "natural": "long"}[style]
    return world.question(fact.attribute, fact.entity, rng, length)


def _joined(parts: list[str], style: str) -> str:
    """Several questions as one."""
    if style == "claim":
        return " ".join(parts)
    return ", and ".join([*(part.rstrip("?") for part in parts[:-1]), parts[-1]])


def _another(fact: Fact, stated: list[Fact], rng: random.Random) -> Fact:
    """Another fact on the same thing that the passage does not state."""
    world = worlds.load()
    domain = world.domain(fact.domain)
    left = [each for name in domain.attributes if (each := domain.fact(fact.entity, name)) not in stated]
    return rng.choice(left) if left else fact


def _sentence(fact: Fact, passage: str) -> str:
    """The sentence of a passage that states a fact."""
    return next((s for s in worlds.load().statements(fact) if s in passage), "")
