"""A branch of the dataset repository as the place that ranks share, where they have nothing but the Hub in common."""

from dataclasses import dataclass
from pathlib import Path

from hub_speed.hub import Hub

BEAT_S = 900.0  # the Hub limits commits to 128 an hour a repository. Assumption: a quarter of an hour is enough to see


@dataclass(frozen=True)
class Branch:
    """Every file is a commit of its own, so shards should be few: see `generation.shards.ROWS_PER_SHARD`."""

    hub: Hub
    repo: str
    branch: str
    beat_s: float = BEAT_S

    def read(self, name: str) -> bytes | None:
        """The content of a small file; None where there is none."""
        path = self.fetch(name)
        return None if path is None else path.read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, or replace it."""
        self.hub.put("dataset", self.repo, self.branch, name, content)

    def send(self, file: Path, name: str) -> None:
        """Copy a file of this machine."""
        self.hub.put("dataset", self.repo, self.branch, name, file)

    def fetch(self, name: str) -> Path | None:
        """A file on this machine; None where there is none."""
        return self.hub.get("dataset", self.repo, self.branch, name)

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder, in order."""
        found = self.hub.on_branch("dataset", self.repo, self.branch)
        return sorted(name for name in found if name.startswith(f"{folder}/"))

    def clear(self) -> None:
        """Remove all."""
        self.hub.drop_branch("dataset", self.repo, self.branch)
