"""Studies: which runs they are made of, what these share, and a whole one, killed in between."""

import json
import re
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from running import Cli, kill, tiny

from hub_speed.errors import RecipeError
from hub_speed.recipes.loader import load
from hub_speed.study import runs
from hub_speed.study.effects import Scored

# --- design ---------------------------------------------------------------------------------------------------------


def design(*vary: str, set_: tuple[str, ...] = (), seeds: int = 2, seed_all: bool = False) -> runs.Study:
    return runs.design("quickstart", set_, vary, seeds, seed_all=seed_all)


def test_every_value_has_every_seed_and_the_recipe_is_the_reference() -> None:
    found = design("senior.dpo_beta=0.05,0.1,0.3", "embedder.batching=mixed")
    assert [run.name for run in found.runs] == [
        f"{value} seed {seed}"
        for value in ("reference", "senior.dpo_beta=0.05", "senior.dpo_beta=0.3", "embedder.batching=mixed")
        for seed in (0, 1)
    ]
    assert found.references == {"senior.dpo_beta": "0.1", "embedder.batching": "homogeneous"}
    own = load("quickstart")
    first, second = found.runs[:2]
    assert [run.recipe.embedder.rng_seed for run in (first, second)] == [42, 43]
    assert {run.recipe.rng_seed for run in found.runs} == {own.rng_seed}
    assert first.recipe.embedder == own.embedder  # the first seed is the recipe's own: a finished run is found again
    assert found.runs[2].recipe.senior.dpo_beta == 0.05
    assert found.runs[2].recipe.embedder == own.embedder
    assert len({run.branch for run in found.runs}) == len(found.runs)
    assert all(re.fullmatch(r"study-[A-Za-z0-9_-]+", run.branch) for run in found.runs)


def test_a_seed_may_change_everything() -> None:
    found = design("senior.dpo_beta=0.3", seed_all=True)
    assert [run.recipe.rng_seed for run in found.runs] == [42, 43, 42, 43]
    assert found.rows_generated == {"senior.dpo_beta=0.3": []}  # every seed has rows of its own


@pytest.mark.parametrize(
    ("vary", "made"),
    [
        ("embedder.loss_temperature=0.1", []),
        ("embedder.rows=500", []),
        ("embedder.data=seed", ["seed"]),
        ("embedder.data=synthesize", ["synthesize"]),
        ("synthesize.generator=junior", ["synthesize", "revise"]),
        ("synthesize.generator=base", ["synthesize", "revise"]),
        ("senior.dpo_beta=0.3", ["senior", "synthesize", "revise"]),
        ("revision.rows=100", ["revision", "revisor", "revise"]),
        ("preference.rows=100", ["preference", "senior", "synthesize", "revise"]),
        ("brainstorm.tasks_per_topic=3", [*"brainstorm seed junior root preference senior revision".split(), "..."]),
    ],
)
def test_it_is_known_which_stages_make_other_rows(vary: str, made: list[str]) -> None:
    (found,) = design(vary).rows_generated.values()
    assert found == made or found[: len(made) - 1] == made[:-1]


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        (["senior.dpo_betta=0.1"], ["did you mean dpo_beta?"]),
        (["senior.dpo_beta"], ["section.field=value,value"]),
        (["senior.dpo_beta="], ["section.field=value,value"]),
        (["senior.dpo_beta=0.3,[0.1"], ["not YAML"]),
        (["senior.dpo_beta=0.1"], ["every value is the recipe's own"]),
        (["senior.dpo_beta=0.3,0.3"], ["given twice"]),
        (["senior.dpo_beta=-1"], ["senior.dpo_beta", "greater than 0"]),
        (["runtime.jobs=1"], ["no score of this recipe depends on it"]),
        ([], ["at least one --vary"]),
    ],
)
def test_what_cannot_be_studied_is_refused_before_anything_runs(vary: list[str], words: list[str]) -> None:
    with pytest.raises(RecipeError) as refused:
        design(*vary)
    for word in words:
        assert word in str(refused.value)


def test_a_field_the_embedder_does_not_come_from_is_refused() -> None:
    with pytest.raises(RecipeError, match="no score of this recipe depends on it"):
        design("senior.dpo_beta=0.3", set_=("embedder.data=seed",))


def test_values_may_be_lists_and_mappings() -> None:
    found = design("mixture={sts: 1},{retrieval: 1, sts: 1}", "retrieval.query_length=[5 to 9 words]")
    assert [run.value for run in found.runs[2::2]] == [
        '{"sts": 1}',
        '{"retrieval": 1, "sts": 1}',
        '["5 to 9 words"]',
    ]
    assert found.runs[4].recipe.mixture == {"retrieval": 1, "sts": 1}


# --- reading ------------------------------------------------------------------------------------------------------


def test_scores_are_the_embedders_and_questions_are_read_where_they_are(tmp_path: Path) -> None:
    scores = [
        {"subject": "embedder", "measure": "nDCG@10", "benchmark": "b", "value": 0.5},
        {"subject": "BM25", "measure": "nDCG@10", "benchmark": "b", "value": 0.4},
        {"subject": "embedder", "measure": "Spearman", "benchmark": "b", "value": 0.9},
    ]
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(scores), tmp_path / "data" / "train-00000.parquet")
    assert runs.read_scores(tmp_path) == {("nDCG@10", "b"): Scored(0.5), ("Spearman", "b"): Scored(0.9)}
    items = [
        {"subject": subject, "measure": measure, "benchmark": "b", "item": item, "value": value, "gold": gold}
        for subject, measure, item, value, gold in [
            ("embedder", "nDCG@10", "q1", 0.25, None),
            ("embedder", "nDCG@10", "q2", 0.75, None),
            ("BM25", "nDCG@10", "q1", 0.1, None),
            ("embedder", "Spearman", "0", 0.6, 5.0),
        ]
    ]
    (tmp_path / "items").mkdir()
    pq.write_table(pa.Table.from_pylist(items), tmp_path / "items" / "train-00000.parquet")
    found = runs.read_scores(tmp_path)
    assert found["nDCG@10", "b"] == Scored(0.5, {"q1": 0.25, "q2": 0.75})
    assert found["Spearman", "b"] == Scored(0.9, {"0": 0.6}, {"0": 5.0})


# --- a whole one ----------------------------------------------------------------------------------------------------

# Four stages: the embedder learns from the teacher's rows, and is scored on a few pairs of sentences.
SMALL = tiny(embedder__data="seed", seed__rows=64, evaluate__benchmarks="[small-benchmark]")
STUDY = ("study", "quickstart", *SMALL, "--vary", "embedder.loss_temperature=0.5", "--seeds", "1")

BENCHMARK = """
from datasets import Dataset
pairs = [(a, b, 5.0 * (a == b)) for a in ("iron", "Paris", "a violin") for b in ("iron", "Paris", "a violin")] * 3
rows = [{"sentence1": f"It is {a}.", "sentence2": f"This is about {b}.", "score": s} for a, b, s in pairs]
Dataset.from_list(rows).push_to_hub("speed-demo/small-benchmark", "sts", split="test")
"""

VERSIONS = """
import json
from huggingface_hub import HfApi
from datasets import load_dataset
api, found = HfApi(), {}
for kind, name in [("dataset", n) for n in ("tasks", "seed", "results", "study")] + [("model", "embedder")]:
    refs = api.list_repo_refs(f"speed-demo/speed-{name}", repo_type=kind)
    branches = sorted(b.name for b in refs.branches)
    found[name] = {"tags": {t.name: t.target_commit for t in refs.tags}, "branches": branches}
path = "speed-demo/speed-study"
found["rows"] = load_dataset(path, split="train").to_list()
found["effects"] = load_dataset(path, "effects", split="train").to_list()
found["card"] = open(api.hf_hub_download(path, "README.md", repo_type="dataset")).read()
found["files"] = api.list_repo_files(path, repo_type="dataset")
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_study_that_is_killed_goes_on_and_shares_what_its_runs_have_in_common(cli: Cli) -> None:
    pytest.importorskip("torch")
    cli.python(BENCHMARK)
    planned = cli(*STUDY, "--plan")
    assert re.search(r"brainstorm +2 +1 +1 +0 +1 ", planned) and re.search(r"embedder +2 +0 +2 +0 +2", planned)
    assert "6 stages will run, 2 are reused" in planned
    assert not list(cli.home.glob("work/*"))  # a plan spends nothing
    process = cli.start(*STUDY)
    while process.poll() is None and not at_work_on_the_second(cli):
        time.sleep(0.01)
    kill(process)
    out = cli(*STUDY, "--out", "docs")
    assert "3 stages will run" in out or "2 stages will run" in out  # the first one's scores were there, or not yet
    assert out.count("✓ embedder") == 1 and "✓ seed" not in out and "✓ brainstorm" not in out
    assert "comparisons: 1 · speed-demo/speed-study@" in out

    found = json.loads(cli.python(VERSIONS))
    assert [len(found[name]["tags"]) for name in ("tasks", "seed", "embedder", "results", "study")] == [1, 1, 2, 2, 1]
    branches = ["main", "study-embedder-loss_temperature-0-5-seed-0", "study-reference-seed-0"]
    assert found["embedder"]["branches"] == found["results"]["branches"] == branches
    assert found["tasks"]["branches"] == ["main", "study-reference-seed-0"]
    assert sorted((row["value"], row["seed"]) for row in found["rows"]) == [("0.05", 0), ("0.5", 0)]
    assert [(e["value"], e["measure"], e["seeds"]) for e in found["effects"]] == [("0.5", "Spearman", 1)]
    assert found["effects"][0]["items"] == 27  # the pairs
    assert (
        "1 was made" in found["card"] and "## embedder.loss_temperature" in found["card"] and "{{" not in found["card"]
    )
    assert "figures/embedder-loss_temperature.png" in found["card"]
    assert "figures/embedder-loss_temperature.png" in found["files"] and "speed_run.json" in found["files"]

    page = (cli.cwd / "docs" / "study.md").read_text()
    assert "hub-speed study quickstart" in page and "study/embedder-loss_temperature.png" in page
    assert (cli.cwd / "docs" / "study" / "embedder-loss_temperature.png").stat().st_size > 1000
    facts = json.loads((cli.cwd / "docs" / "study.json").read_text())
    assert len(facts["runs"]) == 2 and facts["scaling"] is None

    again = cli(*STUDY)  # nothing is run or published twice
    assert "0 stages will run" in again and "✓" not in again
    assert again.splitlines()[-1] == out.splitlines()[-1]  # the same version of speed-study


def at_work_on_the_second(cli: Cli) -> bool:
    """Whether one embedder is published and the next has begun."""
    done = list(cli.home.glob("hub/repos/models/speed-demo/speed-embedder/refs/tags/run-*"))
    return bool(done) and any(
        f"run-{path.name.split('-')[1]}" != done[0].name for path in cli.home.glob("work/*/embedder-*")
    )
