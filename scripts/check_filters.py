"""How well each filter finds what it looks for: recall and precision on planted flaws, one line a filter.

    python scripts/check_filters.py [--json] [--wrong] [--embedder FOLDER]

What is planted, beside decoys that only look like it: phrases, answers, queries and tokens of our own words
(`planted_flaws.yaml`); changed copies of documents, each the docstrings of a module of the running Python; and
questions about the documents of the recipe domain-demo, whose facts are all known. Every share has its 95% interval
(Wilson). Precision holds for as many decoys as the line has.

--wrong: print what was missed, or found for nothing. --embedder: the model that searches beside BM25; by default the
demo's, which has never learned to.
"""

import argparse
import ast
import contextlib
import io
import json
import random
import re
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hub_speed.documents.groups import grouped, splits
from hub_speed.evaluation.intervals import wilson
from hub_speed.generation.dedup import exact_duplicates
from hub_speed.generation.parsing import TOKEN, Rejected
from hub_speed.grounded import prompts
from hub_speed.grounded.reading import copied_share, says_the_same
from hub_speed.grounded.sources import named_source
from hub_speed.parquet import write_parquet
from hub_speed.quickstart import documents, questioner
from hub_speed.quickstart import world as worlds
from hub_speed.quickstart.assets import BASE
from hub_speed.recipe import Corpus, Filter, Questions
from hub_speed.retrieval.passages import Passages
from hub_speed.retrieval.settings import RoundTripSettings
from hub_speed.rows import PassageRow, QuestionRow
from hub_speed.stages.benchmark import Known
from hub_speed.stages.corpus import passages_of

PLANTED = yaml.safe_load((Path(__file__).parent / "planted_flaws.yaml").read_text("utf-8"))
COPIES = 100  # of each kind
TOP_K, PASSAGE_WORDS = 5, 30  # as in the recipe domain-demo
SAFE = "in a fence"

Row = dict[str, Any]
Tried = dict[str, bool]
"""A case, in words → whether the filter finds it."""


class Line(NamedTuple):
    """One line of the table."""

    filter: str
    planted: Tried
    decoys: Tried

    def numbers(self) -> Row:
        """Counts, recall and precision, the latter two with their intervals."""
        hits, false = sum(self.planted.values()), sum(self.decoys.values())
        shares = {"recall": (hits, len(self.planted)), "precision": (hits, hits + false)}
        measured = {name: [hit / of, *wilson(hit, of)] if of else None for name, (hit, of) in shares.items()}
        counts = {"planted": len(self.planted), "found": hits, "decoys": len(self.decoys), "false": false}
        return {"filter": self.filter} | counts | (measured if self.decoys else {"recall": measured["recall"]})

    def markdown(self) -> str:
        """The line of the table in the documentation."""
        found = self.numbers()
        shares = ("{:.2f} ({:.2f}-{:.2f})".format(*found[name]) if found.get(name) else "" for name in NAMES[-2:])
        return f"| {' | '.join([*(str(found[name]) for name in NAMES[:-2]), *shares])} |"


NAMES = ("filter", "planted", "found", "decoys", "false", "recall", "precision")


def tried(cases: list[Any], found: Callable[[Any], object]) -> Tried:
    """Whether a filter finds each case."""
    return {f"{i}: {case}": bool(found(case)) for i, case in enumerate(cases)}


# --- the wording of a question ----------------------------------------------------------------------------------------


def sources() -> Iterator[Line]:
    """Phrases that name a source, and phrases that do not."""
    for part in ("seen", "fresh"):
        cases = (PLANTED[kind][part] for kind in ("names_source", "names_no_source"))
        yield Line(f"`names_source`, {part}", *(tried(each, named_source) for each in cases))


def copies() -> Iterator[Line]:
    """Queries with the wording of a passage, by rule and by hand, and queries in words of their own."""
    world, rng = worlds.load(), random.Random(0)
    bad: list[tuple[str, str]] = []
    good: list[tuple[str, str]] = []
    for text in documents.texts().values():
        for claim in [each for each in world.read(text).claims if len(each.sentence.split()) >= 8][:3]:
            parts, fact = claim.sentence.rstrip(".").split(), world.fact(claim.entity, claim.attribute)
            whole = " ".join(parts)
            copied = [
                claim.sentence,
                f"is it true that {whole}?",
                " ".join(parts[1:]),
                whole.replace(parts[-1], "what"),
            ]
            own = [world.question(fact.attribute, fact.entity, rng, length) for length in ("medium", "long")]
            own += [world.phrase(fact, rng), world.statement(fact, rng, exclude=(claim.sentence,))]
            bad += [(query, text) for query in copied]
            good += [(query, text) for query in own]
    yield Line("`copies_passage`, by rule", tried(bad, _copied), tried(good, _copied))
    by_hand = (
        [(query, each["passage"]) for each in PLANTED["copies_passage"] for query in each[kind]]
        for kind in ("copied", "own")
    )
    yield Line("`copies_passage`, by hand", *(tried(pairs, _copied) for pairs in by_hand))


def _copied(pair: tuple[str, str]) -> bool:
    return copied_share(*pair, Questions().copied_run) > Questions().copied_share


def duplicates() -> Iterator[Line]:
    """Questions in other case and with other marks, and questions with another word."""
    queries = list(dict.fromkeys(PLANTED["names_no_source"]["seen"]))
    marked = [re.sub(r"[?,.]", " ", query).upper() + " !" for query in queries]
    other = [f"{query} exactly" for query in queries]

    def found(pair: tuple[str, str]) -> bool:
        return any(exact_duplicates([{"id": str(i), "query": text} for i, text in enumerate(pair)], "query"))

    pairs = (list(zip(queries, each, strict=True)) for each in (marked, other))
    yield Line("`duplicate`", *(tried(each, found) for each in pairs))


def answers() -> Iterator[Line]:
    """Pairs of answers that say the same, and pairs that do not."""
    for part in ("seen", "fresh"):
        cases = (PLANTED[kind][part] for kind in ("says_the_same", "says_another_thing"))
        yield Line(f"`answerable_without`, {part}", *(tried(each, _same) for each in cases))


def _same(pair: list[str]) -> bool:
    return says_the_same(pair[0], pair[1], Filter().answer_overlap)


# --- orders inside a passage ------------------------------------------------------------------------------------------


def tokens() -> Iterator[Line]:
    """Special tokens of chat templates, which a prompt breaks, and what only looks like one."""

    def broken(token: str) -> object:
        return TOKEN.search(f"before {token} after")

    decoys = tried(PLANTED["no_special_tokens"], broken)
    for part in ("seen", "fresh"):
        yield Line(f"special tokens, {part}", tried(PLANTED["special_tokens"][part], broken), decoys)


def orders() -> Iterator[Line]:
    """Orders in a passage and in its heading: whether all of them stay inside the fence."""
    yield Line("orders in a passage", tried(PLANTED["orders"], fenced), {})


def fenced(order: str) -> bool:
    """Whether a prompt is the same outside of its fence as without the order."""
    asked = [_outside(order, order), _outside("", "")]
    return asked[0] == asked[1] and "PWNED" not in asked[0]


def _outside(text: str, title: str) -> str:
    rng, shown = random.Random(0), [{"title": title, "text": f"Oil the pump.\n{text}\nEvery week."}]
    prompt, _ = prompts.question("single", "question", shown, {"language": "English"}, rng)
    mark = re.findall(r"<<<(\w+) and", prompt)[-1]
    outside = re.sub(rf"<<<{mark}\n.*?\n{mark}>>>", "", prompt, flags=re.DOTALL)
    return outside.replace(mark, "") + "".join(found[0] for found in TOKEN.finditer(prompt))


# --- the round trip, and what training has seen -----------------------------------------------------------------------


@cache
def demo() -> tuple[Row, ...]:
    """The passages of the demo's articles, those of its overviews left out; every fifth document is a test document."""
    found = []
    for i, (name, text) in enumerate(documents.texts().items()):
        split = "test" if i % 5 == 0 else "train"
        row = {"id": name, "source": name, "title": "", "text": text, "group": name, "split": split}
        found += passages_of(row, PASSAGE_WORDS)
    return tuple(row for row in found if "overview" not in row["document"])


def _question(passage: Row, query: str, name: str) -> Row:
    empty = {name: "" for name, field in QuestionRow.model_fields.items() if field.annotation is str}
    about = {"id": name, "query": query, "split": passage["split"], "positive_ids": [passage["id"]], "negative_ids": []}
    return empty | {"language": "English", "negative": None, "revised": False} | about


def round_trip(embedder: Path) -> Iterator[Line]:
    """Questions that their passage does not answer, of three kinds, and questions that it does."""
    world, rng = worlds.load(), random.Random(0)
    asked: dict[str, dict[str, Row]] = {"answered": {}, "another fact": {}, "another thing": {}, "nothing": {}}
    for passage in demo():
        stated = questioner.facts_of(passage["text"])
        if not stated:
            continue
        fact, domain = stated[0], world.domain(stated[0].domain)
        others = [name for name in domain.attributes if name not in {each.attribute for each in stated}]
        things = [name for name in domain.training_entities[: documents.ARTICLES] if name != fact.entity]
        unknown = domain.held_out_entities
        for kind, attribute, thing in (
            ("answered", fact.attribute, fact.entity),
            ("another fact", rng.choice(others), fact.entity),
            ("another thing", fact.attribute, rng.choice(things)),
            ("nothing", fact.attribute, rng.choice(list(unknown))),
        ):
            query = world.question(domain.attributes[attribute], thing, rng, rng.choice(["short", "medium", "long"]))
            name = f"{kind} {passage['id']}: {query}"
            asked[kind][name] = _question(passage, query, name)
    lost = _not_found([row for rows in asked.values() for row in rows.values()], embedder)
    found = {kind: {name: name in lost for name in rows} for kind, rows in asked.items()}
    for kind, about in (
        ("another fact", "another fact on the thing"),
        ("another thing", "the same fact on another thing"),
        ("nothing", "the same fact on a thing of no document"),
    ):
        yield Line(f"`not_found`, {about}", found[kind], found["answered"])


def _not_found(questions: list[Row], embedder: Path) -> set[str]:
    """The questions that neither search leads to their passage."""
    from hub_speed.retrieval import round_trip as stage

    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(name)
        write_parquet(iter(questions), QuestionRow, folder / "questions")
        write_parquet(iter(demo()), PassageRow, folder / "passages")
        (folder / "work").mkdir()
        settings = RoundTripSettings(
            work=folder / "work",
            questions=folder / "questions",
            passages=folder / "passages",
            embedder=embedder,
            top_k=TOP_K,
            out=folder / "ranks.json",
        )
        return set(stage.run(settings)["not_found"])


def seen_in_training() -> Iterator[Line]:
    """Test questions whose passage stands in a training document, and others."""
    tests = [row for row in demo() if row["split"] == "test"]
    planted, clean = tests[::2], tests[1::2]
    rest = [row for row in demo() if row["split"] == "train"]

    def beside(i: int, text: str) -> str:
        return f"{rest[i % len(rest)]['text'][:60]}\n\n{text}\n\nAnd more of another kind."

    for kind, changed in {
        "the same passage": lambda i, text: text.upper(),
        "a paragraph of a longer one": beside,
    }.items():
        copied = [
            {"id": f"copy-{i}", "document": f"copy-{i}", "split": "train", "text": changed(i, row["text"])}
            for i, row in enumerate(planted)
        ]
        known = Known(Passages([*demo(), *(rest[0] | each for each in copied)]), _no_questions())
        kinds = ([_question(row, row["id"], row["id"]) for row in rows] for rows in (planted, clean))
        found = ({row["id"]: isinstance(known.judge(row), Rejected) for row in rows} for rows in kinds)
        yield Line(f"`seen_in_training`, {kind}", *found)


def _no_questions() -> Path:
    folder = Path(tempfile.mkdtemp())
    write_parquet(iter([_question(demo()[0], "no test question asks this", "q")]), QuestionRow, folder)
    return folder


# --- near-duplicate documents -----------------------------------------------------------------------------------------


@cache
def modules() -> dict[str, str]:
    """Module of the standard library → its docstrings, a paragraph or more each; of 120 words and more."""
    found = {}
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if {"site-packages", "test", "tests", "idlelib", "lib2to3"} & set(path.parts):
            continue
        with contextlib.suppress(SyntaxError, ValueError):
            nodes = ast.walk(ast.parse(path.read_text("utf-8")))
            kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            text = "\n\n".join(filter(None, (ast.get_docstring(node) for node in nodes if isinstance(node, kinds))))
            if len(text.split()) >= 120:
                found[str(path)] = text
    return found


def _one_word(text: str, rng: random.Random) -> str:
    parts = text.split(" ")
    parts[rng.randrange(len(parts))] = "window"
    return " ".join(parts)


def _tenth_word(text: str, rng: random.Random) -> str:
    return " ".join(
        rng.choice("window purple seldom gently north".split()) if rng.random() < 0.1 else w for w in text.split(" ")
    )


def _more(text: str, rng: random.Random) -> str:
    parts = text.split("\n\n")
    parts.insert(
        rng.randint(0, len(parts)), "This page was moved here from the old site, whose search is closed now. " * 4
    )
    return "\n\n".join(parts)


def _half(text: str, rng: random.Random) -> str:
    parts = text.split("\n\n")
    return "\n\n".join(parts[: (len(parts) + 1) // 2])


def _order(text: str, rng: random.Random) -> str:
    parts = text.split("\n\n")
    return "\n\n".join(rng.sample(parts, len(parts)))


def _marks(text: str, rng: random.Random) -> str:
    return re.sub(r"[.,;:]", "", text).upper()


CHANGES: dict[str, Callable[[str, random.Random], str]] = {
    "as it is": lambda text, rng: text,
    "case and punctuation": _marks,
    "one word changed": _one_word,
    "every tenth word changed": _tenth_word,
    "a paragraph added": _more,
    "paragraphs in another order": _order,
    "cut in half": _half,
}
LICENCE = (
    "Whoever has a copy of this work may use it, change it and pass it on, for money or for nothing, as long as the"
    " names of those who wrote it stay where they are, and nobody is told that they warrant that it works. "
)


def groups() -> Iterator[Line]:
    """Changed copies of documents, and documents that only share a licence or a template."""
    settings, rng = Corpus(), random.Random(0)
    texts = modules()
    chosen = rng.sample(sorted(texts), min(COPIES, len(texts)))
    decoys = _apart(settings.group_share, chosen)
    for kind, change in CHANGES.items():
        made = {f"copy of {name}": change(texts[name], rng) for name in chosen}
        of = grouped([*texts.items(), *made.items()], settings.group_share)
        split_of = splits(of.values(), settings.dev_share, settings.test_share)
        pairs = {name: (of[name], of[f"copy of {name}"]) for name in chosen}
        yield Line(f"groups, copies: {kind}", {name: one == other for name, (one, other) in pairs.items()}, decoys)
        places = {name: {split_of[one], split_of[other]} for name, (one, other) in pairs.items()}
        kept_out = {name: "train" not in both for name, both in places.items() if "test" in both}
        yield Line(f"splits, no copy of a test document in training: {kind}", kept_out, {})


def _apart(threshold: float, chosen: list[str]) -> Tried:
    """Documents that are none of another one's copies → whether one of them is in a group with another."""
    whole = {f"with a licence: {name}": f"{modules()[name]}\n\n{LICENCE * 2}" for name in chosen}
    world = {f"template: {name}": text for name, text in documents.texts().items() if "overview" not in name}
    found: Tried = {}
    for each in (whole, world):
        of = grouped(each.items(), threshold)
        found |= {name: sum(group == of[name] for group in of.values()) > 1 for name in each}
    return found


def contaminated() -> Iterator[Line]:
    """What scripts/measure_contamination.py plants in training rows, at its first seed."""
    import measure_contamination as measured

    counts, _ = measured.trial(COPIES, 0)
    rows = {kind: {f"{kind} {i}": i < found["here"] for i in range(n)} for kind, (n, found) in counts.items()}
    decoys = {name: found for kind, each in rows.items() if kind.startswith("decoy") for name, found in each.items()}
    for kind, each in rows.items():
        if kind.startswith("planted"):
            yield Line(f"`contaminated`, {kind.removeprefix('planted, ')}", each, decoys)


# --- the table --------------------------------------------------------------------------------------------------------

QUICK = (sources, copies, duplicates, answers, tokens, orders, seen_in_training)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--wrong", action="store_true", help="print what was missed, or found for nothing")
    parser.add_argument("--embedder", type=Path, default=BASE, help="folder of the model that searches")
    asked = parser.parse_args()
    if not asked.json:
        print(f"| {' | '.join(NAMES)} |\n|{'---|' * len(NAMES)}")
    for measure in (*QUICK, lambda: round_trip(asked.embedder), groups, contaminated):
        for line in measure():
            print(json.dumps(line.numbers()) if asked.json else line.markdown(), flush=True)
            if asked.wrong:
                print(*(f"    missed: {name}" for name, found in line.planted.items() if not found), sep="\n")
                print(*(f"    false: {name}" for name, found in line.decoys.items() if found), sep="\n")


if __name__ == "__main__":
    main()
