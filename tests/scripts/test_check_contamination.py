"""The script that looks for test texts in published rows."""

import importlib.util
import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from labelled_sets import judged_set
from tiny_training import write

from hub_speed.errors import StageError
from hub_speed.hub import Hub
from hub_speed.localhub import LocalHub

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_contamination.py"


def test_test_texts_in_published_rows_are_counted_and_listed(
    local: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = Hub(str(local.endpoint))
    rows = [{"id": f"r{i}", "query": f"what is {i}", "positive": f"number {i}", "negative": None} for i in range(3)]
    rows.append({"id": "r3", "query": "WHERE does  the old fox live?", "positive": "in the wood", "negative": "d0"})
    write(rows, tmp_path / "rows" / "data")
    (tmp_path / "rows" / "README.md").write_text("---\nlanguage: en\n---\n")
    hub.publish("dataset", "me/rows", tmp_path / "rows", message="x", tag="v1")
    queries = {"q0": "Where does the old fox live?", "q1": "Who else?"}
    folder = judged_set(tmp_path / "test", {"d0": ("", "In the wood")}, queries, [("q0", "d0", 1.0)])
    hub.publish("dataset", "me/test", folder, message="x", tag="v1")
    spec = importlib.util.spec_from_file_location("check_contamination", SCRIPT)
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "ENDPOINT", str(local.endpoint))
    out = tmp_path / "matches.jsonl"
    assert script.main(["me/rows@v1", "me/test:queries", "me/test:corpus", "--out", str(out)]) == script.FOUND
    assert capsys.readouterr().out.splitlines() == [
        "me/test:queries: 2 texts; 1 normalised",
        "    r3 query: Where does the old fox live?",
        "me/test:corpus: 1 texts; nothing found",  # three words say nothing
    ]
    assert [json.loads(line)["row"] for line in out.read_text().splitlines()] == ["r3"]
    assert script.main(["me/rows", "me/test:corpus"]) == 0
    write([{"sentences": ["Where does the old fox live?", "Who?"]}], tmp_path / "lists" / "data")
    hub.publish("dataset", "me/lists", tmp_path / "lists", message="x", tag="v1")
    capsys.readouterr()
    assert script.main(["me/rows", "me/lists:default:train"]) == script.FOUND
    assert capsys.readouterr().out.startswith("me/lists:default:train: 2 texts; 1 normalised")
    with pytest.raises(StageError, match="me/lists:deflt: cannot be loaded"):
        script.main(["me/rows", "me/lists:deflt"])
