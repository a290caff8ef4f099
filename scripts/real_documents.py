"""From documents to an embedder with real models: the standard library's documentation, on two cores and the embedded
Hub.

    python scripts/real_documents.py [--home FOLDER] [--modules 90] [--words 220] [--seeds 3] [--sts PAIRS.csv]
        [--classification TRAIN.csv TEST.csv] [--set FIELD=VALUE ...] [--json PATH]

Documents: the docstrings of the standard library of the Python that runs this, a document a module, and the pages of
the language reference that `help()` shows (reStructuredText, in `pydoc_data.topics`). SmolLM2-135M-Instruct writes the
questions and is asked them without their passage. It cannot follow the usual prompt, so it gets the short one, behind
two examples about libraries that do not exist. all-MiniLM-L6-v2 searches, mines and is trained, once for each seed.
Where the models come from, and what the files of your own are, says `real_models.py`. There is no small reranker among
the packages, so nothing is relabelled. What such a generator writes, and what came of it: docs/questions.md.

Prints each stage, what was left out and why, and a table: nDCG@10 on the questions about held-out documents for BM25,
the base and the trained embedder, and the scores on your files. Intervals are 95%, from a bootstrap over seeds and
questions at once.
"""

import argparse
import ast
import csv
import importlib
import inspect
import json
import shutil
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from bench_quickstart import run
from real_models import BENCHMARK, EMBEDDER, GENERATOR, ORG, flags, own_files, packages, publish

from hub_speed.api import load_rows, open_hub
from hub_speed.api.hubs import OpenHub

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
APPLICATIONS = {"idlelib", "lib2to3", "this", "antigravity", "turtledemo"}  # nothing one looks up
LEAST_WORDS = 40  # of a document. Assumption: most modules with less only say what they are
FEW_WORDS = 3  # of a docstring that says nothing. Assumption
BEFORE, AFTER = "base with its own prompts", "embedder"
SUBJECTS = ("BM25", BEFORE, AFTER)
STAGES = ("corpus", "questions", "filter", "benchmark", "mine")
OFTEN_TESTED = 600  # rows of each of the files of your own, about. Assumption: three seeds take minutes so
_ASKED = """Passage:
<<<7c1e
{text}
7c1e>>>

"query": {style},
"answer": the answer to the query, in as few words as it takes.
Answer with the JSON object only."""
EXAMPLES = (
    ("Answer a query from what you know.\n\nQuery: capital of France", {"answer": "Paris"}),
    (
        _ASKED.format(
            text="mailer.Queue\n\nQueue.flush(timeout) sends all messages that wait. After timeout seconds those that"
            " are left are put back.",
            style="keywords as people type them into a search box",
        ),
        {"query": "mailer send waiting messages with time limit", "answer": "Queue.flush(timeout)"},
    ),
    (
        _ASKED.format(
            text="fileio › copy\n\ncopy(source, target, overwrite=False): Copy a file. If the target exists and"
            " overwrite is false, FileExistsError is raised.",
            style="one question, as a whole sentence",
        ),
        {
            "query": "Which error does fileio.copy raise when the target file is already there?",
            "answer": "FileExistsError",
        },
    ),
)
"""What is asked and what is answered. The last one counts most, so it is the usual case."""
_TURN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"  # SmolLM2's chat template
PROMPT_FORMAT = (
    "".join(f"{_TURN.format(said)}{json.dumps(answer)}<|im_end|>\n" for said, answer in EXAMPLES)
) + _TURN.format("{prompt}")
SETTINGS = {  # Assumptions all, where nothing else is said
    "corpus.passage_words": 80,
    "corpus.test_share": 0.3,
    "generator.base_model": GENERATOR,
    "generator.prompt_format": json.dumps(PROMPT_FORMAT),
    "generator.sampling_temperature": 0.5,
    "generator.max_tokens": 100,
    "questions.rows": 150,
    "questions.test_rows": 75,
    "questions.prompt": "short",
    "questions.kinds": "[single]",
    "questions.styles": "{question: 2, keyword: 1}",
    "filter.embedder": EMBEDDER,
    "mine.embedder": EMBEDDER,
    "embedder.base_model": EMBEDDER,
    "embedder.data": "mine",
    "embedder.instructions": "none",  # as the base was trained
    "embedder.loss_temperature": 0.05,  # the base's own, says its card: cosines are multiplied by 20
    "embedder.learning_rate": 2e-5,
    "embedder.warmup_steps": 3,
    "embedder.batch_size": 32,
    "embedder.epochs": 2,
    "embedder.max_length": 128,
    "runtime.server": "embedded",
    "runtime.server_flags": "[]",
    "runtime.mini_batch_size": 16,
    "runtime.gradient_checkpointing": "false",
    "runtime.max_reject_rate": 0.95,
    "runtime.reask": "false",
}
Rows = list[dict[str, Any]]


# --- the documents ----------------------------------------------------------------------------------------------------


def heading(text: str, mark: str) -> str:
    """An underlined heading of reStructuredText."""
    return f"{text}\n{mark * len(text)}\n"


def of_source(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The name and docstring of each public class, function and method of a module, in the order of the text."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name, ast.get_docstring(node) or ""
            yield from ((f"{node.name}.{name}", text) for name, text in of_functions(node.body))
    yield from of_functions(tree.body)


def of_functions(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """The name with its arguments, and the docstring, of each function."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield f"{node.name}({ast.unparse(node.args)})", ast.get_docstring(node) or ""


def of_compiled(module: object) -> Iterator[tuple[str, str]]:
    """The name and docstring of each public class and function of a module that was not written in Python."""
    for name, value in sorted(vars(module).items()):
        if callable(value) and not name.startswith("_"):
            yield name, inspect.getdoc(value) or ""
            if inspect.isclass(value):
                methods = (each for each in vars(value).items() if not each[0].startswith("_"))
                yield from ((f"{name}.{each}", inspect.getdoc(method) or "") for each, method in methods)


def modules() -> Iterator[tuple[str, str, Iterable[tuple[str, str]]]]:
    """The name and docstring of each public module, and those of what is in it. Source is read and never run."""
    for name in sorted(name for name in sys.stdlib_module_names - APPLICATIONS if not name.startswith("_")):
        files = [LIBRARY / f"{name}.py", *sorted((LIBRARY / name).glob("*.py"))]
        for path in filter(Path.is_file, files):
            if path.name == "__init__.py" or not path.name.startswith("_"):
                tree = ast.parse(path.read_text("utf-8", "replace"))
                title = ".".join(path.relative_to(LIBRARY).with_suffix("").parts).removesuffix(".__init__")
                yield title, ast.get_docstring(tree) or "", of_source(tree)
        if name in sys.builtin_module_names or not any(map(Path.is_file, files)):
            with suppress(ImportError):  # of another system
                module = importlib.import_module(name)
                yield name, inspect.getdoc(module) or "", of_compiled(module)


def document(name: str, text: str, parts: Iterable[tuple[str, str]]) -> str:
    """A module's docstrings, the module's own first; those of a few words are left out."""
    said = (heading(title, "-") + text for title, text in parts if len(text.split()) > FEW_WORDS)
    return "\n\n".join([heading(name, "="), text, *said])


def beginning(text: str, words: int) -> str:
    """The first paragraphs of a text, up to about so many words."""
    found, count = [], 0
    for paragraph in text.split("\n\n"):
        if count < words:
            found.append(paragraph)
            count += len(paragraph.split())
    return "\n\n".join(found)


def write_documents(folder: Path, most: int, words: int) -> Counter[str]:
    """Write the documents; returns how many there are of each kind."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    texts = {name: document(name, *said) for name, *said in modules()}
    names = [name for name, text in texts.items() if len(text.split()) >= LEAST_WORDS]
    names = [names[i * len(names) // most] for i in range(most)] if len(names) > most else names
    pages = {f"reference-{name}": text for name, text in topics.items()}
    for name, text in [*((name, texts[name]) for name in names), *pages.items()]:
        (folder / f"{name}.rst").write_text(beginning(text, words), "utf-8")
    return Counter({"modules": len(names), "pages of the language reference": len(pages)})


# --- the results ------------------------------------------------------------------------------------------------------


def left_out(hub: OpenHub, noun: str) -> Rows:
    """The requests of a stage that gave no row."""
    lines = load_rows(f"{ORG}/speed-{noun}", hub, state="rejected")
    return [{name: line[name] for name in ("id", "reason", "detail", "completions")} for line in lines]


def items(hub: OpenHub) -> Rows:
    """The scores of single questions, pairs and texts of the last evaluation."""
    from hub_speed.parquet import read_parquet

    return list(read_parquet(hub.hub.fetch(hub.hub.pin("dataset", f"{ORG}/speed-results")) / "items"))


def interval(values_SQ: np.ndarray, rounds: int = 2000) -> tuple[float, float]:
    """The 95% interval of the mean of seeds × questions, both drawn again."""
    rng, (seeds, questions) = np.random.default_rng(0), values_SQ.shape
    means = [
        values_SQ[np.ix_(rng.integers(0, seeds, seeds), rng.integers(0, questions, questions))].mean()
        for _ in range(rounds)
    ]
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def line(name: str, values_SQ: np.ndarray, sign: str = "") -> str:
    """A line of the table: the mean, its interval, and each seed."""
    low, high = interval(values_SQ)
    each = ", ".join(f"{value:{sign}.3f}" for value in values_SQ.mean(1)) if len(values_SQ) > 1 else ""
    return f"| {name} | {values_SQ.mean():{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f}) | {each} |"


def by_item(runs: list[Rows], measure: str, subject: str) -> np.ndarray:
    """The values of a subject, seeds × items."""
    found = []
    for rows in runs:
        values = {row["item"]: row["value"] for row in rows if (row["measure"], row["subject"]) == (measure, subject)}
        found.append([values[name] for name in sorted(values)])
    return np.array(found)


def table(runs: list[Rows], scores: list[Rows]) -> str:
    """The scores before and after, as Markdown."""
    found = []
    for measure in ("nDCG@10", "accuracy"):
        values = {subject: by_item(runs, measure, subject) for subject in SUBJECTS}
        if not values[AFTER].size:
            continue
        size = values[AFTER].shape[1]
        found += [f"\n| {measure} ({size} texts) | mean, 95% interval | each seed |", "|---|---:|---|"]
        found += [line(name, each[:1] if name != AFTER else each) for name, each in values.items() if each.size]
        found.append(line("after − before", values[AFTER] - values[BEFORE], "+"))
    for subject in (BEFORE, AFTER):
        of_sts = [row for rows in scores for row in rows if (row["measure"], row["subject"]) == ("Spearman", subject)]
        told = (f"{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})" for row in of_sts)
        found += [f"\nSpearman, {subject}: {', '.join(dict.fromkeys(told))}"] if of_sts else []
    return "\n".join(found)


def thinned(path: Path, folder: Path) -> Path:
    """A copy of a file with its first line and some of the others, spread evenly."""
    with path.open(encoding="utf-8", newline="") as file:
        first, *rows = csv.reader(file)
    folder.mkdir(exist_ok=True)
    with (folder / path.name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([first, *rows[:: max(1, len(rows) // OFTEN_TESTED)]])
    return folder / path.name


# --- the run ----------------------------------------------------------------------------------------------------------


def stages(home: Path, names: Iterable[str], given: list[str]) -> Iterator[dict[str, object]]:
    """Run stages one after another; yields name, seconds and peak memory (GB) of each."""
    for name in names:
        seconds, memory, text = run(home, "run", "domain", *given, "--only", name)
        told = next((line for line in text.splitlines() if f"✓ {name} " in line), "").strip()
        print(f"{seconds:6.0f} s {memory:6.2f} GB   {told}", flush=True)
        yield {"stage": name, "seconds": round(seconds), "memory_gb": round(memory, 2)}


def main() -> None:
    """Write the documents, publish the models, run, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path("~/.hub_speed_real").expanduser())
    parser.add_argument("--modules", type=int, default=90, help="at most so many, spread evenly")
    parser.add_argument("--words", type=int, default=220, help="of a module's docstrings, about the most")
    parser.add_argument("--seeds", type=int, default=3, help="embedders that are trained")
    parser.add_argument("--sts", type=Path, metavar="PAIRS.csv")
    parser.add_argument("--classification", type=Path, nargs=2, metavar=("TRAIN.csv", "TEST.csv"))
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="another recipe field")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    home = asked.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    source = packages(home)
    counts = write_documents(home / "documents", asked.modules, asked.words)
    print("documents:", ", ".join(f"{count} {name}" for name, count in counts.items()))
    with open_hub(home=home) as opened:
        few = home / "few"
        files = own_files(
            asked.sts and thinned(asked.sts, few),
            [thinned(path, few) for path in asked.classification] if asked.classification else None,
        )
        publish(opened.hub, source, files)
    given = flags(SETTINGS | {"corpus.source": home / "documents"})
    given += flags({"evaluate.benchmarks": json.dumps([BENCHMARK] if files else [])})
    given += [word for each in asked.set for word in ("--set", each)]
    told: dict[str, Any] = {"stages": list(stages(home, STAGES, given)), "items": [], "scores": []}
    with open_hub(home=home) as opened:
        told["left_out"] = {noun: left_out(opened, noun) for noun in ("questions", "filtered-questions")}
    for noun, lines in told["left_out"].items():
        print(f"left out of {noun}:", dict(Counter(each["reason"] for each in lines).most_common()))
    for seed in range(asked.seeds):
        told["stages"] += stages(home, ("embedder", "evaluate"), [*given, "--set", f"embedder.rng_seed={seed}"])
        with open_hub(home=home) as opened:
            told["items"].append(items(opened))
            told["scores"].append(list(load_rows(f"{ORG}/speed-results", opened)))
    print(table(told["items"], told["scores"]))
    if asked.json:
        asked.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
