"""What differs between two trees: file by file, as the text of a diff, and merged with the changes of somebody else."""

import io
import stat
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

from dulwich.objects import Blob
from dulwich.patch import gen_diff_header, is_binary, patch_filename, write_blob_diff

from hub_speed.localhub.errors import HttpRefusal
from hub_speed.localhub.git import GitRepo
from hub_speed.localhub.trees import POINTER, TreeEditor, children

# Assumption: nobody reads longer diffs. Comparing 3,000 lines takes up to 0.1 s, twice as many four times as long.
FILE_MAX, LINES_MAX = 256 << 10, 3_000  # bytes and lines of a file whose text is compared
DIFF_MAX = 1 << 20  # bytes of a whole diff
TOGETHER_MAX = 50  # files that both changed and whose lines are put together; more are conflicts. Assumption

File = tuple[int, str]  # mode and blob id


class Change(NamedTuple):
    """A path, and the file there before and after; None where there is no file."""

    path: str
    old: File | None
    new: File | None


def changes(repo: GitRepo, old: str | None, new: str | None, prefix: str = "") -> Iterator[Change]:
    """The files that differ between two trees (None: an empty one), by path."""
    before, after = (children(repo, tree) if tree else {} for tree in (old, new))
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        change = Change(prefix + name, _file(was), _file(now))
        if change.old or change.new:
            yield change
        if was != change.old or now != change.new:
            yield from changes(repo, _folder(was), _folder(now), f"{prefix}{name}/")


def _file(item: File | None) -> File | None:
    return item if item and not stat.S_ISDIR(item[0]) else None


def _folder(item: File | None) -> str | None:
    return item[1] if item and stat.S_ISDIR(item[0]) else None


def as_text(repo: GitRepo, old: str | None, new: str | None) -> str:
    """The diff between two trees as `git diff` writes it; of large files the pointers, of binary files no content.

    Of very long diffs only the first files are there, and the last line tells how many are left out.
    """
    text, left_out = io.BytesIO(), 0
    for change in changes(repo, old, new):
        if text.tell() < DIFF_MAX:
            _write(text, repo, change)
        else:
            left_out += 1
    if left_out:
        text.write(f"({left_out} more files differ)\n".encode())
    return text.getvalue().decode("utf-8", "replace")


def _write(text: io.BytesIO, repo: GitRepo, change: Change) -> None:
    path = change.path.encode()
    files = (change.old, change.new)
    contents = [_content(repo, file) if file else b"" for file in files]
    if contents[0] is not None and contents[1] is not None:
        before, after = (
            (path, file[0], Blob.from_string(content or b"")) if file else (None, None, None)
            for file, content in zip(files, contents, strict=True)
        )
        write_blob_diff(text, before, after)
        return
    old, new = ((path, file[0], file[1].encode()) if file else (None, None, None) for file in files)
    text.writelines(gen_diff_header((old[0], new[0]), (old[1], new[1]), (old[2], new[2])))
    text.write(b"Binary files %s and %s differ\n" % (patch_filename(old[0], b"a"), patch_filename(new[0], b"b")))


def _content(repo: GitRepo, file: File) -> bytes | None:
    """The content of a file, None for one that is not short text."""
    size, _ = repo.peek_blob(file[1], 0)
    content = repo.read_blob(file[1]) if size <= FILE_MAX else b"\0"
    return None if is_binary(content) or content.count(b"\n") > LINES_MAX else content


class Merge(NamedTuple):
    """Two sets of changes put together.

    Attributes:
        editor: The files of both; not whole where there are conflicts.
        blobs: Files that are in neither, because both changed other lines. To be written before the tree.
        conflicts: The files that both changed and that cannot be put together, by path.
    """

    editor: TreeEditor
    blobs: list[Blob]
    conflicts: list[str]


def merge(repo: GitRepo, base: str, ours: str, theirs: str) -> Merge:
    """Apply to the tree `ours` what changed from the tree `base` to the tree `theirs`; nothing is written."""
    mine = {change.path: change for change in changes(repo, base, ours)}
    merged = Merge(TreeEditor(repo, ours), [], [])
    # Deletions come first: a file may have made room for a folder of its name.
    for change in sorted(changes(repo, base, theirs), key=lambda change: change.new is not None):
        own = mine.get(change.path)
        if own is not None and own.new == change.new:
            continue
        blob = change.new[1] if change.new else None
        if own is not None:
            tried = len(merged.blobs) + len(merged.conflicts)
            both = _put_together(repo, own, change) if tried < TOGETHER_MAX else None
            if both is None:
                merged.conflicts.append(change.path)
                continue
            merged.blobs.append(both)
            blob = both.id.decode()
        try:
            if blob is None:
                merged.editor.remove(change.path, is_folder=False)
            else:
                merged.editor.put(change.path, blob)
        except HttpRefusal:  # one has a folder where the other has a file
            merged.conflicts.append(change.path)
    merged.conflicts.sort()
    return merged


def _put_together(repo: GitRepo, ours: Change, theirs: Change) -> Blob | None:
    """The file with the lines that both changed, None when that is not possible."""
    if ours.old is None or ours.new is None or theirs.new is None:
        return None
    texts = []
    for file in (ours.old, ours.new, theirs.new):
        content = _content(repo, file)
        if content is None or POINTER.fullmatch(content):
            return None
        texts.append(content.splitlines(keepends=True))
    lines = merge_lines(*texts)
    return None if lines is None else Blob.from_string(b"".join(lines))


def merge_lines(base: list[bytes], ours: list[bytes], theirs: list[bytes]) -> list[bytes] | None:
    """The lines with the changes of both, None when both changed the same or neighbouring lines in different ways."""
    edits = sorted({*_edits(base, ours), *_edits(base, theirs)})
    merged: list[bytes] = []
    done = -1  # how far the last edit went
    for start, end, lines in edits:
        if start <= done:
            return None
        merged += [*base[max(done, 0) : start], *lines]
        done = end
    return [*merged, *base[max(done, 0) :]]


def _edits(base: list[bytes], other: list[bytes]) -> list[tuple[int, int, tuple[bytes, ...]]]:
    """(start, end, the lines that replace those) for each change."""
    matcher = SequenceMatcher(None, base, other)
    return [(i1, i2, tuple(other[j1:j2])) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal"]
