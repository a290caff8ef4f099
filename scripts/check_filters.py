"""How well the filters of questions about documents find what they look for: recall and precision on planted cases.

    python scripts/check_questions.py

Phrases that name a source and answers that say the same: `planted_questions.yaml`, in our own words. Copied wording:
made by rule from the documents of the recipe domain-demo. Every share has its 95% interval (Wilson).
"""

import random
from collections.abc import Iterable
from pathlib import Path

import yaml

from hub_speed.evaluation.intervals import wilson
from hub_speed.grounded.reading import copied_share, says_the_same
from hub_speed.grounded.sources import named_source
from hub_speed.quickstart import documents
from hub_speed.quickstart import world as worlds
from hub_speed.recipe import Filter, Questions

PLANTED = yaml.safe_load((Path(__file__).parent / "planted_questions.yaml").read_text("utf-8"))
Found = list[bool]


def sources(part: str) -> tuple[Found, Found]:
    """Whether each planted phrase that names a source is found, and each that does not."""
    bad, good = PLANTED["names_source"][part], PLANTED["names_no_source"][part]
    return [bool(named_source(query)) for query in bad], [bool(named_source(query)) for query in good]


def copies() -> tuple[Found, Found]:
    """The same for copied wording: sentences of a passage, changed a little, and questions in words of their own."""
    settings, world, rng = Questions(), worlds.load(), random.Random(0)
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
            bad += [(query, text) for query in copied]
            own = [world.question(fact.attribute, fact.entity, rng, length) for length in ("medium", "long")]
            own += [world.phrase(fact, rng), world.statement(fact, rng, exclude=(claim.sentence,))]
            good += [(query, text) for query in own]
    return _copied(bad, settings), _copied(good, settings)


def _copied(pairs: Iterable[tuple[str, str]], settings: Questions) -> Found:
    return [copied_share(query, text, settings.copied_run) > settings.copied_share for query, text in pairs]


def same_answers() -> tuple[Found, Found]:
    """The same for pairs of answers."""
    overlap = Filter().answer_overlap
    kinds = (PLANTED["says_the_same"], PLANTED["says_another_thing"])
    same, other = ([says_the_same(*pair, overlap) for pair in pairs] for pairs in kinds)
    return same, other


def line(name: str, found: tuple[Found, Found]) -> str:
    """A line of the table: recall, and precision where as many cases are planted as decoys."""
    bad, good = found
    hits, false = sum(bad), sum(good)
    return f"| {name} | {len(bad)} | {len(good)} | {_share(hits, len(bad))} | {_share(hits, hits + false)} |"


def _share(count: int, of: int) -> str:
    low, high = wilson(count, of)
    return f"{count / max(of, 1):.2f} ({low:.2f}-{high:.2f})"


def table() -> str:
    """Everything that is measured."""
    lines = ["| filter | planted | decoys | recall | precision |", "|---|---|---|---|---|"]
    lines += [line(f"`names_source`, {part}", sources(part)) for part in ("tuned", "fresh")]
    lines += [line("`copies_passage`", copies()), line("`answerable_without`", same_answers())]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
    for part in ("tuned", "fresh"):
        for kind, wanted in (("names_source", True), ("names_no_source", False)):
            for query in PLANTED[kind][part]:
                if bool(named_source(query)) is not wanted:
                    print(f"wrong: {query} {named_source(query)!r}")
    for kind, wanted in (("says_the_same", True), ("says_another_thing", False)):
        for pair in PLANTED[kind]:
            if says_the_same(*pair, Filter().answer_overlap) is not wanted:
                print(f"wrong: {pair}")
