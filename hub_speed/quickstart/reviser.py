"""Revises a draft with as few changes as it takes: what is right stays as it was written."""

import random
from dataclasses import replace

from hub_speed.quickstart import world as worlds
from hub_speed.quickstart import writer
from hub_speed.quickstart.requests import Synthesis
from hub_speed.quickstart.rubric import defects, fits, read_draft, shared
from hub_speed.quickstart.world import Domain, Question
from hub_speed.quickstart.world.reader import split_sentences
from hub_speed.text import holds, word_range, words

NOTHING_WRONG = "nothing is wrong"


def revise(request: Synthesis, draft: str, rng: random.Random) -> tuple[str, dict[str, str]]:
    """What is wrong in a few words, and the better version; the draft's own fields when nothing is."""
    found, fields = defects(request, draft), read_draft(request, draft)
    if fields is None:
        return found[0], writer.write(request, rng)
    if not found:
        return NOTHING_WRONG, fields
    mend = {
        "retrieval": _retrieval,
        "classification": _classification,
        "sts": _similarity,
        "short_matching": _short_matching,
        "long_matching": _long_matching,
    }[request.task_type]
    return ", ".join(found[:3]), mend(fields, request, rng)


def _subject(fields: dict[str, str], request: Synthesis, rng: random.Random, *texts: str) -> Question:
    """The fact an example should be about: the question it asks, the first fact it states, or else a new one."""
    world, target = worlds.load(), writer.target_of(request)
    for text in texts:
        if (asked := world.read_question(text)) and fits(target, *asked):
            return asked
        for claim in world.read(text).claims:
            if fits(target, claim.domain, claim.attribute, claim.entity):
                return Question(claim.domain, claim.attribute, claim.entity)
    domain, attribute, entity = writer.pick(target, rng)
    return Question(domain.name, attribute.name, entity)


def mend_text(
    text: str,
    domain: Domain,
    entity: str,
    least: int,
    rng: random.Random,
    *,
    state: str = "",
    avoid: tuple[str, ...] = (),
) -> str:
    """A document on one entity: false claims corrected, foreign and unclear sentences dropped, gaps filled.

    Args:
        text: the draft.
        domain: the domain it is about.
        entity: the entity it has to be about.
        least: words it needs.
        rng: draws new sentences.
        state: an attribute it has to state.
        avoid: attributes it must not state.
    """
    world = worlds.load()
    kept: list[str] = []
    said: set[str] = set()
    for sentence in split_sentences(text):
        match = world.recognise(sentence)
        if match is None or match.entity != entity or match.template.form not in ("statement", "filler"):
            continue
        attribute = match.template.attribute
        if attribute in avoid:
            continue
        if attribute and match.value != domain.entities[entity][attribute]:
            sentence = world.statement(domain.fact(entity, attribute), rng)
        if not sentence.endswith((".", "!")):
            sentence += "."  # else it would run into the next one
        if sentence not in kept:
            kept.append(sentence)
            said.add(attribute)
    if state and state not in said:
        kept.insert(0, world.statement(domain.fact(entity, state), rng))
        said.add(state)
    more = [name for name in domain.attributes if name not in said and name not in avoid]
    rng.shuffle(more)
    extra = [world.statement(domain.fact(entity, name), rng) for name in more]
    fillers = [f for f in (filler.replace("{e}", entity) for filler in domain.fillers) if f not in kept]
    rng.shuffle(fillers)
    extra += fillers
    while extra and len(words(" ".join(kept))) < least:
        kept.append(extra.pop(0))
    return " ".join(kept) if kept else extra[0]


def _retrieval(fields: dict[str, str], request: Synthesis, rng: random.Random) -> dict[str, str]:
    world, values = worlds.load(), request.values
    query, positive, negative = fields["user_query"], fields["positive_document"], fields["hard_negative_document"]
    asked = _subject(fields, request, rng, query, positive)
    domain = world.domain(asked.domain)
    attribute, least = domain.attributes[asked.attribute], int(values["min_words"])
    low, high = word_range(values["query_length"])
    if world.read_question(query) != asked or not low <= len(words(query)) <= high:
        query = writer.question(attribute, asked.entity, values["query_length"], rng)
    positive = mend_text(positive, domain, asked.entity, least, rng, state=attribute.name)
    others = [entity for entity in world.mentions(negative) if entity in domain.entities]
    if not others:
        negative = writer.negative(domain, attribute, asked.entity, least, rng)
    elif others[0] == asked.entity:
        negative = mend_text(negative, domain, asked.entity, least, rng, avoid=(attribute.name,))
    else:
        negative = mend_text(negative, domain, others[0], least, rng)
    return {"user_query": query, "positive_document": positive, "hard_negative_document": negative}


def _classification(fields: dict[str, str], request: Synthesis, rng: random.Random) -> dict[str, str]:
    world, target = worlds.load(), writer.target_of(request)
    domain = world.domain(target.domain)
    attribute = domain.attributes[str(target.attribute)]
    text, misleading = fields["input_text"], fields["misleading_label"]
    entities = [entity for entity in world.mentions(text) if entity in domain.entities]
    entity = entities[0] if entities else rng.choice(domain.training_entities)
    label = domain.entities[entity][attribute.name]
    if misleading not in attribute.values or misleading == label:
        misleading = rng.choice([value for value in attribute.values if value != label])
    low, _ = word_range(request.values["text_length"])
    text = mend_text(text, domain, entity, low, rng, avoid=(attribute.name,))
    labels = (label, misleading)
    high = max(word_range(request.values["text_length"])[1], 9)
    if any(holds(text, name) for name in labels) or not low <= len(words(text)) <= high:
        text = writer.labelled_text(domain, attribute, entity, request.values["text_length"], labels, rng)
    return {"input_text": text, "label": label, "misleading_label": misleading}


def _similarity(fields: dict[str, str], request: Synthesis, rng: random.Random) -> dict[str, str]:
    world, values = worlds.load(), request.values
    subject = _subject(fields, request, rng, fields["S1"], fields["S2"])
    fact = world.fact(subject.entity, subject.attribute)
    say = world.phrase if values["unit"] == "phrase" else world.statement
    form = "phrase" if values["unit"] == "phrase" else "statement"

    def fit(text: str, common: str) -> bool:
        claims = world.read(text).claims
        if len(claims) != 1 or not claims[0].true or claims[0].form != form or world.read(text).unrecognised:
            return False
        own = replace(claims[0], entity=fact.entity, attribute=fact.attribute, domain=fact.domain)
        return shared(own, claims[0]) == common

    first = fields["S1"] if fit(fields["S1"], "fact") else say(fact, rng)
    second = fields["S2"] if fit(fields["S2"], "fact") else say(fact, rng)
    while words(second) == words(first):
        second = say(fact, rng)
    common = writer.SHARED.get(values["low_score"], "domain")
    third = fields["S3"] if fit(fields["S3"], common) else say(writer.other_fact(fact, common, rng), rng)
    return {"S1": first, "S2": second, "S3": third}


def _short_matching(fields: dict[str, str], request: Synthesis, rng: random.Random) -> dict[str, str]:
    asked = _subject(fields, request, rng, fields["input"])
    world = worlds.load()
    text = fields["input"]
    if world.read_question(text) != asked:
        text = writer.question(
            world.domain(asked.domain).attributes[asked.attribute], asked.entity, "less than 5 words", rng
        )
    return {"input": text, "positive_document": world.fact(asked.entity, asked.attribute).value}


def _long_matching(fields: dict[str, str], request: Synthesis, rng: random.Random) -> dict[str, str]:
    world, least = worlds.load(), int(request.values["min_words"])
    subject = _subject(fields, request, rng, fields["input"], fields["positive_document"])
    domain = world.domain(subject.domain)
    said = {c.attribute for c in world.read(fields["input"]).claims if c.entity == subject.entity}
    # Half of the attributes at most for the first document, so that the second has something left to say.
    mine = tuple(name for name in domain.attributes if name in said)[:3]
    rest = tuple(name for name in domain.attributes if name not in mine)
    theirs, free = rest[: len(rest) // 2 + 1], rest[len(rest) // 2 + 1 :]
    first = mend_text(fields["input"], domain, subject.entity, least, rng, avoid=theirs + (() if mine else free[:0]))
    stated = tuple({c.attribute for c in world.read(first).claims})
    second = mend_text(fields["positive_document"], domain, subject.entity, least, rng, avoid=stated)
    return {"input": first, "positive_document": second}
