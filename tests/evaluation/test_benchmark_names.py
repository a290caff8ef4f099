"""Unknown benchmarks are found before a run starts."""

import json

import pytest

pytest.importorskip("torch")

from running import Cli, tiny


def test_a_run_with_an_unknown_task_ends_before_it_starts(cli: Cli) -> None:
    names = ["mteb:fast", "mteb:MTEB(eng, v1)", "mteb:Banking77Clasification"]  # the first one that is unknown is told
    out = cli("run", "quickstart", *tiny(), "--set", f"evaluate.benchmarks={json.dumps(names)}", code=2)
    assert "evaluate.benchmarks: mteb:Banking77Clasification: " in out
    assert "Banking77Classification" in out and "docs/evaluation.md" in out
    assert not list(cli.home.glob("work/*/*"))
