"""gc and fsck: what nobody needs goes, what somebody may need stays, and damage is found."""

import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import commit, make, sha_of, upload

from hub_speed.errors import HubError
from hub_speed.localhub import maintenance, trees
from hub_speed.localhub.git import HEADS, TAGS, commit_info
from hub_speed.localhub.store import Store

DAY = 24 * 3600.0


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "hub")
    yield store
    store.close()


def age(store):
    """Everything in the store was last used two days ago."""
    for path in store.root.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 2 * DAY,) * 2)


def test_gc_removes_what_no_commit_has_and_nothing_else(store):
    repo, other = make(store), make(store, "org/other")
    commit(store, repo, b"old version")
    kept = commit(store, repo, b"new version")
    commit(store, repo, b"of a pull request", "refs/pr/1")
    commit(store, repo, b"shared")
    squashed = commit(store, repo, b"of a deleted branch", HEADS + "side")
    commit(store, other, b"shared")
    with repo.lock():
        repo.git.set_ref(TAGS + "v1", repo.git.annotate("v1", kept, "an annotated tag"))
        repo.git.delete_ref(HEADS + "side")
    upload(store, b"never committed")
    assert maintenance.gc(store, unused_s=DAY) == (0, 0, 0, 1)  # all is young
    age(store)
    size = len(b"never committed") + len(b"of a deleted branch")
    assert maintenance.gc(store, unused_s=DAY, dry_run=True) == (2, size, 1, 0)
    assert maintenance.gc(store, unused_s=DAY) == (2, size, 1, 0)
    assert maintenance.gc(store, unused_s=DAY) == (0, 0, 0, 0)
    assert repo.git.resolve("v1") == kept and not repo.git._is_commit(squashed)
    assert [(found.damage, found.missing) for found in maintenance.fsck(store)] == [([], [])] * 2


def test_what_an_upload_was_told_is_there_stays_until_its_commit(store):
    repo = make(store)
    sha256 = upload(store, b"content")
    age(store)
    assert store.large_files.keep(sha256) == 7
    assert maintenance.gc(store, unused_s=DAY).young == 1
    commit(store, repo, b"content")
    age(store)
    assert maintenance.gc(store, unused_s=DAY).files == 0
    assert store.large_files.keep("0" * 64) is None


def test_gc_sees_repos_that_move_while_it_looks(store, monkeypatch):
    """A repo that goes where gc has looked already is looked at all the same."""
    moving, last = make(store, "org/zz"), make(store, "org/mm")
    commit(store, moving, b"moves")
    commit(store, last, b"stays")
    age(store)
    looked = maintenance._commits

    def move_first(repo, before, dry_run):
        if repo.id == "org/mm":
            store.move(store.find("datasets", "org/zz"), "org/aa")
        return looked(repo, before, dry_run)

    monkeypatch.setattr(maintenance, "_commits", move_first)
    assert maintenance.gc(store, unused_s=DAY).files == 0


def test_gc_beside_commits_loses_nothing(store):
    repos = [make(store, f"org/r{number}") for number in range(2)]
    done = threading.Event()

    def collect():
        while not done.is_set():
            maintenance.gc(store, unused_s=60)

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        for number in range(30):
            for path in store.large_files.root.glob("??/??/*"):  # old, as from days ago
                os.utime(path, (time.time() - DAY,) * 2)
            store.large_files.keep(upload(store, b"%d" % (number % 3)))
            commit(store, repos[number % 2], b"%d" % (number % 3))
    finally:
        done.set()
        thread.join()
    assert [(found.damage, found.missing) for found in maintenance.fsck(store)] == [([], [])] * 2


def test_gc_removes_nothing_where_a_repo_is_damaged(store):
    repo = make(store)
    head = commit(store, repo, b"needed")
    upload(store, b"not needed")
    age(store)
    tree = commit_info(repo.git, head).tree
    os.unlink(repo.path / "objects" / tree[:2] / tree[2:])
    trees.children.cache_clear()
    with pytest.raises(HubError, match="damaged"):
        maintenance.gc(store, unused_s=DAY)
    assert store.large_files.size(sha_of(b"not needed")) == 10


@settings(max_examples=10, deadline=None)
@given(
    which=st.floats(0, 1, exclude_max=True),
    place=st.floats(0, 1, exclude_max=True),
    damage=st.sampled_from(["gone", "cut", "other"]),
)
def test_fsck_finds_any_damage(tmp_path_factory, which, place, damage):
    store = Store(tmp_path_factory.mktemp("fsck") / "hub")
    repo = make(store)
    commit(store, repo, b"large file")
    paths = sorted([*repo.path.glob("objects/??/*"), *store.large_files.root.glob("??/??/*")])
    path = paths[int(which * len(paths))]
    content = path.read_bytes()
    at = int(place * len(content))
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:at] + (bytes([content[at] ^ 0x55]) + content[at + 1 :]) * (damage == "other"))
    trees.children.cache_clear()
    [found] = maintenance.fsck(store)
    store.close()
    assert found.damage or found.missing
