"""Kills, full disks, and two servers at once: what was acknowledged is there, and nothing is ever half there."""

import base64
import errno
import hashlib
import http.client
import os
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dulwich.objects import Blob, Commit, Tree
from dulwich.repo import Repo as DulwichRepo

from hub_speed.localhub import LocalHub, disk

REPO = "org/crash"
CREATE = {"name": "crash", "organization": "org", "type": "dataset"}
KILLS = 12
CUT_OFF = (OSError, http.client.HTTPException)  # what a client sees when its server is killed


def put(path, content):
    value = {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}
    return {"key": "file", "value": value}


def put_large(web, path, content):
    """Upload a large file and give back the line that commits it."""
    sha256 = hashlib.sha256(content).hexdigest()
    batch = {"operation": "upload", "objects": [{"oid": sha256, "size": len(content)}]}
    actions = web("POST", f"/datasets/{REPO}.git/info/lfs/objects/batch", batch).json["objects"][0].get("actions")
    if actions:
        link = re.sub(r"^http://[^/]+", "", actions["upload"]["href"])
        assert web("PUT", link, content, anonymous=True).status == 200
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": sha256, "size": len(content)}}


def check_store(home: Path, kind="datasets", repo=REPO) -> list[str]:
    """Check every object, every file of every commit and every large file; give back the commits, newest first."""
    folder = home / "hub" / "repos" / kind / repo
    git = DulwichRepo(str(folder))
    for oid in git.object_store:
        git[oid].check()
        assert git[oid].id == git.object_store[oid].sha().hexdigest().encode()
    history = [entry.commit for entry in git.get_walker()]
    seen = set()
    for commit in history:
        assert isinstance(commit, Commit)
        waiting = [commit.tree]
        while waiting:
            oid = waiting.pop()
            if oid in seen:
                continue
            seen.add(oid)
            obj = git[oid]
            if isinstance(obj, Tree):
                waiting += [entry.sha for entry in obj.items()]
                continue
            assert isinstance(obj, Blob)
            match = re.match(rb"version https://git-lfs.*\noid sha256:(\w{64})\nsize (\d+)\n", obj.data)
            if match:
                name = match[1].decode()
                content = (home / "hub" / "lfs" / name[:2] / name[2:4] / name).read_bytes()
                assert hashlib.sha256(content).hexdigest() == name and len(content) == int(match[2])
    assert not list(folder.rglob("*.lock")) or list(folder.rglob("*.lock")) == [folder / "hub.lock"]
    return [commit.id.decode() for commit in history]


def test_kills_during_commits_lose_nothing(tmp_path, serve):
    rng = random.Random(0)
    acknowledged: list[tuple[str, str]] = []
    for number in range(KILLS):
        server = serve(tmp_path)
        assert len(list((tmp_path / "hub" / "tmp").iterdir())) == 2  # its own folder and the lock: the dead are gone
        server.web("POST", "/api/repos/create", CREATE)

        def work(web=server.web, number=number):
            for count in range(1000):
                path = f"f{number}-{count}"
                lines = [put(f"{path}/{i}", os.urandom(50)) for i in range(3)]
                if count % 3 == 0:
                    lines.append(put_large(web, f"{path}/large", os.urandom(200_000)))
                answer = web.commit(REPO, lines)
                assert answer.status == 200
                acknowledged.append((answer.json["commitOid"], path))

        with ThreadPoolExecutor(1) as pool:
            before, working = len(acknowledged), pool.submit(work)
            while len(acknowledged) == before and not working.done():
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.2))
            server.kill()
            assert isinstance(working.exception(60), CUT_OFF)
        history = check_store(tmp_path)
        last = acknowledged[-1][0]
        assert history.index(last) <= 1  # the head, or the parent of one whose answer did not arrive
        assert {oid for oid, _ in acknowledged} <= set(history)
    web = serve(tmp_path).web
    listed = {entry["path"] for entry in web("GET", f"/api/datasets/{REPO}/tree/main").json}
    assert {path for _, path in acknowledged} <= listed


def test_everything_is_flushed_before_the_branch_moves(tmp_path, http_to, monkeypatch):
    """What a kill cannot show and a power cut would: the order of flushes and renames."""
    events: list[tuple[str, Path]] = []
    fsync, replace = os.fsync, os.replace

    def logged_fsync(fd):
        fsync(fd)
        events.append(("flush", Path(os.readlink(f"/proc/self/fd/{fd}"))))

    def logged_replace(source, target):
        assert ("flush", Path(source)) in events, "renamed before its content was flushed"
        replace(source, target)
        events.append(("rename", Path(target)))

    with LocalHub(tmp_path) as hub:
        web = http_to(hub)
        web("POST", "/api/repos/create", CREATE)
        monkeypatch.setattr(disk.os, "fsync", logged_fsync)
        monkeypatch.setattr(disk.os, "replace", logged_replace)
        lines = [put(f"d{i}/f", os.urandom(9)) for i in range(20)]
        assert web.commit(REPO, [*lines, put_large(web, "large", os.urandom(1000))]).status == 200
        folder = tmp_path / "hub" / "repos" / "datasets" / REPO
        moved = events.index(("rename", folder / "refs" / "heads" / "main"))
        before = events[:moved]
        renamed = {path: index for index, (kind, path) in enumerate(before) if kind == "rename"}
        assert (
            len(renamed) == 21 + 21 + 1 + 1
        )  # files and pointer, their trees and the root, the commit, the large file
        for path, index in renamed.items():
            assert ("flush", path.parent) in before[index:], f"{path}: its folder was not flushed"
        assert events[moved + 1 :] == [("flush", folder / "refs" / "heads")]


def test_kills_during_creation_and_deletion_leave_whole_repos(tmp_path, serve):
    rng = random.Random(1)
    done: list[int] = []
    for _ in range(4):
        server = serve(tmp_path)

        def work(web=server.web):
            for number in range(1000):
                body = {"name": f"r{number % 7}", "organization": "org", "type": "dataset"}
                method, action = ("DELETE", "delete") if number % 3 == 2 else ("POST", "create")
                web(method, f"/api/repos/{action}", body)
                done.append(number)

        with ThreadPoolExecutor(1) as pool:
            before, working = len(done), pool.submit(work)
            while len(done) == before and not working.done():
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.2))
            server.kill()
            assert isinstance(working.exception(60), CUT_OFF)
        for folder in (tmp_path / "hub" / "repos" / "datasets" / "org").iterdir():
            assert len(check_store(tmp_path, repo=f"org/{folder.name}")) == 1
            assert (folder / "hub.json").exists()


def test_two_servers_share_a_store(tmp_path, serve, http_to):
    with LocalHub(tmp_path) as inside:
        first, second = http_to(inside), serve(tmp_path).web
        assert first.token == second.token
        assert first("POST", "/api/repos/create", CREATE).status == 200
        assert second("POST", "/api/repos/create", CREATE).status == 409

        def work(number):
            web = (first, second)[number % 2]
            return web.commit(REPO, [put(f"f{number}", b"%d" % number)])

        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(work, range(40)))
        assert {answer.status for answer in answers} == {200}
        history = check_store(tmp_path)
        assert {answer.json["commitOid"] for answer in answers} <= set(history) and len(history) == 41
        for web in (first, second):
            assert web("GET", f"/api/datasets/{REPO}").json["sha"] == history[0]
            assert len(web("GET", f"/api/datasets/{REPO}/tree/main").json) == 41

        def race(number):
            web = (first, second)[number % 2]
            return web.commit(REPO, [put("same", b"%d" % number)], parent=history[0]).status

        with ThreadPoolExecutor(6) as pool:
            statuses = list(pool.map(race, range(6)))
        assert sorted(statuses) == [200, *[412] * 5]

        def tag(number):
            web = (first, second)[number % 2]
            return web("POST", f"/api/datasets/{REPO}/tag/main", {"tag": "v1"}).status

        with ThreadPoolExecutor(6) as pool:
            assert sorted(pool.map(tag, range(6))) == [200, *[409] * 5]


def test_deleting_a_repo_under_writers_is_clean(tmp_path, http_to):
    with LocalHub(tmp_path) as hub:
        web = http_to(hub)
        web("POST", "/api/repos/create", CREATE)
        gone = threading.Event()

        def work(number):
            statuses = []
            while not gone.is_set() or not statuses:
                statuses.append(web.commit(REPO, [put(f"f{number}", os.urandom(5))]).status)
            return set(statuses)

        with ThreadPoolExecutor(4) as pool:
            writers = [pool.submit(work, number) for number in range(4)]
            time.sleep(0.1)
            assert web("DELETE", "/api/repos/delete", CREATE).status == 200
            gone.set()
        assert set.union(*(writer.result() for writer in writers)) <= {200, 404}
        assert web("GET", f"/api/datasets/{REPO}").status == 404
        assert not list((tmp_path / "hub" / "repos" / "datasets" / "org").iterdir())


def scratch_is_empty(home: Path) -> bool:
    return [path.name for path in (home / "hub" / "tmp").rglob("*") if path.is_file()].count("alive") == 1 and not [
        path for path in (home / "hub" / "tmp").glob("*/*") if path.name != "alive"
    ]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_at_any_write_leaves_the_last_commit(tmp_path, http_to, monkeypatch, code):
    real = os.fsync
    left = [10**9]

    def full_after_a_while(fd):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(code, os.strerror(code))
        real(fd)

    with LocalHub(tmp_path) as hub:
        web = http_to(hub)
        web("POST", "/api/repos/create", CREATE)
        large = put_large(web, "large", os.urandom(1000))
        monkeypatch.setattr(disk.os, "fsync", full_after_a_while)
        refused = 0
        for writes in range(30):
            was = web("GET", f"/api/datasets/{REPO}").json["sha"]
            left[0] = writes
            answer = web.commit(REPO, [put("d/a", os.urandom(9)), put("b", os.urandom(9)), large], parent=was)
            left[0] = 10**9
            now = web("GET", f"/api/datasets/{REPO}").json["sha"]
            if answer.status == 200:
                assert answer.json["commitOid"] == now
                break
            assert answer.status == 507 and "Free space" in answer.json["error"]
            # The very last flush comes after the rename of the ref: then the commit is there, unacknowledged.
            assert now == was or check_store(tmp_path)[1] == was
            assert scratch_is_empty(tmp_path)
            refused += 1
        assert refused > 5
        assert len(check_store(tmp_path)) >= 2


def test_a_file_size_limit_is_answered_like_a_full_disk(tmp_path, serve):
    server = serve(tmp_path, "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))")
    web = server.web
    assert web("POST", "/api/repos/create", CREATE).status == 200
    content = os.urandom(3_000_000)
    sha256 = hashlib.sha256(content).hexdigest()
    batch = {"operation": "upload", "objects": [{"oid": sha256, "size": len(content)}]}
    answer = web("POST", f"/datasets/{REPO}.git/info/lfs/objects/batch", batch)
    link = re.sub(r"^http://[^/]+", "", answer.json["objects"][0]["actions"]["upload"]["href"])
    for _ in range(2):
        answer = web("PUT", link, content, anonymous=True)
        assert answer.status == 507 and "no room" in answer.json["error"]
    assert web.commit(REPO, [put("small", b"x"), put("big", os.urandom(400_000))]).status == 507
    assert scratch_is_empty(tmp_path)
    assert len(check_store(tmp_path)) == 1
    assert web.commit(REPO, [put("small", b"x"), put_large(web, "fits", os.urandom(200_000))]).status == 200
    assert len(check_store(tmp_path)) == 2


def test_a_deleted_repo_is_not_created_again_by_a_late_writer(tmp_path, http_to):
    with LocalHub(tmp_path) as hub:
        web = http_to(hub)
        web("POST", "/api/repos/create", CREATE)
        place = tmp_path / "hub" / "repos" / "datasets" / "org" / "crash"
        scratch = disk.Scratch(tmp_path / "hub" / "tmp")
        with (
            pytest.raises(FileNotFoundError),
            scratch.replacing(place / "objects" / "ab" / "ccc", within=place) as file,
        ):
            file.write(b"late")
            assert web("DELETE", "/api/repos/delete", CREATE).status == 200
        assert not place.exists()
        scratch.close()
