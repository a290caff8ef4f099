"""Compose the topic tree that comes with the package, `hub_speed/recipes/topics.txt.gz`, from lists written by hand.

    python scripts/make_topics.py

The lists are in `scripts/topic_tree`. `by_hand.txt` holds topic paths that are taken as they are. Each .yaml file
holds sets of *facets* (what is written about a kind of thing: of an illness its symptoms, of a city its museums) and a
*tree*: path → set of facets → names. The rule: every name becomes a topic below its path, and below each name stands
every facet of its set; every part of a path is a topic of its own. So a set of facets must suit all names it is given.

All lists are our own words. Paths may be deeper than `brainstorm.max_depth`, which then drops their middle.
"""

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

LISTS = Path(__file__).parent / "topic_tree"
SHIPPED = Path(__file__).parent.parent / "hub_speed" / "recipes" / "topics.txt.gz"
HEADER = "# One path a line, from broad to narrow. Composed by scripts/make_topics.py from lists written by hand.\n"


def compose() -> list[str]:
    """The topic paths, sorted by bytes, without duplicates."""
    found: set[str] = set()
    for path in [*_by_hand(), *(path for file in sorted(LISTS.glob("*.yaml")) for path in _by_rule(file))]:
        parts = path.split("/")
        found |= {"/".join(parts[: i + 1]) for i in range(len(parts))}
    return sorted(found, key=str.encode)


def _by_hand() -> list[str]:
    lines = (LISTS / "by_hand.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _by_rule(file: Path) -> Iterator[str]:
    """The leaves that one file of lists gives."""
    lists = yaml.safe_load(file.read_text("utf-8"))
    facets = {kind: _names(text) for kind, text in lists["facets"].items()}
    for path, kinds in lists["tree"].items():
        for kind, text in kinds.items():
            for name in _names(text):
                yield from (f"{path}/{name}/{facet}".replace(" ", "_") for facet in facets[kind])


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def main() -> None:
    """Write the shipped file."""
    topics = compose()
    text = HEADER + "".join(f"{topic}\n" for topic in topics)
    SHIPPED.write_bytes(gzip.compress(text.encode(), 9, mtime=0))  # the same bytes every time
    sys.stdout.write(f"{len(topics):,} topics, {SHIPPED.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
