"""Measure the generation engine: rows a second against what the endpoint offers, processor time a row, memory, resume.

    python scripts/bench_engine.py [--seconds 60] [--ledger 0] [--kills 0] [--instructions 0] [--json PATH]
        [--peer datatrove=VENV/bin/python] [--peer distilabel=VENV/bin/python]

One endpoint that costs little (`scripts/fake_endpoint.py`) runs in a process of its own, and every client in one of
its own, one after the other, all in this one run. The engine does all it does in a stage: prompts, requests, parsing,
checks, ledger, parquet; its time ends when the parquet files are written. The others send the same requests and read
the answers as JSON, no more. Peers that do not install beside us are run by an interpreter that has them (`--peer`):
see `scripts/bench_peers.py`.

- 200 ms on average (lognormal, sigma 0.5), 256 in flight: an endpoint of 1,280 rows/s;
- 50 ms on average, 512 in flight: as many rows as one core can take;
- `--ledger N`: the ledger of a stage of N rows that was stopped at nine tenths: how soon the first request goes out,
  and the largest resident memory until all N rows are parquet;
- `--kills K`: the engine is killed K times at random moments while 1% each of the answers are 429, 500, dropped or
  malformed: rows lost, rows doubled, and after each kill the requests that were answered but are not in the ledger.
- `--instructions N`: the instructions that a client takes for a row, outside of the system's kernel, counted over N
  rows by valgrind. They differ by up to 3% from run to run, also on a machine that is busy.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hub_speed.generation import examples
from hub_speed.generation.jobs import Job, Outcome, Todo
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.online import generate
from hub_speed.generation.planning import PlannedRow, plan_rows
from hub_speed.llm.address import Address, Limits
from hub_speed.llm.dialects import Completion, Request, Sampling, body
from hub_speed.parquet import read_parquet, write_parquet
from hub_speed.recipe import Recipe
from hub_speed.rows import LedgerRow, SeedRow
from hub_speed.task_types import TASK_TYPES

KIND = TASK_TYPES["retrieval"]
# Knobs of one value each, so that the one answer the endpoint gives passes every row's check.
RECIPE = Recipe.model_validate(
    {
        "name": "bench",
        "mixture": {KIND.name: 1},
        KIND.name: {k: [v] for k, v in KIND.example_knobs.items() if k in KIND.knobs},
    }
)
POOL = {KIND.name: [("Given a question, find passages that answer it.", "Food/Vegetables")]}
SAMPLING = Sampling(1.0, 1.0, 2048)
STATES = ("accepted", "repaired")


# --- clients, each in a process of its own ---------------------------------------------------------------------------


def request_for(row: PlannedRow) -> Request:
    """A row's request. With one task and fixed knobs, prompts can be alike: the name tells them apart for counting."""
    request = examples.request(row, SAMPLING)
    return replace(request, prompt=f"{request.prompt}\n{row.id}")


def ask_with_engine(url: str, rows: int, in_flight: int, folder: Path) -> None:
    """A stage without the Hub: ask, check, write the ledger and the parquet files."""

    def jobs(todo: Todo) -> Iterator[Job]:
        for row in plan_rows(RECIPE, "seed", rows, POOL, todo):
            yield Job(row.id, row.task_type, request_for(row), row)

    def read(job: Job, completion: Completion) -> Outcome:
        return examples.read_example(job.source, completion, "fake", "all")

    limits = Limits(in_flight, timeout_s=60, retries=8)
    with Ledger(folder) as ledger:
        generate(
            jobs,
            read,
            Address("teacher", "fake", (url,)),
            ledger,
            limits,
            lambda rows, in_flight: None,
            threading.Event(),
        )
        write_parquet(ledger.rows(), SeedRow, folder / "data")
        write_parquet(ledger.entries(), LedgerRow, folder / "ledger")


def bodies(rows: int) -> Iterator[dict[str, Any]]:
    """The same requests as the engine's."""
    for row in plan_rows(RECIPE, "seed", rows, POOL):
        yield body("chat", request_for(row), "fake")


def ask_with_aiohttp(url: str, rows: int, in_flight: int, folder: Path) -> None:
    """A plain client: no retries, no checks, nothing is kept."""
    import aiohttp
    import uvloop

    async def run() -> None:
        todo = bodies(rows)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def work() -> None:
                for request in todo:
                    async with session.post(f"{url}/v1/chat/completions", json=request) as response:
                        json.loads((await response.json())["choices"][0]["message"]["content"])

            await asyncio.gather(*(work() for _ in range(in_flight)))

    uvloop.run(run())


def ask_with_openai(url: str, rows: int, in_flight: int, folder: Path) -> None:
    """The same with OpenAI's own client, when it is installed."""
    import openai
    import uvloop

    async def run() -> None:
        todo = bodies(rows)
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:

            async def work() -> None:
                for request in todo:
                    answer = await client.chat.completions.create(**request)
                    json.loads(answer.choices[0].message.content or "")

            await asyncio.gather(*(work() for _ in range(in_flight)))

    uvloop.run(run())


CLIENTS = {"hub_speed": ask_with_engine, "aiohttp": ask_with_aiohttp, "AsyncOpenAI": ask_with_openai}


def be_counted(name: str, url: str, rows: int, folder: Path) -> None:
    """The same under valgrind, which counts once all is imported and caches are full."""
    CLIENTS[name](url, 500, 256, folder / "warm")
    for switch in ("on", "off"):
        subprocess.run(["callgrind_control", "-i", switch, str(os.getpid())], check=True, capture_output=True)
        if switch == "on":
            CLIENTS[name](url, rows, 256, folder)


def be_client(name: str, url: str, rows: int, in_flight: int, folder: Path) -> None:
    """What a client's process does; prints what it took."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    CLIENTS[name](url, rows, in_flight, folder)
    ended = time.time()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"cpu_s": cpu_s, "memory_mb": usage.ru_maxrss / 1024, "ended": ended}))


# --- the bench --------------------------------------------------------------------------------------------------------


def http(url: str, value: Any = None) -> Any:
    """GET, or POST when there is a value."""
    data = None if value is None else json.dumps(value).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=30) as response:
        return json.load(response)


@contextlib.contextmanager
def endpoint(folder: Path) -> Iterator[str]:
    """A fake endpoint for the time of the block; yields its URL."""
    (folder / "answer.json").write_text(json.dumps(dict(KIND.example)), "utf-8")
    script = Path(__file__).with_name("fake_endpoint.py")
    command = [sys.executable, str(script), "--answer", str(folder / "answer.json")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}"
    finally:
        process.kill()
        process.communicate()


def client(name: str, url: str, rows: int, in_flight: int, folder: Path) -> "subprocess.Popen[str]":
    """Start a client."""
    arguments = ["--client", name, url, str(rows), str(in_flight), str(folder)]
    return subprocess.Popen(
        [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def peer(name: str, python: str, url: str, rows: int, in_flight: int, folder: Path) -> "subprocess.Popen[str]":
    """Start a peer's client, with our requests in a file."""
    folder.mkdir(parents=True)
    with open(folder / "requests.jsonl", "w", encoding="utf-8") as file:
        for i, request in enumerate(bodies(rows)):
            file.write(json.dumps({"id": str(i), "text": json.dumps(request)}) + "\n")
    script = Path(__file__).with_name("bench_peers.py")
    arguments = [name, url, str(in_flight), str(folder)]
    return subprocess.Popen(
        [python, script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
    )


def measure(
    name: str, url: str, mean_ms: float, in_flight: int, seconds: float, folder: Path, python: str = ""
) -> dict[str, Any]:
    """One client at one setting, for about `seconds`; a peer, when there is an interpreter for it."""
    offered = in_flight / (mean_ms / 1000)
    rows = int(seconds * min(offered, 3000 if not python else 300))
    http(f"{url}/settings", {"mean_ms": mean_ms})
    start, place = partial(peer, name, python) if python else partial(client, name), folder / f"{name}-{in_flight}"
    process = start(url, rows, in_flight, place)
    out, err = process.communicate()
    if process.returncode:
        return {"client": name, "failed": (err or out).strip().splitlines()[-1][:300]}
    took, stats = json.loads(out.splitlines()[-1]), http(f"{url}/stats")
    rate = rows / (took["ended"] - stats["first"])
    return {
        "client": name,
        "mean_ms": mean_ms,
        "in_flight": in_flight,
        "rows": rows,
        "rows_per_s": round(rate),
        "until_last_answer": round(rows / (stats["last"] - stats["first"])),
        "share_of_theory": round(rate / offered, 3),
        "cpu_ms_per_row": round(1000 * took["cpu_s"] / rows, 3),
        "memory_mb": round(took["memory_mb"]),
        "load": round(os.getloadavg()[0], 1),
    }


def count_instructions(name: str, url: str, rows: int, folder: Path) -> dict[str, Any]:
    """The instructions of one client for a row."""
    http(f"{url}/settings", {"mean_ms": 50})
    counting = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder / 'counts'}"]
    arguments = [sys.executable, __file__, "--counted", name, url, str(rows), str(folder / f"{name}-counted")]
    counted = subprocess.run([*counting, *arguments], check=True, capture_output=True, text=True)
    count = int(counted.stderr.split("Collected : ")[1].split()[0])
    return {"client": name, "instructions_per_row": round(count / rows)}


def fill(folder: Path, url: str, rows: int) -> None:
    """The ledger of a stage that was stopped after `rows` rows: one real entry, under as many names."""
    ask_with_engine(url, 1, 1, folder)
    with Ledger(folder) as ledger:
        entry, row = next(ledger.entries()), next(ledger.rows())
        for start in range(0, rows, 1000):
            ids = [f"seed-{i:07d}" for i in range(start, min(start + 1000, rows))]
            ledger.add((LedgerRow.model_validate(entry | {"id": i}), row | {"id": i}) for i in ids)


def resume(url: str, rows: int, folder: Path) -> dict[str, Any]:
    """Go on with a stage of `rows` rows at nine tenths."""
    http(f"{url}/settings", {"mean_ms": 0})
    fill(folder, url, rows * 9 // 10)
    http(f"{url}/settings", {"mean_ms": 50})
    started = time.time()
    process = client("hub_speed", url, rows, 256, folder)
    while process.poll() is None and not http(f"{url}/stats")["first"]:
        time.sleep(0.05)
    print(json.dumps({"rows": rows, "first_request_s": round(http(f"{url}/stats")["first"] - started, 2)}), flush=True)
    out, err = process.communicate()
    if process.returncode:
        raise SystemExit(err)
    took, stats = json.loads(out.splitlines()[-1]), http(f"{url}/stats")
    return {
        "rows": rows,
        "first_request_s": round(stats["first"] - started, 2),
        "all_s": round(time.time() - started, 1),
        "asked": stats["asked"],
        "memory_mb": round(took["memory_mb"]),
        "ledger_mb": round((folder / "ledger.sqlite").stat().st_size / 2**20),
        "load": round(os.getloadavg()[0], 1),
    }


def survive(url: str, kills: int, folder: Path) -> dict[str, Any]:
    """Kill the engine again and again, then let it end."""
    rows, in_flight, moments = 400 * kills, 64, random.Random(0)
    faults = dict.fromkeys(("share_429", "share_500", "share_dropped", "share_malformed"), 0.01)
    http(f"{url}/settings", {"mean_ms": 50} | faults)
    killed, repeated = 0, []
    while killed < kills:
        asked = http(f"{url}/stats")["asked"]
        process = client("hub_speed", url, rows, in_flight, folder)
        until = asked + moments.randrange(20, 600)
        while process.poll() is None and http(f"{url}/stats")["asked"] < until:
            time.sleep(0.01)
        killed += process.poll() is None
        process.kill()
        process.communicate()
        if process.returncode == 0:
            break
        while (stats := http(f"{url}/stats"))["open"]:  # it answers what was in flight, and nobody reads it
            time.sleep(0.05)
        with Ledger(folder) as ledger:
            answers_kept = ledger.usage()[0]
        repeated.append(stats["statuses"]["200"] - answers_kept - sum(repeated))
    process = client("hub_speed", url, rows, in_flight, folder)
    _, err = process.communicate()
    if process.returncode:
        raise SystemExit(err)
    stats = http(f"{url}/stats")
    ids = [row["id"] for row in read_parquet(folder / "ledger", ["id"])]
    faulty = sum(stats["statuses"].get(status, 0) for status in ("429", "500", "dropped"))
    return {
        "kills": killed,
        "rows": rows,
        "lost": rows - len(set(ids)),
        "doubled": len(ids) - len(set(ids)),
        "repeated_after_each_kill": repeated,
        "in_flight": in_flight,
        "asked_again": stats["asked_again"],
        "of_them_after_a_fault": faulty,
        "statuses": stats["statuses"],
    }


def main() -> None:
    """Command line."""
    if sys.argv[1:2] == ["--client"]:
        name, url, rows, in_flight, folder = sys.argv[2:]
        return be_client(name, url, int(rows), int(in_flight), Path(folder))
    if sys.argv[1:2] == ["--counted"]:
        name, url, rows, folder = sys.argv[2:]
        return be_counted(name, url, int(rows), Path(folder))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="about how long each client is measured")
    parser.add_argument("--ledger", type=int, default=0, help="rows of the stage that is resumed")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--instructions", type=int, default=0, help="over how many rows they are counted (valgrind)")
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help="see bench_peers.py")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found: dict[str, Any] = {"python": platform.python_version(), "cores": os.cpu_count(), "clients": []}
    with tempfile.TemporaryDirectory() as name, endpoint(Path(name)) as url:
        for mean_ms, in_flight in ((200.0, 256), (50.0, 512)):
            for who in [*args.clients.split(","), *args.peer] if args.seconds else ():
                title, _, python = who.partition("=")
                measured = measure(title, url, mean_ms, in_flight, args.seconds, Path(name), python)
                found["clients"].append(measured)
                print(json.dumps(found["clients"][-1]), flush=True)
        if args.ledger:
            found["resume"] = resume(url, args.ledger, Path(name) / "resumed")
            print(json.dumps(found["resume"]), flush=True)
        if args.kills:
            found["kills"] = survive(url, args.kills, Path(name) / "killed")
            print(json.dumps(found["kills"]), flush=True)
        if args.instructions:
            found["instructions"] = []
            for who in args.clients.split(","):
                found["instructions"].append(count_instructions(who, url, args.instructions, Path(name)))
                print(json.dumps(found["instructions"][-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
