"""Which texts of test sets stand in training rows, whatever their case and white space (E5 App. B).

    python scripts/check_contamination.py ORG/speed-synthetic@TAG SET[@REVISION][:CONFIG[:SPLIT]] … [--out FILE.jsonl]

SET is a Hub dataset; without CONFIG all of them are read, without SPLIT the one called test, or the only one. Every
column of texts, or of lists of texts, is compared, except those of ids. A match of a few words is mostly chance: E5
found four such questions, and passages of Wikipedia, which is in training and test sets alike. So matches with at
least --words words are counted apart. The exit code is 3 if there are any,
and 1 after an error.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import datasets
from datasets.data_files import EmptyDatasetError
from huggingface_hub.constants import ENDPOINT

from hub_speed.data_quality.contamination import matches
from hub_speed.errors import HubSpeedError, StageError
from hub_speed.hub import Hub
from hub_speed.parquet import read_parquet
from hub_speed.training.embedder import pairs

SHOWN = 5
"""Matches of a set that are printed."""
FOUND = 3
"""The exit code where a match is more than chance."""


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
        data = datasets.load_dataset(folder, one, split=chosen)
        for column, kind in data.features.items():
            while isinstance(kind, datasets.List):
                kind = kind.feature
            if getattr(kind, "dtype", "") in ("string", "large_string") and not column.endswith("id"):
                yield from pairs.texts(list(data[column]))


def main(arguments: list[str]) -> int:
    """Compare, print a line a set, and the first matches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows")
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--words", type=int, default=5, help="of a match that is hardly chance. Assumption")
    parser.add_argument("--out", type=Path, help="a file for all matches, one JSON object a line")
    asked = parser.parse_args(arguments)
    hub, long = Hub(ENDPOINT), 0
    folder = hub.fetch(hub.pin("dataset", asked.rows), "data/*", "README.md") / "data"
    lines: list[str] = []
    for name in asked.sets:
        tests = list(texts(hub, name))
        found = list(matches(tests, read_parquet(folder)))
        held = {match.text for match in found}
        telling = sorted(text for text in held if len(text.split()) >= asked.words)
        long += len(telling)
        counts = (
            f"{len(set(tests)):,} texts, {len(held):,} in the rows, {len(telling):,} of {asked.words} words or more"
        )
        print(f"{name}: {counts}")
        print(*(f"    {text[:100]}" for text in telling[:SHOWN]), sep="\n", end="\n" * bool(telling))
        lines += [json.dumps({"set": name, **asdict(match)}, ensure_ascii=False) + "\n" for match in found]
    if asked.out:
        asked.out.write_text("".join(lines), "utf-8")
    return FOUND if long else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HubSpeedError as error:
        sys.exit(f"{error}")
