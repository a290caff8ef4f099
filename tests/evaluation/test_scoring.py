"""Scores against direct computation on Hub datasets of every kind, and what a kill or a failing task leaves."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import mteb  # noqa: E402
from benchmark_sets import CORPUS, DUPLICATES, LABELLED, QRELS, QUERIES, STS, TOP, dataset  # noqa: E402
from tiny_models import make_model  # noqa: E402

from hub_speed.evaluation import benchmarks, scoring  # noqa: E402
from hub_speed.evaluation.intervals import ndcg_at_10  # noqa: E402
from hub_speed.evaluation.scoring import MEASURES  # noqa: E402
from hub_speed.evaluation.settings import Benchmark, ScoringSettings, Subject  # noqa: E402
from hub_speed.parquet import read_parquet  # noqa: E402
from hub_speed.quickstart import benchmark  # noqa: E402
from hub_speed.rows import ItemScoreRow, ScoreRow  # noqa: E402
from hub_speed.text import Instructions  # noqa: E402
from hub_speed.training.embedder.backbone import embedder, saved  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny embedder, its base, and benchmarks of every kind."""
    folder = tmp_path_factory.mktemp("evaluate")
    base = make_model(folder / "base")
    embedder(base, 128).save_pretrained(str(folder / "model"), safe_serialization=True)
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


def settings(made: dict[str, Path], folder: Path, *names: str) -> ScoringSettings:
    """What the stage hands on, for benchmarks of mteb or of `made`."""
    return ScoringSettings(
        work=folder / "work",
        subjects=(
            Subject(name="embedder", kind="embedder", folder=made["model"]),
            Subject(name="untrained base", kind="base", folder=made["base"]),
            Subject(name="BM25", kind="bm25"),
        ),
        benchmarks=tuple(
            Benchmark(name=name) if ":" in name else Benchmark(name=f"me/{name}", folder=made[name], commit="c")
            for name in names
        ),
        items=folder / "items",
        max_length=128,
    )


def start(given: ScoringSettings) -> "subprocess.Popen[str]":
    path = given.work.parent / "settings.json"
    path.write_text(given.model_dump_json())
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
    every = [(kind.name, MEASURES[kind.score]) for kind in benchmarks.KINDS]
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


def test_retrieval_asks_queries_alone_and_agrees_with_direct_computation(
    made: dict[str, Path], scored: tuple[dict[str, Any], Path]
) -> None:
    found, folder = scored
    queries = vectors(made["model"], texts(QUERIES), benchmarks.RETRIEVAL_INSTRUCTION)
    similar = queries @ vectors(made["model"], texts(CORPUS), "").T
    relevant = {q["_id"]: {r["corpus-id"]: 1 for r in QRELS if r["query-id"] == q["_id"]} for q in QUERIES}
    ranked = {
        query["_id"]: {document["_id"]: float(score) for document, score in zip(CORPUS, scores, strict=True)}
        for query, scores in zip(QUERIES, similar, strict=True)
    }
    direct = ndcg_at_10(ranked, relevant)
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


def test_bases_are_scored_on_tasks_of_mteb_where_one_wants_to_see_what_is_forgotten() -> None:
    (task,) = benchmarks.named("SciFact")
    whole = Benchmark(name="mteb:SciFact")
    scored = {
        (kind, everywhere): scoring._is_scored(Subject(name=kind, kind=kind), whole, task, everywhere)
        for kind in ("embedder", "base", "published", "bm25")
        for everywhere in (True, False)
    }
    wanted = {("embedder", True), ("embedder", False), ("base", True), ("published", True)}
    assert {each for each, is_scored in scored.items() if is_scored} == wanted


def test_a_model_can_be_scored_on_the_benchmark_of_the_quickstart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(logging.root.manager, "disable", logging.NOTSET)  # `scoring.quiet` sets it
    benchmark.write(tmp_path / "quickstart")
    parts = ("corpus", "queries", "qrels", "sts")
    rows = {name: {"test": list(read_parquet(tmp_path / "quickstart" / name))} for name in parts}
    given = ScoringSettings(
        work=tmp_path / "work",
        subjects=(Subject(name="BM25", kind="bm25"),),
        benchmarks=(Benchmark(name="me/quickstart", folder=dataset(tmp_path / "hub", **rows), commit="c"),),
        items=tmp_path / "items",
        max_length=128,
    )
    (found,) = scoring.run(given)["scores"]  # BM25 only ranks documents
    assert found["low"] <= found["value"] <= found["high"]
    assert 0.3 < found["value"] < 0.9  # it finds the thing, not which of its facts


@pytest.fixture
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for a scoring in this process."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(logging.root.manager, "disable", logging.NOTSET)  # `scoring.quiet` sets it
    return tmp_path


def run(folder: Path, benchmark: Path, *subjects: Subject) -> dict[str, Any]:
    given = ScoringSettings(
        work=folder / "work",
        subjects=subjects,
        benchmarks=(Benchmark(name=f"me/{benchmark.name}", folder=benchmark, commit="c"),),
        items=folder / "items",
        max_length=128,
    )
    return scoring.run(given)


def test_odd_judgements_are_clipped_and_counted_and_the_score_is_the_mean_of_its_queries(
    made: dict[str, Path], in_process: Path
) -> None:
    qrels = [row | {"score": (-1, 0, 1, 2)[i % 4]} for i, row in enumerate(QRELS)]
    qrels += [{"query-id": "q0", "corpus-id": "gone", "score": 1}, {"query-id": "none", "corpus-id": "d1", "score": 1}]
    corpus = [row | {"title": None if i % 2 else "fox"} for i, row in enumerate(CORPUS)]
    parts = {"corpus": {"test": corpus}, "queries": {"test": QUERIES}, "qrels": {"test": qrels}}
    found = run(
        in_process,
        dataset(in_process / "odd", **parts),
        Subject(name="embedder", kind="embedder", folder=made["model"]),
    )
    assert not found["failed"]
    (row,) = found["scores"]
    items = [item["value"] for item in read_parquet(in_process / "items")]
    assert np.mean(items) == pytest.approx(row["value"], abs=1e-5) and row["low"] <= row["value"] <= row["high"]
    assert found["notes"] == [
        "me/odd: 1 of 26 judgements name documents that the corpus does not have: they count as not found",
        "me/odd: 1 of 26 judgements name queries that are not there: they are left out",
        "me/odd: 6 of 26 judgements are below 0: they count as 0",
    ]


def test_two_classes_may_have_any_names(made: dict[str, Path], in_process: Path) -> None:
    values = []
    for i, names in enumerate(((0, 1), (2, 3), ("no", "yes"))):
        rows = [{"text": row["text"], "label": names[k % 2]} for k, row in enumerate(LABELLED)]
        matches = [row | {"label": names[row["label"]]} for row in DUPLICATES] if i < 2 else []
        pairs = {"pair_classification": {"test": matches}} if matches else {}
        folder = dataset(in_process / f"set{i}", classification={"train": rows[:60], "test": rows[60:]}, **pairs)
        found = run(in_process / str(i), folder, Subject(name="embedder", kind="embedder", folder=made["model"]))
        assert not found["failed"]
        values.append({row["task_type"]: row["value"] for row in found["scores"]})
        assert 0 < np.mean([item["value"] for item in read_parquet(in_process / str(i) / "items")]) < 1
    assert values[0] == values[1] and values[0]["Classification"] == values[2]["Classification"]


def test_an_embedder_as_it_was_published_gets_its_own_prompts_or_none(made: dict[str, Path], in_process: Path) -> None:
    model = saved(made["model"], "cpu")
    model.prompts = {"query": "fox ", "document": "dog "}
    model.save_pretrained(str(in_process / "prompted"))
    found = run(in_process, made["search"], Subject(name="base", kind="published", folder=in_process / "prompted"))
    assert not found["failed"]
    one, two = (model.encode(texts(STS, f"sentence{k}")) for k in (1, 2))
    pairs = [item for item in read_parquet(in_process / "items") if item["measure"] == "Spearman"]
    assert np.allclose([item["value"] for item in pairs], (one * two).sum(1), atol=1e-5)  # no prompt for a pair
    queries, documents = model.encode_query(texts(QUERIES)), model.encode_document(texts(CORPUS))
    ranked = {
        query["_id"]: dict(zip(texts(CORPUS, "_id"), map(float, scores), strict=True))
        for query, scores in zip(QUERIES, queries @ documents.T, strict=True)
    }
    relevant = {q["_id"]: {r["corpus-id"]: 1 for r in QRELS if r["query-id"] == q["_id"]} for q in QUERIES}
    direct = np.mean(list(ndcg_at_10(ranked, relevant).values()))
    assert value(found, "Retrieval", "base") == pytest.approx(direct, abs=1e-4)


def test_beside_a_published_base_a_classifier_gets_the_same_vectors(made: dict[str, Path], in_process: Path) -> None:
    """The base as it was published, and as it comes out of a training that changes nothing."""
    subjects = (
        Subject(name="before", kind="published", folder=made["model"]),
        Subject(name="after", kind="embedder", folder=made["model"]),
    )
    given = settings(made, in_process, "labels").model_copy(update={"subjects": subjects, "instructions": "none"})
    assert not scoring.run(given)["failed"]
    items = [row for row in read_parquet(in_process / "items") if row["measure"] == "accuracy"]
    before, after = ([row["value"] for row in items if row["subject"] == name] for name in ("before", "after"))
    assert before == after and len(set(before)) > 1


def test_an_embedder_is_asked_in_the_form_it_was_trained_with(made: dict[str, Path]) -> None:
    def asked(form: Instructions) -> list[str | None]:
        model = scoring.Instructed(made["model"], 128, form)
        tasks = [mteb.get_task(name) for name in ("SciFact", "Banking77Classification", "STSBenchmark")]
        return [model.get_task_instruction(task.metadata, None) for task in tasks]

    assert [str(text).partition(" ")[0] for text in asked("natural")] == ["Instruct:"] * 3
    assert [text or "" for text in asked("task_type_prefix")] == ["query: ", "classify: ", ""]
    assert [text or "" for text in asked("none")] == ["", "", ""]


def test_kill_9_loses_no_finished_task_and_scores_none_twice(made: dict[str, Path], in_process: Path) -> None:
    given = settings(made, in_process, "search")
    process = start(given)
    kept = in_process / "work" / "scores"
    while not list(kept.rglob("*.json")) and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = {file.relative_to(kept): (file.stat().st_ino, file.stat().st_mtime_ns) for file in kept.rglob("*.json")}
    assert 1 <= len(before) < 5
    found = scoring.run(given)
    after = {file.relative_to(kept): (file.stat().st_ino, file.stat().st_mtime_ns) for file in kept.rglob("*.json")}
    assert len(after) == len(found["scores"]) == 5 and before.items() <= after.items()
    items = [(i["subject"], i["measure"], i["item"]) for i in read_parquet(in_process / "items")]
    assert len(items) == len(set(items)) == 3 * 12 + 2 * 60


@pytest.mark.slow
def test_workers_on_two_gpus_find_what_one_process_finds(
    made: dict[str, Path], scored: tuple[dict[str, Any], Path], in_process: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(in_process / "cache"))
    given = settings(made, in_process, "search").model_copy(update={"devices": ("0", "1")})
    found = scoring.run(given)
    names = {"Retrieval", "STS"}
    alone = [row for row in scored[0]["scores"] if row["task_type"] in names and row["benchmark"] == "me/search"]
    assert len(alone) == 5 and not found["failed"]
    assert [row | {"value": pytest.approx(row["value"], abs=1e-6)} for row in found["scores"]] == alone
    assert len(list(read_parquet(in_process / "items"))) == 3 * 12 + 2 * 60


def test_the_longest_task_of_a_subject_comes_first(made: dict[str, Path], in_process: Path) -> None:
    given = settings(made, in_process, "mteb:STSBenchmark", "mteb:SciFact", "search")
    jobs = scoring._jobs(given, benchmarks.tasks(given.benchmarks))
    work = {name: scoring._work(*job[1:]) for name, job in jobs.items()}
    assert work["embedder/SciFact"] == 7_771_451 + 27_104  # characters of documents and queries, as mteb counts them
    assert work["embedder/SciFact"] > work["embedder/STSBenchmark"] > 100_000 > work["embedder/me--search-STS"] > 0
