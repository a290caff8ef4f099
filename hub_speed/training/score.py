"""Scores of embedders and of BM25 on benchmarks, by mteb.

A benchmark is a Hub dataset with the configs `corpus`, `queries` and `qrels` (retrieval, nDCG@10), or `sts` (sentence1,
sentence2, score; Spearman), or both. Settings: subjects, benchmarks, max_length, work.
"""

import json
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import mteb
import numpy as np
from datasets import get_dataset_config_names
from mteb.abstasks import AbsTaskRetrieval, AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import ModelMeta
from mteb.models.instruct_wrapper import InstructSentenceTransformerModel

from hub_speed.instructions import with_instruction
from hub_speed.stats import bootstrap_mean, bootstrap_spearman, ndcg_at_10
from hub_speed.training import child
from hub_speed.training.contrastive import embedder

RETRIEVAL_INSTRUCTION = "Given a question, retrieve passages that answer it"
STS_INSTRUCTION = "Retrieve semantically similar text"  # E5 Table 16; on both sides (E5's evaluation code)

Json = dict[str, Any]


def tasks(benchmark: Json) -> list[mteb.AbsTask]:
    """The mteb tasks of a benchmark folder, or of one of mteb's own benchmarks."""
    if benchmark["name"].startswith("mteb:"):
        return list(mteb.get_benchmark(benchmark["name"].removeprefix("mteb:")).tasks)
    configs = get_dataset_config_names(benchmark["folder"])
    found: list[mteb.AbsTask] = []
    if {"corpus", "queries"} <= set(configs):
        found.append(
            _task(benchmark, AbsTaskRetrieval, "Retrieval", "ndcg_at_10", {"query": RETRIEVAL_INSTRUCTION}, {})
        )
    if "sts" in configs:
        found.append(_task(benchmark, AbsTaskSTS, "STS", "cosine_spearman", STS_INSTRUCTION, {"name": "sts"}))
    if not found:
        raise ValueError(f"benchmark {benchmark['name']}: no config corpus + queries + qrels, and none named sts")
    return found


def _task(
    benchmark: Json, kind: type[mteb.AbsTask], name: str, score: str, prompt: Any, config: dict[str, str]
) -> mteb.AbsTask:
    metadata = TaskMetadata(
        name=f"{benchmark['name'].split('/')[-1]}-{name}",
        description=f"{name} part of {benchmark['name']}",
        dataset={"path": benchmark["folder"], "revision": benchmark["commit"]} | config,
        type=name,
        category="t2t",
        modalities=["text"],
        main_score=score,
        prompt=prompt,
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        reference=None,
        date=None,
        domains=None,
        task_subtypes=None,
        license=None,
        annotations_creators=None,
        dialect=None,
        sample_creation=None,
        bibtex_citation=None,
    )
    return type(name, (kind,), {"metadata": metadata, "min_score": 0, "max_score": 5})()


def instructed(folder: str, max_length: int) -> InstructSentenceTransformerModel:
    """A saved embedder that mteb asks with instructions; documents of retrieval get none."""
    model = InstructSentenceTransformerModel(
        folder,
        revision="",
        device="cuda" if child.use_gpu() else "cpu",
        instruction_template=lambda instruction, _: with_instruction(instruction, "") if instruction else "",
        max_seq_length=max_length,
        apply_instruction_to_passages=False,
    )
    model.mteb_model_meta = ModelMeta.create_empty({"name": "local/embedder", "revision": "none"})
    return model


def score(model: Any, name: str, benchmarks: list[Json], work: Path) -> list[Json]:
    """`rows.ScoreRow`s of one model on all benchmarks it can be asked."""
    rows = []
    for benchmark in benchmarks:
        for task in tasks(benchmark):
            if name == "BM25" and task.metadata.type != "Retrieval":
                continue
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            result = mteb.evaluate(
                model,
                task,
                cache=None,
                co2_tracker=False,
                encode_kwargs={"batch_size": 64, "show_progress_bar": False},
                prediction_folder=work,
                show_progress_bar=False,
            )
            row = {"subject": name, "value": float(result.task_results[0].get_score())}
            rows.append(row | (_mteb_row(task) if "folder" not in benchmark else _own_row(task, benchmark, work)))
    return rows


def _mteb_row(task: mteb.AbsTask) -> Json:
    """Measure and benchmark of one of mteb's own tasks, which come without intervals."""
    measure = str(task.metadata.main_score)
    return {"measure": measure, "benchmark": task.metadata.name, "low": None, "high": None, "n": 0}


def _own_row(task: mteb.AbsTask, benchmark: Json, work: Path) -> Json:
    """Measure, benchmark and interval of a task from a Hub dataset."""
    predictions = json.loads(next(work.glob("*_predictions.json")).read_text("utf-8"))["default"]["test"]
    read = _retrieval if task.metadata.type == "Retrieval" else _similarity
    task.load_data()  # mteb drops it after scoring
    measure, (low, high), n = read(task, predictions)
    return {"measure": measure, "benchmark": benchmark["name"], "low": low, "high": high, "n": n}


def _retrieval(task: Any, predictions: dict[str, dict[str, float]]) -> tuple[str, tuple[float, float], int]:
    """The interval of nDCG@10 over queries."""
    relevant = task.dataset["default"]["test"]["relevant_docs"]
    # As trec_eval sorts: by score, then by name, both falling.
    rankings = {q: sorted(found, key=lambda doc: (found[doc], doc), reverse=True) for q, found in predictions.items()}
    values = [ndcg_at_10(ranking, relevant[query]) for query, ranking in rankings.items()]
    return "nDCG@10", bootstrap_mean(np.array(values)), len(values)


def _similarity(task: Any, predictions: dict[str, list[float]]) -> tuple[str, tuple[float, float], int]:
    """The interval of Spearman's correlation over pairs."""
    gold = np.array(task.dataset["test"]["score"], dtype=float)
    return "Spearman", bootstrap_spearman(np.array(predictions["cosine_scores"]), gold), len(gold)


def run(settings: Json) -> Json:
    """Score every subject."""
    quiet()
    work = Path(settings["work"])
    child.say(total=len(settings["subjects"]))
    scores: list[Json] = []
    for i, subject in enumerate(settings["subjects"]):
        if subject["kind"] == "bm25":
            model: Any = mteb.get_model("mteb/baseline-bm25s")
        elif subject["kind"] == "base":
            untrained = embedder(subject["folder"], {"max_length": settings["max_length"]})
            untrained.save_pretrained(str(work / "untrained"), safe_serialization=True)
            model = instructed(str(work / "untrained"), settings["max_length"])
        else:
            model = instructed(subject["folder"], settings["max_length"])
        scores += score(model, subject["name"], settings["benchmarks"], work / "predictions")
        child.say(step=i + 1)
    return {"scores": scores}


def quiet() -> None:
    """Keep the libraries from talking."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")


if __name__ == "__main__":
    child.run(run)
