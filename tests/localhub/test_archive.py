"""Export and import of an organisation: everything comes back, whatever is killed between, and from strangers too."""

import os
import shutil

import pytest
from stored import commit, make, sha_of

from hub_speed.errors import HubError
from hub_speed.localhub import archive, discussions, maintenance, pulls
from hub_speed.localhub.git import MAIN, TAGS
from hub_speed.localhub.store import Store

ORG = "org"


@pytest.fixture
def stores(tmp_path):
    """A store with two repos, an empty one, and the folder for an export."""
    full, empty = Store(tmp_path / "a" / "hub"), Store(tmp_path / "b" / "hub")
    repo = make(full, "org/one")
    commit(full, repo, b"first")
    head = commit(full, repo, b"second")
    with repo.lock():
        repo.git.set_ref(TAGS + "v1", repo.git.annotate("v1", head, "message"))
    discussions.write(repo, discussions.start(repo, "local", "Title", "Text"))
    pulls.open_pull(repo, "local", "Title", "Text", target=MAIN, base=head, head=head)
    settings = {"private": True, "gated": False, "secrets": {"KEY": {"value": "s3cret"}}, "variables": {}}
    full.create("spaces", "org/two", settings, {"README.md": b"# two"})
    make(full, "other/three")
    collection = {"_id": "a" * 24, "slug": f"org/c-{'a' * 24}", "owner": {"name": ORG}, "private": False}
    collection |= {"items": [{"id": "org/one", "type": "dataset"}, {"id": "other/three", "type": "dataset"}]}
    full.scratch.write(full.root / "collections" / f"{'a' * 24}.json", archive.json.dumps(collection).encode())
    yield full, empty, tmp_path / "folder"
    full.close()
    empty.close()


def states(store):
    return {(repo.kind, repo.id): archive._state(repo) for repo in store.every() if repo.id.startswith(ORG)}


def test_everything_comes_back(stores):
    full, empty, folder = stores
    assert [done for *_, done in archive.export(full, ORG, folder)] == ["copied"] * 2
    assert [done for *_, done in archive.export(full, ORG, folder)] == ["there already"] * 2
    assert b"s3cret" not in b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert [done for *_, done in archive.import_(empty, ORG, folder, ORG)] == ["copied"] * 2
    assert [done for *_, done in archive.import_(empty, ORG, folder, ORG)] == ["there already"] * 2
    assert states(empty) == states(full)
    assert [(found.damage, found.missing) for found in maintenance.fsck(empty)] == [([], [])] * 2
    assert empty.find("spaces", "org/two").private
    list(archive.import_(empty, ORG, folder, "new"))
    assert empty.find("datasets", "new/one").git.all_refs() == full.find("datasets", "org/one").git.all_refs()
    assert (empty.root / "collections" / f"{'a' * 24}.json").exists()


def test_an_export_follows_what_changed(stores):
    full, empty, folder = stores
    list(archive.export(full, ORG, folder))
    commit(full, full.find("datasets", "org/one"), b"third")
    assert [done for *_, done in archive.export(full, ORG, folder)] == ["copied", "there already"]
    list(archive.import_(empty, ORG, folder, ORG))
    assert empty.large_files.size(sha_of(b"third")) == 5
    commit(full, full.find("datasets", "org/one"), b"fourth")
    with pytest.raises(HubError, match="other branches or tags"):
        list(archive.import_(full, ORG, folder, ORG))


@pytest.mark.parametrize("step", range(0, 40, 3))
def test_stopped_anywhere_it_goes_on_and_nothing_is_half_there(stores, monkeypatch, step):
    """Each write and each rename is a place to be killed at; the `step`th one is, in the export, then in the import."""
    full, empty, folder = stores

    class Killed(BaseException):
        pass

    def killed_at(number):
        left = iter(range(number, -1, -1))

        def replace(source, target, *, real=os.replace):
            if next(left, -1) == 0:
                raise Killed
            real(source, target)

        return replace

    for work, target in (
        (lambda: list(archive.export(full, ORG, folder)), folder),
        (lambda: list(archive.import_(empty, ORG, folder, ORG)), empty.root),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killed_at(step))
            try:
                work()
            except Killed:
                pass
        for path in target.glob("repos/*/*/*"):
            repo = archive.Repo(path.parent.parent.name, f"{ORG}/{path.name}", path, full.scratch)
            assert maintenance.check(repo).damage == []
        work()
    assert states(empty) == states(full)


def test_a_damaged_or_hostile_folder_brings_nothing_in(stores):
    full, empty, folder = stores
    list(archive.export(full, ORG, folder))
    copy = folder / "repos" / "datasets" / ORG / "one"
    (copy / "config").write_text("[core]\n\tfsmonitor = touch /tmp/never\n")
    (copy / "hooks").mkdir()
    (copy / "hooks" / "post-checkout").write_text("#!/bin/sh\n")
    (copy / "objects" / "info" / "alternates").write_text("/somewhere/else\n")
    (copy / "objects" / "info" / "x").symlink_to("/etc/passwd")
    list(archive.import_(empty, ORG, folder, ORG))
    made = empty.find("datasets", "org/one").path
    assert "fsmonitor" not in (made / "config").read_text() and not (made / "hooks").exists()
    assert not list((made / "objects" / "info").iterdir())
    large = folder / "lfs" / sha_of(b"second")[:2] / sha_of(b"second")[2:4] / sha_of(b"second")
    large.write_bytes(b"sec0nd")
    empty.large_files.delete(sha_of(b"second"))
    shutil.rmtree(made)
    with pytest.raises(HubError, match="damaged"):
        list(archive.import_(empty, ORG, folder, ORG))
    assert not made.exists() and not [path for path in empty.scratch.path.iterdir() if path.name != "alive"]


def test_names_that_are_not_there_are_told(stores):
    full, empty, folder = stores
    with pytest.raises(HubError, match="org, other"):
        list(archive.export(full, "nobody", folder))
    with pytest.raises(HubError, match="hub-speed hub export has written"):
        list(archive.import_(empty, ORG, folder, ORG))
