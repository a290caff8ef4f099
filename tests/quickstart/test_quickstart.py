"""The whole loop, all fourteen stages for real, with tiny counts: killed in every stage, and it still ends well."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from running import TINY, Cli, kill, tiny

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

STAGES = """brainstorm seed junior root preference senior revision revisor synthesize revise embedder evaluate
audit scaling""".split()
RUN = ("run", "quickstart", *tiny())

READ = """
import json
from datasets import load_dataset
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForCausalLM, AutoTokenizer
rows = load_dataset("speed-demo/speed-synthetic", split="train")
streamed = next(iter(load_dataset("speed-demo/speed-synthetic", split="train", streaming=True)))
model = SentenceTransformer("speed-demo/speed-embedder", device="cpu")
similar = model.similarity(model.encode_query([rows[0]["query"]]), model.encode_document([rows[0]["positive"]]))
loaded = []
for name in ("tiny-base", "speed-junior", "speed-senior", "speed-revisor"):
    AutoTokenizer.from_pretrained(f"speed-demo/{name}")
    loaded.append(AutoModelForCausalLM.from_pretrained(f"speed-demo/{name}").num_parameters())
results = [row for name in ("results", "audit") for row in load_dataset(f"speed-demo/speed-{name}", split="train")]
print(json.dumps({"rows": rows.num_rows, "columns": rows.column_names,
  "first": rows[0]["id"], "streamed": streamed["id"],
  "similar": similar.tolist(), "loaded": loaded, "results": results}))
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cli, str]:
    """A run that is finished, and what its last command printed: every stage was killed once while it worked.

    What is finished before a kill stays as it is.
    """
    cli, killed = Cli(tmp_path_factory.mktemp("quickstart")), []

    def at_work() -> list[str]:
        return [name for name in STAGES if name not in killed and list(cli.home.glob(f"work/*/{name}-*/*"))]

    while _watch(lambda: bool(at_work()), (process := cli.start(*RUN)).poll):
        for _ in range(20):  # 0.2 s later, somewhere inside of it; at once where it is about to be published
            if any(list(cli.home.glob(f"work/*/{name}-*/built")) for name in at_work()):
                break
            time.sleep(0.01)
        before, found = finished(cli), at_work()
        kill(process)
        killed += found
        assert set(before) <= set(finished(cli))
    out, err = process.communicate()
    assert process.returncode == 0 and "error" not in out + err, out + err
    assert len(killed) >= len(STAGES) - 2, killed  # a stage may be over before it was seen
    return cli, out


@pytest.fixture(scope="module")
def shown(done: tuple[Cli, str]) -> dict[str, dict]:
    """The finished stages."""
    return done[0].show("quickstart", *tiny())


def test_every_stage_ends_as_a_version_and_the_table_says_so(done: tuple[Cli, str], shown: dict[str, dict]) -> None:
    _, out = done
    assert list(shown) == STAGES
    for name in STAGES:
        assert re.search(rf"✓ {name} |{name} .* cached", out), name
        assert f"{shown[name]['repo'].split('/')[1]}@{shown[name]['commit'][:7]}" in out
    assert re.search(rf"✓ {STAGES[-1]} ", out)
    assert "nDCG@10" in out and "pass rate" in out and "scaling" in out
    assert (
        'load_dataset("speed-demo/speed-synthetic")' in out
        and 'SentenceTransformer("speed-demo/speed-embedder")' in out
    )


LEDGERS = """
import json
from datasets import load_dataset
print(json.dumps({{repo: load_dataset(repo, "ledger", split="train")["id"][:] for repo in {repos!r}}}))
"""


def test_after_the_kills_every_row_is_there_once(done: tuple[Cli, str], shown: dict[str, dict]) -> None:
    names = ("brainstorm", "seed", "root", "preference", "revision", "synthesize", "revise")
    code = LEDGERS.format(repos=[shown[name]["repo"] for name in names])
    ledgers = json.loads(done[0].python(code).splitlines()[-1])
    for name in names:
        record, ids = shown[name]["record"], ledgers[shown[name]["repo"]]
        assert record["accepted"] + sum(record["rejected"].values()) == record["rows_in"], name
        assert len(ids) == len(set(ids)) == record["rows_in"] > 0, name
    for name in ("seed", "root", "synthesize"):
        record = shown[name]["record"]
        assert 0 < record["accepted"] <= TINY[f"{name}.rows"] <= record["rows_in"], name


def test_everything_is_in_one_collection(done: tuple[Cli, str], shown: dict[str, dict]) -> None:
    cli, _ = done
    found = json.loads(
        cli.python(
            "import json; from huggingface_hub import HfApi; api = HfApi();"
            "slug = next(api.list_collections(owner='speed-demo')).slug;"
            "print(json.dumps([item.item_id for item in api.get_collection(slug).items]))"
        )
    )
    assert set(found) == {stage["repo"] for stage in shown.values()}


def test_a_second_run_asks_nobody_and_trains_nothing(done: tuple[Cli, str], shown: dict[str, dict]) -> None:
    cli, _ = done
    out = cli(*RUN, HUB_SPEED_TEACHER_URL="http://127.0.0.1:9")  # nobody there: a call would fail
    assert out.count(" cached") == len(STAGES)
    assert cli.show("quickstart", *tiny()) == shown
    assert not list((cli.home / "work" / "speed-demo").iterdir())


def test_unmodified_clients_read_it_all_in_another_process(done: tuple[Cli, str], shown: dict[str, dict]) -> None:
    cli, _ = done
    found = json.loads(cli.python(READ).splitlines()[-1])
    record = shown["revise"]["record"]
    assert found["rows"] == record["accepted"] > 0 and found["streamed"] == found["first"]
    assert {"instruction", "query", "positive", "negative", "task_type", "generator", "revised"} <= set(
        found["columns"]
    )
    assert -1.001 <= found["similar"][0][0] <= 1.001 and len(found["loaded"]) == 4
    subjects = {(row["subject"], row["measure"]) for row in found["results"]}
    assert {
        ("BM25", "nDCG@10"),
        ("embedder", "nDCG@10"),
        ("embedder", "Spearman"),
        ("untrained base", "nDCG@10"),
    } <= subjects
    assert {("junior", "yield"), ("senior", "pass rate"), ("revised", "pass rate")} <= subjects


def test_cards_are_complete(done: tuple[Cli, str], shown: dict[str, dict]) -> None:
    cli, _ = done
    code = f"""
import json
from huggingface_hub import hf_hub_download, HfApi
found = {{}}
for name, (repo, kind) in {{n: (s['repo'], 'model' if n in ('junior','senior','revisor','embedder') else 'dataset')
        for n, s in {shown!r}.items()}}.items():
    files = HfApi().list_repo_files(repo, repo_type=kind)
    found[name] = [open(hf_hub_download(repo, "README.md", repo_type=kind)).read(), files]
print(json.dumps(found))
"""
    for name, (card, files) in json.loads(cli.python(code)).items():
        for image in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", card):
            assert image in files, (name, image)
        assert "figures/lineage.png" in files and "speed_run.json" in files
        prose = re.sub(r"```python.*?```", "", card.split("## Examples")[0], flags=re.DOTALL)
        assert "{{" not in card and "{%" not in card and "None" not in prose
        assert shown[name]["record"]["fingerprint"] in card or name in ("results", "scaling") or "run-" in card
        assert "/home/" not in card and "hf_home" not in card


def test_the_quality_of_rows_is_in_their_record_and_goes_on_to_what_comes_after(shown: dict[str, dict]) -> None:
    for name in ("seed", "synthesize", "revise"):
        record = shown[name]["record"]
        assert record["measures"]["quality"]["rows"] == record["accepted"]
        assert list(record["measures"]["quality"]["by_task_type"]) == sorted(
            t for t, n in record["by_task_type"].items() if n
        )
    lineage = shown["revise"]["record"]["lineage"]
    (of_seed,) = (node["quality"] for node in lineage.values() if node["stage"] == "seed")
    assert of_seed == shown["seed"]["record"]["measures"]["quality"]


def finished(cli: Cli) -> list[str]:
    """The stages the embedded Hub has a tag for (looking into the store, no server needed)."""
    nouns = {"brainstorm": "tasks", "synthesize": "drafts", "revise": "synthetic", "evaluate": "results"}
    found = []
    for name in STAGES:
        for kind in ("models", "datasets"):
            repo = cli.home / "hub" / "repos" / kind / "speed-demo" / f"speed-{nouns.get(name, name)}"
            tags = repo / "refs" / "tags"
            if (tags.is_dir() and any(tags.iterdir())) or "refs/tags/" in _packed(repo):
                found.append(name)
    return found


def _packed(repo: Path) -> str:
    path = repo / "packed-refs"
    return path.read_text() if path.exists() else ""


def _watch(seen: Callable[[], bool], ended: Callable[[], int | None]) -> bool:
    """Wait until something is seen (True) or the process has ended (False)."""
    while ended() is None:
        if seen():
            return True
        time.sleep(0.01)
    return False
