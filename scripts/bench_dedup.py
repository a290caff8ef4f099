"""Near-duplicates among very many short texts: time, memory and disk, and what is found of what was planted.

    python scripts/bench_dedup.py 1000000 [--scratch FOLDER]

Texts are drawn from 20,000 words with a frequency as in natural text (Zipf), 30 words each; every tenth repeats an
earlier one but for two words. Memory is the most that the process had at once, without pages of files, as Linux counts.
"""

import argparse
import random
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from hub_speed.generation.dedup import near_duplicates
from hub_speed.recipe import Revise

WORDS, LENGTH, EVERY, CHANGED = 20_000, 30, 10, 2


def texts(count: int) -> Iterator[dict[str, str]]:
    """The rows; a repeated one is at most 10,000 rows behind the first."""
    rng, kept = random.Random(1), [""] * 1000
    words = [f"w{i}" for i in range(WORDS)]
    weights = list(accumulate(1 / (i + 10) for i in range(WORDS)))
    for i in range(count):
        parts = rng.choices(words, cum_weights=weights, k=LENGTH)
        if i % EVERY == EVERY - 1:
            changed = parts[:CHANGED]
            first = rng.randrange(min(i, 1000))
            parts = kept[first - (first % EVERY == EVERY - 1)].split()  # none that repeats another itself
            parts[:CHANGED] = changed
        else:
            kept[i % 1000] = " ".join(parts)
        yield {"id": f"synthesize-{i:08d}", "query": " ".join(parts[:10]), "positive": " ".join(parts[10:])}


def peak_gb() -> float:
    """The most memory this process had at once, without pages of files; sampled by the caller."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1e6


def main() -> None:
    """Run it once and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int)
    parser.add_argument("--scratch", type=Path)
    given, how, most = parser.parse_args(), Revise(), 0.0
    started, used = time.monotonic(), time.process_time()
    duplicates = near_duplicates(
        texts(given.rows), how.dedup_threshold, how.dedup_permutations, how.dedup_words, given.scratch
    )
    count = 0
    for found in duplicates:
        count += 1
        if count == 1:
            print(f"first one found ({found.id}) after {time.monotonic() - started:.0f} s")
        if count % 10_000 == 1:
            most = max(most, peak_gb())
    elapsed, processor = time.monotonic() - started, time.process_time() - used
    high = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1e6
    print(
        f"{given.rows:,} rows: {count:,} near-duplicates ({given.rows // EVERY:,} planted), {elapsed:.0f} s"
        f" ({processor:.0f} s of processor time), at most {high:.1f} GB with pages of files, {most:.1f} GB at the end"
    )


if __name__ == "__main__":
    main()
