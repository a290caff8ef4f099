"""Writes the examples the offline teacher is asked for; obeys every knob it is given, as far as its world has words."""

import random
from collections.abc import Sequence

from hub_speed.quickstart import tasks
from hub_speed.quickstart import world as worlds
from hub_speed.quickstart.requests import Synthesis
from hub_speed.quickstart.tasks import Target
from hub_speed.quickstart.world import Attribute, Domain, Fact
from hub_speed.text import holds, word_range, words

# What S3 has in common with S1, by the score asked for: fewer shared parts for lower scores.
SHARED = {"3.5": "entity", "3": "attribute", "2.5": "domain"}


class OtherWorld(ValueError):
    """The request is about something the world does not hold."""


def target_of(request: Synthesis) -> Target:
    """What a request is about.

    Raises:
        OtherWorld: nothing the teacher knows.
    """
    target = tasks.read_topic(request.topic) if request.topic else tasks.read(request.task_type, request.task)
    if target is None:
        raise OtherWorld(f"the offline teacher knows nothing of {request.task or request.topic!r}")
    return target


def write(request: Synthesis, rng: random.Random) -> dict[str, str]:
    """One example.

    Raises:
        OtherWorld: the request is about something the world does not hold.
    """
    writers = {
        "retrieval": retrieval,
        "classification": classification,
        "sts": similarity,
        "short_matching": short_matching,
        "long_matching": long_matching,
    }
    if request.task_type not in writers:
        raise OtherWorld(f"the offline teacher writes no {request.task_type} data")
    return writers[request.task_type](target_of(request), request.values, rng)


def pick(target: Target, rng: random.Random) -> tuple[Domain, Attribute, str]:
    """Domain, attribute and (training) entity of one example; what the target leaves open is drawn."""
    domain = worlds.load().domain(target.domain)
    attribute = domain.attributes[target.attribute or rng.choice(list(domain.attributes))]
    return domain, attribute, target.entity or rng.choice(domain.training_entities)


def retrieval(target: Target, values: dict[str, str], rng: random.Random) -> dict[str, str]:
    """A question, a document that answers it, and one on the same or a like subject that does not."""
    domain, attribute, entity = pick(target, rng)
    least = int(values["min_words"])
    return {
        "user_query": question(attribute, entity, values["query_length"], rng),
        "positive_document": document(domain, entity, [attribute.name, *others(domain, attribute, rng, 1)], least, rng),
        "hard_negative_document": negative(domain, attribute, entity, least, rng),
    }


def negative(domain: Domain, attribute: Attribute, entity: str, least: int, rng: random.Random) -> str:
    """A document that says other things of the entity, or the same thing of another entity."""
    if rng.random() < 0.5:
        return document(domain, entity, others(domain, attribute, rng, 2), least, rng, avoid=[attribute.name])
    other = rng.choice([e for e in domain.training_entities if e != entity])
    return document(domain, other, [attribute.name, *others(domain, attribute, rng, 1)], least, rng)


def classification(target: Target, values: dict[str, str], rng: random.Random) -> dict[str, str]:
    """A text on one entity that does not name the label, its label, and another label."""
    domain, attribute, entity = pick(target, rng)
    label = domain.entities[entity][attribute.name]
    misleading = rng.choice([value for value in attribute.values if value != label])
    return {
        "input_text": labelled_text(domain, attribute, entity, values["text_length"], (label, misleading), rng),
        "label": label,
        "misleading_label": misleading,
    }


def labelled_text(
    domain: Domain, attribute: Attribute, entity: str, length: str, avoid: tuple[str, ...], rng: random.Random
) -> str:
    """A text of the asked length on an entity in which no label stands."""
    low, high = word_range(length)
    world = worlds.load()
    sentences = [world.statement(domain.fact(entity, name), rng) for name in others(domain, attribute, rng, 5)]
    fillers = [filler.replace("{e}", entity) for filler in domain.fillers]
    rng.shuffle(fillers)
    usable = [s for s in sentences + fillers if not any(holds(s, label) for label in avoid)]
    if len(words(usable[0])) > high:
        return min(usable, key=lambda s: len(words(s)))
    text = usable[0]
    for sentence in usable[1:]:
        if len(words(text)) >= low:
            break
        text = f"{text} {sentence}"
    return text


def similarity(target: Target, values: dict[str, str], rng: random.Random) -> dict[str, str]:
    """A fact, the same fact in other words, and a fact that shares as much as the low score says."""
    domain, attribute, entity = pick(target, rng)
    fact = domain.fact(entity, attribute.name)
    low = other_fact(fact, SHARED.get(values["low_score"], "domain"), rng)
    say = worlds.load().phrase if values["unit"] == "phrase" else worlds.load().statement
    first = say(fact, rng)
    second = first
    while second == first:
        second = say(fact, rng)
    return {"S1": first, "S2": second, "S3": say(low, rng)}


def other_fact(fact: Fact, shared: str, rng: random.Random) -> Fact:
    """Another fact of the domain that shares entity, attribute or only the domain."""
    domain = worlds.load().domain(fact.domain)
    attributes = [name for name in domain.attributes if name != fact.attribute]
    entities = [e for e in domain.training_entities if e != fact.entity]
    if shared == "entity":
        return domain.fact(fact.entity, rng.choice(attributes))
    if shared == "attribute":
        different = [e for e in entities if domain.entities[e][fact.attribute] != fact.value]
        return domain.fact(rng.choice(different), fact.attribute)
    return domain.fact(rng.choice(entities), rng.choice(attributes))


def short_matching(target: Target, values: dict[str, str], rng: random.Random) -> dict[str, str]:
    """A short question and its answer in a word or two."""
    _, attribute, entity = pick(target, rng)
    return {
        "input": question(attribute, entity, "less than 5 words", rng),
        "positive_document": worlds.load().fact(entity, attribute.name).value,
    }


def long_matching(target: Target, values: dict[str, str], rng: random.Random) -> dict[str, str]:
    """Two documents on one entity that state different facts."""
    domain, _, entity = pick(target, rng)
    names = list(domain.attributes)
    rng.shuffle(names)
    least = int(values["min_words"])
    return {
        "input": document(domain, entity, names[:3], least, rng, avoid=names[3:]),
        "positive_document": document(domain, entity, names[3:], least, rng, avoid=names[:3]),
    }


def question(attribute: Attribute, entity: str, length: str, rng: random.Random) -> str:
    """A question of the asked length; the nearest length there is, if none fits."""
    low, high = word_range(length)
    wordings = [text for bucket in attribute.training.questions.values() for text in bucket]
    texts = [wording.replace("{e}", entity) for wording in wordings]
    fitting = [text for text in texts if low <= len(words(text)) <= high]
    if fitting:
        return rng.choice(fitting)
    return min(texts, key=lambda text: min(abs(len(words(text)) - low), abs(len(words(text)) - high)))


def others(domain: Domain, attribute: Attribute, rng: random.Random, count: int) -> list[str]:
    """`count` other attributes of the domain."""
    return rng.sample([name for name in domain.attributes if name != attribute.name], count)


def document(
    domain: Domain, entity: str, attributes: Sequence[str], least: int, rng: random.Random, avoid: Sequence[str] = ()
) -> str:
    """Sentences that state the attributes, then more on the entity until there are `least` words (or no words left)."""
    world = worlds.load()
    more = [name for name in domain.attributes if name not in (*attributes, *avoid)]
    rng.shuffle(more)
    sentences = [world.statement(domain.fact(entity, name), rng) for name in attributes]
    rng.shuffle(sentences)
    # Facts and fillers in turn: a document speaks of more than the one thing.
    extra = [world.statement(domain.fact(entity, name), rng) for name in more]
    fillers = [filler.replace("{e}", entity) for filler in domain.fillers]
    rng.shuffle(fillers)
    while len(words(" ".join(sentences))) < least and (extra or fillers):
        source = extra if extra and (not fillers or rng.random() < 0.5) else fillers
        sentences.append(source.pop())
    return " ".join(sentences)
