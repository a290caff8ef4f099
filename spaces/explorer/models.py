"""The published models, run here or elsewhere: generator and revisor behind an address, the embedder in this process.

Of models only safetensors, configuration and tokenizer are fetched; no code of a repository is run.
"""

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from asking import Asking
from published import Json, Published

from hub_speed.cores import cores
from hub_speed.errors import HubError, HubSpeedError
from hub_speed.llm.address import Address
from hub_speed.llm.addresses import Addresses
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.mix import heaviest
from hub_speed.recipe import Generator, Revise

MAX_PARAMETERS = 1_200_000_000  # of a model run here. Assumption: three in float32 fit the 16 GB of a small Space
TIMEOUT_S = 180  # of one answer. Assumption: ten times what 1B parameters take for it on two cores
AGAIN_S = 60  # before a model that could not be loaded is tried again. Assumption
WEIGHTS = ("*.json", "*.safetensors", "*.txt", "*.model")


class Models:
    """The models of what an organisation has published."""

    def __init__(self, published: Published) -> None:
        self.published = published
        self.stages: dict[str, str] = {}
        self._servers = ExitStack()  # they end with this process

    # --- loading ----------------------------------------------------------------------------------------------------

    def warm_up(self, then: Callable[[], Any]) -> None:
        """Load all models in the background, the generator first; `stages` says how far it is.

        Args:
            then: what the first visitor would wait for; made at the end.
        """
        self.stages = dict.fromkeys(("generator", "revisor", "embedder"), "waits")
        threading.Thread(target=self._warm_up, args=(then,), daemon=True).start()

    def _warm_up(self, then: Callable[[], Any]) -> None:
        loads: dict[str, Callable[[], Any]] = {
            "generator": lambda: self.address(self.generator()),
            "revisor": lambda: self.address("revisor"),
            "embedder": self.embedder,
        }
        with suppress(HubSpeedError):  # nothing that can be read: loading says so
            if not self.published.can_write():
                self.stages = {"embedder": "waits"}
                loads = {"embedder": self.embedder}
        while loads := {name: load for name, load in loads.items() if not self._load(name, load)}:
            time.sleep(AGAIN_S)
        with suppress(HubSpeedError):  # who looks at it is told
            then()

    def _load(self, name: str, load: Callable[[], Any]) -> bool:
        """Whether a model is loaded now."""
        started = time.monotonic()
        self.stages[name] = "loads"
        try:
            load()
        except Exception as error:
            said = error.where if isinstance(error, HubSpeedError) else type(error).__name__
            self.stages[name] = f"cannot be loaded: {said}"
            return False
        self.stages[name] = f"ready after {time.monotonic() - started:.0f} s"
        return True

    def status(self) -> Json:
        """How far loading is: (model, how far) pairs, and whether it has ended."""
        found = list(self.stages.items())
        return {"stages": found, "done": not any(far in ("waits", "loads") for _, far in found)}

    # --- asking -----------------------------------------------------------------------------------------------------

    def generator(self) -> str:
        """The model that writes drafts."""
        return heaviest(self.published.recipe().synthesize.generator)

    async def ask(self, name: str, prompt: str, how: Generator | Revise) -> AsyncIterator[str | Completion]:
        """One answer of a generator or the revisor: what is written so far, again and again; at last the completion."""
        recipe = await asyncio.to_thread(self.published.recipe)
        sampling = Sampling(how.sampling_temperature, how.top_p, recipe.generator.max_tokens)
        asking = Asking(await asyncio.to_thread(self.address, name), TIMEOUT_S)
        async for step in asking.answer(Request(prompt, sampling)):
            yield step

    def address(self, name: str) -> Address:
        """The address of a model: HUB_SPEED_<NAME>_URL, or that of a server started here, which then stays."""
        return self.published.keep(f"address {name}", lambda: self._serve(name))

    def _serve(self, name: str) -> Address:
        weights = None if os.environ.get(f"HUB_SPEED_{name.upper()}_URL") else self._weights(name)
        log = Path(tempfile.mkdtemp()) / f"{name}.log"
        recipe = self.published.recipe()
        return self._servers.enter_context(Addresses([]).open(recipe, name, weights, cores(), log))

    def embedder(self) -> Any:
        """The published embedder as a SentenceTransformer."""
        return self.published.keep("embedder", self.load_embedder)

    def load_embedder(self) -> Any:
        """A fresh copy of it."""
        from sentence_transformers import SentenceTransformer

        folder = self._weights("embedder")
        options = {"use_safetensors": True}
        return SentenceTransformer(str(folder), device="cpu", trust_remote_code=False, model_kwargs=options)

    def _weights(self, name: str) -> Path:
        """The files of a model that is small enough to be run here.

        Raises:
            HubError: it is not.
        """
        import torch
        from transformers import AutoConfig, AutoModel

        ref, hub = self.published.ref(name), self.published.hub
        config = AutoConfig.from_pretrained(hub.fetch(ref, "*.json"), trust_remote_code=False)
        with torch.device("meta"):
            count = sum(p.numel() for p in AutoModel.from_config(config, trust_remote_code=False).parameters())
        if count > MAX_PARAMETERS:
            raise HubError(
                f"{ref} is too large to be run here",
                expected=f"at most {MAX_PARAMETERS / 1e9:.1f} billion parameters",
                got=f"{count / 1e9:.1f} billion",
                fix=f"serve it elsewhere and set HUB_SPEED_{name.upper()}_URL" if name != "embedder" else "",
            )
        return hub.fetch(ref, *WEIGHTS)
