"""Names of files: those that git itself would not check out are refused; all others survive git fsck and a clone."""

import os
import subprocess

from dulwich.objects import Blob, Commit, Tree
from dulwich.repo import Repo as DulwichRepo
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_speed.localhub.disk import Scratch
from hub_speed.localhub.errors import HttpRefusal
from hub_speed.localhub.git import MAIN, GitRepo
from hub_speed.localhub.trees import TreeEditor, check_path

GIT_ENV = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}

REFUSED = [".git", ".GIT", ".Git", "git~1", "GIT~1", ".git.", ".git...", ".git ", ".git. .", "git~1.", ".git:x"]
REFUSED += [
    ".git::$INDEX_ALLOCATION",
    ".git\u200c",
    ".\u200dgit",
    ".g\ufeffit",
    "\u202e.git",
    ".gi\u206ft",
    ".git\u200f\u200e",
]
SUBMODULES = [".gitmodules", ".GITMODULES", ".gitmodules.", "gitmod~1", "GITMOD~4", "gi7eba~1", ".gitmodules\u200c"]
ALLOWED = [
    ".gitignore",
    ".gitattributes",
    ".github",
    "git",
    "git~2",
    "x.git",
    ".git1",
    "a.git.",
    ".git-x",
    "git~10",
    ".gitkeep",
]
ALLOWED += ["...", "a b", "é", "a:b", "~", "con", ".gıt", "\u200c", "-x", "--", "$(x)"]


def refused(name):
    try:
        check_path(f"a/{name}/b")
    except HttpRefusal:
        return True
    return False


def complaints(folder, names):
    """The names among `names` that `git fsck` finds to be git's own; each is put into a tree of its own."""
    repo = DulwichRepo.init_bare(str(folder), mkdir=True)
    blob = Blob.from_string(b"x")
    root, trees = Tree(), {}
    objects = [blob, root]
    for number, name in enumerate(names):
        tree = Tree()
        tree.add(name.encode(), 0o100644, blob.id)
        trees[tree.id.decode()] = name
        root.add(b"%d" % number, 0o40000, tree.id)
        objects.append(tree)
    commit = Commit()
    commit.tree, commit.author, commit.message = root.id, b"a <a@b>", b"m"
    commit.committer, commit.commit_time, commit.author_time = commit.author, 0, 0
    commit.commit_timezone = commit.author_timezone = 0
    for item in [*objects, commit]:
        repo.object_store.add_object(item)
    repo.refs[b"refs/heads/main"] = commit.id
    done = subprocess.run(["git", "-C", str(folder), "fsck", "--strict"], capture_output=True, text=True, env=GIT_ENV)
    lines = [line.split() for line in done.stderr.splitlines() if "hasDotgit" in line]
    return {name for tree, name in trees.items() if any(f"{tree}:" in line or tree in line for line in lines)}


def test_names_that_git_refuses(tmp_path):
    assert complaints(tmp_path / "git", REFUSED) == set(REFUSED)
    assert [name for name in [*REFUSED, *SUBMODULES] if not refused(name)] == []


def test_names_that_git_takes(tmp_path):
    assert complaints(tmp_path / "git", ALLOWED) == set()
    assert [name for name in ALLOWED if refused(name)] == []


pieces = st.sampled_from(
    [".", "g", "G", "i", "t", "git", ".git", "~", "1", "2", " ", ":", "\u200c", "\ufeff", "\u2060", "x"]
)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.lists(pieces, min_size=1, max_size=5).map("".join), min_size=20, max_size=80, unique=True))
def test_nothing_that_git_refuses_gets_in(tmp_path_factory, names):
    names = [name for name in names if name not in (".", "..")]
    found = complaints(tmp_path_factory.mktemp("fsck") / "git", names)
    assert {name for name in names if refused(name)} == found


def test_a_clone_has_what_was_committed(tmp_path):
    scratch = Scratch(tmp_path / "scratch")
    git = GitRepo.init(tmp_path / "repo", scratch)
    editor = TreeEditor(git, None)
    for name in ALLOWED:
        editor.put(f"folder/{name}", git.add_blob(name.encode()))
    git.set_ref(MAIN, git.commit(editor.write(), [], "names"))
    for command in (["git", "-C", str(git.path), "fsck", "--strict"], ["git", "clone", "-q", str(git.path), "copy"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=GIT_ENV)
        assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "copy" / "folder").iterdir()} == set(ALLOWED)
    scratch.close()
