"""Large files: listed, deleted for good, and the space they took."""

import os
from pathlib import Path


def error_of(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Exception as error:
        return error
    raise AssertionError("expected an error")


def delete_for_good(store):
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import RemoteEntryNotFoundError

    api, name = HfApi(), "disk/freed"
    api.create_repo(name)
    files = {
        "old/a.bin": os.urandom(5000),
        "kept.bin": os.urandom(7000),
        "x.txt": b"text",
        "shared.bin": os.urandom(90),
    }
    for path, content in files.items():
        last = api.create_commit(name, [CommitOperationAdd(path, content)], commit_message=f"Add {path}").oid
    api.create_tag(name, tag="v1", tag_message="why")
    api.create_branch(name, branch="side")
    api.upload_file(repo_id=name, path_in_repo="side.bin", path_or_fileobj=os.urandom(3000), revision="side")
    api.create_repo("disk/other", repo_type="dataset")
    api.upload_file(
        repo_id="disk/other", path_in_repo="s.bin", path_or_fileobj=files["shared.bin"], repo_type="dataset"
    )
    listed = {file.filename: file for file in api.list_lfs_files(name)}
    assert {path: (file.size, file.ref) for path, file in listed.items()} == {
        "old/a.bin": (5000, "main"),
        "kept.bin": (7000, "main"),
        "shared.bin": (90, "main"),
        "side.bin": (3000, "side"),
    }
    before = api.model_info(name).used_storage
    api.permanently_delete_lfs_files(name, [listed["old/a.bin"], listed["shared.bin"]])
    assert {file.filename for file in api.list_lfs_files(name)} == {"kept.bin", "side.bin"}
    on_disk = {path.name for path in Path(store).rglob("*") if len(path.name) == 64}
    assert listed["old/a.bin"].file_oid not in on_disk
    assert listed["shared.bin"].file_oid in on_disk  # another repo has it
    assert api.model_info(name).used_storage == before - 5090
    for revision in ("main", "side", "v1"):
        assert {"kept.bin", "x.txt"} == {f for f in api.list_repo_files(name, revision=revision)} & set(files)
    commits = api.list_repo_commits(name, revision="v1", formatted=True)
    assert [commit.formatted_title for commit in commits][:2] == ["Add shared.bin", "Add x.txt"] and commits[0] != last
    assert isinstance(error_of(api.hf_hub_download, name, "old/a.bin"), RemoteEntryNotFoundError)

    api.permanently_delete_lfs_files(name, [listed["kept.bin"]], rewrite_history=False)
    assert "kept.bin" in api.list_repo_files(name)
    gone = error_of(api.hf_hub_download, name, "kept.bin", force_download=True)
    assert isinstance(gone, RemoteEntryNotFoundError) and "deleted for good" in str(gone)
    api.upload_file(repo_id=name, path_in_repo="kept.bin", path_or_fileobj=files["kept.bin"])  # and it is there again
    assert Path(api.hf_hub_download(name, "kept.bin", force_download=True)).read_bytes() == files["kept.bin"]

    mine = {repo.id: repo for repo in api.list_user_repos("disk")}
    assert mine.keys() == {name, "disk/other"} and mine[name].storage == api.model_info(name).used_storage
    assert name in {repo.id for repo in api.list_user_repos()}
    assert error_of(lambda: list(api.list_user_repos(token=False))).response.status_code == 401


def test_delete_for_good(client, hub):
    client(delete_for_good, str(hub.home / "hub" / "lfs"))
