"""The documents of the recipe domain-demo: an article on each of some things of the small world, and a few overviews.

    python -m hub_speed.quickstart.documents      writes them beside this module, where they are shipped

An overview repeats facts of articles in other words. So a question about an article often has an answer elsewhere as
well, which a miner takes for a negative; `answers` knows which passages these are.
"""

import random
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from hub_speed.quickstart import world as worlds
from hub_speed.quickstart.world import Domain

FOLDER = Path(__file__).parent / "documents"
ARTICLES = 11  # of each domain
COMPARED = 3  # things in a section of an overview
_BETWEEN = re.compile(r"[,;]? and (?=[a-z])|\n|(?<=[.!?])\s+")

Asked = frozenset[tuple[str, str]]
"""(thing, attribute) of every fact that a question asks for, or that a text states."""


def texts() -> dict[str, str]:
    """File name → text of every document."""
    found: dict[str, str] = {}
    for domain in worlds.load().domains:
        rng = random.Random(domain.name)
        for thing in domain.training_entities[:ARTICLES]:
            found[f"{domain.name}-{_file_name(thing)}.md"] = _article(domain, thing, rng)
        found[f"{domain.name}-overview.md"] = _overview(domain, rng)
    return found


def _file_name(thing: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", thing.lower()).strip("-")


def _article(domain: Domain, thing: str, rng: random.Random) -> str:
    """All six facts on one thing, two in a section."""
    world, names = worlds.load(), rng.sample(list(domain.attributes), len(domain.attributes))
    fillers = iter(rng.sample(domain.fillers, len(domain.fillers)))
    parts = [f"# {thing[:1].upper()}{thing[1:]}"]
    for pair in (names[:2], names[2:4], names[4:]):
        sentences = [world.statement(domain.fact(thing, name), rng) for name in pair]
        sentences += [filler.replace("{e}", thing) for filler in (next(fillers, ""),) if filler]
        rng.shuffle(sentences)
        nouns = [domain.attributes[name].noun for name in pair]
        parts.append(f"## {nouns[0].capitalize()} and {nouns[1]}\n\n{' '.join(sentences)}")
    return "\n\n".join(parts) + "\n"


def _overview(domain: Domain, rng: random.Random) -> str:
    """For each attribute, the facts on a few things that have articles of their own."""
    world, parts = worlds.load(), [f"# {domain.name.capitalize()} side by side"]
    for attribute in domain.attributes.values():
        things = rng.sample(domain.training_entities[:ARTICLES], COMPARED)
        sentences = [world.statement(domain.fact(thing, attribute.name), rng) for thing in things]
        parts.append(f"## {attribute.noun.capitalize()}\n\n{' '.join(sentences)}")
    return "\n\n".join(parts) + "\n"


# --- who answers what -------------------------------------------------------------------------------------------------


def answers(query: str, passage: str) -> bool:
    """Whether a passage states every fact that a question asks for; a question that no rule wrote has no answer."""
    wanted = asked(query)
    return bool(wanted) and wanted <= stated(passage)


@lru_cache(1 << 14)
def asked(query: str) -> Asked:
    """The facts that a question, keywords, a claim or a title is about."""
    whole = worlds.load().recognise(query)
    if whole and whole.template.attribute:
        return frozenset({(whole.entity, whole.template.attribute)})
    return _facts(query)


@lru_cache(1 << 14)
def stated(passage: str) -> Asked:
    """The facts that a text states."""
    return frozenset((claim.entity, claim.attribute) for claim in worlds.load().read(passage).claims if claim.true)


def _facts(query: str) -> Asked:
    """The facts of a query that is put together of several."""
    found = (worlds.load().recognise(part) for part in _BETWEEN.split(query) if part.strip())
    return frozenset((match.entity, match.template.attribute) for match in found if match and match.template.attribute)


def write(folder: Path) -> None:
    """Write every document as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (folder / name).write_text(text, "utf-8")


def shipped() -> Iterator[Path]:
    """The files of the documents."""
    return iter(sorted(FOLDER.glob("*.md")))


if __name__ == "__main__":
    write(FOLDER)
