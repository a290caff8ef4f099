"""Where a model is served, and the limits within which it is asked."""

from dataclasses import dataclass, field

from hub_speed.llm.dialects import Dialect


@dataclass(frozen=True)
class Address:
    """Where a model is served and how it is asked; no URLs if it is asked through files. `repr` hides the key."""

    name: str
    model: str
    urls: tuple[str, ...]
    dialect: Dialect = "chat"
    prompt_format: str = "{prompt}"
    key: str | None = field(default=None, repr=False)

    def words(self, text: str) -> str:
        """A server's words for a message: at most 300 characters, without the key, which the server may repeat."""
        return (text.replace(self.key, "<key>") if self.key else text)[:300]


@dataclass(frozen=True)
class Limits:
    """How an endpoint is asked: requests at once, seconds for one answer, retries.

    Attributes:
        reask: whether a chat model is told once that its answer cannot be read, and asked again.
    """

    in_flight: int
    timeout_s: float
    retries: int
    reask: bool = True
