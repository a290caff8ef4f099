"""The script that compares scores with a direct computation and a published value."""

import csv
import logging
import runpy
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmark_sets import LABELLED, STS
from tiny_models import make_model

from hub_speed.training.embedder import backbone

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_evaluation.py"


def test_a_score_without_our_prefix_is_compared_with_a_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scipy.stats import spearmanr

    model = backbone.embedder(make_model(tmp_path / "base"), 128)
    model.save_pretrained(str(tmp_path / "model"))
    with (tmp_path / "sts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([row["sentence1"], row["sentence2"], row["score"]] for row in STS)
    with (tmp_path / "classes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((row["text"], row["label"]) for row in LABELLED)])
    one, two = (model.encode([row[f"sentence{k}"] for row in STS]) for k in (1, 2))
    plain = f"{spearmanr((one * two).sum(1), [row['score'] for row in STS]).statistic:.3f}"
    files = ["--sts", "sts.csv", "--classification", "classes.csv", "classes.csv"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(logging.root.manager, "disable", logging.NOTSET)  # the script sets it
    for value in (plain, "0.990"):
        wanted = ["--published", f"Spearman={value}", "--json", "scores.json"]
        monkeypatch.setattr(sys, "argv", ["", "--model", "model", *files, *wanted])
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as error:
            print(error)
    out = capsys.readouterr().out
    first, second = out.split("| task |")[1:]
    assert "differs" not in first and f"| {plain} |" in first
    assert "differs: Spearman" in second
