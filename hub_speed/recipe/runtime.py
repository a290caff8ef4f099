"""How a run is carried out and what it may cost: never part of an identity."""

from typing import Literal

from pydantic import Field, model_validator

from hub_speed.recipe.base import Section

BATCH_PRICE = 0.5
"""Of a provider's list price, in batches: "50% off", says OpenAI's page on its Batch API."""


class BudgetCaps(Section):
    """What the teacher costs, and the most that one `hub-speed run` may spend on it. Never part of an identity."""

    usd_per_million_read: float | None = Field(None, ge=0)  # the provider's list price, which `runtime.mode: batch`
    # halves; of several teachers, the highest; None: costs are not shown
    usd_per_million_written: float | None = Field(None, ge=0)  # as above
    max_calls: int | None = Field(None, ge=1)  # None: no cap
    max_tokens: int | None = Field(None, ge=1)  # read and written together
    max_usd: float | None = Field(None, gt=0)  # None: no cap
    lifetime: bool = False  # what earlier runs of an unfinished stage spent counts as well, as its ledger knows it

    @model_validator(mode="after")
    def _has_prices(self) -> "BudgetCaps":
        prices = (self.usd_per_million_read, self.usd_per_million_written)
        if prices.count(None) == 1 or (self.max_usd is not None and None in prices):
            raise ValueError("give both usd_per_million_read and usd_per_million_written")
        return self

    def in_batches(self) -> "BudgetCaps":
        """The same caps, at the prices of a Batch API."""
        read, written = self.usd_per_million_read, self.usd_per_million_written
        if read is None or written is None:
            return self
        prices = {"usd_per_million_read": read * BATCH_PRICE, "usd_per_million_written": written * BATCH_PRICE}
        return self.model_copy(update=prices)

    def cost_usd(self, read: int, written: int) -> float | None:
        """Dollars for so many tokens; None where no prices are given."""
        if self.usd_per_million_read is None or self.usd_per_million_written is None:
            return None
        return (read * self.usd_per_million_read + written * self.usd_per_million_written) / 1e6


class Runtime(Section):
    """How a run is carried out. Never part of an identity."""

    mode: Literal["online", "batch"] = "online"  # batch: the teacher is asked through its provider's Batch API
    in_flight: int = Field(64, ge=1)  # requests at once, per endpoint; as many for each server that `replicas` starts
    timeout_s: float = Field(300, gt=0)
    retries: int = Field(8, ge=0)
    reask: bool = True  # tell a chat model once that its answer cannot be read: a retry, which the ledger shows
    reread: bool = False  # read the rejected answers of a ledger again before anything is asked, after a parser was
    # mended
    max_reject_rate: float = Field(0.5, gt=0, le=1)  # above it, a stage fails instead of publishing
    jobs: int = Field(1, ge=1)  # stages, or trainings of a study, side by side, each with its part of the GPUs
    replicas: int = Field(1, ge=1)  # servers that are started for a model, each with its part of the GPUs
    server: Literal["embedded", "vllm", "vllm run-batch", "tgi", "transformers"] = "embedded"  # started for a model
    # that has no address
    server_flags: tuple[str, ...] = ()  # for that program: ["--tensor-parallel-size", "2"]
    launcher: tuple[str, ...] = ()  # what trains on several devices: ["accelerate", "launch"], ["torchrun", …]
    micro_batch_size: int | None = Field(None, ge=1)  # rows of a generator's batch in memory at once; None: all of them
    mini_batch_size: int = Field(32, ge=1)  # texts of an embedder's batch in memory at once (GradCache)
    gradient_checkpointing: bool = True  # every training: much less memory for about a third more time (E5 §4.2)
    checkpoint_s: float = Field(600, ge=0)  # between checkpoints of a training. Assumption: ten minutes
    server_start_s: float = Field(1800, gt=0)  # until it must be ready. Assumption: half an hour to load 8B weights
