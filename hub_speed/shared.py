"""The place that the ranks of one stage share: a folder that all of them reach, or a branch of the dataset repository.

about.json                 whose it is: the first rank writes it, all others and the publisher compare
wave.json                  of the publisher: the wave, and what each rank may spend
rank-0003/progress.json    how far a rank is
rank-0003/*.parquet        closed shards: some of the rank's rows each; the name has the fingerprint and a checksum
rank-0003/finished.json    written last: the wave that the rank has finished, and all its shards

Every file is there whole or not at all. Nobody waits for a lock, and no two clocks are compared.
"""

import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from hub_speed.errors import NoSpace, RanksLeft, RecipeError, Stopped
from hub_speed.record import Json

M = TypeVar("M", bound=BaseModel)

_log = logging.getLogger("hub_speed")

BEAT_S = 5.0  # between two looks at the other ranks. Assumption
LAST = "remove this place: its rows are then asked for again"
REMEDIES = {
    "finished.json": "remove this file and start its rank again: it keeps the shards that lie here, and writes it anew",
    "progress.json": "leave it: it only tells how far its rank is, which writes it anew when at work; no row is lost",
}
"""Names of damaged files → what to do, where it is less than to remove all (`LAST`)."""
STILL = 3  # times that a beat is the same before its rank counts as dead. Assumption


class RankDone(Exception):
    """A rank has asked for all its rows; the publisher does the rest of the stage. Not an error.

    Attributes:
        notes: what the servers of the models do otherwise than they were asked.
    """

    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self.notes = notes


class About(BaseModel):
    """Whose the place is. All ranks of a stage write the same.

    Attributes:
        extends: the smaller version whose rows are not asked for again; empty where there is none.
    """

    stage: str
    recipe: str
    fingerprint: str
    identity: Json
    world: int
    hub_speed: str
    extends: str = ""


Used = tuple[int, int, int]
"""Calls of the teacher, tokens read and tokens written."""


class Wave(BaseModel):
    """What the publisher wants of the ranks.

    Attributes:
        number: from 1.
        asked: task type → how many rows are asked for; empty as long as the recipe says it.
        turn: raised whenever the budget is dealt out again.
        spent: what each rank had spent until then; empty: nothing.
        going: the ranks that share what is left of the budget; empty: all.
    """

    number: int = 1
    turn: int = 1
    asked: dict[str, int] = {}
    spent: list[Used] = []
    going: list[int] = []


class Progress(BaseModel):
    """How far a rank is.

    Attributes:
        holder: which process it is; `beat` changes as long as that lives.
        run: whose rank it is (`Share.run`); `Share.tell` fills it in.
        state: "asking", "finished", "stopped" or "budget", where the rank has spent its part; "damaged" only in a table
            of all ranks, where the place, or a file of this rank, cannot be read.
        total: as long as it is at work, an even part of all rows: a rank has some more, or fewer.
        calls: that were answered, of whatever model; `spent` counts those of the teacher.
        error: why it was stopped.
    """

    wave: int
    turn: int
    holder: str
    run: str = ""
    beat: int = 0
    state: str = "asking"
    done: int = 0
    total: int = 0
    rows_per_s: float = 0.0
    calls: int = 0
    spent: Used = (0, 0, 0)
    error: str = ""

    def advance(self, rows: int) -> None:
        """So many more rows have ended."""
        self.done += rows
        self.total = max(self.total, self.done)


class Finished(BaseModel):
    """The mark of a rank that has asked for all its rows of a wave.

    Attributes:
        shards: all its shards, those of earlier waves as well.
        seconds: of its asking, over all waves.
        notes: what the servers of the models do otherwise than they were asked.
    """

    wave: int
    fingerprint: str
    shards: list[str]
    spent: Used = (0, 0, 0)
    seconds: float = 0.0
    notes: list[str] = []


class Place(Protocol):
    """Files that all ranks reach, by their names."""

    @property
    def beat_s(self) -> float:
        """Seconds between two looks at other ranks."""

    def read(self, name: str) -> bytes | None:
        """The content of a small file; None where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, or replace it."""

    def send(self, file: Path, name: str) -> None:
        """Copy a file of this machine."""

    def fetch(self, name: str) -> Path | None:
        """A file on this machine; None where there is none."""

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder, in order."""

    def clear(self) -> None:
        """Remove all."""


@dataclass(frozen=True)
class Folder:
    """A folder. It is not created here but by who begins: where a mount is lost, nothing is written below it."""

    path: Path
    beat_s: float = BEAT_S

    def read(self, name: str) -> bytes | None:
        """The content of a small file; None where there is none."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError as error:
            if not self.path.exists():
                raise self._lost(error) from error
            return None
        except OSError as error:
            raise self._lost(error) from error

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, or replace it."""
        self._put(name, lambda path: path.write_bytes(content))

    def send(self, file: Path, name: str) -> None:
        """Copy a file of this machine."""
        self._put(name, lambda path: shutil.copyfile(file, path))

    def _put(self, name: str, fill: Callable[[Path], object]) -> None:
        path = self.path / name
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            if path.parent != self.path:
                path.parent.mkdir(exist_ok=True)
            fill(part)
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise self._lost(error) from error

    def fetch(self, name: str) -> Path | None:
        """A file on this machine; None where there is none."""
        path = self.path / name
        return path if path.exists() else None

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder, in order; files that a kill has left half-written are not among them."""
        found = (self.path / folder).glob("*")
        return sorted(f"{folder}/{path.name}" for path in found if path.suffix != ".part")

    def clear(self) -> None:
        """Remove all but the folder itself, in which others may begin."""
        with suppress(OSError):
            for path in self.path.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _lost(self, error: OSError) -> NoSpace:
        return NoSpace(
            f"{self.path}: the shared folder cannot be used",
            expected="a folder that every rank may write to",
            got=str(error),
            fix="mount it again, or free some space; the same command goes on, and no row that was answered is lost",
        )


@dataclass
class Share:
    """The part that one process has in a stage that several ranks work.

    Attributes:
        rank: which one it is, from 0; None for the publisher, which asks for no rows.
        world: how many ranks there are.
        fingerprint: of the stage.
        others: how many ranks have not finished yet, this one among them, as it was last seen.
        about: whose the place has to be, once this process has begun.
    """

    place: Place
    world: int
    fingerprint: str
    rank: int | None = None
    others: int = field(init=False)
    about: About | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.others = self.world

    def owner(self, row_id: str) -> int:
        """The rank that a row belongs to."""
        return int.from_bytes(hashlib.blake2b(row_id.encode(), digest_size=8).digest()) % self.world

    def is_mine(self, row_id: str) -> bool:
        """Whether a row belongs to this rank."""
        return self.owner(row_id) == self.rank

    def part(self, most: int) -> int:
        """How many of the requests that an endpoint of all ranks may have open are those of this rank."""
        return most // self.others

    @property
    def run(self) -> str:
        """What the progress of these ranks is known by."""
        return f"{self.fingerprint} {self.world}"

    @property
    def beat_s(self) -> float:
        """Seconds between two beats of a rank: each time it reads the marks of all."""
        return self.place.beat_s * max(1.0, self.world / 100)

    def begin(self, about: About, stop: threading.Event) -> None:
        """Say whose the place is, or look whether it is ours. The publisher only looks.

        Raises:
            RecipeError: ranks of another run work here, or have left rows.
            Stopped: the user wants to stop.
        """
        self.about = about
        while (found := self._whose()) != about:
            if found and not self._is_left(found, stop):
                raise self._not_ours(found)
            if self.rank is None:
                return
            if self._whose() == found:  # no other rank has taken it meanwhile
                self.save("about.json", about)

    def check_ours(self) -> None:
        """Raise RecipeError where the place is no longer that of these ranks: nothing may be written to it."""
        if (found := self._whose()) != self.about:
            raise self._not_ours(found)

    def _whose(self) -> About | None:
        return self.load("about.json", About)

    def _not_ours(self, found: About | None) -> RecipeError:
        if found is None or self.about is None:
            return RecipeError(
                f"{self._where}: about.json is gone, and the shards with it",
                got="the stage was published meanwhile, or somebody has removed the files",
                fix="run the same command again: it keeps what this rank was answered",
            )
        now, there = self.about.model_dump(), found.model_dump()
        differ = [name for name in now if now[name] != there[name] and name != "identity"]
        return RecipeError(
            f"{self._where}: ranks of another run work here, or have left rows",
            expected=", ".join(f"{name} {now[name] or 'nothing'}" for name in differ) or "the same identity",
            got=", ".join(f"{name} {there[name] or 'nothing'}" for name in differ) or "another one",
            fix="start every rank with the same recipe, flags and version; or name another --shared folder, or"
            " remove this one if nobody needs its rows",
        )

    def _is_left(self, about: About, stop: threading.Event) -> bool:
        """Whether no rank of another run is at work, and none has left rows."""
        theirs = Share(self.place, about.world, about.fingerprint)
        return theirs._is_empty() and not theirs.at_work(range(about.world), stop) and theirs._is_empty()

    def _is_empty(self) -> bool:
        files = (name for rank in range(self.world) for name in self.place.names(folder_of(rank)))
        return self.place.read("wave.json") is None and all(name.endswith("/progress.json") for name in files)

    def at_work(self, ranks: Iterable[int], stop: threading.Event) -> list[int]:
        """Those of the ranks that are alive: their beat goes on. Clocks are not compared.

        A rank that was killed says that it is asking, but its beat stands still.

        Raises:
            Stopped: the user wants to stop; nothing is known of the ranks then.
        """
        asked = list(ranks)
        still = self._asking(asked)
        if still:
            _log.warning("ranks %s have begun: looking for up to %.0f s if they live", some(still), STILL * self.beat_s)
        for _ in range(STILL):
            if not still:
                break
            if stop.wait(self.beat_s):
                raise Stopped("stopped", fix="what the ranks have shipped is kept; the same command goes on")
            now = self._asking(asked)
            still = {rank: told for rank, told in still.items() if now.get(rank) == told}
        return [rank for rank, told in self._asking(asked).items() if told != still.get(rank)]

    def _asking(self, ranks: Iterable[int]) -> dict[int, Progress]:
        told = ((rank, self.progress(rank)) for rank in ranks)
        return {rank: each for rank, each in told if each and each.state == "asking"}

    @property
    def _where(self) -> object:
        return getattr(self.place, "path", "the shared place")

    def load(self, name: str, model: type[M]) -> M | None:
        """A small file, None where there is none.

        Raises:
            RecipeError: it is damaged, or of another version of this program.
        """
        content = self.place.read(name)
        try:
            return None if content is None else model.model_validate_json(content)
        except ValidationError as error:
            raise self._unreadable(name, str(error.errors()[0]["msg"])) from error

    def _unreadable(self, name: str, got: str) -> RecipeError:
        remedy = REMEDIES.get(name.rpartition("/")[2], LAST)
        return RecipeError(
            f"{self._where}: {name} cannot be used",
            expected="the file as this version of hub_speed writes it",
            got=got,
            fix=f"if another version has written it, use that one; otherwise {remedy}",
        )

    def save(self, name: str, value: BaseModel) -> None:
        """Write a small file."""
        self.place.write(name, value.model_dump_json().encode())

    def wave(self) -> Wave:
        """What the publisher wants now.

        Raises:
            RecipeError: the file is damaged.
        """
        wave = self.load("wave.json", Wave) or Wave()
        if wave.spent and len(wave.spent) != self.world:
            raise self._unreadable("wave.json", f"what {len(wave.spent)} ranks have spent, not {self.world}")
        return wave

    def progress(self, rank: int) -> Progress | None:
        """How far a rank is; None where it has not begun, or where that cannot be read: it is written anew soon."""
        with suppress(RecipeError):
            told = self.load(f"{folder_of(rank)}/progress.json", Progress)
            if told and told.run == self.run:
                return told
        return None

    def check_readable(self, rank: int) -> None:
        """Raise RecipeError where a file of a rank is damaged."""
        self.finished(rank)
        self.load(f"{folder_of(rank)}/progress.json", Progress)

    def finished(self, rank: int) -> Finished | None:
        """The mark of a rank, of this wave or an earlier one."""
        return self.load(f"{folder_of(rank)}/finished.json", Finished)

    @property
    def folder(self) -> str:
        """The folder of this rank in the place."""
        assert self.rank is not None, "the publisher has none"
        return folder_of(self.rank)

    def tell(self, progress: Progress) -> None:
        """Say how far this rank is; RecipeError where the place is no longer ours."""
        self.check_ours()
        self.save(f"{self.folder}/progress.json", progress.model_copy(update={"run": self.run}))

    def ship(self, file: Path, number: int) -> str:
        """Copy a closed shard to the place; returns its name there. RecipeError where the place is no longer ours."""
        self.check_ours()
        name = f"{self.folder}/{number:05d}-{self.fingerprint}-{checksum(file)}.parquet"
        self.place.send(file, name)
        return name

    def shipped(self) -> list[str]:
        """The names of the shards that this rank has in the place, whether its ledger knows them or not."""
        names = self.place.names(self.folder)
        return [name for name in names if name.endswith(".parquet") and f"-{self.fingerprint}-" in name]

    def finish(self, mark: Finished) -> None:
        """Write the mark of this rank; RecipeError where the place is no longer ours."""
        self.check_ours()
        self.save(f"{self.folder}/finished.json", mark)

    def unfinished(self, wave: int) -> list[int]:
        """The ranks that have not finished a wave."""
        marks = ((rank, self.finished(rank)) for rank in range(self.world))
        return [rank for rank, mark in marks if not mark or mark.wave < wave]

    def check_finished(self) -> list[Finished]:
        """The marks of all ranks.

        Raises:
            RanksLeft: some have not finished; says which.
        """
        wave = self.wave().number
        if left := self.unfinished(wave):
            raise RanksLeft(
                f"wave {wave}: {len(left)} of {self.world} ranks have not finished",
                got=f"not finished: {some(left)}",
                fix="start these ranks, or wait for them, and run the same command again",
            )
        return [mark for rank in range(self.world) if (mark := self.finished(rank))]


def folder_of(rank: int) -> str:
    """The folder of a rank in the shared place."""
    return f"rank-{rank:04d}"


def some(ranks: Iterable[int]) -> str:
    """The first of some ranks, for a message."""
    found = list(ranks)
    return ", ".join(map(str, found[:8])) + (f" and {len(found) - 8} more" if len(found) > 8 else "")


def checksum(file: Path) -> str:
    """sha256 of a file, 64 hex digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
