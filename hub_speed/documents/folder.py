"""The files of a folder of documents, and a digest of the names and bytes of those that are read."""

import hashlib
import os
import stat
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hub_speed.documents.parsers import PARSERS
from hub_speed.errors import RecipeError, StageError
from hub_speed.tables import KINDS as TABLES

TEXTS = (".md", ".markdown", ".txt", ".rst")
"""Endings of files that are read as they are."""

KINDS = frozenset((*TEXTS, *PARSERS, *TABLES))
"""Endings of files that are read."""

LARGEST = 100_000_000
"""Bytes of a file that is read; tables may be larger, as they are read row by row. Assumption: scanned books have more,
and give no text."""


@dataclass(frozen=True)
class File:
    """One file of a folder.

    Attributes:
        name: its path below the folder, with /; bytes that are not UTF-8 are shown in hexadecimal.
        size: in bytes.
        changed: when it was changed last, in nanoseconds.
    """

    name: str
    path: Path
    size: int
    changed: int

    @property
    def kind(self) -> str:
        """The ending of its name, in lower case."""
        return self.path.suffix.lower()

    @property
    def flaw(self) -> tuple[str, str] | None:
        """Why it is not read, as a reason and a detail; None where it is."""
        if self.kind not in KINDS:
            return "unknown_kind", f"files that end in {self.kind} are not read" if self.kind else "no ending"
        if self.size > LARGEST and self.kind not in TABLES:
            return "too_large", f"{self.size:,} bytes; at most {LARGEST:,} are read"
        return None


@dataclass(frozen=True)
class Folder:
    """What lies below a folder, or a file alone.

    Attributes:
        files: by name.
        left_out: (what, how many) of hidden files and folders and of links, which are not looked at.
    """

    files: tuple[File, ...]
    left_out: tuple[tuple[str, int], ...] = ()

    @property
    def known(self) -> tuple[File, ...]:
        """The files of a kind that is read: they alone decide what the documents are."""
        return tuple(file for file in self.files if file.kind in KINDS)

    @property
    def readable(self) -> tuple[File, ...]:
        """The files that may hold a document: neither too large nor without a byte."""
        return tuple(file for file in self.files if file.size and not file.flaw)


def look(source: Path) -> Folder:
    """The files below a folder, or one file.

    Raises:
        RecipeError: there is no such folder or file, or nothing that can be read.
    """
    found = _found(source)
    if not found.readable:
        names = [file.name for file in found.files]
        raise RecipeError(
            f"corpus.source {source}: there is nothing in it that can be read",
            expected=f"files that end in {', '.join(sorted(KINDS))}, and are not empty",
            got=", ".join([*names[:3], *["…"] * (len(names) > 3)]) or "no file; hidden ones and links do not count",
        )
    return found


def _found(source: Path) -> Folder:
    """The files, whatever they are."""
    where, expected = f"corpus.source {source}", "a folder with documents, or a file"
    try:
        if not source.is_dir():
            return Folder((_file(source, source.name),))
    except OSError as error:
        raise RecipeError(f"{where}: there is no such folder or file", expected=expected, got=str(error)) from error
    found, left_out = [], Counter[str]()
    for folder, names, files in os.walk(source, onerror=_refuse):
        kept = []
        for name in sorted(names) + sorted(files):
            path = Path(folder, name)
            if name.startswith(".") or name == "CVS":
                left_out["hidden"] += 1
            elif path.is_symlink():
                left_out["links"] += 1
            elif name in names:
                kept.append(name)
            elif path.is_file():
                with suppress(FileNotFoundError):  # it is gone by now
                    found.append(_file(path, path.relative_to(source).as_posix()))
        names[:] = kept
    return Folder(tuple(sorted(found, key=lambda file: file.name)), tuple(left_out.items()))


def tables_in(folder: Path) -> tuple[File, ...]:
    """The tables of a dataset as the Hub's client keeps it: its files are links."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in TABLES and path.is_file())
    return tuple(sorted((_file(path, path.relative_to(folder).as_posix()) for path in found), key=lambda f: f.name))


def _refuse(error: OSError) -> None:
    raise RecipeError(f"corpus.source: {error.filename} cannot be read", got=str(error)) from error


def _file(path: Path, name: str) -> File:
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise OSError(f"{path} is no regular file")
    shown = os.fsencode(name).decode("utf-8", "backslashreplace")
    return File(shown, path, about.st_size, about.st_mtime_ns)


def digest(source: Path) -> str:
    """sha256 of the names and bytes of all files of a kind that is read; as `look` for what it raises."""
    return _together(hashes(look(source).known))


def _together(found: dict[str, str]) -> str:
    whole = hashlib.sha256()
    for name, each in found.items():
        whole.update(f"{name}\0{each}\0".encode())
    return whole.hexdigest()


@lru_cache(8)  # asked for by every look at the plan: read again only where a size or a time has changed
def hashes(files: tuple[File, ...]) -> dict[str, str]:
    """Name of a file → sha256 of its bytes, or why it is not read."""
    return {file.name: file.flaw[0] if file.flaw else hash_of(file.path) for file in files}


def hash_of(path: Path) -> str:
    """sha256 of a file's bytes; what the system says where it may not be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return no_hash(error)


def no_hash(error: OSError) -> str:
    """What stands in the place of the sha256 of a file that may not be read."""
    return f"unreadable: {error.strerror}"


def check_unchanged(folder: Folder, source: Path, digest: str, read: dict[str, str]) -> None:
    """Raise a StageError where a file that was read is another one than when the run began, or has changed since.

    Args:
        folder: as it was before the files were read.
        source: where it is.
        digest: by which the run knows the files.
        read: name of a file → sha256 of what was read, as `hashes`.
    """
    changed = sorted({file.name for file in {*_found(source).known} ^ {*folder.known}})
    if changed or _together({file.name: read[file.name] for file in folder.known}) != digest:
        raise StageError(
            f"corpus.source {source}: files have changed while they were read, or since the run began",
            got=", ".join(changed[:3]) or "other bytes than before in one of them",
            fix="run the same command again when nothing writes there, or read a copy; nothing was published",
        )
