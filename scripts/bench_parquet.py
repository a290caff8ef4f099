"""Bytes that the Hub has to take when 1% of a set's rows change, for several ways to write the parquet files.

    python scripts/bench_parquet.py [--rows 40000] [--json PATH]

The Hub's storage (Xet) cuts a file into chunks by its content and takes only chunks that it does not have. This script
cuts by the same rule (huggingface.co/docs/xet/en/chunking): a gear hash over the last 64 bytes, a cut where its upper
16 bits are zero, at least 8 KiB and at most 128 KiB between two cuts. Its hash table is its own, so the numbers are
close to the Hub's, not equal. The rows have the columns of `SyntheticRow` and made-up words.

`first row` is what a reader that streams has to fetch before the first row: the first row group.
"""

import argparse
import hashlib
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hub_speed.parquet import schema, write_parquet
from hub_speed.rows import SyntheticRow

Rows = list[dict[str, Any]]

GEAR = np.random.default_rng(0).integers(0, 2**64, 256, np.uint64)
CHUNK_MIN, CHUNK_MAX = 8 << 10, 128 << 10
BLOCK = 4 << 20  # bytes hashed at once
WAYS = {f"{rows:,} rows{', CDC' if cdc else ''}": (rows, cdc) for rows in (2_000, 20_000) for cdc in (False, True)}
"""Name → rows of a row group, and whether pages are cut by content. Beside them, what the package itself writes."""


def make_rows(count: int) -> Rows:
    """Rows of about 5 KB: a prompt that is mostly the same, three texts, and these once more as JSON."""
    rng = random.Random(0)
    words = ["".join(rng.choices("aeioubcdfglmnprst", k=rng.randrange(2, 10))) for _ in range(20_000)]
    weights = np.cumsum(1 / np.arange(1, len(words) + 1)).tolist()  # Zipf's law, as in a language

    def text(length: int) -> str:
        return " ".join(rng.choices(words, cum_weights=weights, k=length))

    template, tasks = text(150), [text(12) for _ in range(count // 30)]
    return [_row(number, template, rng.choice(tasks), [text(n) for n in (8, 90, 90)]) for number in range(count)]


def _row(number: int, template: str, task: str, texts: list[str]) -> dict[str, Any]:
    answer = dict(zip(("query", "positive", "negative"), texts, strict=True))
    written = json.dumps(answer)
    return dict.fromkeys(SyntheticRow.model_fields, "") | {
        "id": f"synthesize-{number:07d}",
        "task_type": "retrieval",
        "task": task,
        "instruction": task,
        "prompt": f"{template} {task} {template[:200]}",
        "completion": written,
        "draft": written,
        "generator": "senior",
        "revised": number % 3 == 0,
        **answer,
    }


def changes(rows: Rows) -> Iterator[tuple[str, Rows]]:
    """The rows with 1% of them changed in place, left out, put in between, or added at the end."""
    chosen = set(random.Random(1).sample(range(len(rows)), len(rows) // 100))
    new = [row | {"id": f"new-{number}", "query": f"{number} {row['query']}"} for number, row in enumerate(rows)]
    yield "changed", [new[i] if i in chosen else row for i, row in enumerate(rows)]
    yield "removed", [row for i, row in enumerate(rows) if i not in chosen]
    yield "inserted", [each for i, row in enumerate(rows) for each in ([row, new[i]] if i in chosen else [row])]
    yield "one place", rows[:1000] + rows[1000 + len(chosen) :]
    yield "added", rows + [new[i] for i in sorted(chosen)]


def write(rows: Rows, path: Path, group: int, cdc: bool) -> None:
    """One file with row groups of so many rows."""
    with pq.ParquetWriter(
        path, schema(SyntheticRow), compression="zstd", use_content_defined_chunking=cdc, write_page_index=cdc
    ) as writer:
        for start in range(0, len(rows), group):
            writer.write_table(pa.Table.from_pylist(rows[start : start + group], schema=schema(SyntheticRow)))


def chunks(data: bytes) -> Iterator[bytes]:
    """The parts that the Hub stores."""
    start = 0
    for cut in [*_cuts(data), len(data)]:
        while cut - start > CHUNK_MAX:
            yield data[start : start + CHUNK_MAX]
            start += CHUNK_MAX
        if cut - start >= CHUNK_MIN or cut == len(data):
            yield data[start:cut]
            start = cut


def _cuts(data: bytes) -> Iterator[int]:
    """Where the hash of the last 64 bytes says so: the sum of their values, each shifted by its distance."""
    for start in range(0, len(data), BLOCK):
        before = max(0, start - 63)
        hashed = GEAR[np.frombuffer(data[before : start + BLOCK], np.uint8)]
        for shift in (1, 2, 4, 8, 16, 32):
            hashed[shift:] = hashed[shift:] + (hashed[:-shift] << np.uint64(shift))
        yield from (
            before + 1 + place
            for place in np.flatnonzero(hashed >> np.uint64(48) == 0).tolist()
            if before + place >= start
        )


def known(paths: list[Path]) -> dict[bytes, int]:
    """The hash of each chunk of the files → its length."""
    return {hashlib.blake2b(part, digest_size=16).digest(): len(part) for p in paths for part in chunks(p.read_bytes())}


def measure(name: str, rows: Rows, folder: Path) -> dict[str, Any]:
    """One line of the table."""

    def written(rows: Rows, part: str) -> list[Path]:
        (folder / part).mkdir(parents=True)
        if name in WAYS:
            write(rows, folder / part / "train.parquet", *WAYS[name])
        else:
            write_parquet(iter(rows), SyntheticRow, folder / part)
        return sorted((folder / part).iterdir())

    files = written(rows, "before")
    before, size = known(files), sum(path.stat().st_size for path in files)
    first = pq.ParquetFile(files[0]).metadata.row_group(0)
    line: dict[str, Any] = {
        "way": name,
        "mb": size / 1e6,
        "first_row_mb": sum(first.column(i).total_compressed_size for i in range(first.num_columns)) / 1e6,
        "group_mb_in_memory": first.total_byte_size / 1e6,
    }
    for change, now in changes(rows):
        new = {key: length for key, length in known(written(now, change)).items() if key not in before}
        line[change] = sum(new.values()) / size
    return line


def main() -> None:
    """Measure, print a table, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows, lines = make_rows(asked.rows), []
    kinds = ("changed", "removed", "inserted", "one place", "added")
    print(f"{asked.rows:,} rows; share of the file that is new to the Hub when 1% of the rows are …")
    print(f"{'row groups':18}{'file MB':>9}{'first row MB':>14}" + "".join(f"{kind:>11}" for kind in kinds))
    for name in [*WAYS, "hub_speed"]:
        with tempfile.TemporaryDirectory() as folder:
            lines.append(line := measure(name, rows, Path(folder)))
        shares = "".join(f"{line[kind]:>11.0%}" for kind in kinds)
        print(f"{name:18}{line['mb']:>9.1f}{line['first_row_mb']:>14.1f}{shares}", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps({"rows": asked.rows, "ways": lines}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
