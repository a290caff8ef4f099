"""Scores of embedders and of BM25 on benchmarks, by mteb; task by task, so that a killed run continues.

With several GPUs the tasks are spread over them, the longest first.
"""

import json
import logging
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mteb
import numpy as np
from mteb.models import ModelMeta
from mteb.models.instruct_wrapper import InstructSentenceTransformerModel
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize

from hub_speed.evaluation import benchmarks
from hub_speed.evaluation.intervals import bootstrap_mean, bootstrap_spearman, ndcg_at_10
from hub_speed.evaluation.settings import Benchmark, ScoringSettings, Subject
from hub_speed.parquet import write_parquet
from hub_speed.record import Json
from hub_speed.rows import ItemScoreRow
from hub_speed.text import Instructions, before_query
from hub_speed.training.embedder.backbone import embedder, saved
from hub_speed.training.process import child
from hub_speed.training.process.workers import LOST, command, spread

MEASURES = {
    "ndcg_at_10": "nDCG@10",
    "map_at_1000": "MAP",
    "max_over_subqueries_map_at_1000": "MAP",
    "cosine_spearman": "Spearman",
    "accuracy": "accuracy",
    "v_measure": "V-measure",
    "max_ap": "AP",
}
"""mteb's names of main scores → ours; others stay as they are."""


class Instructed(InstructSentenceTransformerModel):
    """A saved embedder, prompted as E5's evaluation code does.

    The instruction goes before every text except the documents of retrieval. Vectors have unit length except those a
    classifier is trained on. Source: E5 §4.1 and Table 15, and its released evaluation code.

    An embedder that was trained on another form than a sentence of instruction is given that form. With prefixes,
    retrieval has that of a question, classification that of a text to classify, all else none: Assumption.

    Args:
        folder: of the embedder.
        max_length: tokens of a text that are read.
        form: of what goes before a text.
        always_unit: whether a classifier's vectors have unit length as well, where the embedder says so itself.
    """

    def __init__(
        self, folder: Path, max_length: int, form: Instructions = "natural", *, always_unit: bool = False
    ) -> None:
        device = "cuda" if child.use_gpu() else "cpu"
        super().__init__(
            str(folder),
            revision="",
            device=device,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
            instruction_template=lambda prompt, _: prompt,
        )
        self.mteb_model_meta = ModelMeta.create_empty({"name": "local/embedder", "revision": "none"})
        self.form = form
        self.unit = self.model
        self.unit.max_seq_length = min(max_length, self.unit.max_seq_length or max_length)
        self.raw = SentenceTransformer(
            modules=[m for m in self.unit if always_unit or not isinstance(m, Normalize)],
            device=device,
            truncate_dim=self.unit.truncate_dim,
        )

    def get_instruction(self, task_metadata: Any, prompt_type: Any) -> str:
        """What goes before a text of the task."""
        kind = {"Classification": "classification", "Retrieval": "retrieval"}.get(task_metadata.type, "sts")
        return before_query(self.form, benchmarks.instruction(task_metadata), kind)

    def encode(self, inputs: Any, *, task_metadata: Any, **kwargs: Any) -> Any:
        """Vectors of texts, shape (texts, dimension)."""
        self.apply_instruction_to_passages = not task_metadata.type.endswith("Retrieval")
        self.model = self.raw if task_metadata.type == "Classification" else self.unit
        return super().encode(inputs, task_metadata=task_metadata, **kwargs)


class AsPublished(SentenceTransformerEncoderWrapper):
    """An embedder as its authors use it: with the prompts that are saved with it, or none, by mteb's own rules.

    Prompts for queries and documents go before those of retrieval; other tasks get a prompt that is named after them or
    their type, where there is one. Vectors are as they come.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(saved(folder, "cuda" if child.use_gpu() else "cpu"))
        self.mteb_model_meta = ModelMeta.create_empty({"name": "local/published", "revision": "none"})


def score(
    subject: str, load: Callable[[], Any], tasks: list[tuple[Benchmark, mteb.AbsTask]], kept: Path, work: Path
) -> tuple[list[Path], list[Json]]:
    """Score one model on all tasks; a task that fails does not stop the others.

    Args:
        subject: the model's name.
        load: loads the model; not called when nothing is left to score.
        tasks: see `benchmarks.tasks`.
        kept: cache folder, one JSON per task (what `score_task` returned); cached tasks are not rescored.
        work: a scratch folder for mteb.

    Returns:
        The files in the order of the tasks; and subject, measure, benchmark and reason of each task that failed.
    """
    kept.mkdir(parents=True, exist_ok=True)
    done, failed, model = [], [], None
    for benchmark, task in tasks:
        path = kept / f"{benchmarks.title(task)}.json"
        try:
            if not path.exists():
                model = load() if model is None else model
                keep(path, score_task(model, subject, benchmark, task, work))
            done.append(path)
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
            failed.append(_failed(subject, benchmark, task, reason))
    return done, failed


def _failed(subject: str, benchmark: Benchmark, task: mteb.AbsTask, reason: str) -> Json:
    name = benchmark.name if benchmark.folder else benchmarks.title(task)
    return {"subject": subject, "measure": _measure(task), "benchmark": name, "reason": reason}


def score_task(model: Any, name: str, benchmark: Benchmark, task: mteb.AbsTask, work: Path) -> Json:
    """Score one model on one task.

    Returns:
        row: a `rows.ScoreRow`; items: its `rows.ItemScoreRow`s; subsets: its parts, of a task of mteb.

    Raises:
        ValueError: the score is not a number.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    result = mteb.evaluate(
        model,
        task,
        cache=None,
        co2_tracker=False,
        encode_kwargs={"batch_size": 64, "show_progress_bar": False},  # E5's evaluation code: 64
        prediction_folder=work,
        show_progress_bar=False,
    )
    value = float(result.task_results[0].get_score())
    if not math.isfinite(value):
        raise ValueError(f"the score is {value}: all vectors are alike, or all values they are compared with")
    metadata, is_own = task.metadata, benchmark.folder is not None
    data = (benchmark.name, benchmark.commit) if is_own else (metadata.dataset[k] for k in ("path", "revision"))
    row: Json = {
        "subject": name,
        "task_type": metadata.type,
        "measure": _measure(task),
        "benchmark": benchmark.name if is_own else benchmarks.title(task),
        "dataset": "@".join(data),
        "value": value,
        "low": None,
        "high": None,
        "n": 0 if is_own else _size(task),
    }
    items: Items = []
    if is_own:
        found = json.loads(next(work.glob("*_predictions.json")).read_text("utf-8"))["default"]["test"]
        task.load_data()  # mteb drops it after scoring
        (low, high), row["n"], items = _detail(task, found)
        row |= {"low": low, "high": high}
        task.unload_data()
    named = {key: row[key] for key in ("subject", "measure", "benchmark")}
    subsets = [] if is_own else _subsets(result.task_results[0])
    return {
        "row": row,
        "subsets": subsets,
        "items": [named | {"item": i, "value": value, "gold": gold} for i, value, gold in items],
    }


def _subsets(result: mteb.TaskResult) -> list[Json]:
    """The scores of a task's parts, under the ids that mteb gives them on the Hub: task, subset and split."""
    return [
        {"task_id": f"{result.task_name}_{part['hf_subset']}_{split}", "value": float(part["main_score"])}
        for split, parts in result.scores.items()
        for part in parts
    ]


def _measure(task: mteb.AbsTask) -> str:
    return MEASURES.get(task.metadata.main_score, task.metadata.main_score)


def _size(task: mteb.AbsTask) -> int:
    """How many queries, pairs or texts a task of mteb has, by mteb's own count; 0 where mteb has none."""
    count = "num_queries" if task.metadata.type in ("Retrieval", "Reranking") else "num_samples"
    return sum(int(part.get(count, 0)) for part in _counted(task))


def _counted(task: mteb.AbsTask) -> Iterator[Json]:
    """What mteb has counted of the parts of a task that are scored: splits, each in its languages."""
    counted: Json = dict(task.metadata.descriptive_stats or {})
    for split in task.eval_splits:
        whole = counted.get(split, {})
        languages = whole.get("hf_subset_descriptive_stats") or {}
        yield from [languages[subset] for subset in task.hf_subsets if subset in languages] or [whole]


def _work(benchmark: Benchmark, task: mteb.AbsTask) -> int:
    """How much there is to read in a task: characters by mteb's own count, or bytes of a Hub dataset."""
    if benchmark.folder is not None:
        return sum(path.stat().st_size for path in benchmark.folder.rglob("*.parquet"))
    return sum(
        int(texts["total_text_length"])
        for part in _counted(task)
        for texts in part.values()
        if isinstance(texts, dict) and "total_text_length" in texts
    )


Items = list[tuple[str, float, float | None]]
"""Name, value and gold score of single queries, pairs or texts."""
Detail = tuple[tuple[float | None, float | None], int, Items]


def _detail(task: Any, found: Any) -> Detail:
    """Interval, number of items and the score of each, from the predictions for a task of a Hub dataset."""
    if task.metadata.type == "Retrieval":
        return _retrieval(task, found)
    if task.metadata.type == "Reranking":
        return (None, None), len(found), []
    test = task.dataset["test"]
    if task.metadata.type == "STS":
        similar, gold = np.array(found["cosine_scores"]), np.array(test["score"], dtype=float)
        pairs = enumerate(zip(similar, gold, strict=True))
        return bootstrap_spearman(similar, gold), len(gold), [(str(i), float(s), float(g)) for i, (s, g) in pairs]
    if task.metadata.type == "Classification":
        right = (np.array(found) == np.array(test["label"])).mean(0)  # over mteb's ten small training sets
        return bootstrap_mean(right), len(right), [(str(i), float(share), None) for i, share in enumerate(right)]
    return (None, None), len(test), []


def _retrieval(task: Any, predictions: dict[str, dict[str, float]]) -> Detail:
    """nDCG@10 per query, and its interval over queries."""
    relevant = task.dataset["default"]["test"]["relevant_docs"]
    values = ndcg_at_10(predictions, relevant)
    items: Items = [(query, value, None) for query, value in values.items()]
    return bootstrap_mean(np.array(list(values.values()))), len(values), items


def _is_scored(subject: Subject, benchmark: Benchmark, task: mteb.AbsTask, bases_everywhere: bool) -> bool:
    """Whether a subject is scored on a task.

    mteb's tasks take days and have published baselines: only the embedder is scored on them, and its base where the
    settings say so. BM25 only ranks documents.
    """
    if subject.kind == "bm25":
        return benchmark.folder is not None and task.metadata.type == "Retrieval"
    return subject.kind == "embedder" or benchmark.folder is not None or bases_everywhere


def _load(subject: Subject, settings: ScoringSettings) -> Any:
    """The model behind a subject, as mteb calls it.

    Beside a base as it was published, nobody's vectors are changed: scaled to unit length or not, MiniLM's accuracy on
    Banking77 differs by 0.10, more than most trainings bring.
    """
    if subject.kind == "bm25":
        return mteb.get_model("mteb/baseline-bm25s")
    assert subject.folder is not None
    if subject.kind == "published":
        return AsPublished(subject.folder)
    folder = subject.folder
    if subject.kind == "base":
        folder = settings.work / f"untrained-{os.getpid()}"  # several workers may write one at a time
        embedder(subject.folder, settings.max_length, settings.pooling).save_pretrained(str(folder))
    always_unit = any(other.kind == "published" for other in settings.subjects)
    return Instructed(folder, settings.max_length, settings.instructions, always_unit=always_unit)


Jobs = dict[str, tuple[Subject, Benchmark, mteb.AbsTask]]
"""What is to be scored: the file of a score, below `scores` and without its ending → whom it is for, and the task."""


def _jobs(settings: ScoringSettings, tasks: list[tuple[Benchmark, mteb.AbsTask]]) -> Jobs:
    return {
        f"{subject.kind}/{benchmarks.title(task)}": (subject, benchmark, task)
        for subject in settings.subjects
        for benchmark, task in tasks
        if _is_scored(subject, benchmark, task, settings.bases_everywhere)
    }


def run(settings: ScoringSettings) -> Json:
    """Score every subject; finished tasks are kept in `work` and not scored again.

    Returns:
        scores: `rows.ScoreRow`s; subsets: see `_of_subsets`; failed: subject, measure, benchmark and reason of every
        task that failed; notes: what is odd about a benchmark's data, in sentences.
    """
    quiet()
    tasks = benchmarks.tasks(settings.benchmarks)
    jobs = _jobs(settings, tasks)
    paths = {name: settings.work / "scores" / f"{name}.json" for name in jobs}
    left = [name for name in jobs if not paths[name].exists()]
    child.say(total=len(jobs), done=len(jobs) - len(left))
    failed: dict[str, list[Json]] = {}
    for i, (name, found) in enumerate(_each(settings, jobs, left), len(jobs) - len(left) + 1):
        subject, benchmark, task = jobs[name]
        failed[name] = found["failed"] if LOST not in found else [_failed(subject.name, benchmark, task, found[LOST])]
        child.say(step=i, note=name.partition("/")[2])
    done = [path for path in paths.values() if path.exists()]
    write_parquet(_items(done), ItemScoreRow, settings.items)
    in_order = [reason for name in jobs for reason in failed.get(name, [])]
    return {"scores": rows(done), "subsets": _of_subsets(done), "failed": in_order, "notes": _notes(tasks)}


def _each(settings: ScoringSettings, jobs: Jobs, left: list[str]) -> Iterator[tuple[str, Json]]:
    """Do the jobs that are left, here or on several GPUs: there a subject's longest task comes first."""
    if len(settings.devices) < 2:
        do = _scorer(settings, jobs)
        return ((name, do(name)) for name in left)
    order = [subject.kind for subject in settings.subjects]
    left.sort(key=lambda name: (order.index(jobs[name][0].kind), -_work(jobs[name][1], jobs[name][2])))
    return spread(command("evaluation.scoring", settings), settings.devices, left)


def worker(settings: ScoringSettings) -> Callable[[str], Json]:
    """What scores one job after another, by their names."""
    quiet()
    return _scorer(settings, _jobs(settings, benchmarks.tasks(settings.benchmarks)))


def _scorer(settings: ScoringSettings, jobs: Jobs) -> Callable[[str], Json]:
    """The last model that was needed stays loaded."""
    loaded: dict[str, Any] = {}

    def model(subject: Subject) -> Any:
        if subject.kind not in loaded:
            loaded.clear()
            loaded[subject.kind] = _load(subject, settings)
        return loaded[subject.kind]

    def do(name: str) -> Json:
        subject, benchmark, task = jobs[name]
        kept, scratch = settings.work / "scores" / subject.kind, settings.work / "predictions" / name
        return {"failed": score(subject.name, partial(model, subject), [(benchmark, task)], kept, scratch)[1]}

    return do


def _notes(tasks: list[tuple[Benchmark, mteb.AbsTask]]) -> list[str]:
    return [
        f"{each.name}: {note}" for each, task in tasks if isinstance(task, benchmarks.Search) for note in task.notes()
    ]


def rows(paths: list[Path]) -> list[Json]:
    """The `rows.ScoreRow`s in files of `score`."""
    return [json.loads(path.read_text("utf-8"))["row"] for path in paths]


def keep(path: Path, result: Any) -> None:
    """Write a result to a file, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result), "utf-8")
    part.replace(path)


def _of_subsets(paths: list[Path]) -> list[Json]:
    """The parts of the embedder's scores on tasks of mteb: dataset, measure, task_id and value."""
    found = [json.loads(path.read_text("utf-8")) for path in paths]
    mine = [one for one in found if one["row"]["subject"] == "embedder"]
    return [{key: one["row"][key] for key in ("dataset", "measure")} | part for one in mine for part in one["subsets"]]


def _items(paths: list[Path]) -> Iterator[Json]:
    for path in paths:
        yield from json.loads(path.read_text("utf-8"))["items"]


def quiet() -> None:
    """Silence the libraries' logs and warnings."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")


if __name__ == "__main__":
    child.run(ScoringSettings, run, worker)
