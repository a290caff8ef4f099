"""How servers want to be asked: one function that writes a request, one that reads the answer, for each dialect.

- `chat`: OpenAI's /v1/chat/completions, as OpenAI, vLLM, SGLang and TGI's Messages API serve it.
- `completion`: /v1/completions with a prompt format, for generators without a chat template (SPEED's released scripts).
- `tgi`: /generate of Text Generation Inference, with the same prompt format. Its project is archived, its servers are
  still there. This dialect is written here: huggingface_hub's client (2.4.0) made 100 requests/s where ours made 1,000,
  with 64 in flight on a shared two-core machine, and reads answers of any length.

What a reasoning model thinks before it answers is kept apart from the answer, whether the server does so (in
`reasoning_content` or `reasoning`) or the text holds it (see `thoughts`).
"""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from hub_speed.llm.thoughts import apart

Dialect = Literal["chat", "completion", "tgi"]


@dataclass(frozen=True)
class Sampling:
    """How to draw an answer. `n` answers are drawn from one prompt; `seed` None leaves it to the server."""

    temperature: float
    top_p: float
    max_tokens: int
    n: int = 1
    seed: int | None = None


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Completion:
    """What came back: `n` texts with their finish reasons, and the tokens the server counted.

    Attributes:
        attempts: how many requests were sent.
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


SchemaForm = Literal["response_format", "structured_outputs", "grammar", "none"]
"""The field of a request that carries the JSON schema: OpenAI's, vLLM's own, TGI's, or no such field."""

AGAIN = "This answer cannot be used: {problem}. Answer the request again, with the JSON object only."
"""What a chat model is told when its answer cannot be read."""

PATHS: dict[Dialect, str] = {"chat": "/v1/chat/completions", "completion": "/v1/completions", "tgi": "/generate"}
"""Where requests of a dialect go, below the server's base URL."""

SCHEMA_FORMS: dict[Dialect, tuple[SchemaForm, ...]] = {
    "chat": ("response_format", "structured_outputs", "none"),
    "completion": ("none",),  # SPEED's generators write freely: no schema is in their released scripts
    "tgi": ("grammar", "none"),
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
        without: parameters of a chat that the server does not take; see `unsupported`.
    """
    s = request.sampling
    form = form or SCHEMA_FORMS[dialect][0]
    prompt = prompt_format.replace("{prompt}", request.prompt)
    if dialect == "tgi":
        return {"inputs": prompt, "parameters": _tgi_parameters(request, form)}
    out: dict[str, Any] = {"model": model, "temperature": s.temperature, "top_p": s.top_p, "max_tokens": s.max_tokens}
    if s.n != 1:
        out["n"] = s.n
    if s.seed is not None:
        out["seed"] = s.seed
    if dialect == "completion":
        return out | {"prompt": prompt}
    out["messages"] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": request.prompt}]
    if request.earlier:
        answer, problem = request.earlier
        out["messages"].append({"role": "assistant", "content": answer})
        out["messages"].append({"role": "user", "content": AGAIN.replace("{problem}", problem)})
    if request.schema is not None and form == "response_format":
        schema = {"name": request.schema_name, "schema": request.schema, "strict": True}
        out["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.schema is not None and form == "structured_outputs":
        out["structured_outputs"] = {"json": request.schema}
    for name in without:
        value = out.pop(name)
        if name == "max_tokens":
            out["max_completion_tokens"] = value
    return out


def unsupported(problem: str) -> str:
    """The parameter of a chat that a server says it does not take, empty where it says no such thing.

    OpenAI's words to newer models' users: "Unsupported parameter: 'max_tokens' is not supported with this model. Use
    'max_completion_tokens' instead." and "Unsupported value: 'temperature' does not support 0.7 with this model."
    """
    other_name, not_taken = (
        r"\b(max_tokens)\b.*\b[Uu]se\W+max_completion_tokens",
        r"\b(temperature|top_p)\W+(?:is|does) not support",
    )
    found = re.search(f"{other_name}|{not_taken}", problem)
    return found[1] or found[2] if found else ""


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
        parameters["grammar"] = {"type": "json", "value": request.schema}
    return parameters


def read(dialect: Dialect, answer: Any) -> Completion:
    """A server's JSON answer as a Completion.

    Raises:
        ValueError: it is not an answer of this dialect, or holds no choice.
    """
    try:
        if dialect == "tgi":
            return _read_tgi(answer)
        choices = [_choice(dialect, choice) for choice in answer["choices"]]
        usage = answer.get("usage") or {}
        if not choices:
            raise ValueError("no choices")
        texts, thoughts, reasons = zip(*choices, strict=True)
        read, written = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        return Completion(texts, reasons, str(answer.get("model", "")), read, written, thoughts=thoughts)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a {dialect} answer: {answer}") from error


def _choice(dialect: Dialect, choice: Any) -> tuple[str, str, str]:
    """The text of one choice, what was thought before it, and why it ended."""
    message = choice["message"] if dialect == "chat" else {"content": choice["text"]}
    text = message["content"] or ""
    if not isinstance(text, str):
        raise ValueError("the text of a choice is not a string")
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    found, text = apart(text)
    return text, str(thought) or found, str(choice.get("finish_reason") or "stop")


def _read_tgi(answer: Any) -> Completion:
    """One text; TGI counts the tokens that it writes, not those that it reads."""
    details = answer.get("details") or {}
    text = answer["generated_text"]
    if not isinstance(text, str):
        raise ValueError("the generated text is not a string")
    thought, text = apart(text)
    reason, written = str(details.get("finish_reason") or "stop"), int(details.get("generated_tokens") or 0)
    return Completion((text,), (reason,), "", 0, written, thoughts=(thought,))


SYSTEM = "You are a helpful assistant."
