"""The published models, run here or elsewhere: generator and revisor behind an address, the embedder in this process.

Of models only safetensors, configuration and tokenizer are fetched; no code of a repository is run.
"""

import asyncio
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from published import Published

from hub_speed.cores import cores
from hub_speed.errors import EndpointDown, HubError
from hub_speed.llm.address import Address
from hub_speed.llm.addresses import Addresses
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.llm.endpoint import Endpoint, RowFailed
from hub_speed.recipe import Generator, Revise

MAX_PARAMETERS = 1_200_000_000  # of a model run here. Assumption: three in float32 fit the 16 GB of a small Space
TIMEOUT_S = 300
WEIGHTS = ("*.json", "*.safetensors", "*.txt", "*.model")


class Models:
    """The models of what an organisation has published."""

    def __init__(self, published: Published) -> None:
        self.published = published
        self._servers = ExitStack()  # they end with this process

    def ask(self, name: str, prompt: str, how: Generator | Revise) -> Completion:
        """One answer of a generator or the revisor."""
        recipe = self.published.recipe()
        sampling = Sampling(how.sampling_temperature, how.top_p, recipe.generator.max_tokens)
        address = self.published.keep(f"address {name}", lambda: self._serve(name))

        async def ask() -> Completion:
            async with Endpoint(address, in_flight=1, timeout_s=TIMEOUT_S, retries=1) as endpoint:
                await endpoint.probe()
                return await endpoint.complete(Request(prompt, sampling))

        try:
            return asyncio.run(ask())
        except RowFailed as error:
            raise EndpointDown(f"The {name} does not answer", got=str(error), fix="try again") from error

    def _serve(self, name: str) -> Address:
        """The address of a model: HUB_SPEED_<NAME>_URL, or that of a server started here, which then stays."""
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
