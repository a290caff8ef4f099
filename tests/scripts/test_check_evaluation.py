"""The script that compares scores with a direct computation and a published value."""

import csv
from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmark_sets import LABELLED, STS
from running import Cli
from tiny_models import make_model

from hub_speed.training.embedder import backbone

CHECK = """
import runpy, sys
files = ["--sts", "FOLDER/sts.csv", "--classification", "FOLDER/classes.csv", "FOLDER/classes.csv"]
for published in ("Spearman=VALUE", "Spearman=0.990"):
    sys.argv = ["", "--model", "FOLDER/model", *files, "--published", published, "--json", "FOLDER/scores.json"]
    try:
        runpy.run_path("SCRIPT", run_name="__main__")
    except SystemExit as error:
        print(error)
"""


def test_a_score_without_our_prefix_is_compared_with_a_published_one(tmp_path: Path, cli: Cli) -> None:
    from scipy.stats import spearmanr

    model = backbone.embedder(make_model(tmp_path / "base"), 128)
    model.save_pretrained(str(tmp_path / "model"))
    with (tmp_path / "sts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([row["sentence1"], row["sentence2"], row["score"]] for row in STS)
    with (tmp_path / "classes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((row["text"], row["label"]) for row in LABELLED)])
    one, two = (model.encode([row[f"sentence{k}"] for row in STS]) for k in (1, 2))
    plain = f"{spearmanr((one * two).sum(1), [row['score'] for row in STS]).statistic:.3f}"
    script = Path(__file__).parents[2] / "scripts" / "check_evaluation.py"
    given = {"FOLDER": str(tmp_path), "SCRIPT": str(script), "VALUE": plain}
    code = CHECK
    for name, text in given.items():
        code = code.replace(name, text)
    out = cli.python(code)
    first, second = out.split("| task |")[1:]
    assert "differs" not in first and f"| {plain} |" in first
    assert "differs: Spearman" in second
