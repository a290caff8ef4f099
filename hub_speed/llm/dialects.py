"""How servers want to be asked: one function that writes a request, one that reads the answer, for each dialect.

- `chat`: OpenAI's /v1/chat/completions, as OpenAI, vLLM, SGLang and TGI's Messages API serve it.
- `completion`: /v1/completions with a prompt format, for generators without a chat template (SPEED's released scripts).
- `tgi`: /generate of Text Generation Inference, with the same prompt format. Its project is archived, its servers are
  still there. This dialect is written here: huggingface_hub's client (2.4.0) made 100 requests/s where ours made 1,000,
  with 64 in flight on a shared two-core machine, and reads answers of any length.
- `rerank`, `score` and `tei`: how well texts answer a query, by a cross-encoder. /rerank as vLLM serves it (and Cohere
  and Jina), /score of vLLM, /rerank of text-embeddings-inference. The prompt is JSON with `query` and `texts`; the
  answer is a JSON list of scores, in the order of the texts.

What a reasoning model thinks before it answers is kept apart from the answer, whether the server does so (in
`reasoning_content` or `reasoning`) or the text holds it (see `thoughts`).

Servers differ in many small ways; docs/servers.md lists them. What can be read of an answer is read, and one choice
that cannot be read never costs the others of its row.
"""

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from hub_speed.llm import thoughts
from hub_speed.llm.wire_schema import LIMITS, wire_schema

Dialect = Literal["chat", "completion", "tgi", "rerank", "score", "tei"]

RERANKERS: tuple[Dialect, ...] = ("rerank", "score", "tei")
"""The dialects of cross-encoders."""

UNVERSIONED: tuple[Dialect, ...] = ("tgi", "score", "tei")
"""The dialects whose paths stand below no /v1."""


@dataclass(frozen=True)
class Sampling:
    """How to draw an answer. `n` answers are drawn from one prompt; `seed` None leaves it to the server."""

    temperature: float
    top_p: float
    max_tokens: int
    n: int = 1
    seed: int | None = None


@dataclass
class Request:
    """One prompt for one model.

    Attributes:
        schema: the JSON schema the answer has to follow, if the server can enforce it.
        earlier: when it is asked for the second time, the first answer and what was wrong with it.
    """

    prompt: str
    sampling: Sampling
    schema: dict[str, Any] | None = None
    schema_name: str = "answer"
    earlier: tuple[str, str] | None = None

    def digest(self, model: str) -> str:
        """sha256 of everything that decides the answer: the same online, in a batch file and offline."""
        s = self.sampling
        fields = [model, self.prompt, s.temperature, s.top_p, s.max_tokens, s.n, s.seed, self.schema]
        return hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass
class Completion:
    """What came back: `n` texts with their finish reasons, and the tokens the server counted.

    Attributes:
        finish_reasons: per text, why it ended: CUT_OFF, DECLINED, BROKEN_OFF, or the server's own word.
        attempts: how many requests were sent, without those that were refused and sent in another form.
        calls: how many of them were answered.
        latency_s: seconds the answers took, without the waits before retries.
        thoughts: per text, what a reasoning model thought before it; empty where nothing is known of it.
    """

    texts: tuple[str, ...]
    finish_reasons: tuple[str, ...]
    model: str
    prompt_tokens: int
    completion_tokens: int
    attempts: int = 1
    calls: int = 1
    latency_s: float = 0.0
    thoughts: tuple[str, ...] = ()

    def joined(self, other: "Completion") -> "Completion":
        """The texts of both, and what both took."""
        return Completion(
            self.texts + other.texts,
            self.finish_reasons + other.finish_reasons,
            self.model,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.attempts + other.attempts,
            self.calls + other.calls,
            round(self.latency_s + other.latency_s, 4),
            self.thoughts + other.thoughts,
        )


CUT_OFF = "length"
"""Finish reason of a text that reached the token limit or filled the model's context."""
DECLINED = "refused"
"""Finish reason of a text that a filter held back, or that says why the model does not answer."""
BROKEN_OFF = "error"
"""Finish reason of a text that the server stopped writing, or that cannot be read."""
UNFINISHED = (CUT_OFF, DECLINED, BROKEN_OFF)
"""Finish reasons of texts that say nothing about how a whole answer would look."""

_FINISH_REASONS = {
    CUT_OFF: "length max_length max_tokens max_new_tokens max_output_tokens model_length model_context_window_exceeded"
    " error_limit",
    DECLINED: "content_filter refusal safety recitation blocklist prohibited_content spii sensitive error_toxic"
    " guardrail_intervened content_filtered",
    BROKEN_OFF: "error abort aborted cancelled timeout network_error insufficient_system_resource",
}
"""Ours → theirs, in any case. Sources: the API references of OpenAI, Anthropic, Gemini, Mistral, Cohere, DeepSeek, Z.ai
and Bedrock; vLLM and SGLang (abort), OpenRouter (error)."""
_OURS = {theirs: ours for ours, words in _FINISH_REASONS.items() for theirs in words.split()}


def _ended(reason: str) -> str:
    """A server's finish reason in our words.

    Python proxies write the name of Gemini's enum before it, others its own word behind it ("content_filter: SAFETY").
    """
    lower = reason.lower().removeprefix("finishreason.")
    return _OURS.get(lower) or _OURS.get(lower.partition(":")[0], reason)


MOST_TOKENS = 10**9  # Assumption: no answer has more; a greater count is a fault, which no column could hold at last
LONGEST_NAME = 300  # characters of a model's name or a finish reason. Assumption: the longest path is shorter

SchemaForm = Literal["response_format", "structured_outputs", "grammar", "none"]
"""The field of a request that carries the JSON schema: OpenAI's, vLLM's own, TGI's, or no such field."""

AGAIN = "This answer cannot be used: {problem}. Answer the request again, with the JSON object only."
"""What a chat model is told when its answer cannot be read."""

PATHS: dict[Dialect, str] = {
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
    "tgi": "/generate",
    "rerank": "/rerank",
    "score": "/score",
    "tei": "/rerank",
}
"""Where requests of a dialect go, below the server's base URL."""

SCHEMA_FORMS: dict[Dialect, tuple[SchemaForm, ...]] = {
    "chat": ("response_format", "structured_outputs", "none"),
    "completion": ("none",),  # SPEED's generators write freely: no schema is in their released scripts
    "tgi": ("grammar", "none"),
    "rerank": ("none",),
    "score": ("none",),
    "tei": ("none",),
}
"""How a schema can be sent in a dialect, the form most servers take first."""


def body(
    dialect: Dialect,
    request: Request,
    model: str,
    prompt_format: str = "{prompt}",
    form: SchemaForm | None = None,
    without: Collection[str] = (),
) -> dict[str, Any]:
    """The JSON body of a request.

    Args:
        dialect: how the server is asked.
        request: what is asked.
        model: the model's name there.
        prompt_format: what a prompt without a chat template stands in.
        form: how the schema is sent, in the dialect's first form unless another is given.
        without: what a server does not take; see `unsupported`.
    """
    if dialect in RERANKERS:
        return _reranker_body(dialect, orjson.loads(request.prompt), model)
    s = request.sampling
    form = form or SCHEMA_FORMS[dialect][0]
    prompt = prompt_format.replace("{prompt}", request.prompt)
    if dialect == "tgi":
        return {"inputs": prompt, "parameters": _tgi_parameters(request, form)}
    # A neutral value is sent as well: vLLM and SGLang put the model's own recommendation in the place of a missing one.
    out: dict[str, Any] = {"model": model, "temperature": s.temperature, "top_p": s.top_p, "max_tokens": s.max_tokens}
    if s.n != 1:
        out["n"] = s.n
    if s.seed is not None:
        out["seed"] = s.seed
    for name in without:
        if name in ("temperature", "top_p", "n", "seed"):
            out.pop(name, None)
    if dialect == "completion":
        return out | {"prompt": prompt}
    if "max_tokens" in without:
        out["max_completion_tokens"] = out.pop("max_tokens")
    out["messages"] = _messages(request, fold_system="system" in without)
    if request.schema is not None and form != "none":
        schema, strict = wire_schema(request.schema, [name for name in without if name in LIMITS])
        if form == "structured_outputs":
            out["structured_outputs"] = {"json": schema}
        else:
            named = {"name": request.schema_name, "schema": schema, "strict": strict}
            out["response_format"] = {"type": "json_schema", "json_schema": named}
    return out


def _reranker_body(dialect: Dialect, asked: dict[str, Any], model: str) -> dict[str, Any]:
    """A query and its texts. TEI cuts those that are too long; vLLM refuses them, unless it was told otherwise."""
    if dialect == "tei":
        return {"query": asked["query"], "texts": asked["texts"], "raw_scores": False, "truncate": True}
    if dialect == "score":
        return {"model": model, "text_1": asked["query"], "text_2": asked["texts"]}
    return {"model": model, "query": asked["query"], "documents": asked["texts"]}


def _messages(request: Request, *, fold_system: bool) -> list[dict[str, str]]:
    """The conversation; the system message stands before the user's, or in it."""
    prompt = f"{SYSTEM}\n\n{request.prompt}" if fold_system else request.prompt
    messages = [] if fold_system else [{"role": "system", "content": SYSTEM}]
    messages.append({"role": "user", "content": prompt})
    if request.earlier:
        answer, problem = request.earlier
        messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": AGAIN.replace("{problem}", problem)})
    return messages


_NAMED = {
    "system": r"\bsystem\W+(role|message|prompt|instruction)|\brole\b.{0,80}\bsystem\b|roles must alternate"
    r"|\bonly user\b.{0,60}\broles?\b|\brole\b.{0,80}\buser\b|unexpected (message )?role|developer instruction",
    "minItems": r"\bminItems\b",
    "maxItems": r"\bmaxItems\b",
    "max_tokens": r"\bmax[_ -]?tokens\b",
    "n": r"[`'\"\[]n[`'\"\]]|\bn (must|is|should|>)|\bn ?=",
    "seed": r"\bseed\b",
    "top_p": r"\btop[_ -]?p\b",
    "temperature": r"\btemperature\b",
    "minimum": r"[`'\"]minimum[`'\"]",
    "maximum": r"[`'\"]maximum[`'\"]",
}
"""What may be left out of a request → how a refusal names it. Where only one of `top_p` and `temperature` is taken,
the temperature stays."""
_NAMED_WORDS = {name: re.compile(words, re.IGNORECASE) for name, words in _NAMED.items()}


def unsupported(problem: str, without: Collection[str] = ()) -> str:
    """The part of a request that a server says it does not take; empty where it names none.

    Every server words it in its own way: "Unsupported value: 'temperature' does not support 0.7 with this model",
    "`top_p` must be > 0.0 and < 1.0", "Extra inputs are not permitted", "System role not supported". So a refusal that
    names a part is enough to try without; the answer to that tells whether it was the reason.

    Args:
        problem: the server's words.
        without: what was left out already.
    """
    return next((name for name, words in _NAMED_WORDS.items() if name not in without and words.search(problem)), "")


def left_out_note(name: str, words: str) -> str:
    """What a record says about a part that a server does not take."""
    instead = {"max_tokens": "sent as max_completion_tokens", "system": "sent as a part of the user's message"}
    return f"does not take {name}: {instead.get(name, 'left out')}. It says: {words}"


def _tgi_parameters(request: Request, form: SchemaForm) -> dict[str, Any]:
    """TGI refuses a temperature of 0 and a top_p of 1: both are meant when left out. It gives one answer a call."""
    s = request.sampling
    parameters: dict[str, Any] = {"details": True, "do_sample": s.temperature > 0, "max_new_tokens": s.max_tokens}
    parameters["return_full_text"] = False
    if s.temperature > 0:
        parameters["temperature"] = s.temperature
    if s.top_p < 1:
        parameters["top_p"] = s.top_p
    if s.seed is not None:
        parameters["seed"] = s.seed
    if request.schema is not None and form == "grammar":
        parameters["grammar"] = {"type": "json", "value": wire_schema(request.schema)[0]}
    return parameters


_LONE_HALF = re.compile(r"\\(?:ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|(ud[89a-f][0-9a-f]{2})|.)", re.IGNORECASE)
"""One escape of a JSON text; its group is half a character without the other half."""


def load(body: bytes, charset: str | None = None) -> Any:
    """A server's JSON, read leniently: with a byte order mark, NaN, raw line breaks, or bytes of another encoding.

    What stands for no character becomes U+FFFD, so that a check can find it.

    Args:
        body: the bytes.
        charset: the encoding that the server names, if it does.

    Raises:
        ValueError: it is not JSON at all; the message quotes its beginning.
    """
    try:
        return orjson.loads(body)
    except ValueError:
        pass
    try:
        text = body.decode(charset or json.detect_encoding(body), "replace")
    except LookupError:  # an encoding that does not exist
        text = body.decode("utf-8", "replace")
    text = text.removeprefix("\ufeff").strip()
    try:
        return thoughts.DECODER.decode(_LONE_HALF.sub(lambda found: r"\ufffd" if found[1] else found[0], text))
    except (ValueError, RecursionError) as error:
        what = "an event stream, which was not asked for" if text.startswith(("data:", "event:")) else "not JSON"
        quote = " ".join(text[:1000].split())[:200]
        raise ValueError(f"the answer is {what}: {quote}" if quote else "the answer is empty") from error


def read(dialect: Dialect, answer: Any, model: str = "", latency_s: float = 0.0) -> Completion:
    """A server's JSON answer as a Completion.

    Args:
        dialect: how the server was asked.
        answer: what it sent.
        model: which model was asked, where the answer does not say.
        latency_s: seconds the answer took.

    Raises:
        ValueError: it is not an answer of this dialect, or no choice in it can be read.
    """
    try:
        if dialect == "tgi":
            return _read_tgi(answer, model, latency_s)
        if dialect in RERANKERS:
            return _read_scores(dialect, answer, model, latency_s)
        choices = [_choice(dialect, choice) for choice in answer["choices"]]
        if all(reason == BROKEN_OFF for _, _, reason in choices):
            raise ValueError(f"no choice that can be used: {answer}")
        texts, thought, reasons = zip(*choices, strict=True)
        return Completion(
            texts,
            reasons,
            _name(answer.get("model")) or model,
            *_usage(answer.get("usage")),
            latency_s=round(latency_s, 4),
            thoughts=thought,
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a {dialect} answer: {answer}") from error


def _usage(usage: Any) -> tuple[int, int]:
    """The tokens read and written; 0 where the server does not say.

    Some servers count what a model thought in the total alone, and bill it as written.
    """
    if not isinstance(usage, dict):
        return 0, 0
    read, written = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    return read, max(written, _count(usage.get("total_tokens")) - read)


def _count(value: Any) -> int:
    """A number of tokens; 0 for what is not one, or cannot be true."""
    try:
        count = int(value or 0)
    except (TypeError, ValueError, OverflowError):
        return 0
    return count if 0 < count <= MOST_TOKENS else 0


def _name(value: Any) -> str:
    """A server's name for something; empty where it gives none, or one that is no name."""
    return value if isinstance(value, str) and len(value) <= LONGEST_NAME else ""


def _choice(dialect: Dialect, choice: Any) -> tuple[str, str, str]:
    """The text of one choice, what was thought before it, and why it ended."""
    try:
        message = (choice.get("message") or {}) if dialect == "chat" else {"content": choice["text"]}
        text, thought = _content(message.get("content"))
        refusal = message.get("refusal") or _refusal(message.get("content"))
        reason = BROKEN_OFF if choice.get("error") else _name(choice.get("finish_reason")) or "stop"
        text = text or ("" if refusal else _elsewhere(message))
    except (KeyError, TypeError, AttributeError):
        return "", "", BROKEN_OFF
    if isinstance(refusal, str) and refusal and not text:
        return refusal, "", DECLINED
    thinking = str(message.get("reasoning_content") or message.get("reasoning") or "")
    thinking = "" if thinking == text else thinking  # all of it is the answer
    found, text = thoughts.apart(text)
    thought = thinking or thought or found
    return text, thought, _ended(reason)


def _content(content: Any) -> tuple[str, str]:
    """The text and the thinking of a message's content: a string, a part or a list of parts, or the answer as JSON.

    Raises:
        TypeError: it is none of these.
    """
    if content is None or isinstance(content, str):
        return content or "", ""
    if not isinstance(content, list | dict) or content == {}:
        raise TypeError("neither a text nor parts")
    if isinstance(content, dict) and not content.keys() & {"type", "text"}:
        return orjson.dumps(content).decode(), ""
    texts, thinking = [], []
    for part in content if isinstance(content, list) else [content]:
        part = {"text": part} if isinstance(part, str) else part or {}
        texts.append(part.get("text") or "")
        thinking.append(_content(part.get("thinking") or part.get("reasoning"))[0])
    return "".join(texts), "".join(thinking)


def _elsewhere(message: dict[str, Any]) -> str:
    """The answer of a message whose content is empty; empty where there is none.

    Gateways ask some models for JSON through a tool of their own (LiteLLM), and pass the call on. A reasoning parser
    (vLLM) takes all for thinking where nothing ends it: a text that is one JSON object and nothing else is the answer.
    """
    called = message.get("function_call"), *(call.get("function") for call in message.get("tool_calls") or ())
    arguments = [each["arguments"] for each in called if each and each.get("arguments")]
    if arguments:
        return "\n".join(each if isinstance(each, str) else orjson.dumps(each).decode() for each in arguments)
    thought = message.get("reasoning_content") or message.get("reasoning")
    return thought if isinstance(thought, str) and _is_object(thought) else ""


def _is_object(text: str) -> bool:
    """Whether a text is one JSON object."""
    try:
        return text.lstrip()[:1] == "{" and isinstance(orjson.loads(text), dict)
    except ValueError:
        return False


def _refusal(content: Any) -> str:
    """What the parts of a message's content say instead of an answer."""
    parts = content if isinstance(content, list) else []
    return "".join(part.get("refusal") or "" for part in parts if isinstance(part, dict))


def _read_tgi(answer: Any, model: str, latency_s: float) -> Completion:
    """One text; TGI counts the tokens that it writes, not those that it reads."""
    details = answer.get("details") or {}
    text, reason = answer["generated_text"], _name(details.get("finish_reason")) or "stop"
    if not isinstance(text, str):
        raise ValueError("the generated text is not a string")
    thought, text = thoughts.apart(text)
    return Completion(
        (text,),
        (_ended(reason),),
        model,
        0,
        _count(details.get("generated_tokens")),
        latency_s=round(latency_s, 4),
        thoughts=(thought,),
    )


def _read_scores(dialect: Dialect, answer: Any, model: str, latency_s: float) -> Completion:
    """One text: the scores as a JSON list, whatever order the server sends them in."""
    found = answer if dialect == "tei" else answer["results" if dialect == "rerank" else "data"]
    name = "relevance_score" if dialect == "rerank" else "score"
    scores = {int(each["index"]): float(each[name]) for each in found}
    if sorted(scores) != list(range(len(found))):
        raise ValueError(f"not one score for each text: {answer}")
    usage = {} if dialect == "tei" else answer.get("usage")
    text = json.dumps([scores[i] for i in range(len(found))])
    return Completion((text,), ("stop",), model, *_usage(usage), latency_s=round(latency_s, 4))


SYSTEM = "You are a helpful assistant."
