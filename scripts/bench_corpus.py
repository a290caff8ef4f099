"""How long the stage for documents takes, which near-duplicates it finds, and which encodings.

    python scripts/bench_corpus.py corpus [--passages 100000] [--json PATH]
    python scripts/bench_corpus.py groups [--documents /usr/share/doc] [--json PATH]
    python scripts/bench_corpus.py encodings [--json PATH]

`corpus`: made-up documents, 100,000 passages. It reads a folder of Markdown and HTML files, groups near-duplicates and
cuts passages. Beside it, the same texts are cut by two others as they come: at blank lines, and by
langchain-text-splitters where that is installed (it is no dependency: put it into an environment of its own).

Every line is measured in a process of its own. `CPU s` and `GB` (its peak) count the process that parses files as well;
on a machine that does other work, CPU seconds are what to compare. `at their place`: the share of passages that are the
part of the text that their offsets name. `code cut`: the share of code blocks that are whole in no passage.

`groups`: 300 real documents of a folder, one of each group, and a changed copy of each: how many copies are found, by
the words that are compared together.

`encodings`: texts in encodings other than UTF-8 (old_encodings.py): how many are read rightly, and how many of the
others are marked as doubtful. Beside it, charset-normalizer, which trafilatura brings.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import accumulate
from pathlib import Path
from typing import Any

from old_encodings import among_english, samples

from hub_speed.documents.child import parser as process
from hub_speed.documents.folder import look
from hub_speed.documents.groups import WORDS, grouped
from hub_speed.documents.reading import Document, read
from hub_speed.encodings import decode
from hub_speed.parquet import read_parquet
from hub_speed.pipeline.session import _Silent
from hub_speed.pipeline.table import STAGES
from hub_speed.recipe import Recipe
from hub_speed.record import RunRecord
from hub_speed.stage import Context
from hub_speed.text import words as words_of

PER_DOCUMENT = 20
"""Passages of a made-up document, about."""

COLUMNS = {"passages": ",", "seconds": ".1f", "CPU s": ".1f", "GB": ".2f", "at their place": ".1%", "code cut": ".1%"}

Cut = tuple[int, str]
"""Where a passage begins, -1 where nobody says, and its text."""


def make_documents(count: int, folder: Path) -> None:
    """Markdown files, every tenth of them as HTML and every fiftieth a near-duplicate of the one before."""
    rng = random.Random(0)
    words = ["".join(rng.choices("aeioubcdfglmnprst", k=rng.randrange(2, 10))) for _ in range(20_000)]
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))  # Zipf's law, as in a language

    def text(length: int) -> str:
        return " ".join(rng.choices(words, cum_weights=weights, k=length))

    def paragraph() -> str:
        return " ".join(f"{text(rng.randrange(5, 25)).capitalize()}." for _ in range(rng.randrange(2, 8)))

    def document() -> str:
        parts = [f"# {text(4)}"]
        for _ in range(PER_DOCUMENT * 3 // 4):
            parts += [f"## {text(3)}", *(paragraph() for _ in range(3))]
            parts.append(
                rng.choice(["```\n" + "\n\n".join(text(8) for _ in range(6)) + "\n```", f"- {text(9)}\n- {text(9)}"])
            )
        return "\n\n".join(parts)

    last = ""
    for number in range(count):
        last = last.replace(" ", " new ", 5) if last and number % 50 == 49 else document()
        if number % 10:
            (folder / f"{number:06d}.md").write_text(last)
        else:
            lines = (f"<h2>{p[3:]}</h2>" if p.startswith("## ") else f"<p>{p}</p>" for p in last.split("\n\n"))
            (folder / f"{number:06d}.html").write_text(f"<body><main>{''.join(lines)}</main></body>")


def corpus(folder: Path, work: Path) -> Iterator[Cut]:
    """The stage as a run has it: digest, reading, groups, passages, parquet files."""
    recipe, stage = Recipe.model_validate({"name": "bench", "corpus": {"source": str(folder)}}), STAGES["corpus"]
    identity = stage.identity(recipe, {})
    record = RunRecord(stage="corpus", fingerprint="0" * 12, recipe="bench", identity=identity, inputs={}, lineage={})
    stage.build(
        Context(
            recipe=recipe,
            repo="bench/speed-corpus",
            inputs={},
            refs={},
            out=work / "out",
            work=work,
            record=record,
            progress=_Silent(),
            stop=threading.Event(),
            threads=2,
            address=lambda name, weights: nullcontext(),  # type: ignore[arg-type,return-value]
        )
    )
    return ((row["start"], row["text"]) for row in read_parquet(work / "out/data", ["start", "text"]))


def blank_lines(folder: Path, work: Path) -> Iterator[Cut]:
    """Markdown files alone, cut at blank lines."""
    return ((-1, part) for text in _markdown(folder) for part in text.split("\n\n"))


def langchain(folder: Path, work: Path) -> Iterator[Cut]:
    """Markdown files alone, by the splitter for Markdown with as many characters as our passages have at most."""
    from langchain_text_splitters import MarkdownTextSplitter

    splitter = MarkdownTextSplitter(chunk_size=1300, chunk_overlap=0, add_start_index=True)
    parts = (part for text in _markdown(folder) for part in splitter.create_documents([text]))
    return ((part.metadata["start_index"], part.page_content) for part in parts)


def _markdown(folder: Path) -> Iterator[str]:
    return (path.read_text() for path in sorted(folder.glob("*.md")))


WAYS: dict[str, Callable[[Path, Path], Iterator[Cut]]] = {
    "corpus": corpus,
    "blank lines": blank_lines,
    "langchain": langchain,
}


def measure(way: str, folder: Path) -> dict[str, Any]:
    """One line of the table."""
    with tempfile.TemporaryDirectory() as work:
        started = time.monotonic()
        found = list(WAYS[way](folder, Path(work)))
        line: dict[str, Any] = {"way": way, "passages": len(found), "seconds": time.monotonic() - started}
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        whole = Path(work) / "out/documents"
        texts = [row["text"] for row in read_parquet(whole, ["text"])] if whole.exists() else [*_markdown(folder)]
    line["CPU s"] = sum(one.ru_utime + one.ru_stime for one in used)
    line["GB"] = sum(one.ru_maxrss for one in used) / 1e6
    line["at their place"] = _placed(texts, found)
    blocks = sum(text.count("```") // 2 for text in texts)
    line["code cut"] = 1 - sum(text.count("```") // 2 for _, text in found if text.count("```") % 2 == 0) / blocks
    return line


def _placed(texts: list[str], found: list[Cut]) -> float:
    """The share of passages that are found where they say, text after text."""
    right, place = 0, 0
    for start, text in found:
        while place < len(texts) and start >= 0 and texts[place][start : start + len(text)] != text:
            place += 1
        right += start >= 0 and place < len(texts)
    return right / max(1, len(found))


# --- groups -----------------------------------------------------------------------------------------------------------

SHOWN, LONG_ENOUGH = 300, 200
"""Documents that are changed, and the words that each has at least. Assumption."""

CHANGES = {"10% of the words replaced": ("words", 0.1), "20% of the words replaced": ("words", 0.2)}
CHANGES |= {
    "10% of the paragraphs replaced": ("paragraphs", 0.1),
    "30% of the paragraphs replaced": ("paragraphs", 0.3),
}

RUNS = {WORDS: "pairs of words (used)", 1: "single words", 3: "three words"}


def groups(folder: Path, threshold: float) -> list[dict[str, Any]]:
    """The lines of the table, by words that are compared together."""
    with process() as parsing:
        every = (one for file in look(folder).files for one in read(file, parsing, "text", {}))
        found = [one for one in every if isinstance(one, Document)]
    texts = {one.sha256: one.text for one in found}
    sizes = Counter(grouped(texts.items(), threshold).values())
    print(f"{len(texts):,} documents in {len(sizes):,} groups, the largest of {max(sizes.values())}")
    long = [name for name in sorted(sizes) if len(words_of(texts[name])) >= LONG_ENOUGH]
    chosen = random.Random(0).sample(long, SHOWN)
    lines: list[dict[str, Any]] = [{"in the copy": change} for change in CHANGES]
    for line, (kind, share) in zip(lines, CHANGES.values(), strict=True):
        copies = {name: _changed(texts, chosen, name, kind, share) for name in chosen}
        for run in RUNS:
            both = [pair for name in chosen for pair in ((name, texts[name]), (f"copy of {name}", copies[name]))]
            of = grouped(both, threshold, run)
            line[RUNS[run]] = sum(of[name] == of[f"copy of {name}"] for name in chosen) / SHOWN
    joined: dict[str, Any] = {"in the copy": "originals joined with another one"}
    for run in RUNS:
        in_group = Counter(grouped(((name, texts[name]) for name in chosen), threshold, run).values())
        joined[RUNS[run]] = sum(count for count in in_group.values() if count > 1)
    return [*lines, joined]


def _changed(texts: dict[str, str], chosen: list[str], name: str, kind: str, share: float) -> str:
    """A text with a share of its words, or of its paragraphs, replaced by those of the other chosen documents."""
    rng = random.Random(f"{name}{kind}{share}")
    between = " " if kind == "words" else "\n\n"
    other = texts[rng.choice([one for one in chosen if one != name])].split(None if kind == "words" else between)
    parts = texts[name].split(between)
    return between.join(rng.choice(other) if rng.random() < share else part for part in parts)


# --- encodings --------------------------------------------------------------------------------------------------------

EACH = 20
"""Texts of each size, language and encoding. Assumption."""


def encodings() -> list[dict[str, Any]]:
    """The lines of the table, by the size of the texts."""
    sizes = {f"{size:,} characters": samples(size, EACH, random.Random(size)) for size in (20, 60, 200, 2000)}
    sizes["200 after 2,000 of English"] = among_english(EACH, random.Random(1))
    return [{"texts": name} | _judged(list(made)) for name, made in sizes.items()]


def _judged(made: list[tuple[str, bytes]]) -> dict[str, Any]:
    counts, theirs = Counter[tuple[bool, bool]](), 0
    for text, raw in made:
        found = decode(raw, "replace")
        counts[found.text == text, found.sure and "\ufffd" not in found.text] += 1
        theirs += _normalized(raw) == text
    shares = {"right": (True, True), "right, doubtful": (True, False), "wrong, doubtful": (False, False)}
    line = {name: counts[key] / len(made) for name, key in (shares | {"wrong": (False, True)}).items()}
    return {"number": len(made)} | line | {"charset-normalizer right": theirs / len(made)}


def _normalized(raw: bytes) -> str:
    """What charset-normalizer reads."""
    from charset_normalizer import from_bytes

    return str(from_bytes(raw).best() or "")


def show(lines: list[dict[str, Any]]) -> None:
    """Print a table as Markdown."""
    print("| " + " | ".join(lines[0]) + " |\n" + "|---" * len(lines[0]) + "|")
    for line in lines:
        print("| " + " | ".join(f"{v:.1%}" if isinstance(v, float) else str(v) for v in line.values()) + " |")


def main() -> None:
    """Measure, print a table, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["corpus", "groups", "encodings"])
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--documents", type=Path, default=Path("/usr/share/doc"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.way:
        print(json.dumps(measure(asked.way, asked.folder)))
        return
    if asked.part == "corpus":
        lines = compared(asked.passages)
    else:
        threshold = Recipe.model_validate({"name": "bench"}).corpus.group_share
        lines = groups(asked.documents, threshold) if asked.part == "groups" else encodings()
        show(lines)
    if asked.json:
        asked.json.write_text(json.dumps(lines, indent=1) + "\n", "utf-8")


def compared(passages: int) -> list[dict[str, Any]]:
    """The lines of the table of times, each measured in a process of its own."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        make_documents(passages // PER_DOCUMENT, Path(folder))
        print(f"{'':14}" + "".join(f"{name:>16}" for name in COLUMNS), flush=True)
        for way in WAYS:
            command = [sys.executable, __file__, "corpus", "--way", way, "--folder", folder]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"{way:14}  not measured: {done.stderr.strip().splitlines()[-1]}", flush=True)
                continue
            lines.append(line := json.loads(done.stdout))
            print(f"{way:14}" + "".join(f"{line[name]:>16{form}}" for name, form in COLUMNS.items()), flush=True)
    return lines


if __name__ == "__main__":
    main()
