"""The offline teacher: reads the pipeline's prompts, writes without a flaw, finds every flaw and mends it."""

import json
import random
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from running import HANG_S

from hub_speed.generation import examples, prompts
from hub_speed.generation.parsing import Parsed, Rejected, parse
from hub_speed.generation.planning import PlannedRow, plan_rows
from hub_speed.generation.topics import spoken
from hub_speed.llm import dialects, servers
from hub_speed.parquet import read_parquet
from hub_speed.quickstart import assets, benchmark, requests, reviser, rubric, tasks, teacher
from hub_speed.quickstart import world as worlds
from hub_speed.quickstart.requests import Brainstorm, Judgement, NotUnderstood, Revise, Synthesis
from hub_speed.quickstart.writer import OtherWorld
from hub_speed.recipe.whole import OFFLINE_TEACHER
from hub_speed.recipes.loader import load
from hub_speed.task_types import TASK_TYPES

WORLD = worlds.load()
RECIPE = load("quickstart")
TYPES = list(RECIPE.mixture)
MIX = load("quickstart", [f"mixture={dict.fromkeys(TYPES, 1)}"])
EACH = 200  # rows per task type
TOPICS = list(tasks.topics(0, assets.ENTITIES_PER_DOMAIN))
by_type = pytest.mark.parametrize("task_type", TYPES)


@dataclass(frozen=True)
class Made:
    """One planned row, what the teacher understands of it, and what it writes."""

    row: PlannedRow
    request: Synthesis
    answer: str

    def check(self, answer: str) -> str:
        """Why the pipeline would reject an answer, or nothing."""
        found = examples.read_answer(answer, "stop", self.row.columns(), "all")
        return found.reason if isinstance(found, Rejected) else ""


@cache
def pool() -> dict[str, list[tuple[str, str]]]:
    """Tasks as the pipeline gets them: brainstormed by the teacher for every topic."""
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in TYPES}
    for i, topic in enumerate(TOPICS):
        for name in TYPES:
            kind, rng = TASK_TYPES[name], random.Random(i)
            if kind.fixed_task:
                found[name].append((kind.fixed_task, topic))
                continue
            parsed = parse(teacher.answer(prompts.brainstorm(kind, spoken(topic), 5, rng), rng), prompts.Tasks)
            assert isinstance(parsed, Parsed)
            assert len(set(parsed.answer.tasks)) == 5
            found[name] += [(task, topic) for task in parsed.answer.tasks]
    return found


@cache
def made() -> dict[str, list[Made]]:
    """Task type → rows under the quickstart's knobs, with the teacher's own answers."""
    found: dict[str, list[Made]] = {name: [] for name in TYPES}
    for i, row in enumerate(plan_rows(MIX, "test", EACH * len(TYPES), pool())):
        request = requests.read(row.prompt)
        assert isinstance(request, Synthesis)
        found[row.task_type].append(Made(row, request, teacher.answer(row.prompt, random.Random(i))))
    return found


def first_of(task_type: str, **values: str) -> Made:
    """The first row of a type whose request has these values."""
    return next(m for m in made()[task_type] if values.items() <= m.request.values.items())


def revised(request: Synthesis, draft: str, seed: int = 0) -> tuple[str, str]:
    """Reason and revision, as one line of JSON."""
    found = teacher.revise(Revise(request, draft), random.Random(seed))
    return found["reason"], json.dumps(found["revision"], ensure_ascii=False)


# --- prompts are read back ------------------------------------------------------------------------------------------


@by_type
def test_a_prompt_is_understood_as_it_was_meant(task_type: str) -> None:
    kind = TASK_TYPES[task_type]
    for m in made()[task_type]:
        topic = "" if kind.brainstorm else spoken(m.row.topic)
        assert (m.request.task_type, m.request.task, m.request.topic) == (task_type, m.row.task, topic)
        assert m.request.values.items() <= {**m.row.knobs, "language": "English"}.items()
        always = {n for n in kind.knobs if any(f"{{{n}}}" in g.text for g in kind.guidelines if g.share == 1)}
        assert always | {"language"} <= set(m.request.values)


@by_type
def test_a_brainstorm_prompt_is_understood(task_type: str) -> None:
    kind = TASK_TYPES[task_type]
    if kind.brainstorm:
        found = requests.read(prompts.brainstorm(kind, "World > Countries", 7, random.Random(0)))
        assert found == Brainstorm(task_type, "World > Countries", 7)


TEXT = st.text(alphabet=st.sampled_from(list('ab {}"\n[]0<>:.')), max_size=40)


@given(st.lists(TEXT, min_size=2, max_size=5), TEXT, st.sampled_from(TYPES))
def test_judge_and_revision_prompts_are_understood(candidates: list[str], draft: str, task_type: str) -> None:
    m = made()[task_type][0]
    for may_keep in (True, False):
        assert requests.read(prompts.revision(m.row.prompt, draft, may_keep=may_keep)) == Revise(m.request, draft)
    if not any(">>>" in text or "<<<" in text for text in candidates):  # what separates them
        assert requests.read(prompts.judge(m.row.prompt, candidates)) == Judgement(m.request, candidates)


@given(st.text())
def test_any_other_prompt_is_not_understood(text: str) -> None:
    with pytest.raises(NotUnderstood):
        requests.read(text)


def test_a_prompt_of_another_wording_is_not_understood() -> None:
    prompt = made()["retrieval"][0].row.prompt
    with pytest.raises(NotUnderstood, match="no guideline reads"):
        requests.read(prompt.replace("Everything is in English.", "All of it is in English."))
    with pytest.raises(NotUnderstood, match="not a prompt of this pipeline"):
        requests.read(prompt.replace("Write one example", "Write an example"))


# --- tasks ----------------------------------------------------------------------------------------------------------


def test_topics_are_of_three_grains_and_none_is_held_out() -> None:
    assert len(TOPICS) == len(set(TOPICS)) == 8 * (1 + 6 + assets.ENTITIES_PER_DOMAIN)
    targets = [tasks.read_topic(spoken(topic)) for topic in TOPICS]
    grains = Counter((bool(t and t.attribute), bool(t and t.entity)) for t in targets)
    assert grains == {(False, False): 8, (True, False): 48, (False, True): 8 * assets.ENTITIES_PER_DOMAIN}
    held_out = {entity for domain in WORLD.domains for entity in domain.held_out_entities}
    assert not held_out & {t.entity for t in targets if t}
    assert tasks.read_topic("Science > Astronomy") is None


@by_type
def test_every_task_is_about_its_topic(task_type: str) -> None:
    for task, topic in pool()[task_type]:
        target = tasks.read_topic(spoken(topic))
        assert target is not None
        if TASK_TYPES[task_type].fixed_task:
            continue
        found = tasks.read(task_type, task)
        assert found is not None, task
        assert found.domain == target.domain
        if task_type == "classification":  # an open attribute gives way to one that can label
            attribute = WORLD.domain(found.domain).attributes[str(found.attribute)]
            assert attribute.closed
        elif task_type != "long_matching":
            assert (found.attribute, found.entity) == (target.attribute, target.entity)


# --- its own examples -----------------------------------------------------------------------------------------------


@by_type
def test_its_examples_have_no_defect_and_pass_the_check(task_type: str) -> None:
    for m in made()[task_type]:
        assert rubric.defects(m.request, m.answer) == [], (m.request, m.answer)
        assert m.check(m.answer) == "", (m.request, m.answer)


@by_type
def test_its_examples_use_no_phrasing_and_no_entity_of_the_benchmark(task_type: str) -> None:
    for m in made()[task_type]:
        for text in json.loads(m.answer).values():
            for sentence in worlds.split_sentences(text):
                match = WORLD.recognise(sentence)
                if match:
                    assert not match.template.held_out, sentence
                    assert match.entity in WORLD.domain_of(match.entity).training_entities, sentence


@by_type
def test_its_examples_differ(task_type: str) -> None:
    assert len({m.answer for m in made()[task_type]}) > EACH * 0.9


def test_it_writes_nothing_about_another_world() -> None:
    prompt = made()["retrieval"][0]
    other = prompt.row.prompt.replace(prompt.request.task, "Given a star, find its distance.")
    with pytest.raises(OtherWorld, match="knows nothing of 'Given a star"):
        teacher.answer(other, random.Random(0))
    brainstorm = prompts.brainstorm(TASK_TYPES["retrieval"], "Science > Astronomy", 5, random.Random(0))
    with pytest.raises(OtherWorld, match="Science > Astronomy"):
        teacher.answer(brainstorm, random.Random(0))
    kind = TASK_TYPES["bitext"]
    draw = kind.draw(random.Random(0), {})
    with pytest.raises(OtherWorld, match="no bitext data"):
        teacher.answer(
            kind.prompt(draw, task="", topic="World > Countries", language="English", target_language="German"),
            random.Random(0),
        )


# --- damaged drafts are mended --------------------------------------------------------------------------------------

STRAY = ["Paris", "dog", "the", "xyzzy", "Spain", "42", "?", "France", "gold", "is", "the capital city of", "wolves"]


def damage(rng: random.Random, fields: dict[str, str], other: dict[str, str]) -> str:
    """A draft such as a small model writes: words lost, replaced or repeated, fields mixed up, the end missing."""
    found, name = dict(fields), rng.choice(list(fields))
    parts, text = found[name].split(), found[name]
    kinds: list[Any] = [
        lambda: {name: " ".join(parts[1:]) or "x"},
        lambda: {name: " ".join([*parts[:-1], rng.choice(STRAY)])},
        lambda: {name: " ".join(rng.choice(STRAY) if rng.random() < 0.2 else part for part in parts)},
        lambda: {name: " ".join(part for part in parts if rng.random() < 0.8) or "x"},
        lambda: dict(zip(found, rng.sample(list(found.values()), len(found)), strict=True)),
        lambda: {name: other[name]},
        lambda: other,
        lambda: {name: f"{text} {text}"},
        lambda: {name: text.rstrip(".")},
        lambda: {name: ". ".join(text.split(". ")[:-1]) or text.rstrip(".")},
        lambda: {name: " ".join(rng.choice(STRAY) for _ in range(rng.randrange(1, 30)))},
        lambda: {name: text.swapcase()},
    ]
    draft = json.dumps(found | rng.choice(kinds)(), ensure_ascii=False)
    return draft[: rng.randrange(1, len(draft))] if rng.random() < 0.1 else draft


@by_type
def test_a_damaged_draft_is_mended(task_type: str) -> None:
    mended = 0
    rows = made()[task_type]
    for i, m in enumerate(rows):
        rng = random.Random(i)
        draft = damage(rng, json.loads(m.answer), json.loads(rng.choice(rows).answer))
        found = rubric.defects(m.request, draft)
        reason, revision = revised(m.request, draft, i)
        assert rubric.defects(m.request, revision) == [], (m.request, draft, revision)
        assert m.check(revision) == "", (m.request, draft, revision)
        assert (reason == reviser.NOTHING_WRONG) == (not found)
        assert reason == reviser.NOTHING_WRONG or reason == ", ".join(found[:3])
        assert revised(m.request, revision) == (reviser.NOTHING_WRONG, revision)  # once is enough
        mended += bool(found)
    assert mended > EACH * 0.7  # else this test would test nothing


@by_type
def test_a_right_draft_comes_back_byte_for_byte(task_type: str) -> None:
    for i, m in enumerate(made()[task_type]):
        assert revised(m.request, m.answer, i) == ("nothing is wrong", m.answer)


@by_type
@pytest.mark.parametrize("draft", ["", " ", "no JSON", "{}", "[1]", '{"a": "b"}', "null", '{"input": "a"', "{" * 50])
def test_an_unreadable_draft_is_written_anew(task_type: str, draft: str) -> None:
    m = made()[task_type][0]
    answer = json.loads(teacher.answer(prompts.revision(m.row.prompt, draft, may_keep=True), random.Random(0)))
    assert answer["reason"] == rubric.UNREADABLE
    assert rubric.defects(m.request, json.dumps(answer["revision"])) == []


def test_what_is_right_in_a_draft_stays() -> None:
    m = first_of("retrieval", min_words="30")
    fields = json.loads(m.answer)
    reason, revision = revised(m.request, json.dumps(fields | {"user_query": "xyzzy"}))
    mended = json.loads(revision)
    assert reason == "unclear query"
    assert mended["positive_document"] == fields["positive_document"]
    assert mended["hard_negative_document"] == fields["hard_negative_document"]
    reason, revision = revised(m.request, json.dumps(fields | {"positive_document": "Xyzzy xyzzy."}))
    assert json.loads(revision)["user_query"] == fields["user_query"]


# --- every kind of flaw is named ------------------------------------------------------------------------------------


def request_for(task_type: str, task: str, topic: str = "", **values: str) -> Synthesis:
    return Synthesis(task_type, task, topic, {"language": "English", **values})


RETRIEVAL = request_for(
    "retrieval",
    "Find texts on countries that answer a question about the capital city.",
    query_length="less than 5 words",
    min_words="12",
)


def facts(entity: str, *attributes: str) -> str:
    """One sentence a fact."""
    return " ".join(WORLD.statements(WORLD.fact(entity, attribute))[0] for attribute in attributes)


def ask(entity: str, attribute: str, most: int = 4) -> str:
    questions = WORLD.domain_of(entity).attributes[attribute].training.questions["short"]
    return next(q.replace("{e}", entity) for q in questions if len(q.replace("{e}", entity).split()) <= most)


GOOD = {
    "user_query": ask("France", "capital"),
    "positive_document": facts("France", "capital", "currency", "continent"),
    "hard_negative_document": facts("France", "currency", "continent", "language"),
}


def named(request: Synthesis, **fields: str) -> list[str]:
    return rubric.defects(request, json.dumps(fields, ensure_ascii=False))


def test_the_example_that_is_spoilt_below_is_right() -> None:
    assert named(RETRIEVAL, **GOOD) == []


@pytest.mark.parametrize(
    ("changes", "defect"),
    [
        ({"positive_document": GOOD["positive_document"].replace("Paris", "Madrid")}, "wrong capital city of France"),
        (
            {"hard_negative_document": GOOD["hard_negative_document"].replace("euro", "dollar")},
            "wrong currency of France",
        ),
        ({"positive_document": facts("France", "capital")}, "positive too short"),
        ({"hard_negative_document": facts("France", "currency")}, "negative too short"),
        ({"user_query": ask("France", "currency")}, "query off the task"),
        ({"user_query": ask("gold", "symbol")}, "query off the task"),
        ({"user_query": "xyzzy"}, "unclear query"),
        ({"user_query": "what is the capital city that people in France have?"}, "unclear query"),
        ({"positive_document": facts("Spain", "capital", "currency", "continent")}, "positive does not answer"),
        ({"positive_document": facts("France", "currency", "continent", "language")}, "positive does not answer"),
        ({"hard_negative_document": facts("France", "capital", "currency", "language")}, "negative answers"),
        ({"hard_negative_document": facts("gold", "symbol", "number", "state")}, "negative off the subject"),
        ({"positive_document": GOOD["positive_document"] + " The dog barks."}, "unclear sentence in the positive"),
        ({"positive_document": GOOD["positive_document"] * 2}, "unclear sentence in the positive"),
        (
            {"positive_document": f"{GOOD['positive_document']} {GOOD['positive_document']}"},
            "repeated sentence in the positive",
        ),
    ],
)
def test_a_flaw_of_a_retrieval_row_is_named(changes: dict[str, str], defect: str) -> None:
    assert defect in named(RETRIEVAL, **{**GOOD, **changes})


def test_a_query_of_the_wrong_length_is_named() -> None:
    long = WORLD.domain_of("France").attributes["capital"].training.questions["long"][0].replace("{e}", "France")
    assert named(RETRIEVAL, **{**GOOD, "user_query": long}) == ["wrong length of the query"]


CLASSIFY = request_for(
    "classification", "Sort texts about countries by their continent.", text_length="at least 10 words"
)


@pytest.mark.parametrize(
    ("changes", "defect"),
    [
        ({}, ""),
        ({"label": "Asia"}, "wrong label"),
        ({"misleading_label": "Europe"}, "misleading label is none"),
        ({"misleading_label": "Narnia"}, "misleading label is none"),
        ({"input_text": facts("France", "capital", "continent")}, "a label stands in the text"),
        ({"input_text": facts("France", "capital")}, "wrong length of the text"),
        ({"input_text": facts("gold", "symbol", "state", "number")}, "text off the task"),
        (
            {"input_text": facts("France", "capital", "currency").replace("Paris", "Madrid")},
            "wrong capital city of France",
        ),
    ],
)
def test_a_flaw_of_a_classification_row_is_named(changes: dict[str, str], defect: str) -> None:
    good = {"input_text": facts("France", "capital", "currency"), "label": "Europe", "misleading_label": "Asia"}
    found = named(CLASSIFY, **{**good, **changes})
    assert defect in found if defect else found == []


def test_flaws_of_the_other_types_are_named() -> None:
    fact = WORLD.fact("France", "capital")
    first, second = WORLD.statements(fact)[:2]
    sts = request_for("sts", "", "World > Countries > France", unit="sentence", low_score="3.5", high_score="5")
    good = {"S1": first, "S2": second, "S3": facts("France", "currency")}
    assert named(sts, **good) == []
    assert named(sts, **{**good, "S2": first}) == ["S2 repeats S1"]
    assert named(sts, **{**good, "S2": facts("France", "currency")}) == ["S2 says something else"]
    assert named(sts, **{**good, "S3": facts("Spain", "capital")}) == ["S3 is not at 3.5"]
    assert named(sts, **{**good, "S1": "Xyzzy."}) == ["S1 is unclear"]
    assert named(sts, **{**good, "S1": WORLD.phrase(fact, random.Random(0))}) == ["S1 is no sentence"]
    spain = {"S1": facts("Spain", "capital"), "S2": WORLD.statements(WORLD.fact("Spain", "capital"))[1]}
    assert "S1 off the topic" in named(sts, **{**spain, "S3": facts("Spain", "currency")})

    short = request_for("short_matching", "Match short questions about countries with their answers.")
    assert named(short, input=ask("France", "capital"), positive_document="Paris") == []
    assert named(short, input=ask("France", "capital"), positive_document="Rome") == ["wrong capital city of France"]
    assert named(short, input=ask("gold", "symbol"), positive_document="Au") == ["input off the task"]
    assert named(short, input="xyzzy", positive_document="Paris") == ["unclear input"]

    long = request_for("long_matching", "Pair two texts that speak of France.", min_words="10")
    one, two = facts("France", "capital", "currency"), facts("France", "continent", "language")
    assert named(long, input=one, positive_document=two) == []
    assert named(long, input=one, positive_document=one) == ["both state the same fact"]
    assert named(long, input=one, positive_document=facts("Spain", "continent", "language")) == ["two subjects"]
    assert "a document is too short" in named(long, input=facts("France", "capital"), positive_document=two)
    assert "input off the task" in named(
        long, input=facts("Spain", "capital", "currency"), positive_document=facts("Spain", "continent", "language")
    )


# --- judging --------------------------------------------------------------------------------------------------------


@by_type
def test_the_judge_prefers_the_draft_without_a_flaw_wherever_it_stands(task_type: str) -> None:
    rows = made()[task_type]
    judged = 0
    for i, m in enumerate(rows[:60]):
        rng = random.Random(i)
        bad = [damage(rng, json.loads(m.answer), json.loads(rng.choice(rows).answer)) for _ in range(3)]
        bad = [draft for draft in bad if rubric.defects(m.request, draft)]
        place = rng.randrange(len(bad) + 1)
        candidates = [*bad[:place], m.answer, *bad[place:]]
        verdict = json.loads(teacher.answer(prompts.judge(m.row.prompt, candidates), rng))
        assert verdict["best"] == place
        if bad:
            judged += 1
            worst = rubric.defects(m.request, candidates[verdict["worst"]])
            assert verdict["worst"] != place
            assert rubric.penalty(worst) == max(rubric.penalty(rubric.defects(m.request, draft)) for draft in bad)
            assert worst[0] in verdict["reason"]
    assert judged > 50


@by_type
def test_a_tie_names_the_same_one_twice(task_type: str) -> None:
    m = made()[task_type][0]
    other = teacher.answer(m.row.prompt, random.Random("other"))
    assert other != m.answer
    for candidates in ([m.answer, other], [other, m.answer, other], ["no JSON", "nor this"]):
        verdict = json.loads(teacher.answer(prompts.judge(m.row.prompt, candidates), random.Random(0)))
        assert verdict == {"reason": "all are equally good", "best": 0, "worst": 0}


def test_nothing_is_worse_than_what_cannot_be_read_and_guidelines_weigh_more_than_facts() -> None:
    false = {**GOOD, "positive_document": GOOD["positive_document"].replace("euro", "dollar")}
    short = {**GOOD, "positive_document": facts("France", "capital")}
    texts = [json.dumps(fields) for fields in (GOOD, false, short)] + ["no JSON"]
    penalties = [rubric.penalty(rubric.defects(RETRIEVAL, text)) for text in texts]
    assert penalties == sorted(set(penalties))
    assert penalties[0] == 0


# --- over HTTP ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Two teachers, of two seeds, each a process of its own."""
    log = tmp_path_factory.mktemp("teacher") / "log"
    with (
        servers.module(["hub_speed.quickstart.teacher", "--rng-seed", "0"], "teacher", log) as one,
        servers.module(["hub_speed.quickstart.teacher", "--rng-seed", "1"], "teacher", log) as two,
    ):
        yield one, two


def post(url: str, body: Any) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(f"{url}/v1/chat/completions", data, timeout=HANG_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def chat(url: str, prompt: str, **more: Any) -> list[str]:
    messages = [{"role": "system", "content": dialects.SYSTEM}, {"role": "user", "content": prompt}]
    status, found = post(url, {"model": OFFLINE_TEACHER, "messages": messages, **more})
    assert status == 200, found
    assert found["usage"]["completion_tokens"] > 0
    return [choice["message"]["content"] for choice in found["choices"]]


def test_the_same_prompt_and_seed_get_the_same_answer(urls: tuple[str, str]) -> None:
    m = first_of("retrieval", min_words="30")
    prompt = m.row.prompt
    first = chat(urls[0], prompt, seed=5)
    assert first == chat(urls[0], prompt, seed=5)
    others = [chat(urls[0], prompt, seed=6), chat(urls[0], prompt), chat(urls[1], prompt, seed=5)]
    assert all(other != first for other in others)
    several = chat(urls[0], prompt, seed=5, n=4)
    assert several[0] == first[0]
    assert len(set(several)) > 1
    assert all(rubric.defects(m.request, text) == [] for text in [*several, *(o[0] for o in others)])


def test_it_answers_all_four_requests_over_http(urls: tuple[str, str]) -> None:
    m = made()["sts"][0]
    brainstorm = prompts.brainstorm(TASK_TYPES["retrieval"], spoken("World/Countries"), 5, random.Random(0))
    assert len(json.loads(chat(urls[0], brainstorm)[0])["tasks"]) == 5
    assert json.loads(chat(urls[0], prompts.judge(m.row.prompt, [m.answer, "x"]))[0])["best"] == 0
    revised = chat(urls[0], prompts.revision(m.row.prompt, "x", may_keep=True))
    assert json.loads(revised[0])["reason"] == rubric.UNREADABLE
    with urllib.request.urlopen(f"{urls[0]}/v1/models", timeout=HANG_S) as response:
        assert [model["id"] for model in json.load(response)["data"]] == [OFFLINE_TEACHER]


def user(text: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (user("Tell me a joke."), "not a prompt of this pipeline: 'Tell me a joke.'"),
        (user(""), "not a prompt of this pipeline"),
        (user(None), "not a chat request"),
        (user(5), "not a chat request"),
        ({"messages": []}, "not a chat request"),
        ({"prompt": "hello"}, "not a chat request"),
        ([], "not a chat request"),
        (b"{", "not a chat request"),
        (b"\xff\xfe", "not a chat request"),
        (user("x") | {"n": "many"}, "not a chat request"),
    ],
)
def test_a_foreign_request_is_refused_in_words(urls: tuple[str, str], body: Any, message: str) -> None:
    status, found = post(urls[0], body)
    assert status == 400
    assert message in found["error"]["message"]


def test_a_prompt_about_another_world_is_refused_in_words(urls: tuple[str, str]) -> None:
    m = made()["retrieval"][0]
    status, found = post(urls[0], user(m.row.prompt.replace(m.request.task, "Given a star, find its distance.")))
    assert status == 400
    assert found["error"]["message"] == "the offline teacher knows nothing of 'Given a star, find its distance.'"


# --- benchmark and assets -------------------------------------------------------------------------------------------


PARTS = ("corpus", "queries", "qrels", "sts")


@pytest.fixture(scope="module")
def bench_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    benchmark.write(folder)
    return folder


@pytest.fixture(scope="module")
def bench(bench_folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {name: list(read_parquet(bench_folder / name)) for name in PARTS}


def stated(text: str) -> set[tuple[str, str]]:
    """(entity, attribute) of every fact of a text, all of them true."""
    reading = WORLD.read(text)
    assert not reading.unrecognised
    assert all(claim.true for claim in reading.claims)
    return {(claim.entity, claim.attribute) for claim in reading.claims}


def test_the_benchmark_is_written_in_phrasings_no_training_row_uses(bench: dict[str, list[dict[str, Any]]]) -> None:
    texts = [row["text"] for name in ("corpus", "queries") for row in bench[name]]
    texts += [row[name] for row in bench["sts"] for name in ("sentence1", "sentence2")]
    for text in texts:
        for sentence in worlds.split_sentences(text):
            match = WORLD.recognise(sentence)
            assert match is not None, sentence
            assert match.template.held_out or match.template.form == "filler", sentence


def test_the_document_of_a_query_and_no_other_states_what_it_asks_for(bench: dict[str, list[dict[str, Any]]]) -> None:
    says = {row["_id"]: stated(row["text"]) for row in bench["corpus"]}
    assert len(says) == len(bench["corpus"]) == 3 * sum(len(domain.entities) for domain in WORLD.domains)
    asked = {}
    for query in bench["queries"]:
        question = WORLD.read_question(query["text"])
        assert question is not None, query
        asked[query["_id"]] = (question.entity, question.attribute)
    assert [row["query-id"] for row in bench["qrels"]] == list(asked)
    assert len(set(asked.values())) == len(asked) == 400
    for row in bench["qrels"]:
        assert [doc for doc, found in says.items() if asked[row["query-id"]] in found] == [row["corpus-id"]]
        assert row["score"] == 1
    held_out = {entity for domain in WORLD.domains for entity in domain.held_out_entities}
    assert sum(entity in held_out for entity, _ in asked.values()) == benchmark.QUESTIONS_HELD_OUT


def test_the_score_of_a_pair_is_what_its_sentences_share(bench: dict[str, list[dict[str, Any]]]) -> None:
    for row in bench["sts"]:
        (one,), (two,) = (WORLD.read(row[name]).claims for name in ("sentence1", "sentence2"))
        assert row["score"] == benchmark.SCORES[rubric.shared(one, two)]
        assert row["sentence1"] != row["sentence2"]
    assert set(Counter(row["score"] for row in bench["sts"]).values()) == {benchmark.PAIRS // len(benchmark.SCORES)}


def test_the_benchmark_is_the_same_every_time(bench_folder: Path, tmp_path: Path) -> None:
    assets._benchmark(tmp_path)
    for name in PARTS:
        (path,) = (tmp_path / name).iterdir()
        assert pq.read_table(path).equals(pq.read_table(bench_folder / name / path.name))
    configs = yaml.safe_load((tmp_path / "README.md").read_text("utf-8").split("---\n")[1])["configs"]
    assert [config["config_name"] for config in configs] == list(PARTS)
    assert all(list(tmp_path.glob(split["path"])) for config in configs for split in config["data_files"])


def test_what_the_quickstart_publishes_has_cards_that_can_be_read(tmp_path: Path) -> None:
    facts_of_base = {"parameters": 2_000_000, "tokens": 3_000_000, "loss": 1.5}
    makers = {"topics": assets._topics, "base": lambda folder: assets._base(folder, facts_of_base)}
    for name, make in makers.items():
        (tmp_path / name).mkdir()
        make(tmp_path / name)
        _, header, text = (tmp_path / name / "README.md").read_text("utf-8").split("---\n", 2)
        assert yaml.safe_load(header)["license"] == "apache-2.0"
        assert text.startswith("\n# ")
    assert [row["topic"] for row in read_parquet(tmp_path / "topics" / "data")] == TOPICS
    assert {path.name for path in (tmp_path / "base").iterdir()} >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }
