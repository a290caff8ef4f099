"""Rows on their way from the ledgers of ranks to that of the publisher.

A rank closes a shard when it has enough rows, sends it to the shared place, and only then counts its rows as shipped.
Whatever a kill leaves is put right from what lies there: a shard that the ledger does not know is taken over, and the
rows of a shard that is missing or damaged are shipped again, or asked for again where the ledger is gone. The publisher
takes every shard exactly once, so its ledger is the one that a single process would have. Waves, duplicates and surplus
are the business of the publisher alone.
"""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import Field

from hub_speed.errors import RanksLeft, ShardLost, StageError
from hub_speed.generation.jobs import Jobs, without
from hub_speed.generation.ledger import Ledger
from hub_speed.parquet import write_parquet
from hub_speed.rows import LedgerRow
from hub_speed.shared import Finished, Share, Wave, checksum, some

_log = logging.getLogger("hub_speed")

ROWS_PER_SHARD = 5_000  # some 10 MB. Assumption: a second to write, and no more to ask again if a disk is lost


class ShardRow(LedgerRow):
    """A line of a rank's ledger."""

    row: str | None = Field(description="the accepted row, as JSON")


class Shards:
    """The shards of one rank.

    Args:
        share: which rank it is, with the shared place.
        ledger: its own, on a local disk.
        work: a folder for a shard before it is sent.
    """

    def __init__(self, share: Share, ledger: Ledger, work: Path) -> None:
        self._share, self._ledger, self._work = share, ledger, work
        self._restore()
        failed = ledger.failed()
        self._waiting = [name for name in ledger.unshipped() if name not in failed]

    def jobs(self, jobs: Jobs) -> Jobs:
        """Those of the jobs that this rank has to ask for."""
        share, failed = self._share, self._ledger.failed_in_shards()
        return without(lambda todo: jobs(lambda row_id: share.is_mine(row_id) and todo(row_id)), failed)

    def add(self, entries: list[LedgerRow]) -> None:
        """These rows have ended. A failed one may still be answered, so it waits for the end of the wave."""
        self._waiting += (entry.id for entry in entries if entry.state != "failed")
        if len(self._waiting) >= ROWS_PER_SHARD:
            self.close()

    def close(self) -> None:
        """Send what is waiting."""
        while self._waiting:
            self._send(self._waiting[:ROWS_PER_SHARD])
            del self._waiting[:ROWS_PER_SHARD]

    def close_wave(self) -> None:
        """Send the rest, failed rows as well."""
        self._waiting = self._ledger.unshipped()
        self.close()

    def _send(self, names: list[str]) -> None:
        lines, folder = list(self._ledger.lines(names)), self._work / "shard"
        write_parquet(lines, ShardRow, folder)
        file = next(folder.glob("*.parquet"))
        name = self._share.ship(file, len(self._ledger.shards()))
        self._ledger.take(name, lines)
        file.unlink()

    def _restore(self) -> None:
        """Make the ledger and the shared place agree, whatever an earlier run of this rank, here or elsewhere, left."""
        for name in lost_shards(self._share, self._ledger.shards()):
            self._ledger.forget_shard(name)
        for name in sorted({*self._share.shipped()} - {*self._ledger.shards()}):
            try:
                self._ledger.take(name, read_shard(self._share, name))  # one that holds rows of others is left alone
            except ShardLost as error:
                _log.warning("%s; its rows are shipped again", error.where)


def read_shard(share: Share, name: str) -> list[dict[str, Any]]:
    """The lines of a shard.

    Raises:
        ShardLost: it is not there, or not as it was written.
    """
    return list(pq.read_table(_fetch(share, name)).to_pylist())


def lost_shards(share: Share, names: Iterable[str]) -> list[str]:
    """Those of the shards that are missing, or not as they were written."""
    lost = []
    for name in names:
        try:
            _fetch(share, name)
        except ShardLost:
            lost.append(name)
    return lost


def _fetch(share: Share, name: str) -> Path:
    """A shard on this machine, after a look at its checksum."""
    file = share.place.fetch(name)
    if file is None or checksum(file) != name.rpartition("-")[2].removesuffix(".parquet"):
        raise ShardLost(
            f"shard {name}: {'it is missing' if file is None else 'its checksum is another'}",
            expected="the file as its rank has written it",
            fix="start this rank again: it asks once more for the rows that it no longer has",
        )
    return file


def gather(share: Share, ledger: Ledger) -> list[Finished]:
    """Fill the publisher's ledger from the shards of all ranks, as if this process had asked; returns their marks.

    Raises:
        RanksLeft: a rank has not finished.
        ShardLost: a shard is missing or damaged.
        StageError: a row is there twice, or a rank belongs to another recipe.
    """
    marks, taken = share.check_finished(), {*ledger.shards()}
    for name in taken - {name for mark in marks for name in mark.shards}:  # its rank has made another in its place
        ledger.forget_shard(name)
    for rank, mark in enumerate(marks):
        if mark.fingerprint != share.fingerprint:
            where = f"rank {rank}: it has worked on another recipe"
            raise StageError(where, expected=share.fingerprint, got=mark.fingerprint)
        for name in mark.shards:
            if name not in taken:
                _take(share, ledger, rank, name)
    return marks


def next_wave(share: Share, ledger: Ledger, jobs: Jobs, more: Callable[[], bool], marks: list[Finished]) -> None:
    """Look whether every row is there, and whether these are enough.

    Raises:
        RanksLeft: they are not; now `wave.json` says for which rows the ranks have to ask.
        StageError: a row is missing.
    """
    wave = share.wave()
    missing = next(iter(without(jobs, ledger.failed())(ledger.todo())), None)
    if missing and ledger.asked() == wave.asked:
        raise StageError(
            f"row {missing.id} is missing",
            expected=f"in a shard of rank {share.owner(missing.id)}, which has finished",
            fix="start this rank again, with the recipe of the others",
        )
    if missing or more():  # missing: a kill came after the wave was decided on
        new = Wave(
            number=wave.number + 1, turn=wave.turn + 1, asked=ledger.asked(), spent=[mark.spent for mark in marks]
        )
        share.save("wave.json", new)
        total = sum(ledger.asked().values())
        raise RanksLeft(
            f"wave {wave.number + 1} is needed: too few rows were accepted",
            got=f"{ledger.accepted_by_type().total():,} accepted; now {total:,} are to be asked for",
            fix="start all ranks again, then run the same command again",
        )


def _take(share: Share, ledger: Ledger, rank: int, name: str) -> None:
    """Take a shard over, after a look at every id.

    Raises:
        StageError: a row belongs to another rank, or is there twice.
    """
    lines = read_shard(share, name)
    strange = [line["id"] for line in lines if share.owner(line["id"]) != rank]
    if strange or (strange := ledger.take(name, lines)):
        raise StageError(
            f"shard {name}: it holds rows of another rank, or rows that another shard holds as well",
            got=", ".join(strange[:5]),
            fix=f"remove the folder of rank {some([rank])} from the shared place, and start the rank again",
        )
