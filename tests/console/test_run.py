"""What a finished run prints: every interval in full, and every version on one line, in a narrow terminal as well."""

import pytest

from hub_speed.console import run, terminal
from hub_speed.console.progress import Bars
from hub_speed.pipeline.plan import Step
from hub_speed.pipeline.run import Result
from hub_speed.pipeline.table import STAGES
from hub_speed.record import Documents, Measures, Ref, RunRecord

INTERVAL = {"value": 0.803, "low": 0.782, "high": 0.825, "n": 5, "dataset": "d@1"}
SCORES = [
    INTERVAL | {"subject": subject, "task_type": "STS", "measure": f"measure {i}", "benchmark": "org/b"}
    for subject in ("embedder", "untrained base")
    for i in range(7)
]


def result(name: str, measures: Measures) -> Result:
    ref = Ref("dataset", STAGES[name].repo("a-long-organisation"), "1234567" * 6)
    counts = {"accepted": 1_150_000, "rejected": {"bad_json": 520_883}, "calls": {"senior": 1_670_883}}
    record = RunRecord(
        stage=name, fingerprint="0", recipe="r", identity={}, inputs={"x": ref}, lineage={}, measures=measures, **counts
    )
    return Result(STAGES[name], ref, record, cached=True)


@pytest.mark.parametrize("width", [80, 120])
def test_every_interval_is_shown_in_full(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal.console, "width", width)
    results = [result("revise", Measures()), result("evaluate", Measures(scores=SCORES))]
    run.print_run("a-long-organisation", results, local=True, lineage=True)
    out = capsys.readouterr().out
    assert out.count("0.803 (0.782-0.825)") == len(SCORES) and "…" not in out
    assert "speed-synthetic@1234567" in out and "speed-results@1234567" in out
    tables = out.partition("next")[0].splitlines()
    assert max(map(len, tables)) <= width


def test_stages_of_another_recipe_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    left = [("seed", "seed.rows 60 → 50"), ("preference", "after seed"), ("senior", "after preference")]
    steps = [Step(STAGES[name], None, why) for name, why in left]
    run.print_run("o", [result("brainstorm", Measures())], local=True, left=steps)
    out = " ".join(capsys.readouterr().out.split())
    assert "note this recipe has not finished seed (seed.rows 60 → 50), and the stages after that; anything" in out


def test_a_finished_stage_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(terminal.console, "width", 80)
    with Bars(terminal.console) as bars:
        run.print_result(result("synthesize", Measures()), bars)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("cached") and len(line) <= 80
    grown = result("synthesize", Measures())
    grown.record.extends = f"o/speed-synthetic@{'ab' * 20}"
    with Bars(terminal.console) as bars:
        run.print_result(grown, bars)
    assert capsys.readouterr().out.rstrip().endswith("cached, extends abababa")


def test_a_corpus_is_one_line() -> None:
    counts = {"documents": 3, "passages": 1200, "groups": 2, "words": 9}
    splits = {"train": counts, "test": counts | {"passages": 4}}
    found = Documents(**counts, splits=splits, lengths={}, skipped={"encrypted": 1, "empty": 2})
    line = "documents  3 in 2 groups · passages 1,200 (train 1,200, test 4) · skipped: encrypted 1, empty 2"
    assert run.documents(found) == line
