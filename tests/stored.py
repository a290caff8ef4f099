"""Writes into the store of an embedded Hub without a server: repos, large files, commits."""

import hashlib

from hub_speed.localhub import trees
from hub_speed.localhub.git import MAIN, commit_info
from hub_speed.localhub.trees import TreeEditor


def sha_of(content):
    return hashlib.sha256(content).hexdigest()


def upload(store, content):
    store.large_files.receive(sha_of(content), len(content), iter([content]))
    return sha_of(content)


def commit(store, repo, content, ref=MAIN, parent=None):
    """Commit a large file as `big`; the ref moves there."""
    git, sha256 = repo.git, upload(store, content)
    with repo.lock():
        parent = parent or git.ref(ref) or git.ref(MAIN)
        editor = TreeEditor(git, commit_info(git, parent).tree)
        editor.put("data/big", git.add_blob(trees.pointer_text(sha256, len(content))))
        oid = git.commit(editor.write(), [parent], "commit")
        git.set_ref(ref, oid)
    return oid


def make(store, name="org/gc"):
    return store.create("datasets", name, {"private": False, "gated": False}, {"README.md": b"# x"})
