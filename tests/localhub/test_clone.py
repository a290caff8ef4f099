"""An ordinary `git` clones and fetches over HTTP; it pushes nothing and sees nothing private."""

import base64
import gzip
import hashlib
import os
import subprocess
from urllib.parse import urlsplit

import pytest
from running import HANG_S

LARGE = os.urandom(100_000)
SHA256 = hashlib.sha256(LARGE).hexdigest()


def put(path, content):
    value = {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}
    return {"key": "file", "value": value}


@pytest.fixture(scope="module", autouse=True)
def repos(web):
    for name, visibility in (("clone", "public"), ("clone-hidden", "private"), ("clone-other", "public")):
        sent = {"name": name, "organization": "org", "type": "dataset", "visibility": visibility}
        web("POST", "/api/repos/create", sent)
    batch = {"operation": "upload", "objects": [{"oid": SHA256, "size": len(LARGE)}]}
    link = web("POST", "/datasets/org/clone.git/info/lfs/objects/batch", batch).json["objects"][0]["actions"]["upload"]
    web("PUT", link["href"].partition(web.address.netloc)[2], LARGE)
    large = {"key": "lfsFile", "value": {"path": "large file.bin", "algo": "sha256", "oid": SHA256}}
    for name in ("clone", "clone-hidden"):
        web.commit(f"org/{name}", [large, put("a/small.txt", b"small"), put("é.txt", b"\xff\0")])
    web("POST", "/api/datasets/org/clone/tag/main", {"tag": "v1", "message": "first"})
    web("POST", "/api/datasets/org/clone/branch/side", {})


def git(folder, *arguments, protocol="2"):
    clean = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    env = {"PATH": os.environ["PATH"], "NO_PROXY": "*", **clean}
    command = ["git", "-c", f"protocol.version={protocol}", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=HANG_S)


def pointer(content):
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA256}\nsize {len(content)}\n"


@pytest.mark.parametrize("protocol", ["0", "1", "2"])
@pytest.mark.parametrize("end", ["", ".git"])
def test_clone_and_fetch(hub, web, tmp_path, protocol, end):
    done = git(tmp_path, "clone", f"{hub.endpoint}/datasets/org/clone{end}", "copy", protocol=protocol)
    assert done.returncode == 0, done.stderr
    copy = tmp_path / "copy"
    assert (copy / "a" / "small.txt").read_bytes() == b"small" and (copy / "é.txt").read_bytes() == b"\xff\0"
    assert (copy / "large file.bin").read_text() == pointer(LARGE)
    assert git(copy, "fsck", "--strict").returncode == 0
    assert git(copy, "rev-parse", "HEAD").stdout.strip() == web("GET", "/api/datasets/org/clone").json["sha"]
    assert git(copy, "branch", "-r").stdout.split()[-1] == "origin/side" and git(copy, "tag").stdout == "v1\n"
    assert web.commit("org/clone", [put(f"new-{protocol}{end}", b"x" * 100)]).status == 200
    assert git(copy, "pull", protocol=protocol).returncode == 0
    assert (copy / f"new-{protocol}{end}").exists()


def test_shallow_and_partial_clones(hub, tmp_path):
    url = f"{hub.endpoint}/datasets/org/clone"
    assert git(tmp_path, "clone", "--depth", "1", "--branch", "v1", url, "shallow").returncode == 0
    assert git(tmp_path / "shallow", "rev-list", "--count", "HEAD").stdout == "1\n"
    partial = git(tmp_path, "clone", "--filter=blob:none", url, "partial")
    assert partial.returncode == 0 and (tmp_path / "partial" / "a" / "small.txt").read_text() == "small"


def test_models_and_spaces_too(hub, web, tmp_path):
    for sent, url in (({}, "org/clone-m"), ({"type": "space", "sdk": "static"}, "spaces/org/clone-m")):
        web("POST", "/api/repos/create", {"name": "clone-m", "organization": "org", **sent})
        done = git(tmp_path, "clone", f"{hub.endpoint}/{url}", url.replace("/", "-"))
        assert done.returncode == 0 and (tmp_path / url.replace("/", "-") / ".gitattributes").exists(), done.stderr


def test_private_repos_need_the_token(hub, web, tmp_path):
    anonymous = git(tmp_path, "clone", f"{hub.endpoint}/datasets/org/clone-hidden")
    missing = git(tmp_path, "clone", f"{hub.endpoint}/datasets/org/clone-missed")
    assert anonymous.returncode == missing.returncode == 128
    assert anonymous.stderr.replace("hidden", "missed") == missing.stderr
    for token, wanted in ((web.token, 0), (web.token[:-1] + "x", 128)):
        url = f"http://any:{token}@{urlsplit(hub.endpoint).netloc}/datasets/org/clone-hidden"
        assert git(tmp_path, "clone", url, f"hidden-{wanted}").returncode == wanted
    assert web("POST", "/datasets/org/clone-hidden/git-upload-pack", b"0000", anonymous=True).status == 401


def test_push_is_refused_with_what_to_do(hub, tmp_path):
    git(tmp_path, "clone", f"{hub.endpoint}/datasets/org/clone", "copy")
    author = ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-m", "x")
    assert git(tmp_path / "copy", *author).returncode == 0
    pushed = git(tmp_path / "copy", "push")
    assert pushed.returncode != 0 and "remote: The local hub takes no git push: commit" in pushed.stderr


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"0000", {}),
        (b"zzzz", {}),
        (b"ffff" + b"x" * 100, {}),
        (b"0032want " + b"0" * 40 + b"\n00000009done\n", {}),
        (b"not gzip", {"Content-Encoding": "gzip"}),
        (gzip.compress(b"0" * (40 << 20)), {"Content-Encoding": "gzip"}),
        (b"0014command=ls-refs\n0000", {"Git-Protocol": "version=2"}),
        (b"0014command=ls-refs\n0000", {"Git-Protocol": "version=2:--evil"}),
    ],
)
def test_odd_requests_are_answered(web, body, headers):
    answer = web("POST", "/datasets/org/clone/git-upload-pack", body, headers=headers, anonymous=True)
    assert answer.status in (200, 400, 413)
    assert web("GET", "/datasets/org/clone/info/refs").status == 501


def test_large_files_of_a_clone_are_downloaded_by_git_lfs(web):
    """The requests of git-lfs, without git-lfs: content comes only to those who may read a repo that has it."""
    batch = {"operation": "download", "transfers": ["basic"], "objects": [{"oid": SHA256, "size": len(LARGE)}]}
    kind = {"Content-Type": "application/vnd.git-lfs+json"}

    def ask(repo, **how):
        return web("POST", f"/datasets/org/{repo}.git/info/lfs/objects/batch", batch, headers=kind, **how)

    action = ask("clone", anonymous=True).json["objects"][0]["actions"]["download"]
    assert "header" not in action
    assert web("GET", action["href"].partition(web.address.netloc)[2], anonymous=True).body == LARGE
    assert ask("clone-other").json["objects"][0]["error"]["code"] == 404
    assert ask("clone-hidden", anonymous=True).status == 401
    action = ask("clone-hidden").json["objects"][0]["actions"]["download"]
    assert web("GET", action["href"].partition(web.address.netloc)[2], headers=action["header"]).body == LARGE
    upload = {**batch, "operation": "upload"}
    answer = web("POST", "/datasets/org/clone.git/info/lfs/objects/batch", upload, headers=kind, anonymous=True)
    assert answer.status == 401
