"""The data obey the rules that make them learnable and judgeable, and the reader reads what the writer writes."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.quickstart.world import Domain, Fact, World, load
from hub_speed.quickstart.world.model import DOMAINS, LENGTHS, words
from hub_speed.quickstart.world.reader import Template, split_sentences, templates

WORLD = load()
QUESTION_WORDS = {"short": (2, 4), "medium": (5, 9), "long": (11, 20)}
FUNCTION_WORDS = frozenset(
    "a about above after again against all already am among an and another any anyone anything are as at away back "
    "be because before behind belong below best both but by can come comes could did do does each else every "
    "everyone everything few first for from get give given gives go goes gone good got had has have he her him his how "
    "i if in inside into is it its just know known knows least like made make makes many may me might more most much "
    "must my never no nobody none not nothing of off on once one ones only or other others our out over own part "
    "people please put right same say says see she should show shown so some somebody someone something still such "
    "take taken tell than that the their them then there these they thing things think this those through time to "
    "together too try two under until up us use used very want wants was way we were what when where which while "
    "who whom whose why will with within without would you your".split()
)


def of_domain(test):
    return pytest.mark.parametrize("domain", WORLD.domains, ids=DOMAINS)(test)


def content(text: str) -> set[str]:
    return set(words(text)) - FUNCTION_WORDS


def render(template: Template, entity: str, value: str = "") -> str:
    text = template.text.replace("{e}", entity).replace("{v}", value)
    return text[:1].upper() + text[1:] if template.form == "statement" else text


def contains(haystack: str, needle: str) -> bool:
    return f" {needle.lower()} " in f" {' '.join(words(haystack))} "


def vocabulary() -> set[str]:
    """Every lower-cased word of the phrasings, names and values, and what `plain_text` writes besides."""
    texts = ["About Q A Question Answer Compare and In other words The same again Copy"]
    texts += ["Draft Correction Reason The draft gave the wrong of"]
    for d in WORLD.domains:
        texts += [d.name, d.singular, d.topic, *d.entities, *(t.text for t in templates(d))]
        for a in d.attributes.values():
            texts += [a.noun, a.heading, *a.values]
    return {word for text in texts for word in words(text)}


VOCABULARY = vocabulary()


# ---- the data


@of_domain
def test_has_the_promised_size(domain: Domain) -> None:
    assert 26 <= len(domain.entities) <= 30
    assert len(domain.attributes) == 6
    assert sum(a.closed for a in domain.attributes.values()) >= 3
    assert len(domain.fillers) >= 8
    assert len(domain.held_out_entities) == len(set(domain.held_out_entities)) == 5
    assert set(domain.held_out_entities) < set(domain.entities)
    assert not set(domain.held_out_entities) & set(domain.training_entities)
    assert 1 <= len(domain.topic.split("/")) <= 2


@of_domain
def test_closed_attributes_can_serve_as_labels(domain: Domain) -> None:
    for attribute in domain.attributes.values():
        assert attribute.kind in ("open", "closed")
        if attribute.closed:
            assert 3 <= len(attribute.values) <= 8, attribute.name
            held = Counter(domain.entities[e][attribute.name] for e in domain.training_entities)
            assert all(held[value] >= 2 for value in attribute.values), (attribute.name, held)


@of_domain
def test_each_attribute_has_enough_phrasings(domain: Domain) -> None:
    for a in domain.attributes.values():
        assert len(a.training.statements) >= 6 and len(a.held_out.statements) >= 2, a.name
        assert len(a.training.phrases) >= 3, a.name
        for length, few in zip(LENGTHS, (1, 2, 1), strict=True):
            assert len(a.training.questions[length]) >= 3 and len(a.held_out.questions[length]) >= few, a.name


@of_domain
def test_templates_have_the_right_form(domain: Domain) -> None:
    for template in templates(domain):
        text, form = template.text, template.form
        values = 1 if form in ("statement", "phrase") else 0
        assert text.count("{e}") == 1 and text.count("{v}") == values, text
        assert text.count("{") == 1 + values and text == " ".join(text.split()), text
        count = len(text.split())
        if form == "statement":
            assert 6 <= count <= 11 and text.endswith("."), text
            assert text[0].isupper() or text[0] == "{", text
        elif form == "phrase":
            assert 3 <= count <= 7 and text[-1] not in ".?!" and not text[0].isupper(), text
        elif form == "filler":
            assert 6 <= count <= 12 and text.endswith(".") and text[0].isupper(), text
        else:
            assert text[-1] not in ".!" and not any(c.isupper() for c in text), text


@of_domain
def test_questions_have_the_right_length(domain: Domain) -> None:
    for attribute, held_out in itertools.product(domain.attributes.values(), (False, True)):
        for length, group in attribute.phrasings(held_out).questions.items():
            low, high = QUESTION_WORDS[length]
            assert all(low <= len(q.split()) <= high for q in group), (attribute.name, group)


@of_domain
def test_rendered_statements_have_6_to_14_words(domain: Domain) -> None:
    for template in templates(domain):
        if template.form == "statement":
            counts = [
                len(render(template, entity, value).split())
                for entity in domain.entities
                for value in domain.attributes[template.attribute].values
            ]
            assert min(counts) >= 6 and max(counts) <= 14, template


@of_domain
def test_no_phrasing_is_given_twice(domain: Domain) -> None:
    counts = Counter(" ".join(words(t.text.replace("{e}", "eee").replace("{v}", "vvv"))) for t in templates(domain))
    assert counts.most_common(1)[0][1] == 1, counts.most_common(3)


@of_domain
def test_questions_mostly_avoid_the_words_of_statements(domain: Domain) -> None:
    for attribute in domain.attributes.values():
        statements = [content(s) for s in attribute.training.statements]
        for held_out in (False, True):
            questions = [content(q) for group in attribute.phrasings(held_out).questions.values() for q in group]
            pairs = [not (q & s) for q in questions for s in statements]
            assert sum(pairs) >= 0.8 * len(pairs), (attribute.name, held_out, sum(pairs) / len(pairs))
            assert all(any(not (q & s) for s in statements) for q in questions), attribute.name


@of_domain
def test_phrasings_of_a_kind_differ_in_their_content_words(domain: Domain) -> None:
    for attribute in domain.attributes.values():
        for group in (attribute.training.statements, *attribute.training.questions.values()):
            for one, other in itertools.combinations(map(content, group), 2):
                assert one != other or not one, (attribute.name, group)


@of_domain
def test_held_out_phrasings_use_known_words_only(domain: Domain) -> None:
    trained = {w for t in templates(domain) if not t.held_out for w in content(t.text)}
    anywhere = {w for d in WORLD.domains for t in templates(d) if not t.held_out for w in words(t.text)}
    for template in templates(domain):
        if template.held_out:
            assert set(words(template.text)) <= anywhere, (template.text, set(words(template.text)) - anywhere)
            assert content(template.text) <= trained, (template.text, content(template.text) - trained)


@of_domain
def test_values_are_short_and_belong_to_one_attribute(domain: Domain) -> None:
    owner: dict[str, str] = {}
    for attribute in domain.attributes.values():
        for value in attribute.values:
            assert isinstance(value, str) and 1 <= len(value.split()) <= 3, value
            assert owner.setdefault(value.lower(), attribute.name) == attribute.name, value
            assert not any(contains(entity, value) for entity in domain.entities), value
    for entity, row in domain.entities.items():
        assert not any(value.lower() in entity.lower() and len(value) > 2 for value in row.values()), entity


def test_entity_names_are_unmistakable() -> None:
    names = [entity for domain in WORLD.domains for entity in domain.entities]
    assert len({name.lower() for name in names}) == len(names)
    assert all(1 <= len(name.split()) <= 2 for name in names)
    assert not [(a, b) for a, b in itertools.permutations(names, 2) if contains(a, b)]
    values = {v for d in WORLD.domains for a in d.attributes.values() for v in a.values}
    phrasings = {t.text for d in WORLD.domains for t in templates(d)}
    labels = {text for d in WORLD.domains for a in d.attributes.values() for text in (a.noun, a.heading)}
    for text in values | phrasings | labels:
        assert not [name for name in names if contains(text, name)], text


def test_the_vocabulary_is_small_and_complete() -> None:
    assert len(VOCABULARY) <= 2200
    for text in itertools.islice(WORLD.plain_text(3), 2000):
        assert set(words(text)) <= VOCABULARY, set(words(text)) - VOCABULARY


def test_lookups() -> None:
    assert WORLD.fact("France", "capital") == Fact("countries", "France", "capital", "Paris")
    assert WORLD.domain_of("lions").name == "animals"
    country = WORLD.domain("countries")
    assert country.attributes["continent"].closed and not country.attributes["capital"].closed
    everything = WORLD.facts(held_out=None)
    assert len(everything) == len(set(everything)) == sum(6 * len(d.entities) for d in WORLD.domains)
    assert set(WORLD.facts()) | set(WORLD.facts(held_out=True)) == set(everything)
    assert {f.entity for f in WORLD.facts("foods", held_out=True)} == set(WORLD.domain("foods").held_out_entities)
    assert WORLD.domain(country) is country
    with pytest.raises(KeyError):
        WORLD.fact("Atlantis", "capital")
    assert load() is WORLD


# ---- reading what was written


@of_domain
def test_every_fact_survives_every_template(domain: Domain) -> None:
    index = WORLD._index
    for template, entity in itertools.product(templates(domain), domain.entities):
        value = domain.entities[entity][template.attribute] if "{v}" in template.text else ""
        found = index.matches(render(template, entity, value))
        assert [(m.template, m.entity, m.value) for m in found] == [(template, entity, value)]


@of_domain
def test_read_sorts_sentences(domain: Domain) -> None:
    for template in templates(domain):
        entity = domain.held_out_entities[0]
        attribute = template.attribute
        value = domain.entities[entity][attribute] if attribute else ""
        text = render(template, entity, value)
        reading = WORLD.read(text)
        assert not reading.unrecognised
        if template.form == "filler":
            assert reading.fillers == 1 and not reading.claims and not reading.questions
        elif template.form == "question":
            assert reading.questions == ((domain.name, attribute, entity),) == (WORLD.read_question(text),)
        else:
            (claim,) = reading.claims
            assert (claim.domain, claim.entity, claim.attribute, claim.value) == (domain.name, entity, attribute, value)
            assert claim.true and claim.sentence == text and claim.form == template.form


@of_domain
def test_wrong_values_are_read_as_false_claims(domain: Domain) -> None:
    rng = random.Random(0)
    for entity, attribute in itertools.product(domain.entities, domain.attributes.values()):
        right = domain.fact(entity, attribute.name)
        for value in attribute.values:
            (claim,) = WORLD.read(WORLD.statement(replace(right, value=value), rng)).claims
            assert claim.value == value and claim.true == (value == right.value)


def test_a_value_of_another_attribute_is_no_claim() -> None:
    assert WORLD.read("The government of France sits in Europe.").unrecognised
    assert WORLD.read("The government of France sits in Atlantis.").unrecognised
    assert WORLD.read("France Paris sits government the of in.").unrecognised


def test_reading_forgives_case_spacing_and_a_missing_stop() -> None:
    text = "  the government of   France sits\tin Paris"
    assert WORLD.read(text).claims[0].true
    assert WORLD.read("tree frogs have bare skin from head to tail").claims[0].true
    assert WORLD.read_question("Capital of France") == WORLD.read_question("capital of France?")
    assert WORLD.read("which town is the capital of France").questions == (("countries", "capital", "France"),)


def test_reading_is_not_fooled() -> None:
    for text in (
        "",
        " .?! ",
        "The government of {e} sits in {v}.",
        "The government of France sits in {v}.",
        "The government of France and Spain sits in Paris.",
        "The government of France sits in Paris?",
        "Which town is the capital of France.",
        "The government of FRANCE sits in Paris.",
        "The government_of France sits in Paris.",
    ):
        reading = WORLD.read(text)
        assert not reading.claims and not reading.questions and not reading.fillers, text


def test_a_mixed_text_is_taken_apart() -> None:
    asked = "Where should i search for wild lions?"
    text = f"Lions live first of all on meat. {asked}\n\nOh. There is much to say about lions."
    reading = WORLD.read(text)
    assert [(c.entity, c.value, c.true) for c in reading.claims] == [("lions", "meat", True)]
    assert reading.questions == (("animals", "home", "lions"),)
    assert reading.fillers == 1
    assert reading.unrecognised == ("Oh.",)


def test_mentions() -> None:
    assert WORLD.mentions("Tree frogs, lions; and South Korea! lions") == ["tree frogs", "lions", "South Korea"]
    assert WORLD.mentions("sealions and lionss and tree, frogs") == []


WORD = st.sampled_from([*sorted(VOCABULARY), "France", "Paris", "{e}", "{v}", ".", "?", "\n", "_", ", "])


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(), st.lists(WORD).map(" ".join), st.lists(WORD).map("".join)))
def test_any_text_can_be_read(text: str) -> None:
    reading = WORLD.read(text)
    total = len(reading.claims) + reading.fillers + len(reading.questions) + len(reading.unrecognised)
    assert total == len(split_sentences(text))
    WORLD.read_question(text), WORLD.mentions(text)


# ---- writing


@of_domain
def test_documents(domain: Domain) -> None:
    rng = random.Random(1)
    for entity, held_out in itertools.product(domain.entities, (False, True)):
        chosen = rng.sample(list(domain.attributes), rng.randint(1, 6))
        text = WORLD.document(domain.name, entity, chosen, rng, min_words=40, held_out=held_out)
        sentences, reading = split_sentences(text), WORLD.read(text)
        assert len(text.split()) >= 40 and len(sentences) == len(set(sentences))
        assert sorted(c.attribute for c in reading.claims) == sorted(chosen)
        assert all(c.true and c.entity == entity for c in reading.claims) and not reading.unrecognised
        assert WORLD.mentions(text) == [entity]


def test_documents_stretch_and_then_refuse() -> None:
    rng = random.Random(2)
    text = WORLD.document("countries", "France", ["capital"], rng, min_words=110)
    assert len(text.split()) >= 110 and not WORLD.read(text).unrecognised
    with pytest.raises(ValueError, match="France has at most"):
        WORLD.document("countries", "France", ["capital"], rng, min_words=1000)


def test_statement_leaves_out_what_is_excluded() -> None:
    fact, rng = WORLD.fact("lions", "diet"), random.Random(0)
    said: set[str] = set()
    for _ in WORLD.statements(fact):
        said.add(WORLD.statement(fact, rng, exclude=said))
    assert len(said) == len(WORLD.statements(fact))
    with pytest.raises(ValueError, match=r"lions\.diet"):
        WORLD.statement(fact, rng, exclude=said)


def test_writing_is_deterministic() -> None:
    def write(seed: int) -> list[str]:
        rng, world = random.Random(seed), World(WORLD.domains)
        fact = rng.choice(world.facts())
        attribute = world.domain(fact.domain).attributes[fact.attribute]
        return [
            world.statement(fact, rng),
            world.question(attribute, fact.entity, rng, length="long"),
            world.phrase(fact, rng),
            world.filler(fact.domain, fact.entity, rng),
            world.document(fact.domain, fact.entity, list(world.domain(fact.domain).attributes), rng, 60),
            *itertools.islice(world.plain_text(seed), 20),
        ]

    assert write(5) == write(5) != write(6)


# ---- plain text


def sample(seed: int, count: int, **kwargs: bool) -> list[str]:
    return list(itertools.islice(WORLD.plain_text(seed, **kwargs), count))


def spoken(text: str) -> list[str]:
    """Return the sentences of a passage without labels such as "Q:" and with what stands after them."""
    lines = [line.split(": ", 1)[-1] for line in text.splitlines()]
    parts = [piece for line in lines for piece in line.replace("In other words: ", "\n").split("The same again: ")]
    return [s for part in parts for s in split_sentences(part)]


def test_plain_text_has_the_right_length_and_variety() -> None:
    texts = sample(0, 600)
    assert all(15 <= len(text.split()) <= 120 for text in texts)
    for sign in ("Q: ", "Compare ", "Draft: ", "Copy: ", '{"', "In other words: ", "About "):
        assert any(sign in text for text in texts), sign
    assert len(set(texts)) > 590


def test_plain_text_never_uses_a_held_out_phrasing() -> None:
    recognised = 0
    for sentence in (s for text in sample(1, 1500) for s in spoken(text)):
        for match in WORLD._index.matches(sentence):
            assert not match.template.held_out, sentence
            recognised += 1
    assert recognised > 4000


def test_plain_text_copies_and_corrects() -> None:
    for text in sample(2, 800):
        if "\nCopy: " in text:
            first, _, second = text.partition("\nCopy: ")
            assert first == second
        if text.startswith("Draft: "):
            draft, _, right = (WORLD.read(line.split(": ", 1)[1]) for line in text.splitlines())
            assert sum(not c.true for c in draft.claims) >= 1 and all(c.true for c in right.claims)
            assert len(draft.claims) == len(right.claims) and not draft.unrecognised + right.unrecognised


def test_plain_text_can_leave_out_the_held_out_entities() -> None:
    held_out = {entity for domain in WORLD.domains for entity in domain.held_out_entities}
    assert not held_out & {e for text in sample(4, 400, held_out_entities=False) for e in WORLD.mentions(text)}
    assert held_out & {e for text in sample(4, 400) for e in WORLD.mentions(text)}
