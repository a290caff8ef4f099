"""What is wrong with an example, by the facts of the world and the guidelines of its request.

The strict counterpart of `check`: every sentence must be one the world can say, every claim true, every knob obeyed.
"""

from collections.abc import Callable

from hub_speed.generation.parsing import Parsed, parse
from hub_speed.quickstart import world as worlds
from hub_speed.quickstart.requests import Synthesis
from hub_speed.quickstart.tasks import Target
from hub_speed.quickstart.world import Claim, Question
from hub_speed.quickstart.writer import SHARED, target_of
from hub_speed.task_types import TASK_TYPES
from hub_speed.text import holds, word_range, words

UNREADABLE = "not the JSON object that was asked for"


def read_draft(request: Synthesis, draft: str) -> dict[str, str] | None:
    """The draft's fields, or None when it is not the JSON object that was asked for."""
    parsed = parse(draft, TASK_TYPES[request.task_type].answer)
    return parsed.answer.model_dump() if isinstance(parsed, Parsed) and not parsed.repaired else None


def defects(request: Synthesis, draft: str) -> list[str]:
    """Everything that is wrong with a draft, each in a few words; empty when nothing is."""
    fields = read_draft(request, draft)
    if fields is None:
        return [UNREADABLE]
    found: Callable[[dict[str, str], Target, dict[str, str]], list[str]] = {
        "retrieval": _retrieval,
        "classification": _classification,
        "sts": _similarity,
        "short_matching": _short_matching,
        "long_matching": _long_matching,
    }[request.task_type]
    return list(dict.fromkeys(found(fields, target_of(request), request.values)))


def penalty(found: list[str]) -> int:
    """How bad a list of defects is: a broken guideline counts twice a wrong fact, and nothing is worse than no JSON.

    Preferences can teach a model to follow guidelines, but not facts its base never learnt; so guidelines weigh more.
    """
    if UNREADABLE in found:
        return 100
    return sum(
        1 if defect.startswith("wrong ") and " of " in defect and "length" not in defect else 2 for defect in found
    )


def fits(target: Target, domain: str, attribute: str, entity: str) -> bool:
    """Whether a fact is what a topic or task is about."""
    return target.domain == domain and target.attribute in (None, attribute) and target.entity in (None, entity)


def wrong(claim: Claim) -> str:
    """The defect of a false claim."""
    noun = worlds.load().domain(claim.domain).attributes[claim.attribute].noun
    return f"wrong {noun} of {claim.entity}"


def text_defects(text: str, name: str) -> list[str]:
    """Sentences that say nothing the world knows, false claims, repetitions."""
    reading = worlds.load().read(text)
    found = [wrong(claim) for claim in reading.claims if not claim.true]
    if reading.unrecognised or reading.questions:
        found.append(f"unclear sentence in {name}")
    sentences = [claim.sentence for claim in reading.claims]
    if len(set(sentences)) < len(sentences):
        found.append(f"repeated sentence in {name}")
    return found


def states(text: str, fact: Question) -> bool:
    """Whether a text states (truly) the fact a question asks for."""
    return any(
        c.true and (c.entity, c.attribute) == (fact.entity, fact.attribute) for c in worlds.load().read(text).claims
    )


def _retrieval(fields: dict[str, str], target: Target, values: dict[str, str]) -> list[str]:
    query, positive, negative = fields["user_query"], fields["positive_document"], fields["hard_negative_document"]
    found = text_defects(positive, "the positive") + text_defects(negative, "the negative")
    least, (low, high) = int(values["min_words"]), word_range(values["query_length"])
    if len(words(positive)) < least:
        found.append("positive too short")
    if len(words(negative)) < least:
        found.append("negative too short")
    if not low <= len(words(query)) <= high:
        found.append("wrong length of the query")
    asked = worlds.load().read_question(query)
    if asked is None:
        return ["unclear query", *found]
    if not fits(target, asked.domain, asked.attribute, asked.entity):
        found.insert(0, "query off the task")
    if not states(positive, asked):
        found.append("positive does not answer")
    if states(negative, asked):
        found.append("negative answers")
    if not any(worlds.load().domain_of(entity).name == asked.domain for entity in worlds.load().mentions(negative)):
        found.append("negative off the subject")
    return found


def _classification(fields: dict[str, str], target: Target, values: dict[str, str]) -> list[str]:
    world = worlds.load()
    text, label, misleading = fields["input_text"], fields["label"], fields["misleading_label"]
    found = text_defects(text, "the text")
    low, high = word_range(values["text_length"])
    if not low <= len(words(text)) <= max(high, 9):  # the shortest sentence of some entities has nine words
        found.append("wrong length of the text")
    if holds(text, label) or holds(text, misleading):
        found.append("a label stands in the text")
    domain = world.domain(target.domain)
    attribute = domain.attributes[str(target.attribute)]
    entities = [entity for entity in world.mentions(text) if entity in domain.entities]
    if not entities:
        return ["text off the task", *found]
    if label != domain.entities[entities[0]][attribute.name]:
        found.append("wrong label")
    if misleading not in attribute.values or misleading == label:
        found.append("misleading label is none")
    return found


def _similarity(fields: dict[str, str], target: Target, values: dict[str, str]) -> list[str]:
    claims, found = [], []
    for name in ("S1", "S2", "S3"):
        reading = worlds.load().read(fields[name])
        found += [wrong(claim) for claim in reading.claims if not claim.true]
        if len(reading.claims) != 1 or reading.fillers or reading.unrecognised or reading.questions:
            found.append(f"{name} is unclear")
        elif reading.claims[0].form != ("phrase" if values["unit"] == "phrase" else "statement"):
            found.append(f"{name} is no {values['unit']}")
        else:
            claims.append(reading.claims[0])
    if len(claims) < 3:
        return found
    first, second, third = claims
    if not fits(target, first.domain, first.attribute, first.entity):
        found.append("S1 off the topic")
    if (first.entity, first.attribute) != (second.entity, second.attribute):
        found.append("S2 says something else")
    elif first.sentence == second.sentence:
        found.append("S2 repeats S1")
    if shared(first, third) != SHARED.get(values["low_score"], "domain"):
        found.append(f"S3 is not at {values['low_score']}")
    return found


def shared(first: Claim, third: Claim) -> str:
    """What two claims have in common: the fact itself, entity, attribute, domain, or nothing."""
    if first.domain != third.domain:
        return "nothing"
    if first.entity == third.entity:
        return "fact" if first.attribute == third.attribute else "entity"
    return "attribute" if first.attribute == third.attribute else "domain"


def _short_matching(fields: dict[str, str], target: Target, values: dict[str, str]) -> list[str]:
    asked = worlds.load().read_question(fields["input"])
    if asked is None:
        return ["unclear input"]
    found = []
    if not fits(target, asked.domain, asked.attribute, asked.entity):
        found.append("input off the task")
    domain = worlds.load().domain(asked.domain)
    if fields["positive_document"] != domain.entities[asked.entity][asked.attribute]:
        found.append(f"wrong {domain.attributes[asked.attribute].noun} of {asked.entity}")
    return found


def _long_matching(fields: dict[str, str], target: Target, values: dict[str, str]) -> list[str]:
    world = worlds.load()
    first, second = fields["input"], fields["positive_document"]
    found = text_defects(first, "the input") + text_defects(second, "the document")
    if min(len(words(first)), len(words(second))) < int(values["min_words"]):
        found.append("a document is too short")
    subjects = {entity for text in (first, second) for entity in world.mentions(text)}
    if len(subjects) != 1:
        found.append("two subjects" if subjects else "no subject")
        return found
    entity = subjects.pop()
    if not fits(target, world.domain_of(entity).name, str(target.attribute), entity):
        found.append("input off the task")
    said = [{claim.attribute for claim in world.read(text).claims} for text in (first, second)]
    if said[0] & said[1]:
        found.append("both state the same fact")
    return found
