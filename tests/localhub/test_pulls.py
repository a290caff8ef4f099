"""Pull requests through unmodified clients, through git, and after a kill at the worst moment."""

import base64
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from hub_speed.localhub import discussions, maintenance, pulls
from hub_speed.localhub.git import MAIN, PULLS, GitRepo, commit_info
from hub_speed.localhub.store import Store
from hub_speed.localhub.trees import TreeEditor

REPO = "/api/datasets/org/pulls"


def error_of(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Exception as error:
        return error
    raise AssertionError("expected an error")


def put(path, content):
    value = {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}
    return {"key": "file", "value": value}


def commits():
    from huggingface_hub import HfApi, HfFileSystem
    from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError

    api, name, kind = HfApi(), "org/pr", {"repo_type": "dataset"}

    def upload(path, content, **more):
        return api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=name, **kind, **more)

    api.create_repo(name, **kind)
    text = b"".join(b"%d\n" % i for i in range(9))
    start = upload("a.txt", text).oid
    opened = upload("a.txt", text + b"end\n", create_pr=True, commit_message="At the end", commit_description="Why")
    assert (opened.pr_num, opened.pr_revision) == (1, "refs/pr/1")
    assert opened.pr_url == f"{api.endpoint}/datasets/org/pr/discussions/1"
    large = os.urandom(11 << 20)
    added = upload("large.bin", large, revision="refs/pr/1", commit_message="A large file")
    with open(api.hf_hub_download(name, "large.bin", revision="refs/pr/1", **kind), "rb") as file:
        assert file.read() == large
    assert isinstance(error_of(api.hf_hub_download, name, "large.bin", **kind), EntryNotFoundError)
    files = HfFileSystem()
    assert files.cat_file("datasets/org/pr@refs/pr/1/a.txt") == text + b"end\n"
    assert files.cat_file("datasets/org/pr/a.txt") == text
    assert [commit.commit_id for commit in api.list_repo_commits(name, revision="refs/pr/1", **kind)][:3] == [
        added.oid,
        opened.oid,
        start,
    ]
    refs = api.list_repo_refs(name, include_pull_requests=True, **kind)
    assert [(pull.ref, pull.target_commit) for pull in refs.pull_requests] == [("refs/pr/1", added.oid)]
    assert api.list_repo_refs(name, **kind).pull_requests is None

    upload("a.txt", b"start\n" + text)
    pull = api.get_discussion_details(name, 1, **kind)
    assert (pull.title, pull.status, pull.is_pull_request, pull.author) == ("At the end", "open", True, "local")
    assert (pull.target_branch, pull.conflicting_files, pull.merge_commit_oid) == ("refs/heads/main", [], None)
    assert [event.type for event in pull.events] == ["comment", "commit", "commit"]
    assert pull.events[0].content == "Why" and pull.events[1].oid == opened.oid
    assert "@@ -7,3 +7,4 @@\n 6\n 7\n 8\n+end\n" in pull.diff and "size 11534336" in pull.diff
    api.merge_pull_request(name, 1, comment="Thanks", **kind)
    assert files.cat_file("datasets/org/pr/a.txt", revision="main") == b"start\n" + text + b"end\n"
    merged = api.get_discussion_details(name, 1, **kind)
    assert [event.type for event in merged.events[3:]] == ["comment", "status-change"]
    assert (merged.status, merged.diff) == ("merged", pull.diff)
    last = api.list_repo_commits(name, **kind)[0]
    assert (last.commit_id, last.title) == (merged.merge_commit_oid, "At the end (#1)")
    assert opened.oid in last.message and added.oid in last.message
    for late in (lambda: upload("b", b"", revision="refs/pr/1"), lambda: api.merge_pull_request(name, 1, **kind)):
        error = error_of(late)
        assert error.response.status_code == 409 and "Pull request 1 is merged" in str(error)
    assert files.cat_file("datasets/org/pr@refs/pr/1/a.txt") == text + b"end\n"

    api.create_branch(name, branch="side", revision=start, **kind)
    to_side = upload("s", b"", revision="side", create_pr=True)
    assert api.get_discussion_details(name, 2, **kind).target_branch == "refs/heads/side"
    api.merge_pull_request(name, to_side.pr_num, **kind)
    assert files.exists("datasets/org/pr@side/s") and not files.exists("datasets/org/pr/s")
    assert isinstance(error_of(upload, "b", b"", revision="nowhere", create_pr=True), RevisionNotFoundError)
    assert isinstance(error_of(upload, "b", b"", revision="refs/pr/99"), RevisionNotFoundError)

    conflicting = upload("a.txt", text.replace(b"0", b"x"), create_pr=True, parent_commit=start)
    assert api.get_discussion_details(name, 3, **kind).conflicting_files == ["a.txt"]
    error = error_of(api.merge_pull_request, name, 3, **kind)
    assert error.response.status_code == 409 and "Pull request 3 conflicts with main" in str(error)
    assert "a.txt" in str(error) and conflicting.oid != start

    api.permanently_delete_lfs_files(name, list(api.list_lfs_files(name, **kind)), **kind)  # gives commits new ids
    again = api.get_discussion_details(name, 1, **kind)
    assert [event.type for event in again.events] == [event.type for event in merged.events]
    assert "\n+end\n" in again.diff and "11534336" not in again.diff
    assert again.merge_commit_oid == api.list_repo_commits(name, **kind)[0].commit_id != merged.merge_commit_oid


def test_commits_and_merges(client):
    client(commits)


def drafts(folder):
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo("org/draft", private=True)
    pull = api.create_pull_request("org/draft", " Later ", description="**What** comes")
    assert (pull.num, pull.title, pull.status, pull.diff) == (1, "Later", "draft", "")
    with open(f"{folder}/x.txt", "w") as file:
        file.write("x")
    api.upload_folder(repo_id="org/draft", folder_path=folder, revision=pull.git_reference)
    error = error_of(api.merge_pull_request, "org/draft", 1)
    assert error.response.status_code == 409 and "is draft: set its status to open" in str(error)
    assert api.change_discussion_status("org/draft", 1, "open").new_status == "open"
    api.merge_pull_request("org/draft", 1)
    assert api.file_exists("org/draft", "x.txt")
    in_one = api.upload_folder(repo_id="org/draft", folder_path=folder, path_in_repo="y", create_pr=True)
    assert in_one.pr_revision == "refs/pr/2"
    discussion = api.create_discussion("org/draft", "Only words")
    assert (discussion.num, discussion.diff, discussion.git_reference) == (3, None, None)
    assert error_of(api.merge_pull_request, "org/draft", 3).response.status_code == 400
    anonymous = HfApi(token=False)
    for read in (anonymous.get_discussion_details, lambda *args: list(anonymous.get_repo_discussions(args[0]))):
        assert error_of(read, "org/draft", 1).response.status_code in (401, 404)


def test_drafts_in_a_private_repo(client, tmp_path):
    client(drafts, str(tmp_path))


def test_git_fetches_a_pull_request(hub, web, tmp_path):
    web("POST", "/api/repos/create", {"name": "fetch", "organization": "org", "type": "dataset"})
    header = {"key": "header", "value": {"summary": "New"}}
    lines = [header, put("new.txt", b"new")]
    body = "\n".join(map(json.dumps, lines)).encode()
    assert web("POST", "/api/datasets/org/fetch/commit/main?create_pr=1", body).status == 200
    clean = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "NO_PROXY": "*", "PATH": os.environ["PATH"]}

    def git(*arguments):
        done = subprocess.run(["git", *arguments], cwd=tmp_path, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    git("init")
    git("fetch", f"{hub.endpoint}/datasets/org/fetch", "refs/pr/1:pull")
    assert git("show", "pull:new.txt") == "new"
    assert "nothing" not in git("fsck", "--strict")


@pytest.fixture
def repo(tmp_path):
    """A repo with one file, without a server."""
    store = Store(tmp_path)
    yield store.create("datasets", "org/kill", {"private": False}, {"a": b"a\n"})
    store.close()


def child(git: GitRepo, parent, path):
    editor = TreeEditor(git, commit_info(git, parent).tree)
    editor.put(path, git.add_blob(path.encode()))
    return git.commit(editor.write(), [parent], f"add {path}")


def open_pull(repo, path="b"):
    base = repo.git.ref(MAIN)
    return pulls.open_pull(repo, "local", "Title", "", target=MAIN, base=base, head=child(repo.git, base, path))


def test_a_kill_leaves_the_state_before_or_after(repo):
    # After the ref of a new pull request, before its file: the number is passed over.
    repo.git.set_ref(PULLS + "1", repo.git.ref(MAIN))
    assert open_pull(repo) == 2
    # After a commit was noted, before the ref moved: the commit is not shown.
    head = repo.git.ref(PULLS + "2")
    lost = child(repo.git, head, "c")
    pulls.note_commit(repo, "local", PULLS + "2", lost)
    pull = discussions.read(repo, "2")
    assert [info.oid for info in pulls.commits(repo, pull)] == [head]
    # After the branch moved, before the file says so: merging again adds nothing.
    merged = pulls._merge(repo, pull)
    assert pulls._merge(repo, discussions.read(repo, "2")) == merged == repo.git.ref(MAIN)


def test_fsck_names_discussions_that_are_not_whole(repo):
    assert open_pull(repo) == 1
    assert maintenance.check(repo).damage == []
    whole = discussions.read(repo, "1")
    event = whole["events"][0]
    for broken in (
        {**whole, "num": "../../x"},
        {**whole, "num": 2},
        {**whole, "status": "none"},
        {**whole, "createdAt": "today"},
        {**whole, "author": "local"},
        {**whole, "changes": {"base": MAIN, "from": "0" * 40}},
        {**whole, "status": "merged"},
        {**whole, "events": [{**event, "data": {}}]},
        {**whole, "events": [{**event, "type": "party"}]},
        {**whole, "events": [{**event, "data": {**event["data"], "latest": {}}}]},
        [],
    ):
        (repo.path / "discussions" / "1.json").write_text(json.dumps(broken))
        assert maintenance.check(repo).damage == [
            "discussions/1.json: not a discussion with this number and all its fields"
        ]
    (repo.path / "discussions" / "1.json").rename(repo.path / "discussions" / "01.json")
    (repo.path / "discussions" / "01.json").write_text(json.dumps(whole))
    assert len(maintenance.check(repo).damage) == 1


def test_duplicates_start_without_and_moves_keep_them(web, hub):
    web("POST", "/api/repos/create", {"name": "twins", "organization": "org", "type": "dataset"})
    for number in (1, 2):
        sent = {"title": f"t{number}", "description": "d", "pullRequest": True}
        assert web("POST", "/api/datasets/org/twins/discussions", sent).json["num"] == number
        if number == 1:  # somebody runs `git gc`
            folder = hub.home / "hub" / "repos" / "datasets" / "org" / "twins"
            subprocess.run(["git", "-C", str(folder), "pack-refs", "--all"], check=True, capture_output=True)
    assert web("POST", "/api/datasets/org/twins/duplicate", {"repository": "org/twin2"}).status == 200
    for name, count in (("twin2", 0), ("twins", 2)):
        refs = web("GET", f"/api/datasets/org/{name}/refs?include_prs=1").json["pullRequests"]
        assert len(refs) == web("GET", f"/api/datasets/org/{name}/discussions").json["count"] == count
    web("POST", "/api/repos/move", {"fromRepo": "org/twins", "toRepo": "org/moved", "type": "dataset"})
    moved = web("GET", "/api/datasets/org/moved/discussions/2").json
    assert moved["repo"] == {"name": "org/moved", "type": "dataset"} and moved["title"] == "t2"
    assert web("POST", "/api/datasets/org/twin2/discussions", {"title": "t", "description": "d"}).json["num"] == 1


def test_many_at_once(web):
    web("POST", "/api/repos/create", {"name": "pulls", "organization": "org", "type": "dataset"})
    main = web("GET", REPO).json["sha"]

    def work(number):
        lines = [{"key": "header", "value": {"summary": f"add {number}"}}, put(f"f{number}", b"")]
        body = "\n".join(map(json.dumps, lines)).encode()
        opened = web("POST", f"{REPO}/commit/main?create_pr=1", body).json["pullRequestUrl"].rpartition("/")[2]
        assert web("POST", f"{REPO}/discussions/{opened}/merge").status == 200
        return int(opened)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(work, range(8))) == list(range(1, 9))
    assert {f"f{number}" for number in range(8)} <= {item["path"] for item in web("GET", f"{REPO}/tree/main").json}
    assert len(web("GET", f"{REPO}/commits/main").json) == 9
    assert web("GET", f"{REPO}/commits/main").json[-1]["id"] == main
