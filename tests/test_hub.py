"""A real client against the embedded Hub: private repositories, and cards that are made to harm."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils import get_session

from hub_speed.errors import HubError, NotFound
from hub_speed.hub import Hub
from hub_speed.localhub import LocalHub

CARD = "---\nlicense: mit\nsdk: gradio\n---\n# A title\n"


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """The embedded Hub. What the client has read when it was imported is set by hand."""
    with LocalHub(tmp_path / "hub") as running:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(running.hf_home / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.mark.parametrize("private", [True, False])
def test_what_is_published_is_private_if_asked(
    local: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private: bool
) -> None:
    hub = Hub(str(local.endpoint), private=private)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "README.md").write_text(CARD, "utf-8")
    refs = [
        hub.publish(kind, f"org/a-{kind}", tmp_path / "files", message="Publish", tag="v1")
        for kind in ("model", "dataset", "space")
    ]
    hub.collect("org", "All", refs, "a release")
    api = HfApi(endpoint=local.endpoint)
    assert [api.repo_info(ref.repo, repo_type=ref.kind).private for ref in refs] == [private] * 3
    assert [collection.private for collection in api.list_collections(owner="org")] == [private]
    assert (hub.fetch(refs[0]) / "README.md").read_text("utf-8") == CARD
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    if private:
        with pytest.raises(NotFound, match="private or gated"):
            hub.pin("model", "org/a-model")
    else:
        assert hub.pin("model", "org/a-model") == refs[0]


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
