"""`vllm run-batch` instead of a server: files of requests in a folder, which vLLM answers one after the other.

Of several programs, each on GPUs of its own, each answers a part of a file.

The files are those of the Batch API. One without answers is from a run that was cut off: its rows are asked for again.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from hub_speed.llm import servers
from hub_speed.llm.address import Address
from hub_speed.llm.batch_api import Batch


class RunBatch:
    """The batches in one folder; with the methods of `batch_api.Batches`.

    Args:
        address: how the model is asked; it has no URL.
        weights: the model's files.
        folder: where requests and answers are.
        flags: what is added to the command line of vLLM.
        gpus: for each program that shares a batch, the GPUs it sees.
        log: where messages go.
        stop: whether the user wants to stop.
    """

    look_every_s = 0.0  # a batch is answered once it is submitted

    def __init__(
        self,
        address: Address,
        weights: Path,
        folder: Path,
        flags: tuple[str, ...],
        gpus: Sequence[tuple[str, ...]],
        log: Path,
        stop: Callable[[], bool],
    ) -> None:
        self.address, self.sharing = address, len(gpus)
        self._weights, self._folder, self._flags, self._gpus = weights, folder, flags, gpus
        self._log, self._stop = log, stop

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def submit(self, lines: Iterable[bytes], note: Callable[[str, str], None]) -> Batch:
        """Have requests answered; returns once they are. Nothing has to be noted: the folder holds all batches.

        Where one of several programs fails, its GPUs are left alone from then on, and its requests have no answers.

        Raises:
            EndpointDown, Stopped: see `servers.run_batch`.
        """
        number = len(list(self._folder.glob("*.requests.jsonl")))
        requests = self._folder / f"{number:05d}.requests.jsonl"
        requests.write_bytes(b"".join(lines))
        batch = _batch(requests)
        self._gpus = await asyncio.to_thread(
            servers.run_batch,
            self._weights,
            self.address.model,
            requests,
            Path(batch.answers or ""),
            flags=self._flags,
            log=self._log,
            stop=self._stop,
            gpus=self._gpus,
        )
        return batch

    async def find(self, file: str) -> Batch | None:
        """Nothing: no batch is ever noted."""
        return None

    async def mine(self, known: Mapping[str, str]) -> list[Batch]:
        """Every batch that was answered."""
        found = map(_batch, sorted(self._folder.glob("*.requests.jsonl")))
        return [batch for batch in found if Path(batch.answers or "").exists()]

    async def content(self, file: str) -> IO[bytes]:
        """The lines of a file."""
        return Path(file).open("rb")


def _batch(requests: Path) -> Batch:
    answers = requests.with_name(requests.name.replace("requests", "answers"))
    return Batch(requests.name, "completed", str(requests), str(answers), None)
