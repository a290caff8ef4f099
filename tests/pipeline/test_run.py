"""The shell around the stages: plan, run, cache, lineage, kills and faults. Data stages only, so no torch is needed."""

import json
import os
import re
import signal
import sqlite3
import time
from pathlib import Path

import pytest
import yaml
from running import HANG_S, Cli, ended, kill, tiny

from hub_speed.localhub.disk import locked

pytestmark = pytest.mark.slow


def seed(cli: Cli, *args: str, **kwargs: object) -> str:
    return cli("run", "quickstart", "--only", "seed", *tiny(license="cc0-1.0", **kwargs), *args)


def shown(cli: Cli, **changes: object) -> dict:
    return cli.show("quickstart", *tiny(license="cc0-1.0", **changes))


def read(cli: Cli, stage: str, **changes: object) -> dict[str, dict]:
    version = shown(cli, **changes)[stage]
    out = cli("rows", version["repo"], "--revision", version["commit"], "--json", "-n", "100000")
    return {row["id"]: row for row in map(json.loads, out.splitlines())}


def test_a_run_publishes_commit_tag_card_and_record(seeded: Cli) -> None:
    facts = json.loads(
        seeded.python(
            """
import json
from huggingface_hub import HfApi, hf_hub_download
from datasets import load_dataset
api = HfApi()
refs = api.list_repo_refs("speed-demo/speed-seed", repo_type="dataset")
tag = refs.tags[0]
commits = api.list_repo_commits("speed-demo/speed-seed", repo_type="dataset")
path = hf_hub_download("speed-demo/speed-seed", "speed_run.json", repo_type="dataset", revision=tag.name)
record = json.load(open(path))
everything = load_dataset("speed-demo/speed-seed", split="train", revision=tag.name)
sts = load_dataset("speed-demo/speed-seed", "sts", split="train")
ledger = load_dataset("speed-demo/speed-seed", "ledger", split="train")
card = open(hf_hub_download("speed-demo/speed-seed", "README.md", repo_type="dataset")).read()
print(json.dumps({"tag": tag.name, "target": tag.target_commit, "head": refs.branches[0].target_commit,
  "titles": [c.title for c in commits], "record": record, "rows": everything.num_rows,
  "columns": everything.column_names,
  "sts": sts.num_rows, "ledger": ledger.num_rows, "card": card}))
"""
        )
    )
    record = facts["record"]
    assert facts["tag"] == f"run-{record['fingerprint']}" and facts["target"] == facts["head"]
    assert len(facts["titles"]) == 2 and facts["titles"][0].endswith(facts["tag"])  # one commit on top of the first
    assert facts["rows"] == record["accepted"] == 64 and facts["ledger"] == record["rows_in"] >= 64
    assert facts["sts"] == record["by_task_type"]["sts"] > 10
    assert facts["columns"][:3] == ["id", "task_type", "task"] and "negative" in facts["columns"]
    assert (
        record["calls"] == {"teacher": facts["ledger"]}
        and record["inputs"]["brainstorm"]["repo"] == "speed-demo/speed-tasks"
    )
    assert facts["tag"] in facts["card"] and "| `query` |" in facts["card"] and "{{" not in facts["card"]
    conflict = (
        r"\n\n- \*\*Conflict:\*\* speed-demo/quickstart-topics@\w{7} is apache-2.0, which asks for keep the notices; "
    )
    assert re.search(conflict + r"cc0-1.0 does not\.\n\n## Reproduce", facts["card"])  # of what it comes from, far back
    lock = yaml.safe_load((seeded.cwd / "recipe.lock.yaml").read_text())
    assert lock["stages"]["seed"]["commit"] == facts["target"]
    assert lock["inputs"]["speed-demo/quickstart-topics"]


def test_a_second_run_asks_nobody_and_a_changed_field_runs_only_what_depends_on_it(seeded: Cli) -> None:
    before, few = shown(seeded), read(seeded, "seed")
    out = seed(seeded, "--endpoint", "teacher=http://127.0.0.1:9")  # nobody there: a call would fail
    assert out.count("cached") == 2
    assert shown(seeded) == before
    planned = seeded("plan", "quickstart", "--only", "seed", *tiny(license="cc0-1.0", seed__rows=70))
    assert re.search(r"brainstorm .* cached", planned)
    assert re.search(r"seed .* seed.rows 64 → 70", planned)
    out = seed(seeded, seed__rows=70)
    assert re.search(r"brainstorm .* cached", out) and re.search(r"✓ seed +70 rows", out)
    # Both versions are still there, each under its tag, and more rows keep the earlier ones.
    assert shown(seeded)["seed"] == before["seed"]
    many = read(seeded, "seed", seed__rows=70)
    assert len(few) == 64 and len(many) == 70
    assert all(many[row_id]["prompt"] == row["prompt"] for row_id, row in few.items())


def test_from_runs_a_stage_again_and_moves_its_tag(seeded: Cli) -> None:
    before = shown(seeded)
    out = seed(seeded, "--from", "seed")
    assert re.search(r"brainstorm .* cached", out) and not re.search(r"seed .* cached", out)
    after = shown(seeded)
    assert after["seed"]["commit"] != before["seed"]["commit"]
    assert after["brainstorm"] == before["brainstorm"]


def test_kill_9_while_asking_loses_and_doubles_nothing(seeded: Cli) -> None:
    """The run is killed as soon as the ledger holds some share of the rows, again and again, until it ends."""
    cli, total, few = seeded, 300, read(seeded, "seed")
    args = ("run", "quickstart", "--only", "seed", *tiny(license="cc0-1.0", seed__rows=total, runtime__in_flight=2))
    for share in (0.02, 0.1, 0.3, 0.6, 0.8):
        process = cli.start(*args)
        while process.poll() is None and ledger_rows(cli, "seed") < share * total:
            time.sleep(0.005)
        kill(process)
        assert ledger_rows(cli, "seed") > 0
    out = cli(*args)
    assert ended(out, "seed") == total
    rows = read(cli, "seed", seed__rows=total)
    lines = cli("rows", "speed-demo/speed-seed", "--state", "rejected", "--json", "-n", str(total)).splitlines()
    asked = sorted([*rows, *(json.loads(line)["id"] for line in lines)])
    assert len(rows) == total and asked[:total] == [f"seed-{i:07d}" for i in range(total)]
    assert len(set(asked)) == len(asked)
    # A run that nobody killed has made the same rows: the kills left no trace.
    assert {row_id: rows[row_id]["prompt"] for row_id in few} == {row_id: row["prompt"] for row_id, row in few.items()}


def ledger_rows(cli: Cli, stage: str) -> int:
    """How many rows the ledger of a stage at work holds."""
    for path in cli.home.glob(f"work/*/{stage}-*/ledger.sqlite"):
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.1) as db:
                return db.execute("SELECT count(*) FROM ledger").fetchone()[0]
        except sqlite3.OperationalError:
            return 0
    return 0


def test_a_second_process_leaves_a_stage_at_work_alone(seeded: Cli) -> None:
    cli, flags = seeded, tiny(license="cc0-1.0", seed__rows=300, runtime__in_flight=4)
    args = ("run", "quickstart", "--only", "seed", *flags)
    process = cli.start(*args)
    while process.poll() is None and not ledger_rows(cli, "seed"):
        time.sleep(0.005)
    process.send_signal(signal.SIGSTOP)
    [work] = cli.home.glob("work/*/seed-*/")
    (work / "out" / "written").touch()
    said = cli(*args, code=6)
    assert "another process works on this stage" in said and f"process {process.pid}" in said
    assert (work / "out" / "written").exists()
    looked = cli("rows", str(work), "--state", "accepted", "--json", "-n", "1000")  # looking does not disturb it
    assert len(looked.splitlines()) == ledger_rows(cli, "seed") > 0
    (work / "out" / "written").unlink()
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 0 and ended(out, "seed") == 300, err


def test_kill_9_around_publishing_is_finished_by_the_next_run(cli: Cli) -> None:
    """Killed once the stage is built: the next run publishes without asking anybody."""
    args = ("run", "quickstart", "--only", "brainstorm", *tiny())
    process = cli.start(*args)
    while process.poll() is None and not ledger_rows(cli, "brainstorm"):
        time.sleep(0.001)
    with locked(cli.home / "hub" / "lock"):  # the Hub takes no new repository: what is built is not published
        while process.poll() is None and not list(cli.home.glob("work/*/brainstorm-*/built")):
            time.sleep(0.001)
        kill(process)
    out = cli(*args, HUB_SPEED_TEACHER_URL="http://127.0.0.1:9")  # nobody is there to ask
    assert re.search(r"✓ brainstorm +\d+ rows", out)
    tags = json.loads(
        cli.python(
            "import json; from huggingface_hub import HfApi; r = HfApi().list_repo_refs('speed-demo/speed-tasks',"
            " repo_type='dataset'); print(json.dumps([[t.name, t.target_commit] for t in r.tags]))"
        )
    )
    assert len(tags) == 1


def test_what_a_kill_after_the_tag_has_left_is_removed_when_the_stage_is_found_finished(seeded: Cli) -> None:
    """The whole ledger would stay for ever. A re-run that was asked for and stopped is kept, with its paid rows."""
    record = shown(seeded)["seed"]["record"]
    work = seeded.home / "work" / "speed-demo" / f"seed-{record['fingerprint']}"

    def leave(record: dict, *marks: str) -> None:
        (work / "out").mkdir(parents=True)
        (work / "out" / "speed_run.json").write_text(json.dumps(record), "utf-8")
        for name in ("ledger.sqlite", "built", *marks):
            (work / name).touch()
        work.with_name(f"{work.name}.lock").write_text("4194304", "utf-8")  # no process has this number

    for left in ([record], [record, "again"]):
        leave(*left)
        assert seed(seeded).count("cached") == 2
        assert not list(work.parent.glob("seed-*"))
    leave(record | {"seconds": -1.0}, "again")
    assert seed(seeded).count("cached") == 2
    assert list(work.parent.glob("seed-*")) == [work]


def test_a_commit_that_lost_its_tag_is_tagged_not_made_again(seeded: Cli) -> None:
    before = shown(seeded)["seed"]
    seeded.python(
        "from huggingface_hub import HfApi; api = HfApi();"
        "tag = api.list_repo_refs('speed-demo/speed-seed', repo_type='dataset').tags[0].name;"
        "api.delete_tag('speed-demo/speed-seed', tag=tag, repo_type='dataset')"
    )
    out = seed(seeded)
    assert out.count("cached") == 2
    assert shown(seeded)["seed"]["commit"] == before["commit"]


def test_ctrl_c_stops_with_130_and_the_next_run_goes_on(seeded: Cli) -> None:
    cli, flags = seeded, tiny(license="cc0-1.0", seed__rows=300, runtime__in_flight=2)
    args = ("run", "quickstart", "--only", "seed", *flags)
    process = cli.start(*args)
    while process.poll() is None and ledger_rows(cli, "seed") < 50:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 130 and "run the same command to go on" in err
    known = ledger_rows(cli, "seed")
    assert known >= 50
    assert ended(cli(*args), "seed") == 300


MISTAKES: list[tuple[list[str], int, list[str]]] = [
    (["run", "quickstart", "--set", "senior.dpo_betta=0.1"], 2, ["dpo_betta", "did you mean dpo_beta?"]),
    (["run", "quickstart", "--set", "seed.rows=many"], 2, ["seed.rows", "many"]),
    (["run", "quickstart", "--set", "mixture={retreival: 1}"], 2, ["did you mean retrieval?"]),
    (["run", "qickstart"], 2, ["did you mean quickstart?"]),
    (["run", "nowhere.yaml"], 2, ["no such file"]),
    (["run", "quickstart", "--endpoint", "techer=http://x"], 2, ["NAME one of teacher"]),
    (["run", "quickstart", "--endpoint", "teacher=ftp://x"], 2, ["http://"]),
    (["run", "quickstart", "--only", "sneior"], 2, ["did you mean senior?"]),
    (["show", "quickstart"], 2, ["nothing of it", "hub-speed run quickstart"]),
    (["rows", "speed-demo/speed-seed"], 4, ["not found"]),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """A wrong command → its exit code and its words."""
    commands = [args for args, _, _ in MISTAKES]
    return dict(zip(map(" ".join, commands), Cli(tmp_path_factory.mktemp("told")).mistakes(*commands), strict=True))


@pytest.mark.parametrize(("args", "code", "words"), MISTAKES)
def test_bad_input_names_the_fix(
    told: dict[str, tuple[int, str]], args: list[str], code: int, words: list[str]
) -> None:
    found, out = told[" ".join(args)]
    assert found == code and out.startswith("error: ")
    for word in words:
        assert word in out, out


def test_a_recipe_without_a_teacher_says_how_to_give_one(cli: Cli) -> None:
    (cli.cwd / "mine.yaml").write_text("seed: {rows: 3}\n")
    out = cli("run", "mine.yaml", "--only", "brainstorm", code=2)
    assert "--endpoint teacher=" in out and "HUB_SPEED_TEACHER_KEY" in out


def test_endpoint_down(cli: Cli) -> None:
    out = cli("run", "quickstart", "--only", "seed", *tiny(), "--endpoint", "teacher=http://127.0.0.1:9", code=3)
    assert "no server answers at http://127.0.0.1:9" in out


def test_hub_down(cli: Cli) -> None:
    for command in ("plan", "show"):
        out = cli(command, "quickstart", "--hub", "http://user:PW@127.0.0.1:9", code=4)
        assert "does not answer" in out and "PW" not in out and "will run" not in out
    out = cli("run", "quickstart", "--only", "seed", "--hub", "http://127.0.0.1:9", code=4)
    assert "does not answer" in out


# --- more rows later --------------------------------------------------------------------------------------------------

FILES = """
import hashlib, json, sys
from pathlib import Path
from huggingface_hub import snapshot_download
folder = Path(snapshot_download("speed-demo/speed-seed", repo_type="dataset"))
names = sorted(path.relative_to(folder) for path in folder.rglob("data/*/*.parquet"))
record = json.loads((folder / "speed_run.json").read_text())
digests = {str(name): hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
print(json.dumps({"files": digests, "record": record}))
"""


def test_a_set_that_is_extended_is_the_one_of_a_single_run_and_only_new_rows_are_asked_for(
    seeded: Cli, tmp_path: Path
) -> None:
    before = json.loads(seeded.python(FILES))["record"]
    grown = seed(seeded, "--extend", "--set", "budget.max_calls=60", seed__rows=96)  # a call more than 60 would end it
    assert ended(grown, "seed") == 96
    at_once = Cli(tmp_path / "at-once")
    assert ended(seed(at_once, seed__rows=96), "seed") == 96
    found, single = (json.loads(each.python(FILES)) for each in (seeded, at_once))
    assert found["files"] == single["files"]
    record, same = found["record"], single["record"]
    assert record["extends"].startswith("speed-demo/speed-seed@") and not same["extends"] and not before["extends"]
    for name in ("accepted", "rows_in", "by_task_type", "rejected", "calls"):
        assert record[name] == same[name], name
    other = tiny(license="cc0-1.0", seed__rows=128, teacher__max_tokens=999)
    refused = seeded("run", "quickstart", "--only", "seed", *other, "--extend", code=2)
    assert "--extend: brainstorm would ask for all its rows" in refused and "teacher.max_tokens" in refused
    assert not list(seeded.home.glob("work/*/seed-*"))  # nothing was begun
