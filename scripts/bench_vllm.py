"""Try the engine against a real vLLM, and time it beside vLLM's own benchmark client.

    python scripts/bench_vllm.py --bin VENV/bin --model FOLDER
        [--requests 600] [--in-flight 64] [--flag=--dtype --flag=float32 ...] [--json PATH]

vLLM pins its own torch, so it lives in an environment of its own; builds for CPUs are unofficial. FOLDER holds the
files of a generator, for example a snapshot of the quickstart's junior. One server is started for all, as a stage does;
its messages go to bench_out/vllm.log.

- What it honours, each seen in an answer: the model's name and length in its listing, `n`, `seed` (the same one twice,
  and another), a JSON schema in a chat (needs a chat template in FOLDER), a refused request.
- Throughput, with the same prompts, sampling and requests in flight, one after the other: the engine with all it does
  in a stage (checks, ledger, parquet), and `vllm bench serve`. A first small round of each is not counted.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench_engine import RECIPE, request_for

from hub_speed.errors import EndpointRefused
from hub_speed.generation import prompts
from hub_speed.generation.jobs import Accepted, Job, Outcome, Todo
from hub_speed.generation.ledger import Ledger
from hub_speed.generation.online import generate
from hub_speed.generation.planning import plan_rows
from hub_speed.llm import servers
from hub_speed.llm.address import Address, Limits
from hub_speed.llm.dialects import Completion, Request, Sampling
from hub_speed.llm.endpoint import Endpoint, RowRefused
from hub_speed.parquet import write_parquet
from hub_speed.rows import LedgerRow

NAME = "generator"
SAMPLING = Sampling(1.0, 1.0, 160)
TOPICS = ("Food/Vegetables", "Tools/Hammers", "Sports/Rowing", "Animals/Otters")


def texts(rows: int) -> list[str]:
    """Prompts as the seed stage writes them, all different."""
    pool = {name: [(f"Given a question, find passages about {t}.", t) for t in TOPICS] for name in RECIPE.mixture}
    return [request_for(row).prompt for row in plan_rows(RECIPE, "seed", rows, pool)]


async def honours(url: str) -> dict[str, str]:
    """What the server does with each of the things it is asked."""
    found: dict[str, str] = {}
    prompt = texts(1)[0]
    kwargs: dict[str, Any] = {"in_flight": 4, "timeout_s": 120, "retries": 1}
    async with Endpoint(Address(NAME, "", (url,), "completion"), **kwargs) as endpoint:
        await endpoint.probe()
        found["model, as listed"] = endpoint.model
        four = await endpoint.complete(Request(prompt, replace(SAMPLING, n=4)))
        found["n = 4"] = f"{len(four.texts)} texts in {four.calls} request(s)"
        seeds = [await endpoint.complete(Request(prompt, replace(SAMPLING, seed=seed))) for seed in (7, 7, 8)]
        same, other = seeds[0].texts == seeds[1].texts, seeds[0].texts != seeds[2].texts
        found["seed"] = (
            f"the same twice: {'equal' if same else 'different'}; another: {'different' if other else 'equal'}"
        )
        try:
            await endpoint.complete(Request(prompt * 2000, SAMPLING))
        except RowRefused as error:
            found["a prompt that is too long"] = f"its row is refused: {str(error)[:100]}…"
    async with Endpoint(Address(NAME, NAME, (url,), "chat"), **kwargs) as endpoint:
        schema = prompts.Revision.model_json_schema()
        try:
            answer = await endpoint.complete(Request(prompt, replace(SAMPLING, max_tokens=400), schema, "revision"))
            notes = "; ".join(endpoint.notes) or "taken as sent"
            found["JSON schema in a chat"] = f"{notes}; ended by {answer.finish_reasons[0]}"
        except EndpointRefused as error:
            found["JSON schema in a chat"] = f"refused: {error.got[:100]}…"
    return found


def by_engine(url: str, asked: list[str], in_flight: int, folder: Path) -> tuple[float, int]:
    """Seconds and tokens written, ledger and parquet included."""

    def jobs(todo: Todo) -> Iterator[Job]:
        for i, prompt in enumerate(asked):
            if todo(f"{i:08d}"):
                yield Job(f"{i:08d}", "retrieval", Request(prompt, SAMPLING))

    def read(job: Job, completion: Completion) -> Outcome:
        return Accepted({"id": job.id, "text": completion.texts[0]})

    started = time.monotonic()
    with Ledger(folder) as ledger:
        limits, address = Limits(in_flight, timeout_s=600, retries=2), Address(NAME, NAME, (url,), "completion")
        generate(jobs, read, address, ledger, limits, lambda rows, in_flight: None, threading.Event())
        write_parquet(ledger.entries(), LedgerRow, folder / "ledger")
        took = time.monotonic() - started
        assert ledger.counts() == {"accepted": len(asked)}
        return took, ledger.usage()[2]


def by_bench_serve(url: str, model: Path, asked: list[str], in_flight: int, folder: Path) -> tuple[float, int]:
    """The same by vLLM's own client: its duration, and the tokens it counted."""
    folder.mkdir()
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in asked), "utf-8")
    flags = f"--backend vllm --base-url {url} --endpoint /v1/completions --model {NAME} --tokenizer {model}"
    flags += f" --dataset-name custom --dataset-path {folder / 'prompts.jsonl'} --skip-chat-template --disable-shuffle"
    flags += f" --custom-output-len {SAMPLING.max_tokens} --num-prompts {len(asked)} --max-concurrency {in_flight}"
    flags += f" --temperature {SAMPLING.temperature} --save-result --result-dir {folder} --result-filename result.json"
    done = subprocess.run(["vllm", "bench", "serve", *flags.split()], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"vllm bench serve failed:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    result = json.loads((folder / "result.json").read_text())
    assert result["completed"] == len(asked), result
    return result["duration"], result["total_output_tokens"]


def main() -> None:
    """Start the server, try it, time both clients."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=Path, help="the folder of the vllm command")
    parser.add_argument("--model", required=True, type=Path, help="a folder with a generator's files")
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--flag", action="append", default=[], help="one more flag of the server, as --flag=--dtype")
    parser.add_argument("--json", type=Path, help="write the numbers there as well")
    args = parser.parse_args()
    model = args.model.resolve()
    os.environ["PATH"] = f"{args.bin.resolve()}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log, never = Path("bench_out/vllm.log"), lambda: False
        server = servers.programs("vllm", model, NAME, flags=tuple(args.flag), start_s=600.0, log=log, stop=never)
        with server as (url,):
            seen = asyncio.run(honours(url))
            times: dict[str, tuple[float, int]] = {}
            for rounds, asked in ((0, texts(args.in_flight)), (1, texts(args.requests))):
                mine, theirs = folder / f"engine{rounds}", folder / f"bench{rounds}"
                times["hub_speed, ledger and parquet included"] = by_engine(url, asked, args.in_flight, mine)
                times["vllm bench serve"] = by_bench_serve(url, model, asked, args.in_flight, theirs)
    for what, how in seen.items():
        print(f"{what:28s} {how}")
    fastest = min(took for took, _ in times.values())
    print(f"\n{args.requests} prompts, {args.in_flight} in flight, up to {SAMPLING.max_tokens} tokens each")
    for client, (took, tokens) in times.items():
        print(f"{client:42s} {took:6.1f} s  {tokens / took:7,.0f} tokens/s  {fastest / took:5.2f} of the fastest")
    if args.json:
        numbers = {client: {"seconds": took, "tokens": tokens} for client, (took, tokens) in times.items()}
        args.json.write_text(json.dumps({"honours": seen, "throughput": numbers}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
