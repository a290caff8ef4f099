"""The ledger of one stage at work: every row ends in exactly one state, and a kill loses only what was in flight.

One SQLite file in WAL mode, one writer process (held by a lock file). A row is written once, in the same tick of the
event loop in which its answer was read; it survives the process, and after a power cut at most the last moments are
asked again. `failed` rows are asked again by the next run; the other states are final.
"""

import fcntl
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hub_speed.errors import Busy, NoSpace
from hub_speed.rows import LedgerRow

STATES = ("accepted", "repaired", "rejected", "failed")

_COLUMNS = tuple(LedgerRow.model_fields)
_LISTS = ("completions", "finish_reasons")


class Journal:
    """The ledger in `folder`; use as a context manager, which holds the lock.

    Raises:
        Busy: another process has it open.
        NoSpace: the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self._folder / "lock", "a+", encoding="utf-8")  # held until __exit__
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise Busy(
                f"{self._folder}: another process works on this stage",
                got=f"process {holder}",
                fix="wait for it, or stop it; the rows it has finished are kept",
            ) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        self._db = sqlite3.connect(self._folder / "ledger.sqlite", isolation_level=None, check_same_thread=False)
        try:
            with self._full_disk():
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                columns = ", ".join(f"{name} TEXT PRIMARY KEY" if name == "id" else name for name in _COLUMNS)
                self._db.execute(f"CREATE TABLE IF NOT EXISTS ledger ({columns}, row) WITHOUT ROWID")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._lock.close()

    def add(self, entries: Iterable[tuple[LedgerRow, dict[str, Any] | None]]) -> None:
        """Write ledger entries, each with its accepted row (or None), in one transaction.

        Raises:
            NoSpace: the disk is full; nothing of this batch was written.
        """
        values = []
        for entry, row in entries:
            fields = entry.model_dump()
            for name in _LISTS:
                fields[name] = json.dumps(fields[name], ensure_ascii=False)
            values.append((*fields.values(), None if row is None else json.dumps(row, ensure_ascii=False)))
        marks = ", ".join("?" * (len(_COLUMNS) + 1))
        self._write(f"INSERT OR REPLACE INTO ledger VALUES ({marks})", values)

    def _write(self, statement: str, values: list[tuple[Any, ...]]) -> None:
        """All of the values or, when that fails, none."""
        with self._full_disk():
            self._db.execute("BEGIN")
            try:
                self._db.executemany(statement, values)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite may have rolled back by itself
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _full_disk(self) -> Iterator[None]:
        """Says that the disk is full where SQLite does."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                raise
            raise NoSpace(
                f"{self._folder}: the ledger cannot be written",
                got=str(error),
                fix="free some space and run the same command again; finished rows are kept",
            ) from error

    def finished(self) -> set[str]:
        """Ids of the rows that need no more asking."""
        return {id_ for (id_,) in self._db.execute("SELECT id FROM ledger WHERE state != 'failed'")}

    def counts(self) -> Counter[str]:
        """Rows per state."""
        return Counter(dict(self._db.execute("SELECT state, count(*) FROM ledger GROUP BY state").fetchall()))

    def reasons(self) -> Counter[str]:
        """Rows that were not accepted, per reason."""
        query = "SELECT reason, count(*) FROM ledger WHERE reason != '' GROUP BY reason"
        return Counter(dict(self._db.execute(query).fetchall()))

    def usage(self) -> tuple[int, int, int]:
        """Calls (rows that were answered), tokens read and tokens written."""
        query = "SELECT count(*), sum(prompt_tokens), sum(completion_tokens) FROM ledger WHERE state != 'failed'"
        calls, read, written = self._db.execute(query).fetchone()
        return calls, read or 0, written or 0

    def task_types(self) -> list[str]:
        """The task types that have an accepted row."""
        return [
            t for (t,) in self._db.execute("SELECT DISTINCT task_type FROM ledger WHERE row IS NOT NULL ORDER BY 1")
        ]

    def rows(self, task_type: str | None = None) -> Iterator[dict[str, Any]]:
        """The accepted rows, by id; of one task type, or all."""
        query = "SELECT row FROM ledger WHERE row IS NOT NULL AND (?1 IS NULL OR task_type = ?1) ORDER BY id"
        for (row,) in self._db.execute(query, (task_type,)):
            yield json.loads(row)

    def accepted(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(id, row) of every accepted row, by id."""
        for row_id, row in self._db.execute("SELECT id, row FROM ledger WHERE row IS NOT NULL ORDER BY id"):
            yield row_id, json.loads(row)

    def reject(self, ids: Iterable[tuple[str, str]], reason: str) -> None:
        """Turn accepted rows into rejected ones; `ids` are (row id, detail).

        Raises:
            NoSpace: the disk is full; nothing was changed.
        """
        self._write(
            "UPDATE ledger SET state = 'rejected', reason = ?, detail = ?, row = NULL WHERE id = ?",
            [(reason, detail, id_) for id_, detail in ids],
        )

    def entries(self) -> Iterator[dict[str, Any]]:
        """The whole ledger, by id, as `rows.LedgerRow` columns."""
        for values in self._db.execute(f"SELECT {', '.join(_COLUMNS)} FROM ledger ORDER BY id"):
            entry = dict(zip(_COLUMNS, values, strict=True))
            for name in _LISTS:
                entry[name] = json.loads(entry[name])
            yield entry
