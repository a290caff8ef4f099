"""The maintenance commands as a user runs them, and an organisation that goes to another Hub through its client."""

import subprocess
import sys
from pathlib import Path

import pytest
from running import HANG_S, Cli
from stored import commit, make

from hub_speed import api
from hub_speed.console import hubs
from hub_speed.errors import HubError, RecipeError
from hub_speed.localhub import LocalHub, trees
from hub_speed.localhub.git import MAIN, TAGS
from hub_speed.localhub.store import Store


@pytest.fixture
def filled(cli: Cli) -> Store:
    """The store of the command line's home: a dataset with two tagged versions, a branch, and a private model."""
    store = Store(cli.home / "hub")
    repo = make(store, "org/data")
    for tag in ("v1", "v2"):
        oid = commit(store, repo, tag.encode())
        repo.git.create_ref(TAGS + tag, oid)
        repo.git.create_ref(TAGS + f"same-as-{tag}", oid)
    commit(store, repo, b"on a branch", "refs/heads/side")
    store.create("models", "org/model", {"private": True, "gated": False}, {"README.md": b"# private"})
    store.close()
    return store


def content(store: Store, repo_id: str, ref: str) -> bytes:
    """The content of `data/big` at a ref."""
    git = store.find("datasets", repo_id).git
    entry = trees.find(git, git.resolve(ref), "data/big")
    assert entry
    return store.large_files.path(entry.lfs.sha256).read_bytes() if entry.lfs else git.read_blob(entry.oid)


AWAY_AND_BACK = """
import sys
from pathlib import Path
from hub_speed import api
from hub_speed.errors import HubError
from hub_speed.localhub.store import Store
endpoint, there = sys.argv[1], Store(Path(sys.argv[2]))
print(list(api.export_org("org", endpoint, name="new")))
# As if the export had been killed between the last commit and its tag.
there.find("datasets", "new/data").git.delete_ref("refs/tags/v2")
print(list(api.export_org("org", endpoint, name="new")))
print(list(api.import_org("new", endpoint, name="back")))
try:
    list(api.export_org("org", endpoint, name="taken"))
except HubError as error:
    print(error)
"""


def test_an_organisation_goes_to_another_hub_and_back(cli: Cli, filled: Store, tmp_path: Path) -> None:
    with LocalHub(tmp_path / "there") as hub:
        token, there = (hub.hf_home / "token").read_text(), Store(hub.home / "hub")
        commit(there, make(there, "taken/data"), b"of somebody else")
        command = [sys.executable, "-c", AWAY_AND_BACK, str(hub.endpoint), str(there.root)]
        env = cli.env | {"HF_TOKEN": token}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=HANG_S)
        first, again, back, *refused = done.stdout.splitlines() or [done.stderr]
        assert "('dataset', 'new/data', '3 versions copied')" in first, done.stderr
        assert "('model', 'new/model', '1 version copied')" in first and again.count("there already") == 2
        assert "('dataset', 'back/data', '3 versions copied')" in back and "none of the tags" in refused[0]
        for ref, expected in (("v1", b"v1"), ("same-as-v2", b"v2"), ("main", b"v2"), ("side", b"on a branch")):
            assert content(there, "new/data", ref) == expected
        git = there.find("datasets", "new/data").git
        assert git.ref(TAGS + "v2") == git.ref(MAIN)
        assert there.find("models", "new/model").private
        assert content(filled, "back/data", "v1") == b"v1"
        there.close()


def test_the_hub_is_kept_in_order(cli: Cli, filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    hubs.print_freed(api.collect_garbage(home=cli.home, dry_run=True), dry_run=True)
    hubs.print_checked(api.check_hub(cli.home))
    backup = str(cli.cwd / "backup")
    hubs.print_copied(api.export_org("org", backup, home=cli.home), "org", None)
    shown = capsys.readouterr().out
    assert "still name" not in shown
    for path in filled.large_files.root.glob("??/??/*"):
        path.unlink()
    with pytest.raises(HubError, match="1 of 2 repositories"):
        hubs.print_checked(api.check_hub(cli.home))
    with pytest.raises(HubError, match="hub export nobody"):
        list(api.export_org("nobody", backup, home=cli.home))
    with pytest.raises(RecipeError, match="--as new"):
        list(api.export_org("org", backup, name="new", home=cli.home))
    for copy in (api.export_org, api.import_org):
        for where in (backup, "http://127.0.0.1:9"):
            with pytest.raises(RecipeError, match="--as 'bad/name'"):
                list(copy("org", where, name="bad/name", home=cli.home))
    hubs.print_copied(api.import_org("org", backup, name="copy", home=cli.home), "org", "copy")
    hubs.print_checked(api.check_hub(cli.home))
    shown += capsys.readouterr().out
    copied = "dataset org/data    copied"
    for words in ("0 large files", "datasets/org/data", "whole", copied, "3 missing", "still name org:"):
        assert words in shown
