"""The ledger: a real SQLite file, real processes, kill -9, a full disk."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import HANG_S

from hub_speed.errors import NoSpace, StageError
from hub_speed.generation import ledger as ledger_module
from hub_speed.generation.dedup import Duplicate
from hub_speed.generation.ledger import Ledger, network_file_system
from hub_speed.rows import ACCEPTED, STATES, LedgerRow, columns


def entry(row_id: str, state: str = "accepted", **values: object) -> LedgerRow:
    fields = {
        "id": row_id,
        "task_type": "sts",
        "state": state,
        "reason": "" if state in ACCEPTED else "bad_json",
        "detail": "",
        "request": "0" * 64,
        "completions": ['{"S1": "é\n"}', ""],
        "thoughts": ["hm\n", ""],
        "finish_reasons": ["stop", "length"],
        "model": "m",
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "calls": 0 if state == "failed" else 1,
        "attempts": 1,
        "latency_s": 0.25,
    }
    return LedgerRow.model_validate(fields | values)


def known(ledger: Ledger, names: Iterable[str]) -> set[str]:
    """Those of the names that need no more asking."""
    todo = ledger.todo()
    return {name for name in names if not todo(name)}


def child(code: str, folder: Path) -> "subprocess.Popen[str]":
    """A process of its own that runs `code` after the imports it needs."""
    head = "import resource, sys\nfrom pathlib import Path\nfrom hub_speed.generation.ledger import Ledger\n"
    head += "from test_ledger import entry\nfolder = Path(sys.argv[1])\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(code), str(folder)],
        env=os.environ | {"PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{Path(__file__).parent.parent}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# --- what is written is read ----------------------------------------------------------------------------------------


def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    rows = {"b": {"id": "b", "text": "ünï\n\x00'; DROP TABLE ledger"}, "a": {"id": "a", "n": [1, None]}}
    entries = [entry("b"), entry("c", "rejected", detail="d", latency_s=1.5), entry("a", "repaired")]
    with Ledger(tmp_path / "deep" / "er") as ledger:
        ledger.add([(e, rows.get(e.id)) for e in entries])
    with Ledger(tmp_path / "deep" / "er") as ledger:
        assert list(ledger.entries()) == [e.model_dump() for e in sorted(entries, key=lambda e: e.id)]
        assert list(ledger.rows()) == [rows["a"], rows["b"]]
        assert list(ledger.accepted()) == [("a", rows["a"]), ("b", rows["b"])]
        assert [list(e) for e in ledger.entries()] == [list(columns(LedgerRow))] * 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(values=st.lists(st.tuples(st.text(max_size=8), st.sampled_from(list(STATES)), st.text(max_size=8)), max_size=8))
def test_any_entries_come_back(tmp_path: Path, values: list[tuple[str, str, str]]) -> None:
    (tmp_path / "ledger.sqlite").unlink(missing_ok=True)
    entries = {row_id: entry(row_id, state, detail=text, completions=[text]) for row_id, state, text in values}
    with Ledger(tmp_path) as ledger:
        ledger.add((e, {"text": e.detail} if e.state == "accepted" else None) for e in entries.values())
        assert {e["id"]: LedgerRow.model_validate(e) for e in ledger.entries()} == entries
        assert [e["id"] for e in ledger.entries()] == sorted(entries, key=str.encode)
        finished = {e.id for e in entries.values() if e.state != "failed"}
        assert (known(ledger, [*entries, "x", ""]), ledger.count_finished()) == (finished, len(finished))
        assert ledger.counts() == Counter(e.state for e in entries.values())
        assert [row["text"] for _, row in ledger.accepted()] == [
            e.detail for _, e in sorted(entries.items(), key=lambda x: x[0].encode()) if e.state == "accepted"
        ]


def test_counts_reasons_usage_and_rows_of_a_task_type(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert (ledger.count_finished(), ledger.counts(), ledger.reasons(), ledger.usage()) == (
            0,
            {},
            {},
            (0, 0, 0),
        )
        ledger.add(
            [
                (entry("a"), {"id": "a"}),
                (entry("b", "repaired", task_type="retrieval", prompt_tokens=10), {"id": "b"}),
                (entry("c", "rejected", task_type="bitext", completion_tokens=7), None),
                (entry("d", "rejected", reason="too_short"), None),
                (entry("e", "failed", reason="endpoint_error", prompt_tokens=0, completion_tokens=0), None),
            ]
        )
        assert ledger.counts() == {"accepted": 1, "repaired": 1, "rejected": 2, "failed": 1}
        assert ledger.reasons() == {"bad_json": 1, "too_short": 1, "endpoint_error": 1}
        assert ledger.usage() == (4, 3 + 10 + 3 + 3, 5 + 5 + 7 + 5)
        assert [row["id"] for row in ledger.rows("retrieval")] == ["b"]
        assert [row["id"] for row in ledger.rows("bitext")] == []


def test_a_failed_row_is_not_finished_and_is_written_over(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add([(entry("a", "failed", reason="endpoint_error"), None)])
        assert (known(ledger, "ab"), ledger.count_finished()) == (set(), 0)
        ledger.add([(entry("a"), {"id": "a"})])
        assert (known(ledger, "ab"), ledger.counts(), ledger.reasons()) == ({"a"}, {"accepted": 1}, {})


@pytest.mark.parametrize("order", ["in order", "backwards", "shuffled"])
@pytest.mark.parametrize("window", [1, 7, 1000])
def test_what_is_still_to_be_asked_is_known_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int, order: str
) -> None:
    monkeypatch.setattr(ledger_module, "_WINDOW", window)
    names = [f"row-{i:03d}" for i in range(120)]
    finished = {name for i, name in enumerate(names) if i % 7 in (0, 1, 2, 5) and not 40 <= i < 60}
    failed = {name for i, name in enumerate(names) if i % 7 == 3}
    asked = {"in order": names, "backwards": names[::-1], "shuffled": random.Random(0).sample(names, len(names))}
    with Ledger(tmp_path) as ledger:
        ledger.add((entry(name, "failed" if name in failed else "rejected"), None) for name in finished | failed)
        assert known(ledger, asked[order]) == finished
        todo = ledger.todo()
        for name in asked[order]:  # rows end while others are looked for
            if todo(name):
                ledger.add([(entry(name), {"id": name})])
        assert known(ledger, asked[order]) == set(names)
        assert ledger.count_finished() == len(names)


def test_rejecting_afterwards_keeps_the_texts(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add((entry(name), {"id": name}) for name in "abc")
        alike = (Duplicate(row["id"], "b", 0.9375) for row in ledger.rows() if row["id"] != "b")
        ledger.reject(alike, "near_duplicate")
        assert [row["id"] for row in ledger.rows()] == ["b"]
        found = {e["id"]: e for e in ledger.entries()}
        assert (found["a"]["state"], found["a"]["reason"]) == ("rejected", "near_duplicate")
        assert (found["a"]["duplicate_of"], found["a"]["similarity"]) == ("b", 0.9375)
        assert (found["b"]["duplicate_of"], found["b"]["similarity"]) == ("", None)
        assert found["a"]["completions"] == found["b"]["completions"]
        ledger.reject([], "near_duplicate")
        assert ledger.counts() == {"accepted": 1, "rejected": 2}


# --- all or nothing -------------------------------------------------------------------------------------------------


def test_a_batch_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add([(entry("a"), {"id": "a"})])
        with pytest.raises(TypeError):
            ledger.add([(entry("b"), {"id": "b"}), (entry("c"), {"id": object()})])
        with pytest.raises(TypeError, match="surrogates"):
            ledger.add([(entry("b"), {"id": "b"}), (entry("c"), {"id": "\ud800"})])

        def broken() -> object:
            yield Duplicate("a", "x", 1.0)
            raise RuntimeError("stop")

        with pytest.raises(RuntimeError):
            ledger.reject(broken(), "near_duplicate")
        ledger.add([(entry("d"), {"id": "d"})])
        assert ledger.counts() == {"accepted": 2}
    with Ledger(tmp_path) as ledger:
        assert [row["id"] for row in ledger.rows()] == ["a", "d"]


def test_a_full_disk_is_said_and_what_was_written_stays(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add([(entry("a"), {"id": "a"})])
        pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
        ledger._db.execute(f"PRAGMA max_page_count = {pages + 4}")
        with pytest.raises(NoSpace, match="the ledger cannot be written") as caught:
            ledger.add((entry(f"b{i}"), {"id": "x" * 5000}) for i in range(50))
        assert (caught.value.got, caught.value.exit_code) == ("database or disk is full", 7)
        with pytest.raises(NoSpace):
            ledger.add([(entry("c"), {"id": "x" * 200_000})])
        assert ledger.counts() == {"accepted": 1}
        ledger._db.execute("PRAGMA max_page_count = 1000000")  # somebody has freed some space
        ledger.add([(entry("c"), {"id": "c"})])
    with Ledger(tmp_path) as ledger:
        assert [row["id"] for row in ledger.rows()] == ["a", "c"]


def test_a_disk_that_fills_up_under_a_running_process(tmp_path: Path) -> None:
    code = """
        with Ledger(folder) as ledger:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
            for i in range(10_000):
                ledger.add([(entry(f"{i:05d}"), {"id": "x" * 500})])
                print(f"{i:05d}", flush=True)
        """
    out, err = child(code, tmp_path).communicate(timeout=HANG_S)
    assert "hub_speed.errors.NoSpace" in err
    assert len(out.split()) > 10
    with Ledger(tmp_path) as ledger:
        assert {entry["id"] for entry in ledger.entries()} == set(out.split())
        ledger.add([(entry("99999"), {"id": "y"})])


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    code = """
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        try:
            kept = Ledger(folder)
            kept.__enter__()
        except Exception as error:
            print(type(error).__name__)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with Ledger(folder) as ledger:
            print("opened")
        """
    out, err = child(code, tmp_path).communicate(timeout=HANG_S)
    assert out.splitlines() == ["NoSpace", "opened"], err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(NoSpace, match="cannot be written") as caught:
        Ledger(tmp_path / "closed" / "work").__enter__()
    assert "make the folder writable" in caught.value.fix


def test_a_ledger_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").mkdir()  # stands for every reason for which the file cannot be opened
    with pytest.raises(NoSpace, match="cannot be written"):
        Ledger(tmp_path).__enter__()


# --- what a disk can do to it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["no database", "pages lost"])
def test_a_damaged_ledger_says_what_to_do_and_doing_it_saves_the_rest(tmp_path: Path, damage: str) -> None:
    with Ledger(tmp_path, {"stage": "seed"}) as ledger:
        ledger.add((entry(f"r{i:04d}"), {"id": i, "text": "x" * 300}) for i in range(500))
    path = tmp_path / "ledger.sqlite"
    content = bytearray(path.read_bytes())
    if damage == "no database":
        content[:100] = b"\0" * 100
    else:
        for page in range(12, 14):
            content[page * 16384 : page * 16384 + 4000] = b"\xff" * 4000
    path.write_bytes(content)
    with pytest.raises(StageError, match="the ledger is damaged") as caught, Ledger(tmp_path) as ledger:
        list(ledger.entries()), list(ledger.rows()), ledger.counts(), ledger.reasons(), ledger.usage()
    assert "sqlite3.DatabaseError" not in str(caught.value) and caught.value.exit_code == 5
    assert "move the folder away" in caught.value.fix
    if damage == "pages lost" and shutil.which("sqlite3"):
        command = caught.value.fix.partition("read: ")[2].partition("\n")[0]
        subprocess.run(command, shell=True, capture_output=True, check=True, timeout=HANG_S)
        with Ledger(tmp_path, {"stage": "seed"}) as ledger:
            assert 300 < len(list(ledger.rows())) < 500
            ledger.add([(entry("new"), {"id": "new"})])


MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
10.0.0.1@tcp:/scratch /scratch lustre rw,flock 0 0
//nas/data /mnt/my\\040data cifs rw 0 0
me@host:/x /mnt/ssh fuse.sshfs rw 0 0
overlay /mnt/box fuse.fuse-overlayfs rw 0 0
/dev/sdb1 /mnt/usb fuseblk rw 0 0
/dev/nvme0 /home/local xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/me/.hub_speed", "nfs4"),
        ("/scratch", "lustre"),
        ("/mnt/my data/work", "cifs"),
        ("/mnt/ssh/a", "fuse.sshfs"),
        ("/mnt/box/a", ""),
        ("/mnt/usb/a", ""),
        ("/home/local/a", ""),
        ("/homeless", ""),
        ("/", ""),
    ],
)
def test_network_file_systems_are_known(tmp_path: Path, folder: str, kind: str) -> None:
    (tmp_path / "mounts").write_text(MOUNTS, "utf-8")
    assert network_file_system(Path(folder), tmp_path / "mounts") == kind
    assert network_file_system(Path(folder), tmp_path / "none") == ""


def test_a_ledger_on_a_network_file_system_comes_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mounts").write_text(f"server:/x {tmp_path} nfs rw 0 0\n", "utf-8")
    monkeypatch.setattr(ledger_module, "MOUNTS", tmp_path / "mounts")
    with pytest.warns(RuntimeWarning, match=r"network file system \(nfs\).* HUB_SPEED_HOME"):
        Ledger(tmp_path / "work", {"stage": "seed"}).__enter__().__exit__(None, None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Ledger(tmp_path / "work"):  # who only looks is not warned
            pass


# --- whose it is ----------------------------------------------------------------------------------------------------


def test_a_ledger_of_another_recipe_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    mine = {"stage": "seed", "recipe": {"seed": {"rows": 5}, "mixture": {}}, "inputs": {"brainstorm": "o/t@1"}}
    other = {
        "stage": "seed",
        "recipe": {"seed": {"rows": 6}, "mixture": {}},
        "inputs": {"brainstorm": "o/t@1", "x": "y"},
    }
    with Ledger(tmp_path, mine) as ledger:
        ledger.add([(entry("a"), {"id": "a"})])
    with pytest.raises(StageError, match="belongs to another recipe") as caught:
        Ledger(tmp_path, other).__enter__()
    assert caught.value.expected == 'recipe.seed.rows=6, inputs.x="y"'
    assert caught.value.got == "recipe.seed.rows=5, inputs.x=nothing"
    for identity in (mine, None):  # one who only looks need not say which it is
        with Ledger(tmp_path, identity) as ledger:
            assert known(ledger, "ab") == {"a"}


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.sqlite") as db:
        db.execute("CREATE TABLE ledger (id TEXT PRIMARY KEY, state, mood, row)")
    with pytest.raises(StageError, match="another version of hub_speed wrote") as caught:
        Ledger(tmp_path).__enter__()
    assert "mood" in caught.value.got
    assert "reason" in caught.value.got


# --- processes ------------------------------------------------------------------------------------------------------


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    code = """
        with Ledger(folder) as ledger:
            for i in range(ledger.count_finished(), 10_000_000, 3):
                ledger.add([(entry(f"{n:08d}"), {"id": n, "text": "x" * 300}) for n in range(i, i + 3)])
                print(i + 2, flush=True)
        """
    told = -1
    for lines in (1, 30, 200):
        process = child(code, tmp_path)
        assert process.stdout is not None
        for _ in range(lines):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)  # in the middle of whatever it is doing
        told = max([told, *map(int, process.stdout.read().split())])
        process.communicate()
        with Ledger(tmp_path) as ledger:
            count = ledger.count_finished()
            assert count % 3 == 0  # whole batches
            assert told < count <= told + 1 + 3
            assert [row["id"] for row in ledger.rows()] == list(range(count))
            assert ledger._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_another_process_may_read_while_this_one_writes(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add([(entry("a"), {"id": "a"})])
        reader = sqlite3.connect(f"file:{tmp_path / 'ledger.sqlite'}?mode=ro", uri=True)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM ledger").fetchone() == (1,)
        ledger.add([(entry("b"), {"id": "b"})])  # is not held up
        assert reader.execute("SELECT count(*) FROM ledger").fetchone() == (1,)
        reader.execute("COMMIT")
        assert json.loads(reader.execute("SELECT row FROM ledger WHERE id = 'b'").fetchone()[0]) == {"id": "b"}
        reader.close()
