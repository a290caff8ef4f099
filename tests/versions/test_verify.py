"""A release that is read again: what holds, and what was changed behind its back."""

from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from toy_run import Made, benchmark, ledger_row

from hub_speed.console.release import print_findings
from hub_speed.console.terminal import console
from hub_speed.errors import HubError, NotFound
from hub_speed.localhub import LocalHub
from hub_speed.parquet import write_parquet
from hub_speed.record import RunRecord
from hub_speed.rows import LedgerRow, TaskRow
from hub_speed.versions import verify


def wrong(run: Made, tag: str = "v1.0") -> dict[tuple[str, str], str]:
    """(repository, check) → what does not hold."""
    found = verify.verify(run.hub, "org", tag)
    return {(each.repo.split("/")[1], each.check): each.says for each in found if not each.holds}


def test_what_a_run_has_released_holds(made: Callable[..., Made]) -> None:
    run = made()
    run.release()
    found = list(verify.verify(run.hub, "org", "v1.0"))
    with console.capture() as printed:
        assert print_findings(iter(found), as_json=False)
    assert "everything holds: " in printed.get()
    assert {each.check for each in found} == set(verify.CHECKS) - {"passages"}
    assert [each.says for each in found if each.repo == "org/bench"] == ["3"]  # two judgements and a pair
    with pytest.raises(NotFound, match="v2"):
        wrong(run, "v2.0")


def test_a_release_without_its_list_is_said(made: Callable[..., Made]) -> None:
    run = made()
    run.hub.tag(run.hub.pin("model", "org/speed-embedder"), "v0.9")
    with pytest.raises(HubError, match=r"release\.json is missing"):
        wrong(run, "v0.9")


def test_what_was_changed_afterwards_is_found(made: Callable[..., Made], tmp_path: Path) -> None:
    run = made()
    run.release()
    api = HfApi(endpoint=run.hub.endpoint)
    run.recipe = run.recipe.model_copy(update={"rng_seed": 7})
    run.stages([])
    api.delete_tag("org/speed-results", tag="v1.0", repo_type="dataset")
    api.create_tag("org/speed-results", tag="v1.0", repo_type="dataset")
    api.delete_repo("org/topics", repo_type="dataset")
    weights = next(path for path in (tmp_path / "hub").rglob("*") if path.is_file() and path.read_bytes() == b"weights")
    weights.chmod(0o600)
    weights.write_bytes(b"Weights")
    found = wrong(run)
    assert found.keys() >= {("speed-results", "tag"), ("speed-tasks", "lineage"), ("speed-embedder", "files")}
    assert "the release has" in found["speed-results", "tag"] and "topics" in found["speed-tasks", "lineage"]
    assert found["speed-embedder", "files"] == "model.safetensors has another hash"
    assert not {check for _, check in found} & {"rows", "ledger", "record", "benchmark"}
    with console.capture() as printed:
        assert not print_findings(verify.verify(run.hub, "org", "v1.0"), as_json=False)
    assert "do not hold" in printed.get() and "✗ org/speed-results, tag: " in printed.get()


def test_a_repository_that_is_gone_holds_nothing_and_the_others_are_read(made: Callable[..., Made]) -> None:
    run = made()
    run.release()
    HfApi(endpoint=run.hub.endpoint).delete_repo("org/speed-tasks", repo_type="dataset")
    assert wrong(run).keys() == {("speed-tasks", "tag"), ("speed-tasks", "files"), ("speed-seed", "lineage")}


def test_what_the_hub_does_not_give_is_wrong_and_the_others_are_read(made: Callable[..., Made], tmp_path: Path) -> None:
    run = made()
    run.release()
    stored = tmp_path / "hub" / "hub"
    weights = next(path for path in stored.rglob("*") if path.is_file() and path.read_bytes() == b"weights")
    other = run.hub.pin("dataset", "org/speed-results")
    weights.unlink()
    (stored / "repos" / "datasets" / other.repo / "objects" / other.commit[:2] / other.commit[2:]).unlink()
    with console.capture() as printed:
        assert not print_findings(verify.verify(run.hub, "org", "v1.0"), as_json=False)
    assert "again" not in printed.get() and "model.safetensors cannot be read: Entry not found" in printed.get()
    found = wrong(run)
    assert sorted(repo for repo, check in found if check == "files") == [
        *("speed-embedder", "speed-results", "speed-seed", "speed-tasks")
    ]
    assert "answers 500" in found["speed-results", "tag"] and "revision not found" in found["speed-results", "files"]


def test_a_hub_that_goes_away_says_nothing_of_the_release(made: Callable[..., Made], local: LocalHub) -> None:
    run = made()
    run.release()
    found = verify.verify(run.hub, "org", "v1.0")
    assert next(found).holds
    local.stop()
    with pytest.raises(HubError, match="does not answer"):
        list(found)


# --- one repository ---------------------------------------------------------------------------------------------------


def written(folder: Path, ids: list[str], requests: dict[str, tuple[str, str]] | list[tuple[str, str, str]]) -> Path:
    """A repository with rows of these ids, and a ledger."""
    rows = [{"id": each, "task_type": "sts", "task": "t", "topic": ""} for each in ids]
    write_parquet(rows, TaskRow, folder / "data" / "sts")
    write_parquet([ledger_row(*each) for each in requests], LedgerRow, folder / "ledger")
    return folder


GOOD = [("a", "accepted", ""), ("b", "rejected", "bad_json"), ("c", "repaired", "")]


@pytest.mark.parametrize(
    ("ids", "requests", "says"),
    [
        (["a", "c"], GOOD, "3"),
        (["a"], GOOD, "c is accepted and no row"),
        (["a", "b", "c"], GOOD, "b is accepted and no row, or a row and not accepted"),
        (["a", "a"], GOOD, "a is in the rows twice"),
        (["a", "c"], [GOOD[0], *GOOD], "a is in the ledger twice"),
        (["a", "c"], GOOD[::2], "2 requests, in the record 3"),
        (["a", "c"], [GOOD[0], ("b", "rejected", "echo"), GOOD[2]], "other counts of reasons"),
    ],
)
def test_rows_and_ledger_are_compared_with_each_other(
    tmp_path: Path, ids: list[str], requests: list[tuple[str, str, str]], says: str
) -> None:
    record = RunRecord(stage="seed", fingerprint="", recipe="", identity={}, inputs={}, lineage={})
    record.rows_in, record.accepted, record.rejected, record.by_task_type = 3, 2, {"bad_json": 1}, {"sts": 2}
    folder = written(tmp_path, ids, requests)
    found = verify._ledger("org/x", record, folder)
    assert says in found.says and found.holds is (says == "3")
    assert verify._rows("org/x", record, folder / "data").holds is (len(ids) == 2)


def test_rows_whose_splits_have_files_of_their_own_are_compared_by_id(tmp_path: Path) -> None:
    record = RunRecord(stage="questions", fingerprint="", recipe="", identity={}, inputs={}, lineage={})
    record.rows_in = record.accepted = 3
    record.by_task_type = {"sts": 3}
    folder = written(tmp_path, ["a", "c"], [(name, "accepted", "") for name in "abc"])
    row = {"id": "b", "task_type": "sts", "task": "t", "topic": ""}
    write_parquet([row], TaskRow, folder / "data" / "sts", None, "dev")
    assert verify._ledger("org/x", record, folder).holds


def test_what_cannot_be_read_does_not_hold(tmp_path: Path) -> None:
    record = RunRecord(stage="seed", fingerprint="", recipe="", identity={}, inputs={}, lineage={})
    for part in ("data/sts", "ledger"):
        (tmp_path / part).mkdir(parents=True)
        (tmp_path / part / "train-00000.parquet").write_bytes(b"PAR1 and then nothing that is parquet PAR1")
    for check, look, place in (("rows", verify._rows, tmp_path / "data"), ("ledger", verify._ledger, tmp_path)):
        found = verify._looked("org/x", check, look, "org/x", record, place)
        assert found.holds is False and found.says.startswith("cannot be read: ")


def test_judgements_that_name_what_is_not_there(tmp_path: Path) -> None:
    benchmark(tmp_path)
    assert verify._judgements(tmp_path, {"q1"}) == ([], 2)
    assert verify._judgements(tmp_path, {"q9"}) == (["1 scored queries are not there"], 2)
    (tmp_path / "queries" / "test-00000.parquet").unlink()
    assert verify._judgements(tmp_path, set())[0] == ["2 judgements name a query that is not there"]
