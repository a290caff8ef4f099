"""Git repositories: trees against a plain dict, refs, and histories that git can read."""

import posixpath
from unittest import mock

import pytest
from dulwich.repo import Repo as DulwichRepo
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.localhub import trees
from hub_speed.localhub.disk import Scratch
from hub_speed.localhub.errors import HttpRefusal
from hub_speed.localhub.git import HEADS, MAIN, TAGS, GitRepo, commit_info
from hub_speed.localhub.trees import TreeEditor


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    scratch = Scratch(tmp_path_factory.mktemp("scratch"))
    yield scratch
    scratch.close()


@pytest.fixture
def git(tmp_path, scratch):
    git = GitRepo.init(tmp_path / "repo", scratch)
    git.set_ref(MAIN, git.commit(TreeEditor(git, None).write(), [], "start"))
    return git


def commit(git, changes, message="change"):
    """Commit `{path: content or None}` to main."""
    head = git.ref(MAIN)
    editor = TreeEditor(git, commit_info(git, head).tree)
    for path, content in changes.items():
        if content is None:
            editor.remove(path, is_folder=False)
        else:
            editor.put(path, git.add_blob(content))
    git.set_ref(MAIN, git.commit(editor.write(), [head], message))
    return git.ref(MAIN)


def files_of(git, oid):
    entries = trees.walk(git, commit_info(git, oid).tree)
    return {entry.path: git.read_blob(entry.oid) for entry in entries if not entry.is_dir}


names = st.sampled_from(["a", "b", "a.b", "a-b", "A", "é"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
operations = st.one_of(
    st.tuples(st.just("put"), paths, st.binary(max_size=3)),
    st.tuples(st.just("remove"), paths, st.just(b"")),
    st.tuples(st.just("rmdir"), paths, st.just(b"")),
)


def apply(files, kind, path, content):
    """The same change to a plain dict; True when the editor has to refuse it."""
    inside = [other for other in files if other.startswith(path + "/")]
    if kind == "put":
        above = path
        while above := posixpath.dirname(above):
            if above in files:
                return True
        if inside:
            return True
        files[path] = content
    elif kind == "remove" and path in files:
        del files[path]
    elif inside:
        for other in inside:
            del files[other]
    else:
        return True
    return False


@settings(deadline=None, max_examples=150)
@given(st.lists(st.lists(operations, max_size=6), max_size=3))
def test_editing_is_like_editing_a_dict(tmp_path_factory, scratch, commits):
    with mock.patch("hub_speed.localhub.disk.os.fsync"):  # thousands of objects, and nobody cuts the power here
        edit_like_a_dict(tmp_path_factory, scratch, commits)


def edit_like_a_dict(tmp_path_factory, scratch, commits):
    git = GitRepo.init(tmp_path_factory.mktemp("git") / "repo", scratch)
    tree, files = None, {}
    for batch in commits:
        editor = TreeEditor(git, tree)
        for kind, path, content in batch:
            wanted = dict(files)
            try:
                if kind == "put":
                    editor.put(path, git.add_blob(content))
                else:
                    editor.remove(path, is_folder=kind == "rmdir")
            except HttpRefusal:
                # Folders emptied in this very commit are still in the editor; git will not keep them.
                emptied = kind == "rmdir" or any(other.startswith(path + "/") for other in files)
                assert apply(wanted, kind, path, content) or emptied
            else:
                refused = apply(wanted, kind, path, content)
                assert not refused or kind != "put"  # removing such a folder changes nothing
                files = wanted
        tree = editor.write()
        commit_oid = git.commit(tree, [], "x")
        assert files_of(git, commit_oid) == files
    if tree:
        for obj in (DulwichRepo(str(git.path))[oid] for oid in DulwichRepo(str(git.path)).object_store):
            obj.check()


def test_last_commits_name_the_commit_that_changed_each_path(git):
    one = commit(git, {"a/x": b"1", "a/y": b"1", "top": b"1"})
    two = commit(git, {"a/x": b"2"})
    three = commit(git, {"b/z": b"3", "top": None})
    found = trees.last_commits(git, three, ["a", "a/x", "a/y", "b", "b/z"])
    assert {path: info.oid for path, info in found.items()} == {
        "a": two,
        "a/x": two,
        "a/y": one,
        "b": three,
        "b/z": three,
    }


def test_git_itself_can_read_the_repo(git):
    commit(git, {"a/x": b"1", "a.x": b"2", "é": b"3"}, "Grüße\n\nbody")
    git.create_ref(TAGS + "v1", git.annotate("v1", git.ref(MAIN), "why"))
    repo = DulwichRepo(str(git.path))
    for oid in repo.object_store:
        repo[oid].check()
    assert repo.head() == git.ref(MAIN).encode()
    entries = list(repo.get_walker())
    assert [entry.commit.message.decode().partition("\n")[0] for entry in entries] == ["Grüße", "start"]
    assert repo.get_peeled(b"refs/tags/v1") == repo.head()


def test_packed_objects_and_refs_are_found(git):
    """As after `git gc`."""
    oid = commit(git, {"x": b"1" * 1000})
    git.create_ref(TAGS + "v1", oid)
    repo = DulwichRepo(str(git.path))
    repo.object_store.pack_loose_objects()
    repo.refs.pack_refs(all=True)
    assert not (git.path / "refs/heads/main").exists()
    fresh = GitRepo(git.path, git.scratch)
    assert fresh.resolve("v1") == fresh.resolve("main") == oid
    assert files_of(fresh, oid) == {"x": b"1" * 1000}
    fresh.delete_ref(TAGS + "v1")
    assert fresh.ref(TAGS + "v1") is None and fresh.ref(MAIN) == oid
    assert commit_info(fresh, commit(fresh, {"y": b"2"})).parents == (oid,)


def test_reading_from_a_repo_that_was_deleted_says_so(git):
    oid = git.commit(TreeEditor(git, None).write(), [], "first")
    git.path.rename(git.path.parent / "trash")
    with pytest.raises(FileNotFoundError):
        git.read(oid)


def test_refs_do_not_get_in_each_others_way(git):
    oid = git.ref(MAIN)
    git.create_ref(HEADS + "a/b/c", oid)
    with pytest.raises(HttpRefusal, match="exists"):
        git.create_ref(HEADS + "a/b", oid)
    with pytest.raises(HttpRefusal, match="exists"):
        git.create_ref(HEADS + "main/x", oid)
    git.delete_ref(HEADS + "a/b/c")
    (git.path / "refs/heads/a/b").mkdir(parents=True)  # what a kill during the deletion leaves
    git.create_ref(HEADS + "a", oid)
    assert sorted(git.refs(HEADS)) == ["a", "main"]
    for bad in ("a..b", "a b", "-/", ".x", "x.lock", "a@{b", "a\\b", "", "x" * 300, "a\x01"):
        with pytest.raises(HttpRefusal):
            git.create_ref(HEADS + bad, oid)
