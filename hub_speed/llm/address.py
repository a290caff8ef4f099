"""Where a model is served, and the limits within which it is asked."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from urllib.parse import parse_qsl, urlsplit

from hub_speed.errors import RecipeError
from hub_speed.llm.dialects import DECLINED, PATHS, UNVERSIONED, Completion, Dialect

SHORTEST_SECRET = 12
"""Assumption: shorter keys are dummies for servers that want any ("EMPTY", "none"), and may be words of an answer."""


@dataclass(frozen=True)
class Address:
    """Where a model is served and how it is asked; no URLs if it is asked through files. `repr` hides the key.

    `place` names whose address it is, where that is another one: one of several teachers may be at the teacher's.
    `servers` counts those that were started for it on GPUs of their own, each of which can take all of
    `runtime.in_flight`.
    """

    name: str
    model: str
    urls: tuple[str, ...] = field(repr=False)
    dialect: Dialect = "chat"
    prompt_format: str = "{prompt}"
    key: str | None = field(default=None, repr=False)
    place: str = ""
    servers: int = 1

    @property
    def key_variable(self) -> str:
        """The environment variable that its key is read from."""
        return key_variable(self.place or self.name)

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """The key, and the values that stand in the URLs' queries."""
        queries = [value for url in self.urls for name, value in parse_qsl(urlsplit(url).query) if not _is_plain(name)]
        return tuple(filter(None, [self.key, *queries]))

    def words(self, text: str) -> str:
        """A server's words for a message: at most 300 characters, without the key, which the server may repeat."""
        return _URL.sub(lambda found: shown(found[0]), _hidden(text, self.secrets))[:300]

    def without_secrets(self, completion: Completion) -> Completion:
        """A completion with <key> in place of a key that the server repeats; a text that held it is not an answer."""
        secrets = self._real_secrets
        whole = "\n".join((*completion.texts, *completion.thoughts, *completion.finish_reasons, completion.model))
        if not any(secret in whole for secret in secrets):
            return completion
        texts = tuple(_hidden(text, secrets) for text in completion.texts)
        reasons = tuple(
            _hidden(reason, secrets) if text == before else DECLINED
            for text, before, reason in zip(texts, completion.texts, completion.finish_reasons, strict=True)
        )
        thoughts = tuple(_hidden(thought, secrets) for thought in completion.thoughts)
        model = _hidden(completion.model, secrets)
        return replace(completion, texts=texts, finish_reasons=reasons, thoughts=thoughts, model=model)

    @cached_property
    def _real_secrets(self) -> tuple[str, ...]:
        return tuple(secret for secret in self.secrets if len(secret) >= SHORTEST_SECRET)


@dataclass(frozen=True)
class Limits:
    """How an endpoint is asked: requests at once, seconds for one answer, retries.

    Attributes:
        reask: whether a chat model is told once that its answer cannot be read, and asked again.
        part: of these requests, those of this process, where others ask the same endpoint; asked again and again.
    """

    in_flight: int
    timeout_s: float
    retries: int
    reask: bool = True
    part: Callable[[int], int] = lambda most: most


def key_variable(place: str) -> str:
    """Where the key of an address is: HUB_SPEED_TEACHER_KEY, HUB_SPEED_TEACHER_GPT_4O_KEY."""
    return f"HUB_SPEED_{re.sub(r'[^A-Za-z0-9]', '_', place).upper()}_KEY"


_AROUND_KEYS = re.compile("[\"']|bearer ", re.IGNORECASE)
"""What a key does not begin with: `docker --env-file` keeps the quotes, and "Bearer sk-…" is a whole header."""


def sendable_key(key: str, where: str) -> str:
    """A key without the white space around it, such as the line break of the file that it was read from.

    Args:
        key: as it was given.
        where: the variable or argument that holds it.

    Raises:
        RecipeError: it holds a character that cannot be sent.
    """
    key = key.strip()
    if not (key.isascii() and key.isprintable()) or _AROUND_KEYS.match(key):
        raise RecipeError(
            f"the key in {where} holds a character that no key has",
            expected="letters, digits and signs on one line, without quotes around them",
            fix="copy the key again, without the quotes around it, and without the word Bearer before it",
        )
    return key


_VERSION = re.compile(r"v\d+((alpha|beta)\d*)?")
_WHOLE = ("/chat/completions", "/completions", "/generate", "/rerank", "/score")
_URL = re.compile(r"https?://[^\s'\"<>]+")


def base_url(url: str, dialect: Dialect = "chat") -> str:
    """The URL below which an API's paths stand; its query stays.

    /v1 is added where the URL names no version of its own (/api/paas/v4, /v1beta/openai, ?api-version=…). Of a whole
    address (…/chat/completions), what stands before the path is taken as it is.
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    whole = next((ending for ending in _WHOLE if path.endswith(ending)), "")
    path = path.removesuffix(whole)
    if dialect in UNVERSIONED:
        path = path.removesuffix("/v1")  # their own APIs have no version
    elif not whole and "api-version=" not in parts.query and not any(map(_VERSION.fullmatch, path.split("/"))):
        path += "/v1"
    return parts._replace(path=path).geturl()


def request_url(base: str, dialect: Dialect) -> str:
    """Where the requests of a dialect go, below a base URL."""
    return below(base, PATHS[dialect].removeprefix("/v1"))


def below(base: str, path: str) -> str:
    """A path below a base URL, before its query."""
    start, mark, query = base.partition("?")
    return f"{start}{path}{mark}{query}"


def _hidden(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "<key>")
    return text


def shown(url: str) -> str:
    """A URL for a message: without a user's name and password, and without the values of its query."""
    start, mark, query = re.sub(r"//.*@", "//…@", url).partition("?")
    return start + mark + "&".join(map(_shown_part, query.split("&")))


def _shown_part(part: str) -> str:
    """One part of a query: its name, where it has a value."""
    name, equals, _ = part.partition("=")
    if _is_plain(name) or not part:
        return part
    return f"{name}=…" if equals else "…"


def _is_plain(name: str) -> bool:
    """Whether a parameter of a query may be shown."""
    return name == "api-version"
