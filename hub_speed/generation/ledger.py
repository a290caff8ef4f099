"""The ledger of one stage at work: every row ends in exactly one state, and a kill loses only what was in flight.

One SQLite file in WAL mode: one process writes (see `lock`), others may read. A row is written once, in the same tick
of the event loop in which its answer was read; it survives the process, and after a power cut at most the last moments
are asked again. `failed` rows are asked again by the next run; the other states are final. Nothing here grows with the
number of rows: questions about many of them are answered by two narrow indexes, a part at a time.
"""

import re
import sqlite3
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from hub_speed.errors import NoSpace, StageError
from hub_speed.rows import LedgerRow

_COLUMNS = tuple(LedgerRow.model_fields)
_VALUES = attrgetter(*_COLUMNS)
_LISTS = ("completions", "thoughts", "finish_reasons")
_UNWRITABLE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_WINDOW = 1000  # names of finished rows that are read ahead
MOUNTS = Path("/proc/mounts")
_NETWORK = re.compile(
    r"nfs\d?|lustre|cifs|smb\w*|9p|afs|ceph|gpfs|beegfs|glusterfs|orangefs|pvfs2|panfs|wekafs|ocfs2|gfs2"
    r"|fuse(\.(?!fuse-overlayfs).+)?"
)
"""File systems that several machines share, as /proc/mounts names them."""


class Ledger:
    """The ledger in `folder`; use as a context manager.

    Args:
        folder: made when it is not there.
        identity: what decides the rows (`stage.identity`), where only a ledger of the same will do.

    Raises:
        NoSpace: the disk is full, or the folder cannot be written.
        StageError: it belongs to another identity, another version of this program wrote it, or it is damaged.

    Warns:
        RuntimeWarning: the folder is on a network file system.
    """

    def __init__(self, folder: Path, identity: dict[str, Any] | None = None) -> None:
        self._folder, self._identity = folder, identity

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._no_space(error) from error
        if self._identity is not None and (kind := network_file_system(self._folder, MOUNTS)):
            warnings.warn(
                f"{self._folder} is on a network file system ({kind}), where SQLite is slow and may lose rows."
                " Set HUB_SPEED_HOME to a folder on a local disk; what is finished is published on the Hub anyway.",
                RuntimeWarning,
                stacklevel=2,
            )
        with self._translating_errors():
            self._db = sqlite3.connect(self._folder / "ledger.sqlite", isolation_level=None, check_same_thread=False)
        try:
            with self._translating_errors():
                self._db.execute("PRAGMA page_size=16384")  # a row takes some 4 KB; a fifth faster than pages of 4 KB
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                columns = ", ".join(f"{name} TEXT PRIMARY KEY" if name == "id" else name for name in _COLUMNS)
                self._db.execute(f"CREATE TABLE IF NOT EXISTS ledger ({columns}, row)")
                self._db.execute("CREATE INDEX IF NOT EXISTS failed ON ledger (id) WHERE state = 'failed'")
                self._db.execute("CREATE TABLE IF NOT EXISTS identity (name TEXT PRIMARY KEY, value)")
                self._db.execute("CREATE TABLE IF NOT EXISTS batches (file TEXT PRIMARY KEY, name)")
                self._db.execute("CREATE TABLE IF NOT EXISTS asked (task_type TEXT PRIMARY KEY, count)")
                self._db.execute("CREATE TABLE IF NOT EXISTS shards (name TEXT PRIMARY KEY) WITHOUT ROWID")
                self._db.execute("CREATE TABLE IF NOT EXISTS shipped (id TEXT PRIMARY KEY, shard) WITHOUT ROWID")
                self._check_version()
                self._check_identity()
        except BaseException:
            self._db.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def _check_version(self) -> None:
        """Whether the ledger has the columns that are written here."""
        found = tuple(row[1] for row in self._read("PRAGMA table_info(ledger)"))
        if found != (*_COLUMNS, "row"):
            differ = sorted({*found} ^ {*_COLUMNS, "row"})
            raise StageError(
                f"{self._folder}: another version of hub_speed wrote this ledger",
                expected=f"the columns {', '.join(_COLUMNS)}",
                got=f"other columns: {', '.join(differ)}",
                fix="go on with that version, or move the folder away to ask for every row again",
            )

    def _check_identity(self) -> None:
        """Whether the ledger's rows were asked for as they would be now; a new ledger takes the identity on."""
        if self._identity is None:
            return
        now = {name: _json(value) for name, value in _flat(self._identity)}
        before = dict(self._read("SELECT name, value FROM identity"))
        if not before and not self.count_finished():
            self._write("INSERT INTO identity VALUES (?, ?)", list(now.items()))
        elif before != now:
            differ = [name for name in {**before, **now} if before.get(name) != now.get(name)]
            raise StageError(
                f"{self._folder}: the ledger belongs to another recipe",
                expected=", ".join(f"{name}={now.get(name, 'nothing')}" for name in differ)[:400],
                got=", ".join(f"{name}={before.get(name, 'nothing')}" for name in differ)[:400],
                fix="run the recipe that began it, or move the folder away to ask for every row again",
            )

    def add(self, entries: Iterable[tuple[LedgerRow, dict[str, Any] | None]]) -> None:
        """Write ledger entries, each with its accepted row (or None), in one transaction.

        Raises:
            NoSpace: the disk is full; nothing of this batch was written.
        """
        values = []
        for entry, row in entries:
            columns = [_json(value) if value.__class__ is list else value for value in _VALUES(entry)]
            values.append((*columns, None if row is None else _json(row)))
        marks = ", ".join("?" * (len(_COLUMNS) + 1))
        self._write(f"INSERT OR REPLACE INTO ledger VALUES ({marks})", values)

    def _write(self, statement: str, values: Iterable[tuple[Any, ...]]) -> None:
        """All of the values or, when that fails, none."""
        with self._translating_errors(), self._transaction():
            self._db.executemany(statement, values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written in the block or, when that fails, nothing."""
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite may have rolled back by itself
                self._db.execute("ROLLBACK")
            raise

    def _read(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[Any]:
        """The rows that a query finds."""
        with self._translating_errors():
            yield from self._db.execute(query, values)

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        """Translates SQLite's errors into ones with a fix: the disk is full, or the file is damaged."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _UNWRITABLE:
                raise self._no_space(error) from error
            if code in _DAMAGED:
                raise self._damaged(error) from error
            raise

    def _damaged(self, error: Exception) -> StageError:
        return StageError(
            f"{self._folder / 'ledger.sqlite'}: the ledger is damaged",
            expected="a whole SQLite file",
            got=str(error),
            fix=f"copy the folder, then keep the rows that can still be read: cd {self._folder}"
            " && sqlite3 ledger.sqlite .dump | sed 's/^ROLLBACK;.*/COMMIT;/' | sqlite3 saved.sqlite"
            " && rm -f ledger.sqlite-* && mv saved.sqlite ledger.sqlite\n            or move the folder away to ask for"
            " every row again",
        )

    def _no_space(self, error: Exception) -> NoSpace:
        return NoSpace(
            f"{self._folder}: the ledger cannot be written",
            got=str(error),
            fix="make the folder writable, or free some space, and run the same command again; finished rows are kept",
        )

    def todo(self) -> Callable[[str], bool]:
        """A function that says whether a row is still to be asked for; made for names that mostly come in order.

        It knows the ledger as it is now, and reads the names in it a window at a time, as they are come to.
        """
        failed = self.failed()
        first, last, window = self._names_from("")

        def is_todo(row_id: str) -> bool:
            nonlocal first, last, window
            if row_id in failed:
                return True
            if row_id < first:
                return next(self._read("SELECT 1 FROM ledger WHERE id = ?", (row_id,)), None) is None
            if last is not None and row_id > last:
                first, last, window = self._names_from(row_id)
            return row_id not in window

        return is_todo

    def _names_from(self, first: str) -> tuple[str, str | None, set[str]]:
        """`first`, a later name (None: none is later), and all names of the ledger between the two."""
        query = f"SELECT id FROM ledger WHERE id >= ? ORDER BY id LIMIT {_WINDOW}"
        names = [name for (name,) in self._read(query, (first,))]
        return first, names[-1] if len(names) == _WINDOW else None, set(names)

    def count_finished(self) -> int:
        """How many rows need no more asking."""
        count = "SELECT (SELECT count(*) FROM ledger) - (SELECT count(*) FROM ledger WHERE state = 'failed')"
        return int(next(self._read(count))[0])

    def counts(self) -> Counter[str]:
        """Rows per state."""
        return Counter(dict(self._read("SELECT state, count(*) FROM ledger GROUP BY state")))

    def reasons(self) -> Counter[str]:
        """Rows that were not accepted, per reason."""
        query = "SELECT reason, count(*) FROM ledger WHERE reason != '' GROUP BY reason"
        return Counter(dict(self._read(query)))

    def usage(self) -> tuple[int, int, int]:
        """Calls that were answered, tokens read and tokens written."""
        query = "SELECT sum(calls), sum(prompt_tokens), sum(completion_tokens) FROM ledger"
        calls, read, written = next(self._read(query))
        return calls or 0, read or 0, written or 0

    def usage_by(self, of: Callable[[str], str]) -> dict[str, tuple[int, int, int]]:
        """The same for every group of rows; `of` says to which a row belongs."""
        found: dict[str, tuple[int, int, int]] = {}
        for row_id, *used in self._read("SELECT id, calls, prompt_tokens, completion_tokens FROM ledger"):
            calls, read, written = found.get(group := of(row_id), (0, 0, 0))
            found[group] = (calls + used[0], read + used[1], written + used[2])
        return found

    def rows(self, task_type: str | None = None) -> Iterator[dict[str, Any]]:
        """The accepted rows, by id; of one task type, or all."""
        query = "SELECT row FROM ledger WHERE row IS NOT NULL AND (?1 IS NULL OR task_type = ?1) ORDER BY id"
        for (row,) in self._read(query, (task_type,)):
            yield orjson.loads(row)

    def accepted(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(id, row) of every accepted row, by id."""
        for row_id, row in self._read("SELECT id, row FROM ledger WHERE row IS NOT NULL ORDER BY id"):
            yield row_id, orjson.loads(row)

    def accepted_by_type(self) -> Counter[str]:
        """Accepted rows per task type."""
        query = "SELECT task_type, count(*) FROM ledger WHERE row IS NOT NULL GROUP BY task_type"
        return Counter(dict(self._read(query)))

    def accepted_beyond(self, task_type: str, count: int) -> Iterator[str]:
        """The names of the accepted rows of a task type, by id, without the first `count`."""
        query = "SELECT id FROM ledger WHERE row IS NOT NULL AND task_type = ? ORDER BY id LIMIT -1 OFFSET ?"
        for (row_id,) in self._read(query, (task_type, count)):
            yield row_id

    def note_asked(self, counts: Mapping[str, int]) -> None:
        """Keep how many rows of each task type are asked for."""
        self._write("INSERT OR REPLACE INTO asked VALUES (?, ?)", list(counts.items()))

    def asked(self) -> dict[str, int]:
        """Task type → how many rows are asked for, as it was noted; nothing before that."""
        return dict(self._read("SELECT task_type, count FROM asked"))

    def reject(
        self, rows: Iterable[tuple[str, str, float | None]], reason: str, details: Mapping[str, str] | None = None
    ) -> None:
        """Turn accepted rows into rejected ones, which keep their columns.

        Args:
            rows: `dedup.Duplicate`s.
            reason: why, for all of them.
            details: name → what exactly was wrong, where more can be said.

        Raises:
            NoSpace: the disk is full; nothing was changed.
        """
        self._write(
            "UPDATE ledger SET state = 'rejected', reason = ?, duplicate_of = ?, similarity = ?,"
            " detail = coalesce(?, detail), dropped_row = row, row = NULL WHERE id = ?",
            [(reason, of, similarity, (details or {}).get(name), name) for name, of, similarity in rows],
        )

    def drop(self, names: Iterable[str], reason: str, details: Mapping[str, str] | None = None) -> None:
        """The same for accepted rows that repeat no other, by their names."""
        self.reject(((name, "", None) for name in names), reason, details)

    def fail(self, names: Iterable[str], reason: str, detail: str) -> None:
        """Turn accepted rows into failed ones, without a row: the next run asks for them again."""
        change = "UPDATE ledger SET state = 'failed', reason = ?, detail = ?, row = NULL WHERE id = ?"
        self._write(change, [(reason, detail, name) for name in names])

    def restore(self, rows: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Give finished entries the rows that were accepted: those of a ledger that was published, by their names."""
        self._write("UPDATE ledger SET row = ? WHERE id = ?", ((_json(row), name) for name, row in rows))

    def rejected(self) -> set[str]:
        """The names of the rejected rows."""
        return {name for (name,) in self._read("SELECT id FROM ledger WHERE state = 'rejected'")}

    def failed(self) -> set[str]:
        """The names of the failed rows."""
        return {name for (name,) in self._read("SELECT id FROM ledger WHERE state = 'failed'")}

    def note_batch(self, file: str, name: str) -> None:
        """Keep the name of a batch at a provider with the file of its requests; empty before the batch has one."""
        self._write("INSERT OR REPLACE INTO batches VALUES (?, ?)", [(file, name)])

    def forget_batch(self, file: str) -> None:
        """A batch that does not exist."""
        self._write("DELETE FROM batches WHERE file = ?", [(file,)])

    def batches(self) -> dict[str, str]:
        """The batches that were noted: the file of the requests → the name, empty where there is none yet."""
        return dict(self._read("SELECT file, name FROM batches"))

    def lines(self, names: Iterable[str]) -> Iterator[dict[str, Any]]:
        """The rows with these names for another ledger: `rows.LedgerRow` columns, and `row`, which is JSON or None."""
        query = f"SELECT {', '.join(_COLUMNS)}, row FROM ledger WHERE id = ?"
        for name in names:
            for *values, row in self._read(query, (name,)):
                yield _entry(tuple(values)) | {"row": row}

    def take(self, shard: str, lines: list[dict[str, Any]]) -> list[str]:
        """Take over a shard: `lines` of another ledger, or of this one, all or none.

        Returns:
            The rows that another shard holds as well. Where there are any, nothing was taken over.
        """
        shipped = "SELECT id FROM shipped WHERE id = ?"
        if twice := [line["id"] for line in lines if next(self._read(shipped, (line["id"],)), None)]:
            return twice
        lists = [line | {name: _json(line[name]) for name in _LISTS} for line in lines]
        marks = ", ".join(f":{name}" for name in (*_COLUMNS, "row"))
        with self._translating_errors(), self._transaction():
            self._db.executemany(f"INSERT OR REPLACE INTO ledger VALUES ({marks})", lists)
            self._db.executemany("INSERT INTO shipped VALUES (?, ?)", [(line["id"], shard) for line in lines])
            self._db.execute("INSERT INTO shards VALUES (?)", (shard,))
        return []

    def count_as_shipped(self) -> None:
        """The rows that have ended until now are of no concern to the publisher, who has them."""
        with self._translating_errors(), self._transaction():
            self._db.execute("INSERT INTO shipped SELECT id, '' FROM ledger WHERE state != 'failed'")

    def forget_shard(self, shard: str) -> None:
        """The rows of a shard that is lost count as those of no shard."""
        with self._translating_errors(), self._transaction():
            self._db.execute("DELETE FROM shipped WHERE shard = ?", (shard,))
            self._db.execute("DELETE FROM shards WHERE name = ?", (shard,))

    def shards(self) -> list[str]:
        """The shards that were taken over."""
        return [name for (name,) in self._read("SELECT name FROM shards ORDER BY name")]

    def unshipped(self) -> list[str]:
        """The rows that were asked for and are in no shard."""
        query = "SELECT id FROM ledger WHERE request != '' AND id NOT IN (SELECT id FROM shipped) ORDER BY id"
        return [name for (name,) in self._read(query)]

    def failed_in_shards(self) -> set[str]:
        """The failed rows of shards: another wave does not ask for them again."""
        query = "SELECT id FROM ledger WHERE state = 'failed' AND id IN (SELECT id FROM shipped)"
        return {name for (name,) in self._read(query)}

    def entry(self, row_id: str) -> dict[str, Any]:
        """One line of the ledger, as `rows.LedgerRow` columns."""
        query = f"SELECT {', '.join(_COLUMNS)} FROM ledger WHERE id = ?"
        return _entry(next(self._read(query, (row_id,))))

    def entries(self) -> Iterator[dict[str, Any]]:
        """The whole ledger, by id, as `rows.LedgerRow` columns."""
        for values in self._read(f"SELECT {', '.join(_COLUMNS)} FROM ledger ORDER BY id"):
            yield _entry(values)


def network_file_system(folder: Path, mounts: Path) -> str:
    """The kind of network file system a folder is on; empty for a local one, and where nobody says."""
    try:
        lines = [line.split()[1:3] for line in mounts.read_text("utf-8", "surrogateescape").splitlines()]
    except OSError:
        return ""
    at = {re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), place): kind for place, kind in lines}
    kind = next((at[str(each)] for each in (folder.resolve(), *folder.resolve().parents) if str(each) in at), "")
    return kind if _NETWORK.fullmatch(kind) else ""


def _entry(values: tuple[Any, ...]) -> dict[str, Any]:
    entry = dict(zip(_COLUMNS, values, strict=True))
    return entry | {name: orjson.loads(entry[name]) for name in _LISTS}


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a tree of mappings, named by the way to it."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    else:
        yield name, value


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
