"""huggingface_hub, unmodified, does with the embedded Hub what it does with the real one."""

import io
import os
from pathlib import Path

import pytest


def error_of(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Exception as error:
        return error
    raise AssertionError("expected an error")


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def account():
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo("someorg/anything")
    me = api.whoami()
    assert me["name"] == "local" and me["auth"]["accessToken"]["role"] == "write"
    assert {"someorg": "admin"}.items() <= {org["name"]: org["roleInOrg"] for org in me["orgs"]}.items()
    assert api.create_repo("mine-without-namespace").repo_id == "local/mine-without-namespace"
    wrong = error_of(HfApi(token="hf_somebody_elses").model_info, "someorg/anything")
    assert wrong.response.status_code == 401 and "$HF_HOME/token" in str(wrong)


def test_account(client):
    client(account)


def repos(kind):
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    api, name = HfApi(), f"org/life-{kind}"
    extra = {"space_sdk": "gradio"} if kind == "space" else {}
    url = api.create_repo(name, repo_type=kind, **extra)
    assert (url.repo_id, url.repo_type) == (name, kind)
    assert api.create_repo(name, repo_type=kind, exist_ok=True, **extra) == url
    again = error_of(api.create_repo, name, repo_type=kind, **extra)
    assert isinstance(again, HfHubHTTPError) and again.response.status_code == 409
    info = api.repo_info(name, repo_type=kind)
    assert len(info.sha) == 40 and not info.private and info.created_at <= info.last_modified.replace(year=9999)
    assert ".gitattributes" in [file.rfilename for file in info.siblings]
    listed = {"model": api.list_models, "dataset": api.list_datasets, "space": api.list_spaces}[kind]
    assert name in [item.id for item in listed(author="org")]
    assert name in [item.id for item in listed(search="IFE-")]
    assert [item.id for item in listed(author="nobody")] == []
    assert len(list(listed(limit=1))) == 1
    api.update_repo_settings(name, repo_type=kind, private=True, gated="auto")
    info = api.repo_info(name, repo_type=kind)
    assert info.private and info.gated == "auto"
    hidden = error_of(HfApi(token=False).repo_info, name, repo_type=kind)
    assert isinstance(hidden, RepositoryNotFoundError)
    assert name not in [item.id for item in listed(author="org", token=False)]
    assert name in [item.id for item in listed(author="org")]
    api.move_repo(name, f"elsewhere/moved-{kind}", repo_type=kind)
    assert {api.repo_info(repo, repo_type=kind).id for repo in (name, f"ElseWhere/MOVED-{kind}")} == {
        f"elsewhere/moved-{kind}"
    }
    assert isinstance(error_of(api.delete_repo, name, repo_type=kind), RepositoryNotFoundError)
    api.create_repo(name, repo_type=kind, **extra)
    assert error_of(api.move_repo, name, f"elsewhere/moved-{kind}", repo_type=kind).response.status_code == 409
    api.delete_repo(name, repo_type=kind)
    assert isinstance(error_of(api.delete_repo, name, repo_type=kind), RepositoryNotFoundError)
    api.delete_repo(name, repo_type=kind, missing_ok=True)


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_repos(client, kind):
    client(repos, kind)


def duplicates(kind):
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    api, name, copy = HfApi(), f"org/twin-{kind}", f"org2/twin-{kind}"
    api.create_repo(name, repo_type=kind, private=True, **({"space_sdk": "static"} if kind == "space" else {}))
    if kind == "space":
        api.add_space_secret(name, "S", "secret")
        api.add_space_variable(name, "V", "kept")
    large = os.urandom(11 << 20)
    for path, content in {"large.bin": large, "x.txt": b"x"}.items():
        api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=name, repo_type=kind)
    api.create_tag(name, tag="v1", repo_type=kind)
    api.create_branch(name, branch="side", repo_type=kind)
    url = api.duplicate_repo(name, copy, repo_type=kind)
    assert (url.repo_id, url.repo_type) == (copy, kind)
    old, new = (api.repo_info(repo, repo_type=kind) for repo in (name, copy))
    assert new.sha == old.sha and new.private and new.created_at >= old.created_at
    assert len(api.list_repo_commits(copy, repo_type=kind)) == 3
    refs = api.list_repo_refs(copy, repo_type=kind)
    assert [ref.name for ref in (*refs.branches, *refs.tags)] == ["main", "side", "v1"]
    assert Path(api.hf_hub_download(copy, "large.bin", repo_type=kind)).read_bytes() == large
    if kind == "space":
        assert list(api.get_space_variables(copy)) == ["V"] and list(api.list_repo_files(copy, repo_type="space"))
        api.delete_space_variable(copy, "V")
        assert list(api.get_space_variables(name)) == ["V"]
    api.upload_file(path_or_fileobj=b"y", path_in_repo="x.txt", repo_id=copy, repo_type=kind)
    api.delete_repo(name, repo_type=kind)
    assert Path(api.hf_hub_download(copy, "x.txt", repo_type=kind)).read_bytes() == b"y"
    api.create_repo(name, repo_type=kind, **({"space_sdk": "static"} if kind == "space" else {}))
    assert not api.repo_info(api.duplicate_repo(name, repo_type=kind).repo_id, repo_type=kind).private
    again = error_of(api.duplicate_repo, name, copy, repo_type=kind)
    assert isinstance(again, HfHubHTTPError) and again.response.status_code == 409
    assert api.duplicate_repo(name, copy, repo_type=kind, exist_ok=True).repo_id == copy
    assert isinstance(error_of(api.duplicate_repo, "org/none", copy, repo_type=kind), RepositoryNotFoundError)
    assert error_of(api.duplicate_repo, name, "org/bad--name", repo_type=kind)


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_duplicates(client, kind):
    client(duplicates, kind)


def upload_and_download(folder):
    from huggingface_hub import CommitOperationCopy, CommitOperationDelete, HfApi
    from huggingface_hub.errors import RemoteEntryNotFoundError

    api, name = HfApi(), "org/files"
    api.create_repo(name)
    files = {
        "README.md": b"---\nlicense: mit\ntags: [speed]\n---\n# Files\n",
        "weights/model.safetensors": os.urandom(3_000_000),
        "picture.dat": b"\x89\0\1" + os.urandom(2000),
        "notes/deep/er.txt": "grüße\n".encode(),
        "empty.bin": b"",
        "white space+&?#%41.txt": b"odd name",
    }
    first = api.upload_folder(repo_id=name, folder_path=write_files(Path(folder) / "up", files), commit_message="All")
    assert api.upload_folder(repo_id=name, folder_path=Path(folder) / "up").oid == first.oid  # nothing changed

    entries = {entry.path: entry for entry in api.list_repo_tree(name, recursive=True, expand=True)}
    assert entries["weights/model.safetensors"].lfs.size == 3_000_000
    assert entries["picture.dat"].lfs and not entries["notes/deep/er.txt"].lfs and entries["empty.bin"].size == 0
    assert entries["weights"].last_commit.oid == first.oid and entries[".gitattributes"].last_commit.oid != first.oid
    assert sorted(entry.path for entry in api.list_repo_tree(name, "notes")) == ["notes/deep"]
    assert isinstance(error_of(lambda: list(api.list_repo_tree(name, "none"))), RemoteEntryNotFoundError)
    found = api.get_paths_info(name, ["notes", "README.md", "none"])
    assert {entry.path for entry in found} == {"notes", "README.md"}
    info = api.model_info(name, files_metadata=True)
    assert {file.rfilename: file.size for file in info.siblings}["weights/model.safetensors"] == 3_000_000
    assert info.card_data.license == "mit" and {"speed", "license:mit"} <= set(info.tags)
    assert [item.id for item in api.list_models(filter="speed", author="org")] == [name]

    local = Path(api.snapshot_download(name))
    assert {path: (local / path).read_bytes() for path in files} == files
    for path, content in files.items():
        assert Path(api.hf_hub_download(name, path, local_dir=Path(folder) / "down")).read_bytes() == content
    assert isinstance(error_of(api.hf_hub_download, name, "no.txt"), RemoteEntryNotFoundError)
    assert not api.file_exists(name, "no.txt") and api.file_exists(name, "README.md")

    api.upload_file(repo_id=name, path_in_repo="from-bytes.bin", path_or_fileobj=os.urandom(1000))
    api.upload_file(repo_id=name, path_in_repo="from-object.txt", path_or_fileobj=io.BytesIO(b"object"))
    copies = [
        CommitOperationCopy("weights/model.safetensors", "copy.safetensors"),
        CommitOperationCopy("notes/deep/er.txt", "copy.txt"),
        CommitOperationDelete("from-object.txt"),
        CommitOperationDelete("notes/"),
    ]
    api.create_commit(name, copies, commit_message="Copy and delete", commit_description="Two\nlines")
    assert Path(api.hf_hub_download(name, "copy.safetensors")).read_bytes() == files["weights/model.safetensors"]
    assert Path(api.hf_hub_download(name, "copy.txt")).read_bytes() == files["notes/deep/er.txt"]
    assert not [path for path in api.list_repo_files(name) if path.startswith(("notes", "from-object"))]
    missing = error_of(api.delete_file, "notes", name)
    assert isinstance(missing, RemoteEntryNotFoundError) and "trailing '/'" in str(missing)
    api.delete_folder("weights", name)
    commits = api.list_repo_commits(name)
    assert commits[1].title == "Copy and delete" and commits[1].message == "Two\nlines"
    assert commits[-1].title == "initial commit" and commits[0].authors == ["local"]


def test_upload_and_download(client, tmp_path):
    client(upload_and_download, str(tmp_path))


def ignore_rules(folder):
    from huggingface_hub import HfApi

    api, name = HfApi(), "org/ignore"
    api.create_repo(name)
    files = {".gitignore": b"*.log\nbuild/\n", "a.log": b"1", "build/x.txt": b"2", "keep.txt": b"3", "b.custom": b"4"}
    files[".gitattributes"] = b"*.custom filter=lfs -text\n[broken\n"
    api.upload_folder(repo_id=name, folder_path=write_files(Path(folder), files))
    assert set(api.list_repo_files(name)) == {".gitattributes", ".gitignore", "keep.txt", "b.custom"}
    api.upload_file(repo_id=name, path_in_repo="c.custom", path_or_fileobj=b"5")
    assert api.get_paths_info(name, "c.custom")[0].lfs is not None


def test_ignore_and_attributes(client, tmp_path):
    client(ignore_rules, str(tmp_path))


def revisions():
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    api, name = HfApi(), "org/revisions"
    api.create_repo(name, repo_type="dataset")
    kind = {"repo_type": "dataset"}

    def put(text, **kwargs):
        operation = CommitOperationAdd("f.txt", text.encode())
        return api.create_commit(name, [operation], commit_message=text, **kind, **kwargs).oid

    def get(revision):
        return Path(api.hf_hub_download(name, "f.txt", revision=revision, **kind)).read_text()

    one = put("one")
    api.create_tag(name, tag="v1.0", **kind)
    api.create_tag(name, tag="annotated", tag_message="why", revision=one, **kind)
    api.create_branch(name, branch="feat/a", **kind)
    two = put("two", parent_commit=one)
    stale = error_of(put, "three", parent_commit=one)
    assert stale.response.status_code == 412 and two in str(stale)
    assert put("short", parent_commit=two[:7]) == api.dataset_info(name).sha
    on_branch = put("branch", revision="feat/a")
    assert [get(rev) for rev in ("v1.0", "annotated", one, one[:8], "feat/a", "main", "refs/heads/feat/a")] == [
        *["one"] * 4,
        "branch",
        "short",
        "branch",
    ]
    refs = api.list_repo_refs(name, **kind)
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1.0": one, "annotated": one}
    assert {ref.name: ref.ref for ref in refs.branches} == {"main": "refs/heads/main", "feat/a": "refs/heads/feat/a"}
    assert api.dataset_info(name, revision="feat/a").sha == on_branch

    assert error_of(api.create_tag, name, tag="v1.0", **kind).response.status_code == 409
    api.create_tag(name, tag="v1.0", exist_ok=True, **kind)
    assert error_of(api.create_branch, name, branch="feat/a", **kind).response.status_code == 409
    assert error_of(api.create_branch, name, branch="feat", **kind).response.status_code == 400  # a file and a folder
    assert error_of(api.create_branch, name, branch="refs/pr/1", **kind).response.status_code == 400
    assert isinstance(error_of(api.create_tag, name, tag="x", revision="none", **kind), RevisionNotFoundError)
    for revision in ("none", "0" * 40, "v1.0^", "../main", "a" * 300):
        assert isinstance(error_of(api.dataset_info, name, revision=revision), RevisionNotFoundError), revision
    assert isinstance(error_of(put, "x", revision="v1.0"), RevisionNotFoundError)  # one commits to branches only

    api.delete_branch(name, branch="feat/a", **kind)
    api.create_branch(name, branch="feat", revision=one, **kind)
    api.delete_tag(name, tag="annotated", **kind)
    assert isinstance(error_of(api.delete_tag, name, tag="annotated", **kind), RevisionNotFoundError)
    assert error_of(api.delete_branch, name, branch="main", **kind).response.status_code == 403
    api.super_squash_history(name, commit_message="All in one", **kind)
    assert [commit.title for commit in api.list_repo_commits(name, **kind)] == ["All in one"]
    assert get("main") == "short" and get("v1.0") == "one"


def test_revisions(client):
    client(revisions)


def file_system():
    import pandas
    from huggingface_hub import HfApi, HfFileSystem

    HfApi().create_repo("org/fs", repo_type="dataset")
    fs = HfFileSystem()
    content = os.urandom(300_000)
    with fs.open("datasets/org/fs/data/a.bin", "wb") as file:
        file.write(content)
    with fs.open("datasets/org/fs/data/t.csv", "w") as file:
        file.write("x,y\n1,2\n")
    fs.invalidate_cache()
    assert sorted(fs.ls("datasets/org/fs/data", detail=False)) == [
        f"datasets/org/fs/data/{n}" for n in ("a.bin", "t.csv")
    ]
    assert fs.glob("datasets/org/fs/**/*.csv") == ["datasets/org/fs/data/t.csv"]
    assert fs.info("datasets/org/fs/data/a.bin")["size"] == len(content)
    assert not fs.exists("datasets/org/fs/none") and fs.isdir("datasets/org/fs/data")
    with fs.open("datasets/org/fs/data/a.bin", "rb", block_size=65536) as file:
        file.seek(200_000)
        assert file.read(1000) == content[200_000:201_000]
        file.seek(-10, 2)
        assert file.read() == content[-10:]
    assert fs.cat_file("datasets/org/fs/data/a.bin", start=5, end=9) == content[5:9]
    assert pandas.read_csv("hf://datasets/org/fs/data/t.csv").y.tolist() == [2]
    fs.rm("datasets/org/fs/data/a.bin")
    fs.invalidate_cache()
    assert fs.ls("datasets/org/fs/data", detail=False) == ["datasets/org/fs/data/t.csv"]


def test_file_system(client):
    client(file_system)


def cards():
    from huggingface_hub import HfApi, ModelCard, metadata_update

    api = HfApi()
    api.create_repo("org/card")
    ModelCard("---\nlicense: apache-2.0\nlanguage: en\n---\n# Card\n").push_to_hub("org/card")
    metadata_update("org/card", {"tags": ["new"]})
    loaded = ModelCard.load("org/card")
    assert loaded.data.tags == ["new"] and loaded.data.license == "apache-2.0" and "# Card" in loaded.text
    for bad in ("---\na: [\n---\n", "---\n- a\n---\n", "---\ntags: {a: b}\n---\n"):
        refused = error_of(api.upload_file, repo_id="org/card", path_in_repo="README.md", path_or_fileobj=bad.encode())
        assert isinstance(refused, ValueError) and "README.md" in str(refused)


def test_cards(client):
    client(cards)


def spaces():
    from huggingface_hub import HfApi

    api, name = HfApi(), "org/space"
    secrets = [{"key": "A", "value": "hidden"}]
    api.create_repo(name, repo_type="space", space_sdk="gradio", space_secrets=secrets)
    api.add_space_secret(name, "B", "hidden too", description="why")
    assert {key: item.description for key, item in api.get_space_secrets(name).items()} == {"A": None, "B": "why"}
    api.delete_space_secret(name, "A")
    assert set(api.get_space_secrets(name)) == {"B"}
    assert api.add_space_variable(name, "V", "1")["V"].value == "1"
    assert api.get_space_variables(name)["V"].updated_at is not None
    assert api.delete_space_variable(name, "V") == {}
    runtime = api.get_space_runtime(name)
    assert (
        runtime.stage == "STOPPED" and runtime.requested_hardware == "cpu-basic" and "does not run" in str(runtime.raw)
    )
    assert api.pause_space(name).stage == "PAUSED" and api.restart_space(name).stage == "STOPPED"
    assert api.request_space_hardware(name, "t4-small", sleep_time=60).sleep_time == 60
    assert api.set_space_sleep_time(name, 300).sleep_time == 300
    info = api.space_info(name)
    assert info.sdk == "gradio" and info.card_data.title == "space" and info.runtime.requested_hardware == "t4-small"
    assert "hidden" not in api.hf_hub_download(name, "README.md", repo_type="space")
    assert error_of(api.get_space_secrets, name, token=False).response.status_code == 401


def test_spaces(client):
    client(spaces)


def collections():
    from huggingface_hub import HfApi

    api = HfApi()
    for name in ("org/in-one", "org/in-two"):
        api.create_repo(name, exist_ok=True)
    made = api.create_collection("All of SPEED", namespace="org", description="d")
    assert made.slug.startswith("org/all-of-speed-")
    assert error_of(api.create_collection, "All of SPEED", namespace="org").response.status_code == 409
    assert api.create_collection("All of SPEED", namespace="org", exists_ok=True).slug == made.slug
    api.add_collection_item(made.slug, "org/in-one", "model", note="first")
    api.add_collection_item(made.slug, "org/in-one", "model", exists_ok=True)
    assert error_of(api.add_collection_item, made.slug, "org/in-one", "model").response.status_code == 409
    assert error_of(api.add_collection_item, made.slug, "org/none", "model").response.status_code == 404
    both = api.add_collection_item(made.slug, "org/in-two", "model")
    assert [(item.item_id, item.note, item.position) for item in both.items] == [
        ("org/in-one", "first", 0),
        ("org/in-two", None, 1),
    ]
    api.update_collection_item(made.slug, both.items[1].item_object_id, position=0, note="now first")
    assert [item.note for item in api.get_collection(made.slug).items] == ["now first", "first"]
    renamed = api.update_collection_metadata(made.slug, title="Renamed", private=True)
    assert renamed.slug.startswith("org/renamed-") and api.get_collection(made.slug).slug == renamed.slug
    assert error_of(api.get_collection, renamed.slug, token=False).response.status_code == 404
    assert renamed.slug in [item.slug for item in api.list_collections(owner="org", item="models/org/in-one")]
    assert list(api.list_collections(owner="org", item="models/org/none")) == []
    api.delete_collection_item(made.slug, both.items[0].item_object_id)
    api.delete_collection_item(made.slug, both.items[0].item_object_id, missing_ok=True)
    api.delete_collection(made.slug)
    api.delete_collection(made.slug, missing_ok=True)


def test_collections(client):
    client(collections)


def refusals():
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo("org/refuse", exist_ok=True)
    anonymous = error_of(api.upload_file, repo_id="org/refuse", path_in_repo="a", path_or_fileobj=b"", token=False)
    assert anonymous.response.status_code == 401
    kernel = error_of(api.create_repo, "org/kernel", repo_type="kernel")
    assert kernel.response.status_code == 400 and "not supported" in str(kernel)


def test_refusals_are_explained(client):
    client(refusals)


def many_small_files(folder):
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo("org/many", repo_type="dataset")
    files = {f"d{i % 10}/f{i}.txt": str(i).encode() for i in range(600)}
    write_files(Path(folder), files)
    api.upload_folder(repo_id="org/many", repo_type="dataset", folder_path=folder)
    listed = [entry for entry in api.list_repo_tree("org/many", repo_type="dataset", recursive=True)]
    assert {entry.path for entry in listed} >= set(files)
    expanded = api.list_repo_tree("org/many", repo_type="dataset", recursive=True, expand=True)
    assert all(entry.last_commit for entry in expanded)


def test_many_small_files(client, tmp_path):
    client(many_small_files, str(tmp_path))
