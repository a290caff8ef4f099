"""Publishes what the quickstart starts from: topics, the tiny base model and the benchmark."""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from hub_speed.evaluation import eval_yaml
from hub_speed.hub import Hub
from hub_speed.parquet import write_parquet
from hub_speed.quickstart import benchmark, tasks
from hub_speed.record import Ref
from hub_speed.rows import TopicRow

BASE = Path(__file__).parent / "tiny_base"
ENTITIES_PER_DOMAIN = 8  # topics on single entities; the rest are a domain or one of its attributes
VERSION = 1  # raised when what is written here changes
BENCHMARK_VERSION = 2  # the same, of the benchmark
ABOUT_BENCHMARK = (
    "Retrieval and similarity of sentences in the small world of hub_speed's quickstart, in phrasings that no training"
    " text uses."
)


def publish(hub: Hub, org: str) -> list[Ref]:
    """Publish what the organisation does not have yet; returns the three versions."""
    facts = json.loads((BASE / "pretraining.json").read_text("utf-8"))
    return [
        hub.ensure("dataset", f"{org}/quickstart-topics", f"topics {VERSION}", _topics),
        hub.ensure("dataset", f"{org}/quickstart-benchmark", f"benchmark {BENCHMARK_VERSION}", _benchmark),
        hub.ensure("model", f"{org}/tiny-base", f"base {VERSION} {json.dumps(facts)}", lambda f: _base(f, facts)),
    ]


def topics() -> list[str]:
    """The topics of the quickstart."""
    return list(tasks.topics(0, ENTITIES_PER_DOMAIN))


def _card(folder: Path, header: dict[str, Any], text: str) -> None:
    header = {"license": "apache-2.0", "language": ["en"], "tags": ["speed", "quickstart"]} | header
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n{text}", "utf-8")


def _topics(folder: Path) -> None:
    count = write_parquet(({"topic": path} for path in topics()), TopicRow, folder / "data")
    _card(
        folder,
        {"configs": [{"config_name": "default", "data_files": "data/*.parquet"}]},
        f"# Quickstart topics\n\n{count} topics of the quickstart's small world: its domains, their attributes, and"
        " some of the things in them. Held-out things are not among them.\n",
    )


def _benchmark(folder: Path) -> None:
    benchmark.write(folder)
    text = eval_yaml.eval_yaml("Quickstart benchmark", ABOUT_BENCHMARK, ("retrieval", "sts"))
    (folder / eval_yaml.FILE).write_text(text, "utf-8")
    configs = [
        {"config_name": name, "data_files": [{"split": "test", "path": f"{name}/*.parquet"}]}
        for name in ("corpus", "queries", "qrels", "sts")
    ]
    _card(
        folder,
        {"configs": configs, "task_categories": ["text-retrieval", "sentence-similarity"]},
        "# Quickstart benchmark\n\nRetrieval (`corpus`, `queries`, `qrels`) and similarity of sentences (`sts`) in the"
        " quickstart's small world. Every question, document and sentence is written in phrasings that no training text"
        f" uses; {benchmark.QUESTIONS_HELD_OUT} of {benchmark.QUESTIONS_SEEN + benchmark.QUESTIONS_HELD_OUT} questions"
        " are on things that no training row is about.\n",
    )


def _base(folder: Path, facts: dict[str, Any]) -> None:
    for path in BASE.iterdir():
        shutil.copy(path, folder / path.name)
    _card(
        folder,
        {"library_name": "transformers", "pipeline_tag": "text-generation"},
        f"# Tiny base model\n\nA Llama of {facts['parameters']:,} parameters with a vocabulary of 2,048 tokens,"
        f" pre-trained on {facts['tokens']:,} tokens about a small world of facts: plain text, and JSON records about"
        f" named subjects (final loss {facts['loss']}). It has seen no prompt and no task: the quickstart's generators,"
        " revisor and embedder start from it.\n",
    )
