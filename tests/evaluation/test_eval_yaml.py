"""The file by which the Hub knows a benchmark."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

import yaml
from mteb._hf_integration.eval_model import HFEvalMeta

from hub_speed.evaluation.benchmarks import KINDS
from hub_speed.evaluation.eval_yaml import CONFIGS, FILE, eval_yaml
from hub_speed.quickstart import assets


def test_every_kind_of_task_can_be_named_and_mteb_reads_it() -> None:
    assert {kind.name.lower(): set(kind.columns) for kind in KINDS}.keys() == CONFIGS.keys()
    assert all(CONFIGS[kind.name.lower()] in kind.columns for kind in KINDS)
    meta = HFEvalMeta.model_validate(yaml.safe_load(eval_yaml("A name", "About: it", CONFIGS)))
    assert {(task.id, task.config) for task in meta.tasks} == set(CONFIGS.items())


def test_the_quickstarts_benchmark_has_one(tmp_path: Path) -> None:
    assets._benchmark(tmp_path)
    meta = HFEvalMeta.model_validate(yaml.safe_load((tmp_path / FILE).read_text("utf-8")))
    assert [task.id for task in meta.tasks] == ["retrieval", "sts"]
    assert all((tmp_path / str(task.config)).is_dir() for task in meta.tasks)
