"""How servers want to be asked: one function that writes a request, one that reads the answer, per dialect.

- `chat`: OpenAI's /v1/chat/completions, as OpenAI, vLLM, SGLang and TGI's Messages API serve it.
- `completion`: /v1/completions with a prompt format, for generators without a chat template (SPEED's released scripts).
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from hub_speed.prompts import SYSTEM

Dialect = Literal["chat", "completion"]


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
    """One prompt for one model; `schema` is the JSON schema the answer has to follow, if the server can enforce it."""

    prompt: str
    sampling: Sampling
    schema: dict[str, Any] | None = None
    schema_name: str = "answer"

    def digest(self, model: str) -> str:
        """sha256 of everything that decides the answer: the same online, in a batch file and offline."""
        s = self.sampling
        fields = [model, self.prompt, s.temperature, s.top_p, s.max_tokens, s.n, s.seed, self.schema]
        return hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True)
class Completion:
    """What came back: `n` texts with their finish reasons, and the tokens the server counted."""

    texts: tuple[str, ...]
    finish_reasons: tuple[str, ...]
    model: str
    prompt_tokens: int
    completion_tokens: int
    attempts: int = 1
    latency_s: float = 0.0


def path(dialect: Dialect) -> str:
    """Where requests of a dialect go, below the server's base URL."""
    return "/v1/chat/completions" if dialect == "chat" else "/v1/completions"


def body(dialect: Dialect, request: Request, model: str, prompt_format: str = "{prompt}") -> dict[str, Any]:
    """The JSON body of a request."""
    s = request.sampling
    out: dict[str, Any] = {"model": model, "temperature": s.temperature, "top_p": s.top_p, "max_tokens": s.max_tokens}
    if s.n != 1:
        out["n"] = s.n
    if s.seed is not None:
        out["seed"] = s.seed
    if dialect == "completion":
        return out | {"prompt": prompt_format.replace("{prompt}", request.prompt)}
    out["messages"] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": request.prompt}]
    if request.schema is not None:
        schema = {"name": request.schema_name, "schema": request.schema, "strict": True}
        out["response_format"] = {"type": "json_schema", "json_schema": schema}
    return out


def read(dialect: Dialect, answer: Any) -> Completion:
    """A server's JSON answer as a Completion.

    Raises:
        ValueError: it is not an answer of this dialect, or holds no choice.
    """
    try:
        choices = answer["choices"]
        texts = tuple((c["message"]["content"] if dialect == "chat" else c["text"]) or "" for c in choices)
        usage = answer.get("usage") or {}
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError("no choices" if not texts else "the text of a choice is not a string")
        return Completion(
            texts,
            tuple(str(c.get("finish_reason") or "stop") for c in choices),
            str(answer.get("model", "")),
            int(usage.get("prompt_tokens") or 0),
            int(usage.get("completion_tokens") or 0),
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a {dialect} answer: {str(answer)[:200]}") from error
