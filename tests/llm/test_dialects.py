"""What servers take and what they really do: schema, n, thinking, TGI; each against a server on a real socket."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from fake_openai import Asked, FakeOpenAI, Reply, as_json, choices, error, text, tgi
from huggingface_hub import AsyncInferenceClient

from hub_speed.errors import EndpointRefused, RecipeError
from hub_speed.llm import dialects
from hub_speed.llm.address import Address
from hub_speed.llm.addresses import Addresses
from hub_speed.llm.dialects import Completion, Dialect, Request, Sampling
from hub_speed.llm.endpoint import Endpoint, RowFailed, RowRefused
from hub_speed.recipe import Recipe

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
GOOD = '{"a": "b"}'


pytestmark = pytest.mark.usefixtures("short_waits")


@pytest.fixture
def server(server: FakeOpenAI) -> FakeOpenAI:
    server.answer = lambda asked: GOOD
    return server


def ask(
    url: str, *prompts: str, n: int = 1, seed: int | None = None, dialect: Dialect = "chat", temperature: float = 1.0
) -> tuple[list[Completion], list[str]]:
    """The answers, one after the other, and what was noticed about the server."""

    async def run() -> tuple[list[Completion], list[str]]:
        at = Address("teacher", "m", (url,), dialect, "<{prompt}>")
        async with Endpoint(at, in_flight=4, timeout_s=10, retries=1) as opened:
            sampling = Sampling(temperature, 0.9, 50, n, seed)
            return [await opened.complete(Request(p, sampling, SCHEMA)) for p in prompts], opened.notes

    return asyncio.run(run())


def form(asked: Asked) -> str:
    """How the schema was sent."""
    found = asked.body.keys() & {"response_format", "structured_outputs"}
    return next(iter(found), "none")


# --- schema -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 403, 404, 405, 422, 500, 501])
@pytest.mark.parametrize(
    ("takes", "forms"),
    [
        ("response_format", ["response_format"] * 4),
        ("structured_outputs", [*["response_format", "structured_outputs"] * 3, "structured_outputs"]),
        ("none", [*["response_format", "structured_outputs", "none"] * 3, "none"]),
    ],
)
def test_the_schema_is_sent_as_the_server_takes_it(
    server: FakeOpenAI, takes: str, forms: list[str], status: int
) -> None:
    server.answer = lambda asked: GOOD if form(asked) == takes else error(status, "unknown field")
    found, notes = ask(server.url, *"abcd")
    assert [completion.texts for completion in found] == [(GOOD,)] * 4
    assert [form(asked) for asked in server.asked] == forms
    if takes == "response_format":
        assert notes == []
    else:
        words = "unknown field" if status < 500 else f"{status} unknown field"
        assert notes == [f"refuses a JSON schema as response_format: sent as {takes}. It says: {words}"]
    if takes == "structured_outputs":
        assert server.asked[-1].body["structured_outputs"] == {"json": SCHEMA}


def test_a_refusal_that_is_not_about_the_schema_is_told_in_the_servers_first_words(server: FakeOpenAI) -> None:
    server.answer = lambda asked: error(400, f"too long; schema as {form(asked)}")
    with pytest.raises(EndpointRefused) as caught:
        ask(server.url, "a")
    assert caught.value.got == "too long; schema as response_format"
    assert len(server.asked) == 3


def test_once_a_form_works_a_row_is_asked_once_more_without_a_schema(server: FakeOpenAI) -> None:
    server.answer = lambda asked: GOOD if asked.prompt == "a" else error(400, "too long")
    with pytest.raises(RowRefused, match="too long"):
        ask(server.url, "a", "b")
    assert [form(asked) for asked in server.asked] == ["response_format", "response_format", "none"]


def test_a_key_that_is_not_taken_is_final_at_once(server: FakeOpenAI) -> None:
    server.answer = lambda asked: error(401)
    with pytest.raises(EndpointRefused):
        ask(server.url, "a")
    assert len(server.asked) == 1


@pytest.mark.parametrize("otherwise", ["Sure, here it is!", '{"b": "no such name"}', "[1]"])
def test_a_server_that_takes_the_schema_and_ignores_it_is_noticed(server: FakeOpenAI, otherwise: str) -> None:
    server.answer = lambda asked: otherwise if asked.prompt == "c" else GOOD
    assert ask(server.url, *"abcdca")[1] == []  # odd answers
    assert ask(server.url, *"acbccd")[1] == ["takes a JSON schema as response_format, but answers otherwise"]


# --- one row decides nothing ------------------------------------------------------------------------------------------


def at_once(url: str, count: int, in_flight: int = 64, dialect: Dialect = "chat") -> tuple[list[object], list[str]]:
    """What comes of so many rows, twice as many of them at once as may be in flight, and what was noticed."""

    async def run() -> tuple[list[object], list[str]]:
        workers = asyncio.Semaphore(2 * in_flight)

        async def row(i: int) -> Completion:
            async with workers:
                return await opened.complete(Request(str(i), Sampling(0.7, 0.9, 50), SCHEMA))

        async with Endpoint(Address("t", "m", (url,), dialect), in_flight=in_flight, timeout_s=10, retries=2) as opened:
            return await asyncio.gather(*map(row, range(count)), return_exceptions=True), opened.notes

    return asyncio.run(run())


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("odd", [{7}, set(range(0, 60, 12))])
def test_rows_that_are_refused_with_their_schema_do_not_take_it_from_others(
    server: FakeOpenAI, odd: set[int], status: int
) -> None:
    def answer(asked: Asked) -> Reply:
        if int(asked.prompt) in odd and form(asked) != "none":
            return error(status, "json_validate_failed")
        return Reply(text(asked, GOOD).body, wait_s=0.05 if form(asked) != "none" else 0)

    server.answer = answer
    found, notes = at_once(server.url, 400)
    assert notes == []
    assert {form(asked) for asked in server.asked if int(asked.prompt) not in odd} == {"response_format"}
    assert {i for i, each in enumerate(found) if not isinstance(each, Completion)} <= odd


def test_a_schema_that_is_refused_is_not_taken_from_another_one(server: FakeOpenAI) -> None:
    server.answer = lambda asked: (
        GOOD
        if asked.prompt == "good" or form(asked) == "none"
        else error(400, "a keyword of this schema is not supported")
    )

    async def run() -> list[str]:
        async with Endpoint(Address("t", "m", (server.url,)), in_flight=4, timeout_s=10, retries=2) as opened:
            for name in ["good", "bad"] * 6:
                await opened.complete(Request(name, Sampling(0.7, 0.9, 50), SCHEMA, name))
            return opened.notes

    (note,) = asyncio.run(run())
    assert note.endswith("sent as none. It says: a keyword of this schema is not supported")
    assert {form(asked) for asked in server.asked if asked.prompt == "good"} == {"response_format"}
    assert [form(asked) for asked in server.asked[-3:]] == ["none", "response_format", "none"]


def test_a_refusal_of_the_whole_first_volley_that_passes_changes_nothing(server: FakeOpenAI) -> None:
    def answer(asked: Asked) -> Reply | str:
        if len(server.asked) <= 64 or form(asked) == "structured_outputs":
            return error(400, "the model is loading")
        return GOOD

    server.answer = answer
    found, notes = at_once(server.url, 200)
    assert (notes, {type(each) for each in found}) == ([], {Completion})
    assert [form(asked) for asked in server.asked].count("none") <= 64
    refused = {asked.prompt for asked in server.asked[:64]}
    assert {form(asked) for asked in server.asked if asked.prompt not in refused} == {"response_format"}
    assert len(server.asked) == 200 + 64  # each of the refused rows is asked once more, and that is all


def test_a_form_that_is_refused_is_given_up_though_the_first_volley_was_sent_in_it(server: FakeOpenAI) -> None:
    def answer(asked: Asked) -> Reply | str:
        if form(asked) == "response_format" and asked.prompt != "0":
            return error(400, "unknown field")
        return Reply(text(asked, GOOD).body, wait_s=0.8 if asked.prompt == "0" else 0)  # a straggler

    server.answer = answer
    found, notes = at_once(server.url, 300, in_flight=8)
    assert notes == ["refuses a JSON schema as response_format: sent as structured_outputs. It says: unknown field"]
    assert {type(each) for each in found} == {Completion}
    assert {form(asked) for asked in server.asked[60:]} == {"structured_outputs"}


def test_a_parameter_that_some_rows_are_refused_for_is_left_out_of_those_alone(server: FakeOpenAI) -> None:
    def answer(asked: Asked) -> Reply | str:
        return newer(asked) if int(asked.prompt) % 10 == 3 else GOOD

    server.answer = answer
    found, notes = at_once(server.url, 100, in_flight=4)
    assert (notes, {type(each) for each in found}) == ([], {Completion})
    assert all("temperature" in asked.body for asked in server.asked if int(asked.prompt) % 10 != 3)


def test_an_answer_that_was_cut_off_says_nothing_about_the_schema(server: FakeOpenAI) -> None:
    server.answer = lambda asked: text(asked, '{"a": "b', "length")
    assert ask(server.url, "a")[1] == []
    server.answer = lambda asked: '{"a": "line\nbreak"}'
    assert ask(server.url, "a")[1] == []


# --- parameters -------------------------------------------------------------------------------------------------------


def newer(asked: Asked) -> Reply | str:
    """Refuses what OpenAI's newer models refuse, one thing at a time, in their words."""
    words = {
        "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model."
        " Use 'max_completion_tokens' instead.",
        "temperature": "Unsupported value: 'temperature' does not support 0.7 with this model."
        " Only the default (1) value is supported.",
        "top_p": "Unsupported parameter: 'top_p' is not supported with this model.",
    }
    for name, message in words.items():
        if name in asked.body:
            return as_json({"error": {"message": message, "param": name, "code": "unsupported_parameter"}}, 400)
    return GOOD


def test_parameters_that_a_model_does_not_take_are_left_out_from_then_on(server: FakeOpenAI) -> None:
    server.answer = newer
    found, notes = ask(server.url, *"abcd", temperature=0.7)
    assert [completion.texts for completion in found] == [(GOOD,)] * 4
    assert [completion.attempts for completion in found] == [1, 1, 1, 1]
    last = server.asked[-1].body
    assert last["max_completion_tokens"] == 50
    assert not last.keys() & {"max_tokens", "temperature", "top_p"}
    assert form(server.asked[-1]) == "response_format"  # the refusal was not taken for one of the schema
    assert [note.partition(" It says")[0] for note in notes] == [
        "does not take max_tokens: sent as max_completion_tokens.",
        "does not take temperature: left out.",
        "does not take top_p: left out.",
    ]


def test_all_requests_that_were_in_flight_recover_and_are_told_of_once(server: FakeOpenAI) -> None:
    def answer(asked: Asked) -> Reply:
        found = newer(asked)
        reply = found if isinstance(found, Reply) else text(asked, found)
        return Reply(reply.body, reply.status, wait_s=0.05)

    server.answer = answer

    found, notes = at_once(server.url, 50, in_flight=8)
    assert {type(each) for each in found} == {Completion}
    assert len(notes) == 3


@pytest.mark.parametrize(
    "words",
    [
        "max_completion_tokens is too large",
        "'max_tokens' or 'max_completion_tokens' is too large: 8192",
        "temperature must be below 2",
    ],
)
def test_a_value_that_is_refused_is_a_refusal(server: FakeOpenAI, words: str) -> None:
    server.answer = lambda asked: GOOD if asked.prompt == "a" else error(400, words)
    with pytest.raises(RowRefused, match=words):
        ask(server.url, "a", "b")
    assert len(server.asked) <= 4  # at most once more in other words, and once without a schema


def test_a_model_that_takes_neither_name_is_asked_no_further(server: FakeOpenAI) -> None:
    server.answer = lambda asked: error(400, "No 'max_tokens'. Use 'max_completion_tokens' instead.")
    with pytest.raises(EndpointRefused):
        ask(server.url, "a")
    assert len(server.asked) == 4  # two names, then two more forms of the schema


WORDINGS = {
    "`temperature` is deprecated for this model.": "temperature",
    "top-p is not supported": "top_p",
    "This model has no max tokens": "max_tokens",
    "invalid temperature: only 1 is allowed for this model": "temperature",
    "litellm.UnsupportedParamsError: such models don't support temperature=0.7": "temperature",
    "Malformed input request: extraneous key [temperature] is not permitted": "temperature",
    "`temperature` and `top_p` cannot both be specified for this model. Please use only one.": "top_p",
    "Input validation error: `top_p` must be > 0.0 and < 1.0": "top_p",
    'Invalid JSON payload received. Unknown name "topP": Cannot find field.': "top_p",
    "[{'type': 'extra_forbidden', 'loc': ['body', 'top_p'], 'msg': 'Extra inputs are not permitted'}]": "top_p",
    "Unrecognized request argument supplied: max_tokens": "max_tokens",
    "max_tokens has been replaced by another parameter": "max_tokens",
    "[{'type': 'extra_forbidden', 'loc': ['body', 'seed'], 'msg': 'Extra inputs are not permitted'}]": "seed",
    "'n' : number must be at most 1": "n",
    "Invalid schema for response_format 'answer': 'maxItems' is not permitted.": "maxItems",
    "Invalid schema for response_format 'answer': ('b'): 'minimum' is not permitted.": "minimum",
}


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("words", WORDINGS)
def test_every_server_words_in_its_own_way_what_it_does_not_take(server: FakeOpenAI, words: str, status: int) -> None:
    name, listed = WORDINGS[words], {"type": "array", "maxItems": 3, "items": {"type": "string"}}

    def answer(asked: Asked) -> Reply:
        taken = f'"{name}"' not in json.dumps(asked.body)
        return text(asked, GOOD) if taken else error(status, words)

    async def run() -> list[str]:
        async with Endpoint(Address("teacher", "m", (server.url,)), in_flight=1, timeout_s=10, retries=0) as opened:
            schema = {"type": "object", "properties": {"a": listed, "b": {"type": "integer", "minimum": 0}}}
            for prompt in "abcdef":
                asked = Request(prompt, Sampling(0.7, 0.9, 50, n=2, seed=1), schema)
                assert set((await opened.complete(asked)).texts) == {GOOD}
            return opened.notes

    server.answer = answer
    instead = "sent as max_completion_tokens" if name == "max_tokens" else "left out"
    assert f"does not take {name}: {instead}. It says: {words}" in asyncio.run(run())
    assert form(server.asked[-1]) == "response_format"
    last = json.dumps(server.asked[-1].body)
    assert all(f'"{other}"' in last for other in {"temperature", "seed", "top_p", "maxItems"} - {name})


def test_tgi_refuses_a_neutral_top_p_that_others_would_replace_by_their_own(server: FakeOpenAI) -> None:
    """vLLM takes a `top_p` that is left out from the model's generation_config.json, so it is sent to all others."""

    def answer(asked: Asked) -> Reply:
        refused = asked.body.get("top_p") == 1
        return error(422, "Input validation error: `top_p` must be > 0.0 and < 1.0") if refused else text(asked, GOOD)

    server.answer = answer
    for dialect in ("chat", "completion"):

        async def run(dialect: Dialect) -> list[Completion]:
            at = Address("teacher", "m", (server.url,), dialect)
            async with Endpoint(at, in_flight=1, timeout_s=10, retries=0) as opened:
                return [await opened.complete(Request(p, Sampling(0.7, 1.0, 50))) for p in "abcdef"]

        found = asyncio.run(run(dialect))  # type: ignore[arg-type]
        assert [completion.texts for completion in found] == [(GOOD,)] * 6
        assert "top_p" not in server.asked[-1].body and server.asked[-1].body["temperature"] == 0.7


def test_what_was_taken_once_is_not_left_out_of_other_rows(server: FakeOpenAI) -> None:
    words = "the temperature of your prompt is refused"
    server.answer = lambda asked: GOOD if "bad" not in asked.prompt else error(400, words)

    async def run() -> None:
        async with Endpoint(Address("teacher", "m", (server.url,)), in_flight=1, timeout_s=10, retries=0) as opened:
            for prompt in ("a", "bad 1", "bad 2", "bad 3", "bad 4", "b"):
                with pytest.raises(RowRefused) if "bad" in prompt else contextlib.nullcontext():
                    await opened.complete(Request(prompt, Sampling(0.7, 0.9, 50)))
            assert opened.notes == []

    asyncio.run(run())
    assert server.asked[-1].body["temperature"] == 0.7


SYSTEM_WORDS = [
    (400, "System role not supported"),
    (500, "Jinja Exception: System role not supported"),
    (400, "Only user and assistant roles are supported!"),
    (500, "Only user, assistant and tool roles are supported, got system."),
    (422, "messages.0.role: Input should be 'user' or 'assistant'"),
    (400, "Unexpected message role."),
    (400, "Conversation roles must alternate user/assistant/user/assistant/..."),
    (400, "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
    (400, "Developer instruction is not enabled for models/gemma-3-27b-it"),
]


@pytest.mark.parametrize(("status", "words"), SYSTEM_WORDS)
def test_a_model_without_a_system_role_gets_the_message_with_the_users(
    server: FakeOpenAI, status: int, words: str
) -> None:
    def answer(asked: Asked) -> Reply:
        roles = [message["role"] for message in asked.body["messages"]]
        return error(status, words) if "system" in roles else text(asked, GOOD)

    server.answer = answer
    found, notes = ask(server.url, *"abcdef")
    assert [completion.texts for completion in found] == [(GOOD,)] * 6
    assert server.asked[-1].body["messages"] == [{"role": "user", "content": f"{dialects.SYSTEM}\n\nf"}]
    assert len(notes) == 1
    assert notes[0].startswith("does not take system: sent as a part of the user's message. It says: ")


# --- n ----------------------------------------------------------------------------------------------------------------


def test_a_server_that_ignores_n_is_asked_for_one_at_a_time(server: FakeOpenAI) -> None:
    server.answer = lambda asked: as_json(choices(asked, [f"answer {len(server.asked)}"]))
    found, notes = ask(server.url, *"abcd", n=3, seed=10)
    answers = [f"answer {i}" for i in range(1, 13)]
    assert [text for completion in found for text in completion.texts] == answers
    assert [(asked.n, asked.body["seed"]) for asked in server.asked] == [
        *((3, 10), (1, 11), (1, 12)) * 3,
        *((1, 10), (1, 11), (1, 12)),
    ]
    assert "asked for 3 answers at once, it gives 1: asked for one at a time" in notes
    for completion in found:
        assert (completion.calls, completion.attempts, completion.prompt_tokens) == (3, 3, 33)
        assert len(completion.finish_reasons) == 3


def test_one_row_that_gets_too_few_answers_does_not_change_how_the_others_are_asked(server: FakeOpenAI) -> None:
    def answer(asked: Asked) -> Reply:
        return as_json(choices(asked, [GOOD] * (1 if asked.prompt in "bdfh" else asked.n)))

    server.answer = answer
    found, notes = ask(server.url, *"abcdefghi", n=3)
    assert notes == [] and {len(completion.texts) for completion in found} == {3}
    assert server.asked[-1].n == 3


def test_what_a_server_gives_too_few_of_is_not_thrown_away(server: FakeOpenAI) -> None:
    server.answer = lambda asked: as_json(choices(asked, ["x", "y"] if asked.n == 5 else ["z"]))
    found, _ = ask(server.url, "a", n=5)
    assert found[0].texts == ("x", "y", "z", "z", "z")
    assert found[0].calls == 4


# --- thinking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "thought", "answer"),
    [
        ({"content": GOOD}, "", GOOD),
        ({"content": GOOD, "reasoning_content": 'first {"a"'}, 'first {"a"', GOOD),
        ({"content": GOOD, "reasoning": "well"}, "well", GOOD),
        ({"content": GOOD, "reasoning_content": None, "reasoning": ""}, "", GOOD),
        ({"content": f'<think>\nsay {{"a": "no"}}\n</think>\n\n{GOOD}'}, 'say {"a": "no"}', f"\n\n{GOOD}"),
        ({"content": f"hm, so\n</think>{GOOD}"}, "hm, so", GOOD),
        ({"content": "<think>and it never ends"}, "and it never ends", ""),
        ({"content": None, "reasoning_content": "and it never ends"}, "and it never ends", ""),
        ({"content": '{"a": "</think>"}'}, "", '{"a": "</think>"}'),
        ({"content": "I <think> so"}, "so", "I "),
        ({"content": f"<thinking>a</thinking>\n[THINK]b[/THINK]{GOOD}"}, "a\nb", f"\n{GOOD}"),
        # The opening tag is in the prompt, and the thinking begins with a draft.
        ({"content": f'{{"a": "draft"}} hm, no.\n</think>{GOOD}'}, '{"a": "draft"} hm, no.', GOOD),
        ({"content": f'{{"a": "</think>"}} no\n</think>{GOOD}'}, '{"a": "</think>"} no', GOOD),
        ({"content": ' {"a": "x</think>"} done'}, "", ' {"a": "x</think>"} done'),
        ({"content": '{"a": "to be </think> repaired",'}, "", '{"a": "to be </think> repaired",'),
    ],
)
def test_thinking_is_kept_apart_from_the_answer(
    server: FakeOpenAI, message: dict[str, Any], thought: str, answer: str
) -> None:
    server.answer = lambda asked: as_json({"choices": [{"message": message, "finish_reason": "stop"}]})
    found, _ = ask(server.url, "a")
    assert (found[0].thoughts, found[0].texts) == ((thought,), (answer,))


# --- answers as servers write them ------------------------------------------------------------------------------------


def reply(**choice: Any) -> Reply:
    """A chat answer with one choice."""
    return as_json({"choices": [choice], "model": None})


@pytest.mark.parametrize(
    ("content", "thought"),
    [
        ([{"type": "text", "text": GOOD}], ""),
        ([{"type": "text", "text": GOOD[:4]}, {"type": "text", "text": GOOD[4:]}], ""),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": GOOD}], "hm"),
        ([{"type": "reasoning", "reasoning": "hm"}, {"type": "output_text", "text": GOOD}], "hm"),
        ([GOOD], ""),
        ([{"type": "image_url", "image_url": {}}, {"type": "text", "text": GOOD}, {"type": "text", "text": None}], ""),
        ([None, {"type": "text", "text": GOOD}], ""),
        ({"type": "text", "text": GOOD}, ""),
    ],
)
def test_content_may_be_a_list_of_parts(server: FakeOpenAI, content: Any, thought: str) -> None:
    server.answer = lambda asked: reply(message={"role": "assistant", "content": content})
    found, _ = ask(server.url, "a")
    assert (found[0].texts, found[0].thoughts, found[0].model) == ((GOOD,), (thought,), "m")


CALLED = {"name": "answer", "arguments": GOOD}


@pytest.mark.parametrize(
    "message",
    [
        {"content": json.loads(GOOD)},  # JSON mode of some gateways
        {"content": None, "tool_calls": [{"id": "x", "type": "function", "function": CALLED}]},
        {"content": "", "tool_calls": [{"function": {"name": "answer", "arguments": json.loads(GOOD)}}]},
        {"content": None, "tool_calls": None, "function_call": CALLED},
        {"content": None, "reasoning_content": GOOD},
        {"content": "", "reasoning": GOOD},
    ],
)
def test_an_answer_may_stand_elsewhere_than_in_the_content(server: FakeOpenAI, message: dict[str, Any]) -> None:
    server.answer = lambda asked: reply(message=message, finish_reason="stop")
    found, notes = ask(server.url, "a")
    assert (json.loads(found[0].texts[0]), found[0].thoughts, notes) == (json.loads(GOOD), ("",), [])


@pytest.mark.parametrize("thought", [f"I write {GOOD}", f"{GOOD} or not", "{so}", f"[{GOOD}]"])
def test_thinking_that_is_not_an_object_alone_is_no_answer(server: FakeOpenAI, thought: str) -> None:
    server.answer = lambda asked: reply(message={"content": None, "reasoning_content": thought}, finish_reason="stop")
    found, _ = ask(server.url, "a")
    assert (found[0].texts, found[0].thoughts) == (("",), (thought,))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        *((reason, "length") for reason in ("length", "max_tokens", "MAX_TOKENS", "model_length")),
        *((reason, "length") for reason in ("FinishReason.MAX_TOKENS", "max_length", "max_new_tokens")),
        *((reason, "refused") for reason in ("content_filter", "SAFETY", "refusal", "sensitive")),
        *((reason, "refused") for reason in ("content_filter: RECITATION", "guardrail_intervened")),
        *((reason, reason) for reason in ("stop", "STOP", "eos_token", "end_turn")),
        (None, "stop"),
    ],
)
def test_every_server_has_its_own_words_for_why_it_stopped(server: FakeOpenAI, theirs: str | None, ours: str) -> None:
    server.answer = lambda asked: reply(message={"content": GOOD}, finish_reason=theirs)
    found, _ = ask(server.url, "a")
    assert (found[0].finish_reasons, found[0].texts) == ((ours,), (GOOD,))


@pytest.mark.parametrize("name", ["x" * 1_000_000, {"a": 1}, 10**20])
def test_what_is_no_name_is_left_out(name: Any) -> None:
    choice = {"message": {"content": GOOD}, "finish_reason": name}
    found = dialects.read("chat", {"choices": [choice], "model": name}, "m")
    assert (found.texts, found.finish_reasons, found.model) == ((GOOD,), ("stop",), "m")


@pytest.mark.parametrize("message", [{}, {"content": None}, {"role": "assistant"}, None])
def test_a_choice_without_content_was_cut_off_while_the_model_thought(server: FakeOpenAI, message: Any) -> None:
    server.answer = lambda asked: reply(message=message, finish_reason="length")
    found, notes = ask(server.url, "a")
    assert (found[0].texts, found[0].finish_reasons, notes) == (("",), ("length",), [])


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "refusal": "I'm sorry."},
        {"content": [{"type": "refusal", "refusal": "I'm sorry."}]},
        {
            "content": [{"type": "refusal", "refusal": "I'm "}, {"type": "refusal", "refusal": "sorry."}],
            "refusal": None,
        },
    ],
)
def test_what_a_model_says_instead_of_an_answer_is_kept(server: FakeOpenAI, message: Any) -> None:
    server.answer = lambda asked: reply(message=message, finish_reason="stop")
    found, notes = ask(server.url, "a")
    assert (found[0].texts, found[0].finish_reasons, notes) == (("I'm sorry.",), ("refused",), [])


@pytest.mark.parametrize("reason", ["error", "ERROR", "abort", "insufficient_system_resource", "network_error"])
def test_an_answer_that_the_server_broke_off_is_asked_again(server: FakeOpenAI, reason: str) -> None:
    server.answer = lambda asked: text(asked, GOOD[:5], reason) if asked.nth == 1 else GOOD
    found, _ = ask(server.url, "a")
    assert (found[0].texts, found[0].attempts) == ((GOOD,), 2)


BAD_CHOICES = {
    "broken off": {"message": {"content": GOOD[:3]}, "finish_reason": "abort"},
    "nothing": None,
    "no message": {"index": 0, "finish_reason": "error", "message": None},
    "an error of its own": {"message": {"content": GOOD}, "finish_reason": "stop", "error": {"code": 502}},
    "a number": {"message": {"content": 5}},
    "parts of another kind": {"message": {"content": [5]}},
    "half an emoji": {"message": {"content": '{"a": "\ud83d"}'}},
}


@pytest.mark.parametrize("bad", BAD_CHOICES)
def test_a_bad_candidate_never_costs_the_others_of_its_row(server: FakeOpenAI, bad: str) -> None:
    good = {"message": {"content": GOOD}, "finish_reason": "stop"}
    server.answer = lambda asked: as_json({"choices": [good, BAD_CHOICES[bad], good]})
    found, notes = ask(server.url, "a", n=3)
    assert (found[0].texts[0], found[0].texts[2], found[0].attempts) == (GOOD, GOOD, 1)
    assert not [note for note in notes if "otherwise" not in note]
    assert found[0].finish_reasons[1] == ("stop" if bad == "half an emoji" else "error")


SENT = '{"choices": [{"message": {"content": "{\\"a\\": \\"VALUE\\"}"}, "finish_reason": "stop"}], "x": 1}'
"""An answer; its VALUE is replaced below."""


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (SENT.replace("VALUE", "café").encode(), "application/json", "café"),
        (b"\xef\xbb\xbf" + SENT.replace("VALUE", "café").encode(), "application/json", "café"),
        (SENT.replace("VALUE", "café").encode("utf-16"), "application/json", "café"),
        (SENT.replace("VALUE", "café").encode("latin-1"), "application/json; charset=iso-8859-1", "café"),
        (SENT.replace("VALUE", "café").encode("latin-1"), "application/json", "caf\ufffd"),
        (SENT.replace("VALUE", "café").encode("latin-1"), "application/json; charset=no-such", "caf\ufffd"),
        (SENT.replace("VALUE", r"\ud83d\ude00 \ud83d!").encode(), "application/json", "😀 \ufffd!"),
        (SENT.replace("VALUE", r"\ude00\ud83d").encode(), "application/json", "\ufffd\ufffd"),
        (SENT.replace("VALUE", r"\\\\ud83d \ud83d").encode(), "application/json", r"\ud83d" + " \ufffd"),
        (SENT.replace("VALUE", "a").replace('"x": 1', '"x": NaN').encode(), "application/json", "a"),
        (SENT.replace("VALUE", "a\tb").encode(), "application/json", "a\tb"),
        (SENT.replace("VALUE", "a").replace('"x": 1', '"x": Infinity, "y": 1e999').encode(), "application/json", "a"),
    ],
)
def test_what_can_be_read_of_a_body_is_read(server: FakeOpenAI, body: bytes, content_type: str, value: str) -> None:
    server.answer = lambda asked: Reply(body, headers=(("Content-Type", content_type),))
    found, _ = ask(server.url, "a")
    assert json.loads(found[0].texts[0], strict=False) == {"a": value}
    assert found[0].attempts == 1
    found[0].texts[0].encode()  # nothing that no file can hold


@pytest.mark.parametrize(
    ("usage", "read", "written"),
    [
        ({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}, 11, 7),
        ({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 1018}, 11, 1007),  # thoughts in the total alone
        ({"prompt_tokens": 11, "total_tokens": 18}, 11, 7),
        ({"prompt_tokens": 11, "completion_tokens": 7}, 11, 7),
        ({"prompt_tokens": "many", "completion_tokens": 7.0, "total_tokens": None}, 0, 7),
        ({"prompt_tokens": -5, "completion_tokens": float("nan"), "total_tokens": float("inf")}, 0, 0),
        ({"prompt_tokens": 2**63, "completion_tokens": 1e308, "total_tokens": 10**20}, 0, 0),  # no column holds these
        ({"prompt_tokens": 11, "completion_tokens": 10**9 + 1, "total_tokens": 18}, 11, 7),
        ([1], 0, 0),
        (None, 0, 0),
    ],
)
def test_tokens_are_read_where_they_are_told(server: FakeOpenAI, usage: Any, read: int, written: int) -> None:
    server.answer = lambda asked: as_json({"choices": [{"message": {"content": GOOD}}], "usage": usage})
    found, _ = ask(server.url, "a")
    assert (found[0].prompt_tokens, found[0].completion_tokens, found[0].attempts) == (read, written, 1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!DOCTYPE html>\n<title>Sign in</title>", "the answer is not JSON: <!DOCTYPE html> <title>Sign in</title>"),
        (b'data: {"choices": []}\n\ndata: [DONE]', "the answer is an event stream, which was not asked for: data:"),
        (b"", "the answer is empty"),
        (b'{"a": ' * 100_000, 'the answer is not JSON: {"a": '),
    ],
)
def test_what_is_not_json_is_quoted(server: FakeOpenAI, body: bytes, words: str) -> None:
    server.answer = lambda asked: Reply(body, headers=(("Content-Type", "text/html"),))
    with pytest.raises(RowFailed) as caught:
        ask(server.url, "a")
    assert words in str(caught.value)
    assert "JSONDecodeError" not in str(caught.value)


# --- TGI --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("temperature", "seed"), [(0.7, 3), (1.0, None), (0.0, None)])
def test_tgi_gets_what_the_hugging_face_client_sends(server: FakeOpenAI, temperature: float, seed: int | None) -> None:
    server.answer = lambda asked: tgi(GOOD)
    found, _ = ask(server.url, "p", dialect="tgi", temperature=temperature, seed=seed)
    assert (found[0].texts, found[0].finish_reasons, found[0].completion_tokens) == ((GOOD,), ("eos_token",), 7)
    assert found[0].model == "m"

    async def theirs() -> str:
        async with AsyncInferenceClient(f"{server.url}/generate") as client:
            answer = await client.text_generation(
                "<p>",
                details=True,
                do_sample=temperature > 0,
                max_new_tokens=50,
                return_full_text=False,
                temperature=temperature or None,
                top_p=0.9,
                seed=seed,
                grammar={"type": "json", "value": SCHEMA},  # type: ignore[arg-type]
            )
            return answer.generated_text

    assert asyncio.run(theirs()) == GOOD
    ours, hers = server.asked
    assert (ours.path, ours.body) == (hers.path, hers.body) == ("/generate", ours.body)


def test_tgi_gives_one_answer_at_a_time_and_may_do_without_a_grammar(server: FakeOpenAI) -> None:
    def answer(asked: Asked) -> Reply:
        return error(422, "Grammar is not supported") if "grammar" in asked.body["parameters"] else tgi("x")

    server.answer = answer
    found, notes = ask(server.url, *"abcd", n=3, dialect="tgi", seed=0)
    assert [completion.texts for completion in found] == [("x", "x", "x")] * 4
    assert [asked.body["parameters"]["seed"] for asked in server.asked] == [*[0, 0, 1, 2] * 3, 0, 1, 2]
    assert notes == ["refuses a JSON schema as grammar: sent as none. It says: Grammar is not supported"]


def test_tgi_leaves_out_what_tgi_refuses() -> None:
    parameters = dialects.body("tgi", Request("p", Sampling(0.0, 1.0, 5)), "m")["parameters"]
    assert parameters == {"details": True, "do_sample": False, "max_new_tokens": 5, "return_full_text": False}


@pytest.mark.parametrize("answer", [[], {}, {"generated_text": 5}, {"generated_text": "a", "details": 3}, None, "x"])
def test_what_is_no_tgi_answer(answer: object) -> None:
    with pytest.raises(ValueError, match=r"tgi|text"):
        dialects.read("tgi", answer)


@pytest.mark.parametrize(
    ("given", "dialect", "urls"),
    [
        ("junior=http://a:1", "completion", ("http://a:1",)),
        ("junior=tgi+http://a:1,http://b:1", "tgi", ("http://a:1", "http://b:1")),
        ("junior=chat+https://a/v1", "chat", ("https://a/v1",)),
        ("teacher=completion+http://a:1", "completion", ("http://a:1",)),
        ("teacher=http://a+b:1", "chat", ("http://a+b:1",)),
    ],
)
def test_an_address_may_name_its_dialect(tmp_path: Path, given: str, dialect: str, urls: tuple[str, ...]) -> None:
    name = given.partition("=")[0]
    with Addresses([given]).open(Recipe(name="r"), name, None, 1, tmp_path / "log") as address:
        assert (address.dialect, address.urls) == (dialect, urls)
    json.dumps(address.urls)


def test_a_generator_with_a_chat_template_is_asked_as_it_was_trained(tmp_path: Path) -> None:
    recipe = Recipe.model_validate({"name": "r", "generator": {"prompt_format": "chat"}})
    with Addresses(["junior=http://a:1"]).open(recipe, "junior", None, 1, tmp_path / "log") as address:
        assert (address.dialect, address.prompt_format) == ("chat", "{prompt}")
    with (
        pytest.raises(RecipeError, match="trained with a chat template") as caught,
        Addresses(["junior=tgi+http://a:1"]).open(recipe, "junior", None, 1, tmp_path / "log"),
    ):
        raise AssertionError("would be asked with other tokens than it was trained with")
    assert caught.value.fix == "--endpoint junior=http://a:1"
