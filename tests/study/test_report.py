"""The report of a study: its table, its effects, its page and what it leaves out."""

import json
from pathlib import Path

import pytest

from hub_speed.console.study import print_study
from hub_speed.parquet import write_parquet
from hub_speed.pipeline.run import Result
from hub_speed.pipeline.table import STAGES
from hub_speed.record import Measures, Ref, RunRecord
from hub_speed.rows import EffectRow, StudyRow
from hub_speed.study import runs
from hub_speed.study.effects import Scored
from hub_speed.study.report import record, rows, write_docs


def design(*vary: str, set_: tuple[str, ...] = (), seeds: int = 2, seed_all: bool = False) -> runs.Study:
    return runs.design("quickstart", set_, vary, seeds, seed_all=seed_all)


def test_the_long_table_and_the_effects_are_rows_of_their_kind(tmp_path: Path) -> None:
    found = design("senior.dpo_beta=0.05,0.3", "embedder.batching=mixed")
    results = Ref("dataset", "org/speed-results", "0" * 40)
    outcomes = [
        runs.Outcome(run, 100, results, {("nDCG@10", "b"): Scored(0.5 + i / 50)}) for i, run in enumerate(found.runs)
    ]
    facts = record(found, outcomes, 0.01)
    table = list(rows(facts))
    assert len(table) == 2 * 3 + 2 * 2  # the reference is a row of both factors
    assert {(row["factor"], row["value"]) for row in table} == {
        ("senior.dpo_beta", "0.1"),
        ("senior.dpo_beta", "0.05"),
        ("senior.dpo_beta", "0.3"),
        ("embedder.batching", "homogeneous"),
        ("embedder.batching", "mixed"),
    }
    assert [round(e["difference"], 6) for e in facts["effects"]] == [0.04, 0.08, 0.12]
    assert {e["verdict"] for e in facts["effects"]} == {"unclear"}  # both seeds differ by just as much
    assert write_parquet(table, StudyRow, tmp_path / "a") == 10
    assert write_parquet(facts["effects"], EffectRow, tmp_path / "b") == 3
    json.dumps(facts, allow_nan=False)


def test_the_page_shows_the_scaling_law_and_what_the_intervals_leave_out(tmp_path: Path) -> None:
    found = design("embedder.data=seed", seeds=3)
    results = Ref("dataset", "org/speed-results", "0" * 40)
    scores = [0.5, 0.52, 0.51, 0.7, 0.71, 0.725]
    outcomes = [
        runs.Outcome(run, 100 + run.seed, results, {("nDCG@10", "b"): Scored(score)})
        for run, score in zip(found.runs, scores, strict=True)
    ]
    trained = [
        {"rows": size, "rng_seed": seed, "measure": "nDCG@10", "benchmark": "b", "value": 0.1 * size**0.2 + seed / 100}
        for size in (100, 200, 400)
        for seed in (0, 1)
    ]
    made = RunRecord(stage="scaling", fingerprint="0" * 12, recipe="r", identity={}, inputs={}, lineage={})
    made.measures = Measures(runs=trained)
    law = Result(STAGES["scaling"], Ref("dataset", "org/speed-scaling", "1" * 40), made, True)
    write_docs(record(found, outcomes, 0.01, law), tmp_path)
    page = (tmp_path / "study.md").read_text("utf-8")
    assert "| `seed` | 100, 101, 102 | 0.712 ± 0.031 |" in page
    assert "+0.202 with seed (+0.170 to +0.233): **supported**, better than revise" in page
    assert "rows were generated once (seed)" in page and "trained on 100 to 102 rows" in page
    assert "## Size of the data" in page and "per tenfold data" in page and "org/speed-scaling@1111111" in page
    assert "--seeds 3 --margin 0.01 --scaling" in page
    assert sorted(path.name for path in (tmp_path / "study").iterdir()) == ["embedder-data.png", "scaling.png"]


def test_a_benchmark_that_failed_in_one_run_is_said_to_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = design("embedder.epochs=2,3")

    def outcome(i: int, run: runs.Run) -> runs.Outcome:
        scores = {("nDCG@10", "b"): Scored(0.5 + i / 100), ("Spearman", "c"): Scored(0.7)}
        failed = []
        if i in (1, 4):
            del scores["Spearman", "c"]
            failed = [{"subject": "embedder", "measure": "Spearman", "benchmark": "c", "reason": "OSError: gone"}]
        return runs.Outcome(run, 10, Ref("dataset", "org/r", "0" * 40), scores, failed)

    facts = record(made, [outcome(i, run) for i, run in enumerate(made.runs)], 0.01)
    assert {e["measure"] for e in facts["effects"]} == {"nDCG@10"}
    (text,) = facts["left_out"]
    assert text == "left out: c (Spearman), failed in reference seed 1, embedder.epochs=3 seed 0: OSError: gone"
    write_docs(facts, tmp_path)
    assert f"`{text}`." in (tmp_path / "study.md").read_text("utf-8")
    print_study(facts, Ref("dataset", "org/speed-study", "0" * 40))
    assert "left out: c (Spearman)" in capsys.readouterr().out


def test_a_table_has_the_mean_over_benchmarks_and_the_spread_over_seeds(tmp_path: Path) -> None:
    made = design("embedder.epochs=2", seeds=3)

    def outcome(run: runs.Run) -> runs.Outcome:
        shift = 0.001 * run.seed
        many, few = {f"q{i}": 0.8 + shift for i in range(90)}, {f"q{i}": 0.4 + shift for i in range(10)}
        scores = {("accuracy", "many"): Scored(0.8 + shift, many), ("accuracy", "few"): Scored(0.4 + shift, few)}
        return runs.Outcome(run, 10, Ref("dataset", "org/r", "0" * 40), scores)

    facts = record(made, [outcome(run) for run in made.runs], 0.01)
    (found,) = facts["effects"]
    assert found["items"] == 100  # the questions count, however many of them each benchmark has
    write_docs(facts, tmp_path)
    assert "0.601 ± 0.002" in (tmp_path / "study.md").read_text("utf-8")
