"""Which texts of test sets stand in training rows: as they are, inside a longer text, or with a few words changed.

    python scripts/check_contamination.py ORG/speed-synthetic@TAG SET[@REVISION][:CONFIG[:SPLIT]] … [--out FILE.jsonl]

SET is a Hub dataset; without CONFIG all of them are read, without SPLIT the one called test, or the only one. Every
column of texts, or of lists of texts, is compared, except those of ids. Short and common texts do not count, since a
match of them is mostly chance (docs/trust.md). --coverage 1: no word may differ. The exit code is 3 if anything is
found, and 1 after an error.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import datasets
from datasets.data_files import EmptyDatasetError
from huggingface_hub.constants import ENDPOINT

from hub_speed.errors import HubSpeedError, StageError
from hub_speed.generation.contamination import COVERAGE, matches
from hub_speed.hub import Hub
from hub_speed.parquet import read_parquet
from hub_speed.training.test_texts import texts_of

SHOWN = 5
"""Matches of a set that are printed."""
FOUND = 3
"""The exit code where something is found."""


def texts(hub: Hub, name: str) -> Iterator[str]:
    """The texts of a test set: REPO, REPO:CONFIG or REPO:CONFIG:SPLIT."""
    repo, _, rest = name.partition(":")
    folder = str(hub.fetch(hub.pin("dataset", repo)))
    try:
        yield from _texts_in(folder, name, *rest.partition(":")[::2])
    except (ValueError, EmptyDatasetError) as error:
        raise StageError(f"{name}: cannot be loaded", got=" ".join(str(error).split())[:300]) from error


def _texts_in(folder: str, name: str, config: str, split: str) -> Iterator[str]:
    """The texts of a set's files, of one config and split or of all, see `texts`."""
    for one in [config] if config else datasets.get_dataset_config_names(folder):
        splits = datasets.get_dataset_split_names(folder, one)
        chosen = split or ("test" if "test" in splits else splits[0])
        if chosen not in splits or (len(splits) > 1 and not split and "test" not in splits):
            raise StageError(
                f"{name}: config {one} has no split {split or 'test'}",
                expected=f"one of {', '.join(splits)}",
                fix=f"name it: {name.partition(':')[0]}:{one}:SPLIT",
            )
        for row in datasets.load_dataset(folder, one, split=chosen):
            yield from texts_of(row)


def main(arguments: list[str]) -> int:
    """Compare, print a line a set, and the first matches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows")
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--coverage", type=float, default=COVERAGE, help="the least share of a test text; 1: all of it")
    parser.add_argument("--out", type=Path, help="a file for all matches, one JSON object a line")
    asked = parser.parse_args(arguments)
    hub = Hub(ENDPOINT)
    folder = hub.fetch(hub.pin("dataset", asked.rows), "data/*", "README.md") / "data"
    tests = [(name, text) for name in asked.sets for text in texts(hub, name)]
    found = list(matches(tests, lambda: read_parquet(folder), asked.coverage))
    for name in asked.sets:
        mine = [match for match in found if match.set == name]
        kinds = Counter(match.kind for match in mine)
        counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()) or "nothing found"
        print(f"{name}: {len({text for of, text in tests if of == name}):,} texts; {counts}")
        for match in mine[:SHOWN]:
            print(f"    {match.row} {match.column}: {match.text[:100]}")
    if asked.out:
        lines = [json.dumps(match._asdict(), ensure_ascii=False) + "\n" for match in found]
        asked.out.write_text("".join(lines), "utf-8")
    return FOUND if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HubSpeedError as error:
        sys.exit(f"{error}")
