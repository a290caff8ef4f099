"""Diffs that git applies, and merges against what they have to keep."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.localhub import patches, trees
from hub_speed.localhub.disk import Scratch
from hub_speed.localhub.git import GitRepo
from hub_speed.localhub.trees import TreeEditor, pointer_text


@pytest.fixture(scope="module")
def git(tmp_path_factory):
    scratch = Scratch(tmp_path_factory.mktemp("scratch"))
    yield GitRepo.init(tmp_path_factory.mktemp("git") / "repo", scratch)
    scratch.close()


def tree(git, files):
    editor = TreeEditor(git, None)
    for path, content in files.items():
        editor.put(path, git.add_blob(content))
    return editor.write()


def merged(git, base, ours, theirs):
    """The files of a merge, or the paths in conflict."""
    result = patches.merge(git, *(tree(git, files) for files in (base, ours, theirs)))
    if result.conflicts:
        return result.conflicts
    git.add(result.blobs)
    entries = trees.walk(git, result.editor.write())
    return {entry.path: git.read_blob(entry.oid) for entry in entries if not entry.is_dir}


def test_git_applies_the_diff(git, tmp_path):
    old = {"gone.txt": b"a\nb\n", "d/kept": b"k", "d/changed": b"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "end": b"no newline"}
    new = {
        "d/kept": b"k",
        "d/changed": b"1\n2\n3\nfour\n5\n6\n7\n8\n9\n10",
        "end": b"newline\n",
        "é/new": "ü\r\n".encode(),
    }
    for path, content in old.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    text = patches.as_text(git, tree(git, old), tree(git, new))
    subprocess.run(["git", "apply", "--verbose"], cwd=tmp_path, input=text.encode(), check=True, capture_output=True)
    there = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert there == new
    assert patches.as_text(git, tree(git, new), tree(git, new)) == ""


def test_what_is_no_short_text_is_named_only(git, monkeypatch):
    old = {"long": b"x" * (patches.FILE_MAX + 1), "a": b"a\n"}
    new = {"lines": b"\n" * (patches.LINES_MAX + 1), "zero": b"\0", "pointer": pointer_text("0" * 64, 5), "a": b"b\n"}
    text = patches.as_text(git, tree(git, old), tree(git, new))
    for line in ("a/long and /dev/null", "/dev/null and b/lines", "/dev/null and b/zero"):
        assert f"Binary files {line} differ\n" in text
    assert "+oid sha256:000" in text and "-a\n+b\n" in text and len(text) < 1500
    monkeypatch.setattr(patches, "DIFF_MAX", 1)
    assert patches.as_text(git, tree(git, old), tree(git, new)).endswith("(4 more files differ)\n")


def test_both_changes_are_kept_or_it_is_a_conflict(git, monkeypatch):
    text = b"".join(b"%d\n" % i for i in range(9))
    top, end, other = text.replace(b"0\n", b"zero\n"), text.replace(b"8\n", b"eight\n"), text.replace(b"8\n", b"8!\n")
    base = {"t": text, "a": b"a", "b": b"b", "same": b"1", "p": pointer_text("1" * 64, 1)}
    ours = {**base, "t": top, "a": b"A", "same": b"2", "new/ours": b""}
    theirs = {key: value for key, value in {**base, "t": end, "same": b"2", "new/theirs": b""}.items() if key != "b"}
    both = {"t": top.replace(b"8\n", b"eight\n"), "a": b"A", "same": b"2", "new/ours": b"", "new/theirs": b""}
    assert merged(git, base, ours, theirs) == merged(git, base, theirs, ours) == {**both, "p": base["p"]}
    assert merged(git, base, {**base, "t": other}, theirs) == ["t"]
    assert merged(git, base, {**base, "b": b"B"}, theirs) == ["b"]  # one changed what the other deleted
    assert merged(git, base, {**base, "n": b"1"}, {**base, "n": b"2"}) == ["n"]
    assert merged(git, base, {**base, "n": b"1"}, {**base, "n/n": b"2"}) == ["n/n"]  # file and folder
    assert merged(git, base, {**base, "n/n": b"1"}, {**base, "n": b"2"}) == ["n"]
    pointers = ({**base, "p": pointer_text("1" * 64, 2)}, {**base, "p": pointer_text("2" * 64, 1)})
    assert merged(git, base, *pointers) == ["p"]  # never a pointer to what is not there
    monkeypatch.setattr(patches, "TOGETHER_MAX", 0)
    assert merged(git, base, ours, theirs) == ["t"]
    into_folder = {**{key: value for key, value in base.items() if key != "a"}, "a/a": b"x"}
    assert merged(git, base, base, into_folder) == into_folder


texts = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n"]), max_size=8)


@settings(max_examples=200, deadline=None)
@given(texts, texts, texts)
def test_lines_of_both(base, ours, theirs):
    assert patches.merge_lines(base, ours, base) == ours == patches.merge_lines(base, ours, ours)
    assert patches.merge_lines(base, base, theirs) == theirs
    assert patches.merge_lines(base, ours, theirs) == patches.merge_lines(base, theirs, ours)
    between, end = [b"1\n", b"2\n"], [b"c\n"]
    sides = ([*ours, *between, *end], [*base, *between, *theirs])
    assert patches.merge_lines([*base, *between, *end], *sides) == [*ours, *between, *theirs]
