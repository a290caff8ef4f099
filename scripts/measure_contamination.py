"""How well the contamination check tells planted test texts from texts that only look like them; and its speed.

    python scripts/measure_contamination.py [--plants 300] [--seed 0] [--million]

Test texts and training rows are of two kinds: sentences and paragraphs of the running Python's own documentation
(natural text with many stock phrases), and the quickstart's world (templates, in which texts differ by one name). Some
test texts are planted in rows of their own, changed in ways that this file states; decoys share a phrase, a template
or a subject with a test text, and are other texts all the same. Beside the check stand two usual ones: E5's (whole
texts without case and white space, App. B) and any shared run of 8 or 13 words (13: GPT-3, arXiv 2005.14165 App. C).

--million: seconds and memory for 1M rows and 100K test texts, instead.
"""

import argparse
import ast
import random
import re
import resource
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from hub_speed.evaluation.intervals import wilson
from hub_speed.generation.contamination import AT_ONCE, COVERAGE, by_row, matches, normalised
from hub_speed.generation.dedup import near_duplicates
from hub_speed.parquet import read_parquet, write_parquet
from hub_speed.quickstart import world as worlds
from hub_speed.quickstart.world import Fact

Rows = list[dict[str, str]]
Edit = Callable[[str, random.Random], str]

SYNONYMS = dict(
    pair.split(":")
    for pair in (
        "is:was return:give returns:gives use:employ used:employed all:every object:item value:result given:stated "
        "must:has+to can:may if:when not:never same:identical new:fresh function:routine list:array name:label "
        "make:build get:fetch set:put first:initial last:final should:ought+to many:several known:named found:seen "
        "where:in+which which:that begins:starts comes:derives made:built lives:dwells big:large small:little"
    ).split()
)
"""Words → others that mean much the same; for the paraphrase by rule."""

STOCK = (
    "According to the information that is given in the text above,",
    "Please read the following carefully and then answer the question as well as you can:",
    "I am writing to you today because I have a question about the following:",
    "As far as I know, and correct me if I am wrong,",
)
BOILERPLATE = (
    "All rights reserved. No part of this text may be copied without the written permission of the publisher.",
    "This page uses cookies so that it works as it should. Read our statement on privacy to learn more about them.",
    "Sign in to leave a comment, or subscribe to our weekly letter and never miss a new story again.",
)
SHORT = ("What is it?", "How does it work?", "Thank you very much.", "I do not know.", "What is a list?")


def documentation(rng: random.Random) -> list[str]:
    """Sentences of 8 to 40 words from the docstrings of the standard library, in an order by chance.

    The library has copied some with a word changed. Nobody can say whether these are the same: they are left out, where
    MinHash finds half of the words alike, another measure than the check's.
    """
    found: dict[str, None] = {}
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if {"site-packages", "test", "tests", "idlelib", "lib2to3"} & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = " ".join((ast.get_docstring(node) or "").split())
                for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", text):
                    if 8 <= len(normalised(sentence)) <= 40 and sentence[-1:] in ".!?" and sentence.isascii():
                        found[sentence] = None
    rows = [{"id": text, "query": text, "positive": ""} for text in found]
    alike = {name for pair in near_duplicates(rows, 0.5, 120, 1) for name in (pair.id, pair.of)}
    sentences = [text for text in found if text not in alike]
    rng.shuffle(sentences)
    return sentences


def templates(rng: random.Random) -> tuple[list[Fact], list[Fact], list[str]]:
    """Facts of the quickstart's world that test questions ask for, as many others, and texts as in training rows."""
    world = worlds.load()
    facts = list(world.facts(held_out=None))
    rng.shuffle(facts)
    rows = []
    for fact in facts:
        attribute = world.domain(fact.domain).attributes[fact.attribute]
        rows += [world.question(attribute, fact.entity, rng, length) for length in ("medium", "long")]
        rows.append(world.statement(fact, rng))
    return facts[::2], facts[1::2], rows


def question(fact: Fact, form: int = 0) -> str:
    """A long question for a fact, in a phrasing of the benchmark."""
    attribute = worlds.load().domain(fact.domain).attributes[fact.attribute]
    forms = attribute.phrasings(held_out=True).questions["long"]
    return forms[form % len(forms)].replace("{e}", fact.entity)


# --- how a test text is changed -------------------------------------------------------------------------------------


def _as_it_is(text: str, rng: random.Random) -> str:
    return text


def _marks(text: str, rng: random.Random) -> str:
    """Other case, other punctuation and spaces, full width digits and letters here and there."""
    changed = re.sub(r"[.,;:?!]", lambda mark: rng.choice(["", " ", "…", " !"]), text.upper())
    wide = {c: chr(ord(c) + 0xFEE0) for c in "AEIOU0123456789"} if rng.random() < 0.5 else {}
    return "  ".join("".join(wide.get(c, c) for c in word) for word in changed.split())


def _one_word(text: str, rng: random.Random) -> str:
    """Another word for one of the words, whichever it is."""
    parts = text.split()
    parts[rng.randrange(len(parts))] = rng.choice(["seldom", "window", "purple", "another", "gently", "seven", "north"])
    return " ".join(parts)


def _paraphrase(text: str, rng: random.Random) -> str:
    """Synonyms, no articles, an opening, and what stands before the first comma at the end."""
    before, comma, after = text.rstrip(".?!").partition(", ")
    parts = f"{after}, {before}".split() if comma else before.split()
    kept = [part for part in parts if part.lower() not in ("the", "a", "an")]
    return "Tell me: " + " ".join(SYNONYMS.get(part.lower(), part).replace("+", " ") for part in kept)


def _embedded(text: str, rng: random.Random, *, filler: list[str]) -> str:
    """Somewhere among four to ten other sentences."""
    around = rng.sample(filler, rng.randint(4, 10))
    around.insert(rng.randint(0, len(around)), text)
    return " ".join(around)


# --- decoys -----------------------------------------------------------------------------------------------------------


def _decoys(
    count: int, pool: list[str], facts: tuple[list[Fact], list[Fact], list[str]], rng: random.Random
) -> dict[str, list[tuple[str, str]]]:
    """Kind of decoy → pairs of test text and training text. `pool` is used up from its end."""

    def one() -> str:
        return pool.pop()

    def shared(phrases: tuple[str, ...], form: str) -> list[tuple[str, str]]:
        drawn = [rng.choice(phrases) for _ in range(count)]
        return [(form.format(one(), phrase), form.format(one(), phrase)) for phrase in drawn]

    quoted = [" ".join(one().split()[:8]) for _ in range(count)]
    asked, untold, _ = facts
    by_attribute = {(fact.domain, fact.attribute): fact for fact in asked}
    by_entity = {fact.entity: fact for fact in asked}
    other_name = [(by_attribute.get((fact.domain, fact.attribute)), fact) for fact in untold]
    other_fact = [(by_entity.get(fact.entity), fact) for fact in untold]

    def drawn(pairs: list[tuple[Fact | None, Fact]]) -> list[tuple[str, str]]:
        both = [(question(test), question(row)) for test, row in pairs if test]
        return rng.sample(both, count)

    return {
        "stock opening": shared(STOCK, "{1} {0}"),
        "boilerplate": shared(BOILERPLATE, "{0} {1}"),
        "quotation in both": [(f"{one()} It says: {said}", f"{one()} It says: {said}") for said in quoted],
        "short text": [(text, text) for text in rng.choices(SHORT, k=count)],
        "template, other name": drawn(other_name),
        "same name, other question": drawn(other_fact),
    }


# --- the checks -------------------------------------------------------------------------------------------------------


def ours(tests: list[str], rows: Rows) -> set[str]:
    """The rows that hub_speed flags."""
    return {match.row for match in matches([("tests", text) for text in tests], lambda: rows)}


def whole_texts(tests: list[str], rows: Rows) -> set[str]:
    """The rows that are a test text but for case and white space."""

    def bare(text: str) -> str:
        return "".join(text.casefold().split())

    known = set(map(bare, tests))
    return {row["id"] for row in rows if bare(row["query"]) in known}


def any_run(length: int) -> Callable[[list[str], Rows], set[str]]:
    """The check for any shared run of so many words; a shorter test text counts as one run."""

    def runs(text: str, at_least: int) -> set[tuple[str, ...]]:
        said = normalised(text)
        return {said[i : i + at_least] for i in range(len(said) - at_least + 1)}

    def found(tests: list[str], rows: Rows) -> set[str]:
        known = {run for text in tests for run in runs(text, min(length, len(normalised(text))))}
        lengths = {len(run) for run in known}
        return {row["id"] for row in rows if any(known & runs(row["query"], n) for n in lengths)}

    return found


CHECKS = {"here": ours, "whole texts (E5)": whole_texts, "any 13 words": any_run(13), "any 8 words": any_run(8)}


def trial(count: int, seed: int) -> tuple[dict[str, tuple[int, dict[str, int]]], int]:
    """Kind of row → how many there are, and how many each check flags; and the number of test texts."""
    rng = random.Random(seed)
    sentences = documentation(rng)
    facts = templates(rng)
    asked, plain = [question(fact) for fact in facts[0]], facts[2]
    edits: dict[str, Edit] = {
        "as it is": _as_it_is,
        "case, punctuation, Unicode": _marks,
        "inside a longer text": lambda text, rng: _embedded(text, rng, filler=filler),
        "one word swapped": _one_word,
        "paraphrased by rule": _paraphrase,
    }
    natural, sentences = sentences[: 4 * count], sentences[4 * count :]
    decoys = _decoys(count, sentences, facts, rng)
    filler = sentences[: len(sentences) // 2]
    rows: dict[str, list[str]] = {}
    for name, edit in edits.items():
        rows[f"planted, {name}, natural"] = [edit(text, rng) for text in rng.sample(natural, count)]
        rows[f"planted, {name}, template"] = [edit(text, rng) for text in rng.sample(asked, count)]
    rows |= {f"decoy, {name}": [row for _, row in pairs] for name, pairs in decoys.items()}
    rows["other rows, natural"] = sentences[len(sentences) // 2 :]
    rows["other rows, template"] = plain
    tests = natural + asked + [test for pairs in decoys.values() for test, _ in pairs]
    whole = [{"id": f"{kind}-{i}", "query": text} for kind, texts in rows.items() for i, text in enumerate(texts)]
    flagged = {name: check(tests, whole) for name, check in CHECKS.items()}

    def counted(kind: str) -> dict[str, int]:
        return {name: sum(f"{kind}-{i}" in found for i in range(len(rows[kind]))) for name, found in flagged.items()}

    return {kind: (len(texts), counted(kind)) for kind, texts in rows.items()}, len(set(tests))


def shown(found: int, count: int) -> str:
    """A share with its 95% interval."""
    low, high = wilson(found, count)
    return f"{found / count:.1%} ({low:.1%} to {high:.1%})"


def table(count: int, seed: int) -> None:
    """Print shares of flagged rows, and precision, as Markdown."""
    counts, tests = trial(count, seed)
    print(f"{tests:,} test texts, {sum(n for n, _ in counts.values()):,} rows, coverage {COVERAGE}\n")
    print(f"| rows | n | {' | '.join(CHECKS)} |\n|---|---:|{'---|' * len(CHECKS)}")
    for kind, (n, found) in counts.items():
        print(f"| {kind} | {n:,} | {' | '.join(shown(found[name], n) for name in CHECKS)} |")
    cells = []
    for name in CHECKS:
        true = sum(found[name] for kind, (_, found) in counts.items() if kind.startswith("planted"))
        every = sum(found[name] for _, found in counts.values())
        cells.append(f"{shown(true, every)}" if every else "–")
    print(f"| **precision over all rows** | | {' | '.join(cells)} |")


# --- a million rows ---------------------------------------------------------------------------------------------------


class TextRow(BaseModel):
    """A row of the speed measurement."""

    id: str
    query: str
    positive: str
    negative: str


def million(rows: int, tests: int) -> None:
    """Print seconds and memory for rows of the mixture's lengths, made of words drawn by Zipf's law, on the disk."""
    rng = np.random.default_rng(0)
    vocabulary = np.array([f"w{i}" for i in range(200_000)], object)
    shares = 1 / (np.arange(len(vocabulary)) + 10)
    ladder = np.cumsum(shares / shares.sum())

    def texts(lengths: np.ndarray) -> list[str]:
        drawn = vocabulary[np.minimum(np.searchsorted(ladder, rng.random(lengths.sum())), len(vocabulary) - 1)]
        return [" ".join(part) for part in np.split(drawn, np.cumsum(lengths)[:-1])]

    def made() -> Iterator[dict[str, str]]:
        for start in range(0, rows, AT_ONCE):
            n = min(AT_ONCE, rows - start)
            kinds = rng.integers(0, 3, n)  # short, medium and long ones, as in sts, classification and retrieval
            columns = [texts(np.take(lengths, kinds)) for lengths in ((8, 40, 9), (8, 3, 110), (8, 3, 60))]
            for i, row in enumerate(zip(*columns, strict=True)):
                yield {"id": str(start + i)} | dict(zip(("query", "positive", "negative"), row, strict=True))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_parquet(made(), TextRow, folder)
        known = [("tests", text) for text in texts(rng.choice([10, 20, 60], tests))]
        planted = [row["query"] for row in islice(read_parquet(folder), 0, rows, max(1, rows // 100))]
        known += [("tests", text) for text in planted]
        size = sum(len(value) for row in read_parquet(folder) for value in row.values())
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, time.process_time()
        found = len(by_row(matches(known, lambda: read_parquet(folder))))
        seconds = time.process_time() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{rows:,} rows ({size / 1e6:.0f}M characters), {len(known):,} test texts: {seconds:.0f} s of processor time on"
    )
    print(f"one core, {memory:.2f} GB at most ({before:.2f} GB before it), {found} rows found, {len(planted)} planted")


def main(arguments: list[str]) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plants", type=int, default=300, help="test texts that are planted, of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--million", action="store_true", help="measure the speed instead")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--tests", type=int, default=100_000)
    asked = parser.parse_args(arguments)
    if asked.million:
        million(asked.rows, asked.tests)
    else:
        table(asked.plants, asked.seed)


if __name__ == "__main__":
    main(sys.argv[1:])
