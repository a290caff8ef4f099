"""The explorer Space: opened on a tiny run and asked through its API; published and read by an unmodified client."""

import asyncio
import json
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from fake_openai import FakeOpenAI
from running import Cli, free_port, kill
from space_run import HOSTILE, answer, copy_of_run

from hub_speed import space

APP = space.folder()


# --- what needs neither gradio nor torch ----------------------------------------------------------------------------


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.syspath_prepend(str(APP))
    import looks

    yield looks
    sys.modules.pop("looks")


def test_every_text_is_escaped(looks) -> None:
    told = {"verdict": "well-formed", "text": HOSTILE, "tokens": 1, "seconds": 1.0, "why": HOSTILE, "changed": True}
    told["row"] = dict.fromkeys(looks.PARTS, HOSTILE)
    lost = told | {"verdict": "rejected", "reason": "bad_json", "means": "no", "detail": HOSTILE, "row": None}
    flow = {"topic": HOSTILE, "task": HOSTILE, "knobs": {"k": HOSTILE}, "prompt": HOSTILE, "doing": HOSTILE}
    row = {"id": HOSTILE, "task_type": "sts", "instruction": HOSTILE, "revised": True, "draft": "{", **told["row"]}
    line = {"id": HOSTILE, "task_type": "sts", "reason": "bad_json", "detail": HOSTILE, "completions": [HOSTILE]}
    page = {"from": HOSTILE, "url": HOSTILE, "total": 1, "of": 2, "page": 1, "pages": 1, "notes": [HOSTILE]}
    line |= {"state": "rejected"}
    place = [{"query": HOSTILE, "cells": [[0.5, 0.5, 1]], "place": 1}]
    side = {"title": HOSTILE, "asked": HOSTILE, "heat": place, "places": [1]}
    side["ranking"] = [{"score": 0.5, "text": HOSTILE, "hit": True}]
    several = {"queries": [HOSTILE, "b"], "columns": [HOSTILE], "texts": 1, "sides": [side]}
    point = {"id": HOSTILE, "query": HOSTILE, "x": 0.1, "y": 0.2, "value": HOSTILE}
    drawn = {
        "points": [point],
        "values": {HOSTILE: {"tone": 0, "count": 1}},
        "shares": [0.5, 0.1],
        "from": "a",
        "by": "b",
    }
    box = {
        "url": HOSTILE,
        "version": HOSTILE,
        "title": HOSTILE,
        "commit": "1",
        "kind": "model",
        "x": 1,
        "y": 1,
        "rows": 0,
    }
    code = {"title": HOSTILE, "note": HOSTILE, "code": HOSTILE}
    version = {"version": f"o/{HOSTILE}", "url": HOSTILE}
    shown = [
        looks.render(
            "generate.flow", flow | {"draft": told, "revised": told | {"row": dict.fromkeys(looks.PARTS, "else")}}
        ),
        looks.render("generate.flow", flow | {"draft": lost, "revised": None}),
        looks.render("generate.flow", flow | {"draft": None, "revised": None}),
        looks.render("generate.flow", flow | {"draft": None, "revised": None, "writing": HOSTILE, "example": HOSTILE}),
        looks.render("generate.stages", {"done": True, "stages": [(HOSTILE, f"cannot be loaded: {HOSTILE}")]}),
        looks.render("generate.pushed", {"count": 1, "repo": HOSTILE, "url": HOSTILE}),
        looks.render("data.rows", page | {"reasons": {}, "rows": [row]}),
        looks.render("data.rows", page | {"reasons": {"bad_json": 1}, "rows": [line]}),
        looks.render("search.results", several),
        looks.render("search.results", several | {"queries": [HOSTILE]}),
        looks.render("data.map", drawn),
        looks.render("data.lineage", {"boxes": [box], "arrows": [], "width": 1, "height": 1}),
        looks.render("use.lines", {"blocks": [code], "versions": [{"url": "u", "version": HOSTILE, "at": "v"}]}),
        looks.render("page.head", {"org": HOSTILE, "hub": HOSTILE, "versions": [version], "tiny": True}),
        looks.render("page.problem", space.HubError(HOSTILE, expected=HOSTILE, got=HOSTILE, fix=HOSTILE)),
    ]
    for html in shown:
        assert "&lt;img" in html and "<img" not in html
        assert 'onerror="' not in html


def test_changes_are_shown_word_by_word_and_lose_nothing(looks) -> None:
    found = looks.changes("the old house, here", "the new house")
    assert "".join(went for went, _ in found) == "the old house, here"
    assert "".join(came for _, came in found) == "the new house"
    assert ("old", "new") in found and ("the ", "the ") in found


def test_what_the_app_loads_is_in_the_repository_or_required(tmp_path: Path) -> None:
    space.assemble(tmp_path, {"models": [], "datasets": []})
    code = "import looks, published, rows, writer, hub_speed, sys; print(hub_speed.__file__, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    file, *modules = done.stdout.split()
    assert Path(file).is_relative_to(tmp_path)  # not the one that is installed here
    packages = {name.split(".")[0] for name in modules}
    required = set(re.findall(r"^([\w-]+)>=", (tmp_path / "requirements.txt").read_text(), re.M))
    there = with_requirements(required | {"gradio"})  # which the Space's sdk brings along
    known = {name: {one.lower() for one in found} for name, found in metadata.packages_distributions().items()}
    # What this package asks for; a library may load one that only happens to be installed.
    own = {name_of(line).lower() for line in metadata.requires("hub-speed") or ()}
    loaded = {name for name in packages if known.get(name, set()) & own}
    assert loaded >= {"pydantic", "pyarrow"} and not {"torch", "scipy"} & loaded
    assert [name for name in loaded if not known[name] & {one.lower() for one in there}] == []


def name_of(line: str) -> str:
    """The distribution that a line of requirements names."""
    return re.split(r"[^\w.-]", line, maxsplit=1)[0]


def with_requirements(names: set[str]) -> set[str]:
    """These distributions and all they require, under the names they are installed by."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        try:
            distribution = metadata.distribution(todo.pop())
        except metadata.PackageNotFoundError:
            continue  # of another platform
        if distribution.name not in found:
            found.add(distribution.name)
            todo += [name_of(line) for line in distribution.requires or () if "extra ==" not in line]
    return found


def test_nothing_to_show_is_said_before_anything_is_published(cli: Cli) -> None:
    out = cli("space", "push", code=4)
    assert "neither speed-demo/speed-synthetic nor speed-demo/speed-questions is on" in out and "run quickstart" in out
    assert "Traceback" not in out


def test_a_taken_port_is_said_before_anything_is_loaded(cli: Cli) -> None:
    pytest.importorskip("gradio")
    pytest.importorskip("torch")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        out = cli("space", "run", "--port", str(taken.getsockname()[1]), code=1)
    assert "the port is taken" in out and "--port" in out and "Traceback" not in out


# --- on a run -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cli, FakeOpenAI]]:
    """A finished run; an endpoint answers in place of the generator."""
    pytest.importorskip("torch")
    cli = copy_of_run(tmp_path_factory)
    with FakeOpenAI(answer) as models:
        cli.env["HUB_SPEED_JUNIOR_URL"] = models.url
        yield cli, models


@pytest.fixture(scope="module")
def page(done: tuple[Cli, FakeOpenAI]) -> Iterator[Any]:
    """The Space, opened as a user opens it, and a client of its API; the revisor is the published one."""
    pytest.importorskip("gradio")
    from gradio_client import Client

    cli, _ = done
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = cli.start("space", "run", "--port", str(port))
    try:
        for line in process.stdout or ():
            if url in line:
                break
        else:
            raise AssertionError(process.communicate()[1][-3000:])
        yield Client(url, verbose=False, analytics_enabled=False)
    finally:
        kill(process)


def ask(page: Any, endpoint: str, *values: object) -> dict:
    return page.predict(*values, api_name=endpoint)


@pytest.mark.slow
def test_a_row_is_drafted_checked_and_revised(page: Any, done: tuple[Cli, FakeOpenAI]) -> None:
    _, models = done
    before, drafts = len(models.asked), {}
    while len(drafts) < 2:  # one of each verdict; four of five are well-formed
        flow = ask(page, "/generate", "sts", "")
        drafts[flow["draft"]["verdict"]] = flow
        assert flow["task"] == "Retrieve semantically similar text" and flow["topic"] in flow["prompt"]
        assert models.asked[-1].body["prompt"] == f"{flow['prompt']} [/INST]"
        assert models.asked[-1].body["max_tokens"] == 200  # as the recipe has it
    assert len(models.asked) > before
    good, bad = drafts["well-formed"], drafts["rejected"]
    assert all(good["draft"]["row"][part] for part in ("query", "positive", "negative"))
    assert good["revised"]["text"] is not None  # whatever a revisor of one step writes
    assert good["revised"]["verdict"] in ("well-formed", "repaired", "rejected")
    assert bad["draft"]["reason"] == "bad_json" and HOSTILE in bad["draft"]["text"] and "revised" not in bad


@pytest.mark.slow
def test_topic_task_knobs_and_document_are_as_asked(page: Any) -> None:
    topic = ask(page, "/generate", "retrieval")["topic"]
    for given in (topic, topic.replace(" > ", "/")):  # as it is shown, as it is stored
        flow = ask(page, "/generate", "retrieval", given, "", {"query_length": "less than 5 words"})
        assert flow["topic"] == topic and flow["knobs"]["query_length"] == "less than 5 words"
        assert "less than 5 words" in flow["prompt"]
    own = ask(page, "/generate", "retrieval", "Birds > Owls", "Find texts on owls.", None, "Owls hunt at night.")
    assert own["topic"] == "Birds > Owls" and "Find texts on owls." in own["prompt"]
    assert "Owls hunt at night." in own["prompt"]
    own = ask(page, "/generate", "retrieval", "Networks > TCP/IP", "Find texts on routers.")
    assert own["topic"] == "Networks > TCP/IP" and "TCP > IP" not in own["prompt"]


@pytest.mark.slow
def test_agents_are_offered_the_same_as_tools(page: Any) -> None:
    pytest.importorskip("mcp")
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def offered() -> tuple[dict[str, Any], Any]:
        async with (
            streamablehttp_client(f"{page.src.rstrip('/')}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            return tools, await session.call_tool("search", {"query": "owls", "texts": ["Owls fly.", "Rakes."]})

    tools, found = asyncio.run(offered())
    assert set(tools) == {"generate", "search", "rows"}
    assert tools["search"].inputSchema["properties"]["texts"]["type"] == "array"
    assert all(tool.description for tool in tools.values())
    assert all("description" in each for tool in tools.values() for each in tool.inputSchema["properties"].values())
    assert not found.isError and "Owls fly." in found.content[0].text


@pytest.mark.slow
def test_texts_are_ranked_by_the_published_embedder(page: Any, done: tuple[Cli, FakeOpenAI]) -> None:
    cli, _ = done
    texts = ["Rakes smooth the soil.", "Helium is a gas.", "Helium is a gas.", " "]
    found = ask(page, "/search", "what is helium", texts, "Find the fact")
    assert sorted(text for _, text in found["found"]) == ["Helium is a gas.", "Rakes smooth the soil."]
    scores = [score for score, _ in found["found"]]
    assert scores == sorted(scores, reverse=True) and all(-1.001 <= score <= 1.001 for score in scores)
    assert found["query"] == "Instruct: Find the fact\nQuery: what is helium"
    from sentence_transformers import SentenceTransformer

    (published,) = (cli.home / "hf_home" / "hub").glob("models--speed-demo--speed-embedder/snapshots/*")
    model = SentenceTransformer(str(published), device="cpu")
    query, text = model.encode([found["query"], found["found"][0][1]], normalize_embeddings=True)
    again = float(query @ text)
    assert again == pytest.approx(scores[0], abs=1e-4)


@pytest.mark.slow
def test_rows_and_what_was_rejected_are_those_of_the_run(page: Any, done: tuple[Cli, FakeOpenAI]) -> None:
    cli, _ = done
    listed = cli("rows", "speed-demo/speed-synthetic", "--json", "-n", "999")
    ids = [json.loads(line)["id"] for line in listed.splitlines() if line.startswith("{")]
    seen: list[str] = []
    first = ask(page, "/rows")
    for number in range(1, first["pages"] + 1):
        seen += [row["id"] for row in ask(page, "/rows", "revise", "", "", "", "", "", number)["rows"]]
    assert sorted(seen) == ids and first["total"] == first["of"] == len(ids)
    assert {row["task_type"] for row in ask(page, "/rows", "revise", "sts")["rows"]} == {"sts"}
    lost = ask(page, "/rows", "synthesize", "", "", "rejected", "", "", 99)
    assert lost["page"] == lost["pages"] and lost["reasons"]["bad_json"] > 0
    lost = ask(page, "/rows", "synthesize", "", "", "", "bad_json", "rather NOT")
    assert lost["total"] > 0 and HOSTILE in lost["rows"][0]["completions"][0]


@pytest.mark.slow
def test_mistakes_are_answered_with_a_sentence(page: Any) -> None:
    mistakes = {
        "A query and some texts are needed": ("/search", "", ["a"], ""),
        "Too many texts": ("/search", "q", [str(i) for i in range(999)], ""),
        "One of the texts is too long": ("/search", "q", ["x" * 9999], ""),
        "There is no published task": ("/generate", "retrieval", HOSTILE),
        "cannot have query_length: nine": ("/generate", "retrieval", "", "", {"query_length": "nine"}),
        "nonsense is no task type": ("/generate", "nonsense"),
        "The document is too long": ("/generate", "retrieval", "", "", {}, "x" * 9999),
        "texts is not what it should be": ("/search", "q", "abc"),  # and no list of its letters
        "There is no such task type in this set.*one of .*sts": ("/rows", "revise", "nonsense"),
        "There is no such task type in this set.*retrieval": ("/rows", "synthesize", "Retrieval", "", "rejected"),
        "There is no such language in this set.*English": ("/rows", "revise", "", "Klingon"),
        "org/none is not on .*name a public model of this Hub": ("/search", "q", ["a"], "", "org/none"),
        "page is not what it should be": ("/rows", "revise", "", "", "", "", "", None),
    }
    for sentence, (endpoint, *values) in mistakes.items():
        with pytest.raises(Exception, match=f"(?s){sentence}") as problem:
            ask(page, endpoint, *values)
        assert "Traceback" not in str(problem.value) and "--hub" not in str(problem.value)


@pytest.mark.slow
def test_the_page_names_nothing_outside_and_no_token(page: Any, done: tuple[Cli, FakeOpenAI]) -> None:
    cli, _ = done
    html = urllib.request.urlopen(page.src).read().decode()
    loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(https?://[^\"]+)\"", html)
    assert [address for address in loaded if not address.startswith(page.src.rstrip("/"))] == []
    assert "fonts.googleapis" not in html and "gstatic" not in html
    token = (cli.home / "hf_home" / "token").read_text().strip()
    assert token and token not in html


@pytest.mark.slow
def test_the_published_space_is_complete_and_one_commit(done: tuple[Cli, FakeOpenAI]) -> None:
    cli, _ = done
    out = cli("space", "push")
    assert re.search(r"published speed-demo/speed-explorer@[0-9a-f]{7}", out)
    assert cli("space", "push") == out  # there already
    code = """
import json
from huggingface_hub import HfApi, hf_hub_download, SpaceCard
api, repo = HfApi(), "speed-demo/speed-explorer"
card = SpaceCard.load(repo)
print(json.dumps({"files": api.list_repo_files(repo, repo_type="space"), "card": card.data.to_dict(),
  "commits": [c.title for c in api.list_repo_commits(repo, repo_type="space")], "sdk": api.space_info(repo).sdk}))
"""
    found = json.loads(cli.python(code).splitlines()[-1])
    files, card = set(found["files"]), found["card"]
    assert {"app.py", "requirements.txt", "README.md", "page.html", "style.css", "hub_speed/hub.py"} <= files
    assert not [name for name in files if "__pycache__" in name or name.startswith("hub_speed/localhub")]
    assert (card["sdk"], card["app_file"], card["license"], found["sdk"]) == (
        "gradio",
        "app.py",
        "apache-2.0",
        "gradio",
    )
    assert card["models"] == ["speed-demo/speed-revisor", "speed-demo/speed-embedder"]
    assert card["datasets"] == [f"speed-demo/speed-{noun}" for noun in ("tasks", "drafts", "synthetic")]
    assert len([title for title in found["commits"] if title.startswith("Publish the explorer")]) == 1
