"""Many visitors of the explorer at once: how long reading and searching take, and whether each gets its own answer.

    hub-speed space run --port 7860
    python scripts/bench_space.py http://127.0.0.1:7860 --visitors 20

Each visitor asks for pages of its own task type and ranks texts that no other visitor has. Prints a table in Markdown.
"""

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from gradio_client import Client

Timed = tuple[str, float, bool]
"""What was asked, seconds, and whether the answer was the visitor's own."""


def visit(url: str, number: int, rounds: int) -> list[Timed]:
    """One visitor's requests."""
    client = Client(url, verbose=False, analytics_enabled=False)
    kinds = ("retrieval", "classification", "sts")
    kind, found = kinds[number % len(kinds)], []
    for turn in range(rounds):
        found.append(timed("rows", lambda page: rows_are(page, kind), client, "revise", kind, "", "", "", "", turn + 1))
        found.append(timed("text", lambda page: page["page"] == 1, client, "revise", "", "", "", "", "the", 1))
        texts = [f"Visitor {number} has text {i} of turn {turn}." for i in range(20)]
        found.append(
            timed("search", lambda got, own=texts: ranks(got, own), client, f"text {number}", texts, "Find it")
        )
    return found


def timed(name: str, own: Callable[[Any], bool], client: Client, *values: object) -> Timed:
    """One request, and whether its answer is the visitor's own."""
    started = time.perf_counter()
    answer = client.predict(*values, api_name="/search" if name == "search" else "/rows")
    return name, time.perf_counter() - started, own(answer)


def rows_are(page: dict[str, Any], kind: str) -> bool:
    """Whether all rows of a page are of a task type."""
    return {row["task_type"] for row in page["rows"]} <= {kind}


def ranks(texts: list[str], answer: dict[str, Any]) -> bool:
    """Whether an answer ranks exactly these texts."""
    return sorted(text for _, text in answer["found"]) == sorted(texts)


def main() -> None:
    """Run the visitors and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with ThreadPoolExecutor(options.visitors) as pool:
        visits = pool.map(lambda number: visit(options.url, number, options.rounds), range(options.visitors))
        found = [one for visit in visits for one in visit]
    table = []
    for name in ("rows", "text", "search"):
        seconds = np.array([took for what, took, _ in found if what == name])
        own = [right for what, _, right in found if what == name]
        row = {"request": name, "n": len(own), "own": sum(own), "p50_s": float(np.median(seconds))}
        table.append(row | {"p95_s": float(np.quantile(seconds, 0.95)), "max_s": float(seconds.max())})
    print(f"{options.visitors} visitors at once\n")
    print("| request | answers | visitor's own | p50 | p95 | slowest |\n|---|---:|---:|---:|---:|---:|")
    for row in table:
        times = " | ".join(f"{row[key]:.2f} s" for key in ("p50_s", "p95_s", "max_s"))
        print(f"| {row['request']} | {row['n']} | {row['own']} | {times} |")
    if options.json:
        options.json.write_text(json.dumps({"visitors": options.visitors, "table": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
