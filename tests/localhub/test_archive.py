"""Export and import of an organisation: everything comes back, whatever is killed between, and from strangers too."""

import os
import shutil

import pytest
from stored import commit, make, sha_of

from hub_speed.errors import HubError, RecipeError
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
    collection = empty.root / "collections" / f"{'a' * 24}.json"
    assert archive.read_json(collection)["items"][0]["id"] == "org/one"
    collection.unlink()
    list(archive.import_(empty, ORG, folder, "new"))
    assert archive.read_json(collection)["items"][0]["id"] == "new/one"


def test_an_export_follows_what_changed(stores):
    full, empty, folder = stores
    list(archive.export(full, ORG, folder))
    commit(full, full.find("datasets", "org/one"), b"third")
    assert [done for *_, done in archive.export(full, ORG, folder)] == ["copied", "there already"]
    list(archive.import_(empty, ORG, folder, ORG))
    assert empty.large_files.size(sha_of(b"third")) == 5
    commit(full, full.find("datasets", "org/one"), b"fourth")
    full.large_files.delete(sha_of(b"first"))
    newer, same = [done for *_, done in archive.import_(full, ORG, folder, ORG)]
    assert (
        newer == "newer here, stays; missing or damaged, so copied again: large files (1)" and same == "there already"
    )
    assert full.find("datasets", "org/one").git.all_refs() != copied(full, folder, "datasets", "one").git.all_refs()
    assert full.large_files.size(sha_of(b"first")) == 5


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


def copied(store, folder, kind, name):
    """A repo in an export."""
    return archive.Repo(kind, f"{ORG}/{name}", folder / "repos" / kind / ORG / name, store.scratch)


def test_another_export_mends_the_folder(stores):
    full, _, folder = stores
    list(archive.export(full, ORG, folder))
    large = [path for path in sorted(folder.glob("lfs/??/??/*")) if path.is_file()]
    large[0].unlink()
    large[1].write_bytes(bytes(large[1].stat().st_size))  # the right size, another content
    next(copied(full, folder, "spaces", "two").path.glob("objects/??/*")).write_bytes(b"")
    (folder / "repos" / "spaces" / ORG / "two" / "hub.json").write_bytes(b"{")
    one, two = [done for *_, done in archive.export(full, ORG, folder)]
    assert one == "there already; missing or damaged, so copied again: large files (2)" and two == "copied"
    assert [done for *_, done in archive.export(full, ORG, folder)] == ["there already"] * 2


@pytest.mark.parametrize("newer", [False, True])
def test_an_import_repairs_what_is_here(stores, newer):
    full, _, folder = stores
    list(archive.export(full, ORG, folder))
    repo = full.find("datasets", "org/one")
    if newer:
        commit(full, repo, b"third")
    before = states(full)
    for path in copied(full, folder, "datasets", "one").path.glob("objects/??/*"):
        (repo.path / "objects" / path.parent.name / path.name).write_bytes(b"")
    full.large_files.path(sha_of(b"first")).write_bytes(b"f1rst")
    full.large_files.delete(sha_of(b"second"))
    for name in ("hub.json", "discussions/1.json"):
        (repo.path / name).write_bytes(b"{")
    one, two = [done for *_, done in archive.import_(full, ORG, folder, ORG)]
    assert one.startswith("newer here, stays; " if newer else "there already; ") and "large files (2), git" in one
    assert two == "there already" and states(full) == before
    assert [(found.damage, found.missing) for found in maintenance.fsck(full)] == [([], [])] * 3


def test_damaged_and_foreign_repos_do_not_hold_up_the_others(stores):
    full, empty, folder = stores
    one = full.find("datasets", "org/one")
    full.large_files.delete(sha_of(b"first"))
    (one.path / TAGS / "v1").write_text("cut")
    with pytest.raises(HubError, match=r"all are copied but 1\n.*datasets org/one is damaged: refs/tags/v1"):
        list(archive.export(full, ORG, folder))
    assert not copied(full, folder, "datasets", "one").path.exists()
    assert copied(full, folder, "spaces", "two").path.exists() and list(folder.glob("collections/*"))
    (one.path / TAGS / "v1").unlink()
    (one.path / "packed-refs").write_text("garbage")
    with pytest.raises(HubError, match="all are copied but 1"):
        list(archive.export(full, ORG, folder))
    assert any("cannot be read" in problem for found in maintenance.fsck(full) for problem in found.damage)
    (one.path / "packed-refs").unlink()
    lacking = "; on neither side: large files (1)"
    assert [done for *_, done in archive.export(full, ORG, folder)] == ["copied" + lacking, "there already"]
    assert [done for *_, done in archive.export(full, ORG, folder)] == ["there already" + lacking, "there already"]
    commit(empty, make(empty, "org/one"), b"of somebody else")
    with pytest.raises(HubError, match="org/one is here with other branches or tags"):
        list(archive.import_(empty, ORG, folder, ORG))
    assert empty.find("spaces", "org/two").private and empty.large_files.size(sha_of(b"first")) is None


def test_a_file_is_no_place_for_an_export(stores):
    full, _, folder = stores
    folder.write_bytes(b"mine")
    for place in (folder, folder / "below"):
        with pytest.raises(RecipeError, match=r"got +the file"):
            list(archive.export(full, ORG, place))
    assert folder.read_bytes() == b"mine"


def test_names_that_are_not_there_are_told(stores):
    full, empty, folder = stores
    with pytest.raises(HubError, match="org, other"):
        list(archive.export(full, "nobody", folder))
    full.delete(full.find("datasets", "other/three"))
    with pytest.raises(HubError, match=r"one of: org$"):
        list(archive.export(full, "nobody", folder))
    with pytest.raises(HubError, match="hub-speed hub export has written"):
        list(archive.import_(empty, ORG, folder, ORG))
