"""Unknown benchmarks are found before a run starts."""

import pytest

pytest.importorskip("torch")

from running import Cli, tiny

from hub_speed.evaluation.benchmark_names import check_benchmarks


def test_a_run_with_an_unknown_task_ends_before_it_starts(cli: Cli) -> None:
    check_benchmarks(["mteb:fast", "mteb:MTEB(eng, v1)"])
    benchmark = 'evaluate.benchmarks=["mteb:Banking77Clasification"]'
    out = cli("run", "quickstart", *tiny(), "--set", benchmark, code=2)
    assert "Banking77Classification" in out and "docs/evaluation.md" in out
    assert not list(cli.home.glob("work/*/*"))
