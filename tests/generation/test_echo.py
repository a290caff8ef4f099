"""What counts as a copy of the prompt, and what does not."""

import random

import pytest

from hub_speed.generation import examples, prompts
from hub_speed.generation.echo import echo, plain
from hub_speed.task_types import TASK_TYPES, TaskType

TASK = "Given a review, tell whether it is positive, negative or neutral."
every = pytest.mark.parametrize("kind", TASK_TYPES.values(), ids=list(TASK_TYPES))


def shown(name: str) -> str:
    kind = TASK_TYPES[name]
    draw = kind.draw(random.Random(0), {})
    return kind.prompt(draw, task=TASK, topic="Arts > Movies", language="English", target_language="German")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retrieval", "user_query"),
        ("retrieval", "User query"),
        ("retrieval", "a search query such as the task describes"),
        ("retrieval", "A search query such as the task describes."),
        ("retrieval", "a document that looks right for this query, but serves it less well"),
        ("retrieval", "positive_document: a document that the task wants for this query"),
        ("retrieval", '"a search query such as the task describes"\n"a document that the task wants for this query"'),
        ("retrieval", "Everything is in English"),
        ("retrieval", TASK),
        ("retrieval", "…"),
        ("retrieval", "..."),
        ("classification", "the right label for this text"),
        ("classification", "misleading label"),
        ("short_matching", "a text that the task matches with it"),
        ("short_matching", "a phrase, or one or two sentences"),
        ("sts", "S1"),
        ("sts", "All three share some words!"),
        ("sts", "Arts > Movies"),
    ],
)
def test_what_is_copied_whole_is_an_echo(name: str, value: str) -> None:
    flaw = echo({"first": "a text of its own", "second": value}, shown(name), _subject(name))
    assert flaw is not None
    assert flaw.reason == "echo"
    assert flaw.detail.startswith("second: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classification", "positive"),  # labels that the task lists
        ("classification", "neutral"),
        ("classification", "right"),
        ("retrieval", "a search query for old films"),
        ("retrieval", "documents"),
        ("retrieval", "English"),
        ("retrieval", "review"),
        ("retrieval", "This positive document is a document that the task wants for this query."),
        ("short_matching", "5"),
        ("short_matching", "20 words"),
        ("sts", "movies"),
        ("sts", "4.5"),
    ],
)
def test_words_of_the_prompt_in_a_text_of_its_own_are_no_echo(name: str, value: str) -> None:
    assert echo({"first": "a text of its own", "second": value}, shown(name), _subject(name)) is None


@pytest.mark.parametrize(
    ("name", "value", "copied"),
    [
        ("retrieval", "search query", True),
        ("retrieval", "string", True),
        ("retrieval", "Long-tail", True),
        ("retrieval", "The query.", True),
        ("retrieval", "a long-tail search query", True),
        ("classification", "right label", True),
        ("classification", "A text", True),
        ("short_matching", "positive document", True),
        ("classification", "string", False),
        ("retrieval", "query planner", False),
        ("retrieval", "string theory", False),
        ("retrieval", "search for a document about rivers", False),
        ("classification", "label maker", False),
        ("classification", "clear", False),
        ("classification", "right", False),
        ("classification", "Misleading", False),
        ("classification", "Text", False),
        ("classification", "Input", False),
        ("classification", "The label", True),
        ("retrieval", "json query", False),
        ("retrieval", "JSON object", True),
        ("retrieval", "query", True),
        ("retrieval", "document", False),
        ("short_matching", "input", True),
        ("short_matching", "string", False),
    ],
)
def test_a_few_words_of_the_prompt_that_name_the_form_are_an_echo(name: str, value: str, copied: bool) -> None:
    kind = TASK_TYPES[name]
    field = kind.positive if name == "classification" else kind.query
    found = echo(dict(kind.example) | {field: value}, shown(name), _subject(name))
    assert (found is not None) == copied, found


def test_a_misleading_label_may_be_misleading_but_not_label() -> None:
    example = dict(TASK_TYPES["classification"].example)
    for value, copied in (("Misleading", False), ("Label", True), ("misleading label", True)):
        found = echo(example | {"misleading_label": value}, shown("classification"), TASK)
        assert (found is not None) == copied, value


@pytest.mark.parametrize(
    ("value", "copied"),
    [
        ("positive query", True),
        ("Positive_query", True),
        ("hard negative document", True),
        ("This is a hard negative passage.", True),
        ("[positive text]", True),
        ("negative document 2", True),
        ("a hard negative", True),
        ("a positive review of the film", False),
        ("positive", False),
        ("Negative sentences in French", False),
        ("hard negative mining", False),
        ("a positive test", False),
        ("positive text messages", False),
    ],
)
def test_what_a_text_is_for_is_an_echo_in_every_task_type(value: str, copied: bool) -> None:
    for name, kind in TASK_TYPES.items():
        found = echo(dict(kind.example) | {kind.query: value}, shown(name), _subject(name))
        assert (found is not None) == copied, (name, found)
    labelled = dict(TASK_TYPES["classification"].example) | {"label": "Positive text"}
    assert echo(labelled, shown("classification"), TASK) is None


def _subject(name: str) -> str:
    return TASK if TASK_TYPES[name].brainstorm else "Arts > Movies"


@every
def test_the_example_of_a_type_is_no_echo_but_its_keys_are(kind: TaskType) -> None:
    prompt, subject = shown(kind.name), _subject(kind.name)
    assert echo(kind.example, prompt, subject) is None
    keys = list(kind.example)
    for turn in range(len(keys)):
        assert echo(dict(zip(keys, keys[turn:] + keys[:turn], strict=True)), prompt, subject) is not None


@pytest.mark.parametrize("reason", ["nothing is wrong", "S3 is too close to S1", "positive too short", "all are good"])
def test_a_plain_reason_is_no_echo(reason: str) -> None:
    for template in (prompts.JUDGE, prompts.REVISION):
        assert echo({"reason": reason}, f"{template}\n{shown('sts')}") is None


@pytest.mark.parametrize(
    "reason", ["your sentences", "Which statements are not true?", "which answers lack a field that the request names"]
)
def test_a_copied_reason_is_an_echo(reason: str) -> None:
    assert any(echo({"reason": reason}, template) for template in (prompts.JUDGE, prompts.REVISION))


@pytest.mark.parametrize(
    "reason",
    [
        "none",
        "None.",
        "ok",
        "OK!",
        "n/a",
        "N/A",
        "-",
        "not applicable",
        "nothing is wrong",
        "looks good",
        "No issues found.",
        "better",
        "1",
        "好",
    ],
)
def test_a_reason_that_says_nothing_is_one_only_where_nothing_changed(reason: str) -> None:
    for template in (prompts.JUDGE, prompts.REVISION):
        flaw = examples.reason_flaw(reason, template, shown("sts"))
        assert flaw is not None and flaw.reason == "empty_field"
        for usable in ("S1 unclear", "wrong label", "the first is too short", "太短"):
            assert examples.reason_flaw(usable, template, shown("sts")) is None
    left_alone = examples.reason_flaw(reason, prompts.REVISION, shown("sts"), unchanged=True)
    assert (left_alone is None) == any(map(str.isalpha, reason))


@every
def test_no_line_of_a_prompt_and_no_example_can_be_given_back_as_data(kind: TaskType) -> None:
    prompt, subject = shown(kind.name), _subject(kind.name)
    lines = [line.removeprefix("- ") for line in prompt.splitlines() if subject not in line]
    copies = [piece for line in lines for piece in (line, line.partition(": ")[2], *line.split(". ")) if piece]
    for copy in copies:
        assert echo({"a": "a text of its own", "b": copy}, prompt, subject), copy
    if kind.brainstorm:
        asked = prompts.brainstorm(kind, "Arts > Movies", 5, random.Random(0))
        assert all(echo({"tasks": example}, asked) for example in kind.task_examples)


@every
def test_no_prompt_shows_a_value_that_could_be_copied(kind: TaskType) -> None:
    values = [{"tasks": f"{word} task"} for word in ("first", "second")]
    answers = [prompts.judge("request", ["one", "two"]), prompts.revision("request", "draft", may_keep=True)]
    for template in [kind.opening, kind.closing, kind.brainstorm or "", *answers]:
        assert "…" not in template and "..." not in template
        assert not [value for value in values if value["tasks"] in template]
        assert '": "' not in template
        assert '["' not in template


def test_texts_are_compared_by_their_words() -> None:
    assert plain("The  user_query, please!") == "the user query please"
    assert plain(" ++ ") == "++"
