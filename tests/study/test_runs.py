"""Studies: which runs they are made of, what these share, and a whole one, killed in between."""

import json
import re
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from running import Cli, kill, tiny

from hub_speed.console.study import print_study
from hub_speed.errors import RecipeError
from hub_speed.hub import Ref
from hub_speed.parquet import write_parquet
from hub_speed.pipeline.run import Result
from hub_speed.pipeline.table import STAGES
from hub_speed.recipes.loader import load
from hub_speed.rows import EffectRow, StudyRow
from hub_speed.study import runs
from hub_speed.study.effects import Scored
from hub_speed.study.report import record, rows, write_docs

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
    assert found.rows_made == {"senior.dpo_beta=0.3": []}  # every seed has rows of its own


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
    (found,) = design(vary).rows_made.values()
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


# --- reading and reporting ------------------------------------------------------------------------------------------


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
    found_law = {"measures": {"runs": trained}}
    law = Result(STAGES["scaling"], Ref("dataset", "org/speed-scaling", "1" * 40), found_law, True)
    write_docs(record(found, outcomes, 0.01, law), tmp_path)
    page = (tmp_path / "study.md").read_text("utf-8")
    assert "| seed | 100, 101, 102 | 0.712 ± 0.031 |" in page
    assert "+0.202 with seed (+0.170 to +0.233): **supported**, better than revise" in page
    assert "rows were made once (seed)" in page and "trained on 100 to 102 rows" in page
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
    assert f"{text}." in (tmp_path / "study.md").read_text("utf-8")
    print_study(facts, Ref("dataset", "org/speed-study", "0" * 40))
    assert "left out: c (Spearman)" in capsys.readouterr().out


# --- a whole one ----------------------------------------------------------------------------------------------------

# Four stages: the embedder learns from the teacher's rows, and is scored on a few pairs of sentences.
SMALL = tiny(embedder__data="seed", seed__rows=64, evaluate__benchmarks="[small-benchmark]")
STUDY = ("study", "quickstart", *SMALL, "--vary", "embedder.loss_temperature=0.5", "--seeds", "2")

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


def test_a_study_that_is_killed_goes_on_and_shares_what_its_runs_have_in_common(cli: Cli) -> None:
    pytest.importorskip("torch")
    cli.python(BENCHMARK)
    planned = cli(*STUDY, "--plan")
    assert re.search(r"brainstorm +4 +3 +1 +0 +1 ", planned) and re.search(r"embedder +4 +0 +4 +0 +4", planned)
    assert "10 stages will run, 6 are reused" in planned
    assert not list(cli.home.glob("work/*"))  # a plan spends nothing
    process = cli.start(*STUDY)
    while process.poll() is None and not at_work_on_the_second(cli):
        time.sleep(0.01)
    kill(process)
    out = cli(*STUDY, "--out", "docs")
    assert "7 stages will run" in out or "6 stages will run" in out  # the first one's scores were there, or not yet
    assert out.count("✓ embedder") == 3 and "✓ seed" not in out and "✓ brainstorm" not in out
    assert "comparisons: 1 · speed-demo/speed-study@" in out

    found = json.loads(cli.python(VERSIONS))
    assert [len(found[name]["tags"]) for name in ("tasks", "seed", "embedder", "results", "study")] == [1, 1, 4, 4, 1]
    branches = [
        "main",
        *(f"study-{name}-seed-{k}" for name in ("embedder-loss_temperature-0-5", "reference") for k in (0, 1)),
    ]
    assert found["embedder"]["branches"] == found["results"]["branches"] == branches
    assert found["tasks"]["branches"] == ["main", "study-reference-seed-0"]
    assert len(found["rows"]) == 2 * 2  # values, seeds
    assert {(row["value"], row["seed"]) for row in found["rows"]} == {(v, k) for v in ("0.05", "0.5") for k in (0, 1)}
    assert [(e["value"], e["measure"], e["seeds"]) for e in found["effects"]] == [("0.5", "Spearman", 2)]
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
    assert len(facts["runs"]) == 4 and facts["scaling"] is None

    again = cli(*STUDY)  # nothing is run or published twice
    assert "0 stages will run" in again and "✓" not in again
    assert again.splitlines()[-1] == out.splitlines()[-1]  # the same version of speed-study


def at_work_on_the_second(cli: Cli) -> bool:
    """Whether one embedder is published and the next has begun."""
    done = list(cli.home.glob("hub/repos/models/speed-demo/speed-embedder/refs/tags/run-*"))
    return bool(done) and any(
        f"run-{path.name.split('-')[1]}" != done[0].name for path in cli.home.glob("work/*/embedder-*")
    )


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
