"""Scoring: names and instructions from mteb's own register, numbers against direct computation, kills and failures.

mteb's data is not downloaded here: its tasks are looked at, not run. What is run are Hub datasets of every kind.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from fake_openai import FakeOpenAI  # noqa: E402
from running import Cli, tiny  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402
from stage_run import Run  # noqa: E402
from tiny_models import make_model  # noqa: E402

from hub_speed.errors import StageError  # noqa: E402
from hub_speed.evaluation import benchmarks  # noqa: E402
from hub_speed.evaluation import published_scores as papers  # noqa: E402
from hub_speed.evaluation.scoring import _load  # noqa: E402
from hub_speed.hub import Ref  # noqa: E402
from hub_speed.parquet import read_parquet  # noqa: E402
from hub_speed.recipe import Evaluate  # noqa: E402
from hub_speed.rows import ItemScoreRow, ScoreRow  # noqa: E402
from hub_speed.training.embedder.backbone import embedder, pooling_of  # noqa: E402
from hub_speed.training.process.launch import check_benchmarks  # noqa: E402

WORDS = ["fox", "dog", "quick", "lazy", "brown", "over", "jumps", "the"]

# --- names and instructions -----------------------------------------------------------------------------------------


def test_the_papers_benchmark_is_the_one_of_mteb() -> None:
    found = {task.metadata.name: task.metadata.type for task in benchmarks.named("MTEB(eng, v1)")}
    assert found == {name: kind for name, (kind, _) in papers.TASKS.items()} and len(found) == 56
    assert len(benchmarks.named("MTEB(eng, v2)")) == 41
    fast = [task.metadata for task in benchmarks.named("fast")]
    assert [metadata.name for metadata in fast] == list(benchmarks.FAST)
    assert {metadata.type for metadata in fast} == set(papers.TYPES)


def test_a_single_task_is_that_of_the_english_benchmark() -> None:
    assert [task.metadata.name for task in benchmarks.named("Banking77Classification")] == ["Banking77Classification"]
    (multilingual,) = benchmarks.named("MassiveIntentClassification")
    assert multilingual.hf_subsets == ["en"] and multilingual.eval_splits == ["test"]
    (other,) = benchmarks.named("GermanSTSBenchmark")  # in neither English benchmark
    assert other.metadata.name == "GermanSTSBenchmark"
    both = benchmarks.tasks([{"name": "mteb:fast"}, {"name": "mteb:SciFact"}, {"name": "mteb:STS12"}])
    assert [task.metadata.name for _, task in both] == [*benchmarks.FAST, "STS12"]  # every task once


@pytest.mark.parametrize(
    ("name", "near"), [("Banking77Clasification", "Banking77Classification"), ("MTEB(eng, v7)", "MTEB(eng, v2)")]
)
def test_an_unknown_name_is_told_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ValueError, match="Did you mean") as told:
        benchmarks.named(name)
    assert near in str(told.value)


def test_a_run_with_an_unknown_task_ends_before_it_starts(cli: Cli) -> None:
    check_benchmarks(["mteb:fast", "mteb:MTEB(eng, v1)"])
    benchmark = 'evaluate.benchmarks=["mteb:Banking77Clasification"]'
    out = cli("run", "quickstart", *tiny(), "--set", benchmark, code=2)
    assert "Banking77Classification" in out and "docs/evaluation.md" in out
    assert not list(cli.home.glob("work/*/*"))


def test_instructions_are_those_of_the_paper() -> None:
    """What mteb says of itself and what E5 Table 15 says, on samples of every type (paper-facing: word for word)."""
    known = {task.metadata.name: task.metadata for name in benchmarks.ENGLISH for task in benchmarks.named(name)}
    assert all(benchmarks.instruction(metadata) for metadata in known.values())
    expected = {
        "Banking77Classification": "Given a online banking query, find the corresponding intents",
        "MedrxivClusteringP2P": "Identify the main category of Medrxiv papers based on the titles and abstracts",
        "ArXivHierarchicalClusteringS2S": "Identify the main and secondary category of Arxiv papers based on the"
        " titles",
        "SprintDuplicateQuestions": "Retrieve duplicate questions from Sprint forum",
        "SciDocsRR": "Given a title of a scientific paper, retrieve the titles of other relevant papers",
        "CQADupstackRetrieval": "Given a question, retrieve detailed question descriptions from Stackexchange that are"
        " duplicates to the given question",
        "FEVER": "Given a claim, retrieve documents that support or refute the claim",
        "FEVERHardNegatives": "Given a claim, retrieve documents that support or refute the claim",
        "STS22": "Retrieve semantically similar text.",
        "SummEval": "Given a news summary, retrieve other semantically similar summaries",
    }
    assert {name: benchmarks.instruction(known[name]) for name in expected} == expected


def test_means_beside_the_papers_are_over_the_same_tasks() -> None:
    def scored(names: list[str]) -> list[dict[str, Any]]:
        return [
            {"subject": "embedder", "task_type": papers.TASKS[name][0], "benchmark": name}
            | {"value": papers.TASKS[name][1][0] / 100}  # as good as SPEED
            for name in names
        ]

    assert papers.comparison([]) == [] == papers.comparison([{"subject": "embedder", "benchmark": "org/x"}])
    head, ours, speed, *_ = few = papers.comparison(scored(["SciFact", "NFCorpus", "BIOSSES"]))
    assert head == ["mean over", "Retrieval (2)", "STS (1)", "all (3)"]
    assert ours[1:] == speed[1:] == ["54.2", "85.4", "64.6"] and len(few) == 2 + len(papers.COLUMNS)
    whole = papers.comparison(scored(list(papers.TASKS)))
    assert whole[0][-1] == "all (56)" and len(whole) == 2 + len(papers.COLUMNS) + len(papers.AVERAGES)
    # The means SPEED's Table 1 prints come out of its Table 8, and E5's out of its Table 17.
    assert whole[1][1:] == ["78.3", "48.6", "86.3", "59.8", "48.1", "82.6", "31.7", "63.4"]
    assert [row[-1] for row in whole[2:6]] == ["63.4", "63.1", "66.5", "66.6"]


# --- Hub datasets ---------------------------------------------------------------------------------------------------


def dataset(folder: Path, **configs: dict[str, list[dict[str, Any]]]) -> Path:
    """A Hub dataset's files: config → split → rows."""
    lines = []
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, rows in splits.items():
            (folder / config).mkdir(parents=True, exist_ok=True)
            empty = pa.schema([(name, pa.string()) for name in ("sentence1", "sentence2", "score")])
            pq.write_table(pa.Table.from_pylist(rows, None if rows else empty), folder / config / f"{split}.parquet")
            lines += [f"  - split: {split}", f"    path: {config}/{split}.parquet"]
    (folder / "README.md").write_text("---\nconfigs:\n" + "\n".join(lines) + "\n---\n")
    return folder


def sentence(i: int, length: int = 4) -> str:
    return " ".join(random.Random(f"{i} {length}").choices(WORDS, k=length))


CORPUS = [{"_id": f"d{i}", "title": "", "text": sentence(i, 5 + i % 4)} for i in range(30)]
QUERIES = [{"_id": f"q{i}", "text": sentence(i, 2)} for i in range(12)]
QRELS = [{"query-id": f"q{i}", "corpus-id": f"d{i + k}", "score": 1} for i in range(12) for k in (0, 9)]
TOP = [{"query-id": f"q{i}", "corpus-ids": [f"d{(i + 3 * k) % 30}" for k in range(8)]} for i in range(12)]
STS = [{"sentence1": sentence(i), "sentence2": sentence(i + 1 + i % 5), "score": float(5 - i % 5)} for i in range(60)]
LABELLED = [{"text": f"{sentence(i, 5)} {WORDS[i % 3]}", "label": WORDS[i % 3]} for i in range(90)]
DUPLICATES = [row | {"label": int(row["score"] > 3)} for row in STS]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny embedder, its base, and benchmarks of every kind."""
    folder = tmp_path_factory.mktemp("evaluate")
    base = make_model(folder / "base")
    embedder(str(base), {"max_length": 128}).save_pretrained(str(folder / "model"), safe_serialization=True)
    pairs = {"corpus": {"test": CORPUS}, "queries": {"test": QUERIES}, "qrels": {"test": QRELS}}
    pair_rows = [{name: row[name] for name in ("sentence1", "sentence2", "label")} for row in DUPLICATES]
    return {
        "base": base,
        "model": folder / "model",
        "search": dataset(folder / "search", **pairs, sts={"test": STS}),
        "rerank": dataset(folder / "rerank", **pairs, top_ranked={"test": TOP}),
        "labels": dataset(
            folder / "labels",
            classification={"train": LABELLED[:60], "test": LABELLED[60:]},
            clustering={"test": LABELLED},
            pair_classification={"test": pair_rows},
        ),
    }


def settings(made: dict[str, Path], tmp_path: Path, *names: str, **changes: Any) -> Path:
    """A settings file of the scoring process."""
    subjects = [
        {"name": "embedder", "kind": "embedder", "folder": str(made["model"])},
        {"name": "untrained base", "kind": "base", "folder": str(made["base"])},
        {"name": "BM25", "kind": "bm25"},
    ]
    wanted = [
        {"name": name} if name.startswith("mteb:") else {"name": f"me/{name}", "folder": str(made[name]), "commit": "c"}
        for name in names
    ]
    path = tmp_path / "settings.json"
    common = {"subjects": subjects, "benchmarks": wanted, "max_length": 128, "pooling": None}
    path.write_text(json.dumps(common | {"items": str(tmp_path / "items"), "work": str(tmp_path / "work")} | changes))
    return path


def start(path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "hub_speed.evaluation.scoring", str(path)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(path.parent / "cache")}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env)


def finish(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What it measured. Its standard input stays open until it has ended."""
    assert process.stdout and process.stderr
    out, err = process.stdout.read(), process.stderr.read()
    assert process.wait() == 0, err[-3000:]
    return [json.loads(line[1:]) for line in out.splitlines() if line.startswith("@")][-1]["result"]


@pytest.fixture(scope="module")
def scored(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Every kind of benchmark, and a task of mteb whose data cannot be had."""
    folder = tmp_path_factory.mktemp("scored")
    return finish(start(settings(made, folder, "search", "rerank", "labels", "mteb:SciFact"))), folder


def value(found: dict[str, Any], kind: str, subject: str = "embedder") -> float:
    (row,) = [s for s in found["scores"] if (s["task_type"], s["subject"]) == (kind, subject)]
    return row["value"]


def vectors(folder: Path, texts: list[str], instruction: str, *, unit: bool = True) -> np.ndarray:
    """Last-token vectors, one text at a time, straight from the decoder."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    prompt = f"Instruct: {instruction}\nQuery: " if instruction else ""
    found = []
    for text in texts:
        ids = tokenizer(prompt + text, return_tensors="pt", truncation=True, max_length=128).input_ids
        with torch.inference_mode():
            found.append(model(input_ids=ids).last_hidden_state[0, -1].numpy())
    stacked = np.stack(found)
    return stacked / np.linalg.norm(stacked, axis=1, keepdims=True) if unit else stacked


def texts(rows: list[dict[str, Any]], column: str = "text") -> list[str]:
    return [row[column] for row in rows]


def test_every_kind_is_scored_for_whom_it_is_for(scored: tuple[dict[str, Any], Path]) -> None:
    found, _ = scored
    kinds = {(s["subject"], s["task_type"], s["measure"]) for s in found["scores"]}
    every = [(kind.name, benchmarks_measure(kind.score)) for kind in benchmarks.KINDS]
    assert kinds == {(s, *kind) for s in ("embedder", "untrained base") for kind in every} | {
        ("BM25", "Retrieval", "nDCG@10")
    }
    for row in found["scores"]:
        ScoreRow.model_validate(row)
        assert row["dataset"] == f"{row['benchmark']}@c"
        if row["task_type"] in ("Retrieval", "STS", "Classification"):
            assert row["low"] <= row["value"] + 1e-9 and row["value"] - 1e-9 <= row["high"]
    counts = {s["task_type"]: s["n"] for s in found["scores"]}
    assert counts == dict(Retrieval=12, Reranking=12, STS=60, Classification=30, Clustering=90, PairClassification=60)


def benchmarks_measure(score: str) -> str:
    from hub_speed.evaluation.scoring import MEASURES

    return MEASURES[score]


def test_retrieval_asks_queries_alone_and_agrees_with_direct_computation(
    made: dict[str, Path], scored: tuple[dict[str, Any], Path]
) -> None:
    from sklearn.metrics import ndcg_score

    found, folder = scored
    queries = vectors(made["model"], texts(QUERIES), benchmarks.RETRIEVAL_INSTRUCTION)
    similar = queries @ vectors(made["model"], texts(CORPUS), "").T
    relevant = {q["_id"]: {r["corpus-id"]: 1 for r in QRELS if r["query-id"] == q["_id"]} for q in QUERIES}
    direct = {}
    for query, scores in zip(QUERIES, similar, strict=True):
        gains = [[relevant[query["_id"]].get(document["_id"], 0) for document in CORPUS]]
        direct[query["_id"]] = ndcg_score(gains, [scores], k=10)
    assert abs(value(found, "Retrieval") - np.mean(list(direct.values()))) < 1e-3
    items = list(read_parquet(folder / "items"))
    for row in items:
        ItemScoreRow.model_validate(row)
    mine = {i["item"]: i["value"] for i in items if (i["subject"], i["measure"]) == ("embedder", "nDCG@10")}
    assert mine.keys() == direct.keys() and abs(np.mean(list(mine.values())) - value(found, "Retrieval")) < 1e-4
    assert {i["subject"] for i in items} == {"embedder", "untrained base", "BM25"}


def test_reranking_and_pairs_ask_both_sides(made: dict[str, Path], scored: tuple[dict[str, Any], Path]) -> None:
    from sklearn.metrics import average_precision_score

    asked = benchmarks.RETRIEVAL_INSTRUCTION
    queries = vectors(made["model"], texts(QUERIES), asked)
    documents = dict(zip(texts(CORPUS, "_id"), vectors(made["model"], texts(CORPUS), asked), strict=True))
    relevant = {(r["query-id"], r["corpus-id"]) for r in QRELS}
    precisions = []
    for query, vector, top in zip(QUERIES, queries, TOP, strict=True):
        gold = [(query["_id"], doc) in relevant for doc in top["corpus-ids"]]
        ranks = [float(vector @ documents[doc]) for doc in top["corpus-ids"]]
        total = sum(q == query["_id"] for q, _ in relevant)
        precisions.append(average_precision_score(gold, ranks) * sum(gold) / total if any(gold) else 0.0)
    assert abs(value(scored[0], "Reranking") - np.mean(precisions)) < 1e-3
    one, two = (vectors(made["model"], texts(STS, f"sentence{k}"), benchmarks.STS_INSTRUCTION) for k in (1, 2))
    direct = average_precision_score(texts(DUPLICATES, "label"), (one * two).sum(1))
    assert abs(value(scored[0], "PairClassification") - direct) < 1e-3


def test_sts_agrees_with_scipy(made: dict[str, Path], scored: tuple[dict[str, Any], Path]) -> None:
    from scipy.stats import spearmanr

    found, folder = scored
    one, two = (vectors(made["model"], texts(STS, f"sentence{k}"), benchmarks.STS_INSTRUCTION) for k in (1, 2))
    similar = (one * two).sum(1)
    assert abs(value(found, "STS") - spearmanr(similar, texts(STS, "score")).statistic) < 1e-3
    pairs = [i for i in read_parquet(folder / "items") if i["measure"] == "Spearman"]
    assert [i["gold"] for i in pairs[:60]] == texts(STS, "score")
    mine = {i["item"]: i["value"] for i in pairs}
    assert np.allclose([mine[str(i)] for i in range(60)], similar, atol=1e-4)  # embedder and untrained base are one


def test_classification_agrees_with_sklearn(made: dict[str, Path], scored: tuple[dict[str, Any], Path]) -> None:
    """Eight texts a label, ten draws, on vectors that were not brought to unit length."""
    result, folder = scored
    from sklearn.linear_model import LogisticRegression

    asked = benchmarks.AbsTaskClassification.abstask_prompt
    x, y = vectors(made["model"], texts(LABELLED), asked, unit=False), np.array(texts(LABELLED, "label"))
    order, found = list(range(60)), []
    for _ in range(10):
        np.random.RandomState(42).shuffle(order)
        kept = {i for label in sorted(set(y)) for i in [j for j in order if y[j] == label][:8]}
        chosen = [i for i in order if i in kept]
        model = LogisticRegression(max_iter=100).fit(x[chosen], y[chosen])
        found.append((model.predict(x[60:]) == y[60:]).mean())
    assert value(result, "Classification") == pytest.approx(np.mean(found), abs=0.0034)  # one of 300
    items = [i for i in read_parquet(folder / "items") if (i["subject"], i["measure"]) == ("embedder", "accuracy")]
    assert np.mean([item["value"] for item in items]) == pytest.approx(value(result, "Classification"))
    assert 0 < value(result, "Clustering") <= 1


def test_a_task_that_fails_is_told_and_the_others_are_scored(scored: tuple[dict[str, Any], Path]) -> None:
    found, _ = scored
    assert [(row["subject"], row["benchmark"]) for row in found["failed"]] == [("embedder", "SciFact")]
    assert "scifact" in found["failed"][0]["reason"].lower() and len(found["scores"]) == 13


def test_an_instruction_of_the_recipe_is_asked(made: dict[str, Path], tmp_path: Path) -> None:
    own = [{"name": "me/labels", "folder": str(made["labels"]), "commit": "c", "instruction": "Name the animal"}]
    assert {benchmarks.instruction(task.metadata) for _, task in benchmarks.tasks(own)} == {"Name the animal"}
    with pytest.raises(ValueError, match="did you mean me/labels"):
        Evaluate(benchmarks=("me/labels",), instructions={"me/lables": "Name the animal"})


NO_SCORE = [{"sentence1": "a", "sentence2": "b", "value": 1.0}]
NO_LABEL = [{"text": "a"}]
SEARCH = {"corpus": {"test": CORPUS}, "queries": {"test": QUERIES}, "qrels": {"test": QRELS}}


@pytest.mark.parametrize(
    ("configs", "where", "expected", "got"),
    [
        ({"other": {"test": STS}}, ": no config that can be scored", "corpus + queries + qrels; or ", "other"),
        (
            {"sts": {"test": NO_SCORE}},
            ", config sts, split test: no column score",
            "sentence1, sentence2, score",
            "value",
        ),
        ({"sts": {"dev": STS}}, ", config sts: no split test", "test", "dev"),
        ({"sts": {"test": []}}, ", config sts: it cannot be loaded", "files with at least one row", ""),
        ({"classification": {"test": LABELLED}}, ", config classification: no split train", "train and test", "test"),
        (
            {"classification": {"train": NO_LABEL, "test": NO_LABEL}},
            ", config classification, split train: no column label",
            "text, label",
            "text",
        ),
        (SEARCH | {"qrels": {"train": QRELS, "dev": QRELS}}, ", config qrels: no split test", "test", "train, dev"),
        (
            SEARCH | {"corpus": {"one": [{"id": "d0", "text": "a"}]}},
            ", config corpus, split one: no column _id",
            "_id",
            "id",
        ),
    ],
)
def test_a_dataset_that_is_no_benchmark_is_told_by_what_it_lacks(
    configs: dict[str, Any],
    where: str,
    expected: str,
    got: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")  # it tells folders by their last name
    folder = dataset(tmp_path / "d", **configs)
    with pytest.raises(StageError) as told:
        benchmarks.tasks([{"name": "me/d", "folder": str(folder), "commit": "c"}])
    assert told.value.where == f"benchmark me/d{where}"
    assert expected in told.value.expected and got in told.value.got and "docs/evaluation.md" in told.value.fix


def test_a_file_with_nothing_but_a_header_is_no_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = dataset(tmp_path / "d", sts={"test": STS})
    (folder / "sts" / "test.parquet").unlink()
    (folder / "sts" / "test.csv").write_text("sentence1,sentence2,score\n")
    (folder / "README.md").write_text((folder / "README.md").read_text().replace("parquet", "csv"))
    with pytest.raises(StageError, match=r"config sts: it cannot be loaded\n.*at least one row"):
        benchmarks.tasks([{"name": "me/d", "folder": str(folder), "commit": "c"}])


def test_kill_9_loses_no_finished_task_and_scores_none_twice(made: dict[str, Path], tmp_path: Path) -> None:
    path = settings(made, tmp_path, "search")
    process = start(path)
    kept = tmp_path / "work" / "scores"
    while not list(kept.rglob("*.json")) and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = {file.relative_to(kept): (file.stat().st_ino, file.stat().st_mtime_ns) for file in kept.rglob("*.json")}
    assert 1 <= len(before) < 5
    found = finish(start(path))
    after = {file.relative_to(kept): (file.stat().st_ino, file.stat().st_mtime_ns) for file in kept.rglob("*.json")}
    assert len(after) == len(found["scores"]) == 5 and before.items() <= after.items()
    items = [(i["subject"], i["measure"], i["item"]) for i in read_parquet(tmp_path / "items")]
    assert len(items) == len(set(items)) == 3 * 12 + 2 * 60


def test_the_stage_fails_when_nothing_could_be_scored(
    made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with FakeOpenAI() as server:
        wanted = {"benchmarks": ["mteb:SciFact"]}
        run = Run("evaluate", tmp_path, server, evaluate=wanted, embedder={"pooling": "mean"})
        run.inputs |= {"embedder": made["model"], "base": made["base"]}
        with pytest.raises(StageError, match="no benchmark could be scored") as told:
            run.ctx.out.mkdir()
            run.build()
    assert "SciFact" in told.value.got
    asked = json.loads((run.ctx.work / "scoring.json").read_text())
    _load({"kind": "base", "folder": asked["subjects"][1]["folder"]}, asked, tmp_path)
    assert pooling_of(SentenceTransformer(str(tmp_path / "untrained"))) == "mean"  # the base pools as the embedder does
    run.ctx.refs["benchmark me/search"] = Ref("dataset", "me/search", "c" * 40)
    run.inputs["benchmark me/search"] = made["search"]
    assert run.ctx.benchmarks()[0] == {"name": "me/search", "folder": str(made["search"]), "commit": "c" * 40} | {
        "instruction": ""
    }


def test_a_task_is_told_from_the_same_in_another_language() -> None:
    english = benchmarks.tasks([{"name": "mteb:MTEB(eng, v1)"}])
    assert len(english) == 56 and {benchmarks.title(task) for _, task in english} == set(papers.TASKS)
    both = benchmarks.tasks([{"name": "mteb:MTEB(eng, v1)"}, {"name": "mteb:MTEB(deu, v1)"}])
    titles = [benchmarks.title(task) for _, task in both]
    assert len(set(titles)) == len(both) == 56 + len(benchmarks.named("MTEB(deu, v1)"))
    assert "MTOPDomainClassification (deu)" in titles
