"""A real client against the embedded Hub: private and gated repositories, uploads that fail, cards made to harm."""

import base64
import errno
import hashlib
import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import huggingface_hub
import pytest
from hub_proxy import LOSE, Proxy, account, proxied
from huggingface_hub import CommitOperationAdd, HfApi, RepoFile
from huggingface_hub.utils import get_session

from hub_speed import hub_faults
from hub_speed.errors import HubError, HubSpeedError, NotFound, StaleParent, without_secrets
from hub_speed.hub import Hub
from hub_speed.localhub import LocalHub
from hub_speed.record import Ref

LOST = r"does not answer|answers 503|answers what the client cannot read"
CARD = "---\nlicense: mit\nsdk: gradio\n---\n# A title\n"


@pytest.mark.parametrize("private", [True, False, None])
def test_what_is_published_is_private_if_asked(
    local: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private: bool | None
) -> None:
    hub = Hub(str(local.endpoint), private=private)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "README.md").write_text(CARD, "utf-8")
    refs = [
        hub.publish(kind, f"org/a-{kind}", tmp_path / "files", message="Publish", tag="v1")
        for kind in ("model", "dataset", "space")
    ]
    hub.collect("org", "All", dict.fromkeys(refs, "a note"), "a release")
    api = HfApi(endpoint=local.endpoint)
    assert [api.repo_info(ref.repo, repo_type=ref.kind).private for ref in refs] == [bool(private)] * 3
    assert [collection.private for collection in api.list_collections(owner="org")] == [bool(private)]
    assert (hub.fetch(refs[0]) / "README.md").read_text("utf-8") == CARD
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    if private:
        with pytest.raises(NotFound, match="private or gated"):
            hub.pin("model", "org/a-model")
    else:
        assert hub.pin("model", "org/a-model") == refs[0]


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client asks again at once."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize(
    ("told", "says", "fix"),
    [
        (507, "answers 507", "free some space on the Hub's disk, and run the same command again"),
        (403, "answers 403", "run the same command again"),
        (400, "answers 400", "run the same command again"),
        (500, "answers 500", "run the same command again"),
        (True, "does not answer", "run the same command again when the Hub is back"),
    ],
)
def test_an_upload_that_fails_says_why(
    local: LocalHub, tmp_path: Path, impatient: None, told: bool | int, says: str, fix: str, files: int
) -> None:
    """The client raises a bare RuntimeError for every one; what happened is in its cause. A 403 is an old link."""
    (tmp_path / "files").mkdir()
    for number in range(files):
        (tmp_path / "files" / f"{number}.safetensors").write_bytes(bytes([number]) * 100_000)
    meddled = proxied(str(local.endpoint), lambda request: told if "/_lfs/" in request.path else False)
    with meddled as url, pytest.raises(HubError) as caught:
        Hub(url).publish("model", "org/m", tmp_path / "files", message="Publish", tag="v1")
    assert says in caught.value.where and caught.value.fix == f"what was built is kept: {fix}"
    assert caught.value.exit_code == 4
    assert Hub(str(local.endpoint)).publish("model", "org/m", tmp_path / "files", message="Publish", tag="v1")


# --- one commit, whatever happens -------------------------------------------------------------------------------------

FILES = {"README.md": CARD.encode(), "data/a.parquet": b"\0" * 500, "data/b.parquet": b"\1\0" * 500, "new.txt": b"new"}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def publish(url: object, repo: str, folder: Path, note: Callable[[str], None] = print) -> Ref:
    return Hub(str(url)).publish("dataset", repo, folder, message="stage: recipe", tag="run-1", note=note)


def check(local: LocalHub, ref: Ref, files: dict[str, bytes], commits: int = 1) -> None:
    """The files are there, by so many commits after the first, and the last one has the tag."""
    api = HfApi(endpoint=local.endpoint)
    assert api.list_repo_refs(ref.repo, repo_type="dataset").tags[0].target_commit == ref.commit
    titles = [commit.title for commit in api.list_repo_commits(ref.repo, repo_type="dataset")]
    assert len(titles) == commits + 1 and titles[0] == "stage: recipe run-1"
    listed = api.list_repo_tree(ref.repo, repo_type="dataset", recursive=True)
    found = {file.path: file.lfs.sha256 if file.lfs else file.blob_id for file in listed if isinstance(file, RepoFile)}
    assert found.keys() - {".gitattributes"} == files.keys()
    for name, content in files.items():
        as_git = b"blob %d\0" % len(content) + content
        assert found[name] in (hashlib.sha1(as_git).hexdigest(), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("lost", [False, True])
def test_the_next_run_finishes_what_was_killed_between_any_two_requests(
    local: LocalHub, tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """For the Hub, a client that was killed sends nothing more: 400 ends it. Its last answer may have been lost."""
    monkeypatch.setattr(hub_faults, "WAITS_S", ())
    for number in range(100):
        files, asked = (
            FILES | {"data/a.parquet": b"\0%d" % number},
            itertools.count(),
        )  # the Hub has no such content yet
        folder = write(tmp_path / "files", files)

        def killed(request: Proxy, asked: Iterator[int] = asked, number: int = number) -> bool | int:
            now = next(asked)
            return LOSE if lost and now == number else 400 * (now >= number)

        with proxied(str(local.endpoint), killed) as url:
            try:
                publish(url, f"org/d{number}", folder)
                break
            except HubError:
                pass
        check(local, publish(local.endpoint, f"org/d{number}", folder), files)
    assert number >= 10  # every request has been the last one


@pytest.mark.parametrize("trouble", [LOSE, True, 409, 412, 429, 500, 503])
def test_passing_trouble_is_waited_for(local: LocalHub, tmp_path: Path, impatient: None, trouble: bool | int) -> None:
    folder, left = write(tmp_path / "files", FILES), {"/create", "/revision/", "/preupload/", "/commit/", "/tag/"}

    def once(request: Proxy) -> bool | int:
        kinds = {kind for kind in left if kind in request.path}
        left.difference_update(kinds)
        return trouble if kinds else False

    with proxied(str(local.endpoint), once) as url:
        ref = publish(url, "org/d", folder)
    assert not left
    check(local, ref, FILES)


@pytest.mark.parametrize(
    ("header", "value", "says"),
    [
        ("Retry-After", "7", "again in 7 s"),
        ("RateLimit", '"api";r=0;t=55', "again in 56 s"),
        ("Retry-After", "999", ""),
    ],
)
def test_the_hub_says_how_long_to_wait(
    local: LocalHub, tmp_path: Path, impatient: None, header: str, value: str, says: str
) -> None:
    """Up to five minutes; more than that is an error."""
    folder, notes, told = write(tmp_path / "files", FILES), [], []

    def limited(request: Proxy) -> bool:
        if told or "/commit/" not in request.path:
            return False
        told.append(True)
        request.send_response(429)
        request.send_header(header, value)
        request.send_header("Content-Length", "0")
        request.send_header("Connection", "close")
        request.end_headers()
        return True

    with proxied(str(local.endpoint), limited) as url:
        if says:
            check(local, publish(url, "org/d", folder, notes.append), FILES)
            assert notes == [f"the Hub answers 429: {says}"]
        else:
            with pytest.raises(HubError, match="answers 429"):
                publish(url, "org/d", folder, notes.append)


@pytest.mark.parametrize(
    ("times", "theirs", "says"),
    [
        (1, "theirs", ""),
        (99, "theirs", "somebody else committed in between"),
        (1, "stage: recipe run-1", "another run has published the same"),
    ],
)
def test_somebody_else_commits_in_between(
    local: LocalHub, tmp_path: Path, impatient: None, times: int, theirs: str, says: str
) -> None:
    """What is published goes on top of theirs, unless they never stop, or it is the same stage of the same run."""
    folder, left = write(tmp_path / "files", FILES), list(range(times))
    api = HfApi(endpoint=local.endpoint)

    def commit_first(request: Proxy) -> bool:
        if "/commit/" in request.path and left:
            other = CommitOperationAdd("other.txt", b"%d" % left.pop())
            api.create_commit("org/d", [other], commit_message=theirs, repo_type="dataset")
        return False

    with proxied(str(local.endpoint), commit_first) as url:
        if says:
            with pytest.raises(StaleParent, match=says):
                publish(url, "org/d", folder)
        else:
            check(local, publish(url, "org/d", folder), FILES, commits=2)


def test_many_files_are_one_commit_that_only_names_the_large_ones(local: LocalHub, tmp_path: Path) -> None:
    """And what the Hub has is not sent again."""
    files = {f"ledger/{n}.txt": b"%d" % n for n in range(250)} | {f"{n}.bin": b"\0%d" % n * 99 for n in range(8)}
    folder, asked = write(tmp_path / "files", files), []

    def listen(request: Proxy) -> bool:
        asked.append((request.path, request.body))
        return False

    def sent(part: str) -> list[bytes]:
        return [body for path, body in asked if part in path]

    with proxied(str(local.endpoint), listen) as url:
        check(local, publish(url, "org/d", folder), files)
        assert [len(sent(part)) for part in ("/preupload/", "/_lfs/", "/commit/")] == [2, 8, 1]
        keys = Counter(json.loads(line)["key"] for line in sent("/commit/")[0].splitlines())
        assert keys == {"header": 1, "file": 250, "lfsFile": 8}
        asked.clear()
        files = files | {"3.bin": b"\0other", "ledger/5.txt": b"other"}
        del files["ledger/9.txt"]
        (folder / "ledger/9.txt").unlink()
        check(local, publish(url, "org/d", write(folder, files)), files, commits=2)
    assert sent("/_lfs/") == [b"\0other"]
    lines = [json.loads(line)["value"].get("path") for line in sent("/commit/")[0].splitlines()]
    assert sorted(filter(None, lines)) == ["3.bin", "ledger/5.txt", "ledger/9.txt"]


def test_a_full_disk_of_this_machine_is_no_error_of_the_hub(local: LocalHub) -> None:
    hub = Hub(str(local.endpoint))
    with pytest.raises(OSError, match="No space left on device") as caught, hub._translating_errors("x"):
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as full:
            raise RuntimeError("Error while uploading 'x' to the Hub.") from full
    assert caught.value.errno == errno.ENOSPC


def test_what_is_not_there_is_no_card_and_a_hub_that_is_down_is_none_either(
    local: LocalHub, tmp_path: Path, impatient: None
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("a", "utf-8")
    ref = Hub(str(local.endpoint)).publish("model", "org/m", tmp_path / "files", message="Publish", tag="v1")
    hub = Hub(str(local.endpoint))
    assert (hub.record(ref), hub.card(ref), hub.licences(ref)) == (None, "", [""])
    for meddle in (lambda request: True, lambda request: 503, _login_page):
        with proxied(str(local.endpoint), meddle) as url:
            lost = Hub(url)
            for read in (lost.fetch, lost.record, lost.card, lost.licences):
                shutil.rmtree(tmp_path / "cache", ignore_errors=True)
                with pytest.raises(HubError, match=LOST):
                    read(ref)
            for look in (lost.head, lost.pin, partial(lost.find, tag="v1")):
                with pytest.raises(HubError, match=LOST):
                    look("model", "org/m")
    with pytest.raises(HubError, match="does not answer"):  # nobody is there any more
        Hub(url).record(ref)


def _login_page(request: Proxy) -> bool:
    """What a network answers in the Hub's place until somebody logs in."""
    request.send_response(200)
    request.send_header("Connection", "close")
    request.end_headers()
    request.wfile.write(b"<html>Log in to the network</html>")
    return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:PW@host:80/a", "http://…@host:80/a"),
        ("http://TOKEN@host", "http://…@host"),
        ("http://h/v1?api_key=PW&a=1", "http://h/v1?api_key=…&a=1"),
        ("http://h/v1?a=1&X-Amz-Signature=PW x", "http://h/v1?a=1&X-Amz-Signature=… x"),
        ("got sk-proj-abcdefgh123 here", "got sk-… here"),
        ("Authorization: Bearer abcdefgh12345", "Authorization: Bearer …"),
        ("hf_AbCdEfGhIjKlMnOpQrStUv", "hf_…"),
        ("hf_hub_download: task-12345678901234567890", "hf_hub_download: task-12345678901234567890"),
        ("https://huggingface.co/org/name@main and a@b", "https://huggingface.co/org/name@main and a@b"),
        ("http://h/?page=2#x", "http://h/?page=2#x"),
    ],
)
def test_errors_show_no_secrets(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
    error = HubSpeedError(text, expected=text, got=text, fix=text)
    assert str(error).count(shown) == 4 and {error.where, error.expected, error.got, error.fix} == {shown}


def test_a_hub_with_a_password_in_its_address_is_named_without_it(local: LocalHub) -> None:
    hub = Hub(str(local.endpoint).replace("http://", "http://user:PW@"))
    assert "PW" not in hub.shown
    with pytest.raises(HubError) as caught:
        hub.pin("model", "org/none")
    assert "PW" not in str(caught.value)


@pytest.mark.parametrize("metadata", ["[" * 40_000, "a: &a [x]\nb: &b [*a, *b]", "license: 1" + ":1" * 100_000])
def test_a_card_from_outside_harms_nobody(local: LocalHub, metadata: str) -> None:
    hub = Hub(str(local.endpoint))
    api = HfApi(endpoint=local.endpoint)
    api.create_repo("evil/set", repo_type="dataset")
    text = base64.b64encode(f"---\n{metadata}\n---\n".encode()).decode()
    lines = [
        {"key": "header", "value": {"summary": "x"}},
        {"key": "file", "value": {"path": "README.md", "content": text, "encoding": "base64"}},
    ]
    url = f"{local.endpoint}/api/datasets/evil/set/commit/main"
    token = (local.hf_home / "token").read_text()
    body = "\n".join(map(json.dumps, lines))
    assert get_session().post(url, content=body, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    ref = hub.pin("dataset", "evil/set")
    assert hub.licences(ref) == [""]
    with pytest.raises(HubError, match=r"README\.md cannot be read"):
        hub.fetch(ref)


# --- the right to write -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("meddle", "refused"),
    [
        (account("write", "org"), ""),
        (account("write", "other"), ""),  # not listed, and yet it may: the repository can be created
        (account("fineGrained"), ""),
        (account("write", "other", create=403), "--org ada or other"),
        (account("fineGrained", "org", create=403), "--org ada or org"),
        (account("read", "org"), "a token that only reads"),
    ],
)
def test_who_may_not_write_is_told_so(
    local: LocalHub, impatient: None, meddle: Callable[[Proxy], bool | int], refused: str
) -> None:
    with proxied(str(local.endpoint), meddle) as url:
        if not refused:
            Hub(url).check_may_write("dataset", "org/speed-seed")
            return
        with pytest.raises(HubError, match="ada may not write to org") as caught:
            Hub(url).check_may_write("dataset", "org/speed-seed")
    assert refused in str(caught.value) and caught.value.exit_code == 4


def test_nobody_writes_without_a_token(local: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(HubError, match="no token"):
        Hub(str(local.endpoint)).check_may_write("model", "org/m")
