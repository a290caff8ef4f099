"""Where a model is served, and how hard it may be worked."""

from dataclasses import dataclass, field

from hub_speed.llm.dialects import Dialect


@dataclass(frozen=True)
class Address:
    """Where a model is served (nowhere, if it is asked by files alone) and how. The key is kept out of `repr`."""

    name: str
    model: str
    urls: tuple[str, ...]
    dialect: Dialect = "chat"
    prompt_format: str = "{prompt}"
    key: str | None = field(default=None, repr=False)

    def words(self, text: str) -> str:
        """What a server says, for a message: without the key, which it may repeat, and shortened."""
        return (text.replace(self.key, "<key>") if self.key else text)[:300]


@dataclass(frozen=True)
class Limits:
    """How hard an endpoint is worked.

    Attributes:
        reask: whether a chat model is told once when its answer cannot be read.
    """

    in_flight: int
    timeout_s: float
    retries: int
    reask: bool = True
